package drivers_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostsmith/machine/drivers"
)

type config struct {
	Image  string         `option:"image" env:"TOY_IMAGE,TOY_IMG" help:"image of the host" oneof:"small,large"`
	Memory int            `option:"memory" env:"TOY_MEMORY" help:"memory in MiB" min:"128" max:"4096"`
	Ratio  float64        `option:"ratio" help:"share of a CPU" min:"0.1"`
	Spot   bool           `option:"spot" help:"take a spot instance"`
	Labels []string       `option:"label" alias:"toy-tag" help:"labels of the host"`
	Grace  time.Duration  `option:"grace" help:"time to shut down" max:"10m"`
	URL    string         `option:"=url" env:"TOY_URL" help:"where the host is" required:"true"`
	Token  drivers.Secret `option:"token" env:"TOY_TOKEN" help:"token of the provider"`
	Name   string         `option:"name" json:"hostname" help:"name of the host"`
}

func (c *config) Validate() error {
	switch c.Name {
	case "plain":
		return errors.New("plain is no name")
	case "own":
		return &drivers.OptionError{Option: "toy-name", Err: errors.New("own is no name"), Advice: "take another"}
	}
	return nil
}

type state struct {
	ID string `json:",omitempty"`
}

// toy is a driver that gives back what it was opened with.
type toy struct {
	drivers.Driver
	config config
	state  *drivers.Durable[state]
	env    drivers.Env
}

func defaults() config {
	return config{Image: "small", Grace: 30 * time.Second, Labels: []string{"a", "b"}}
}

func newToy() drivers.Factory {
	return drivers.Define("toy", "toys in a box", defaults,
		func(c config, s *drivers.Durable[state], env drivers.Env) (drivers.Driver, error) {
			return &toy{config: c, state: s, env: env}, nil
		})
}

// open configures and opens a toy and fails the test if it cannot.
func open(t *testing.T, values drivers.Values) *toy {
	t.Helper()
	config, secrets, err := newToy().Configure(values)
	if err != nil {
		t.Fatal(err)
	}
	d, err := newToy().Open(config, secrets, nil, nil, drivers.Env{})
	if err != nil {
		t.Fatal(err)
	}
	return d.(*toy)
}

func TestOptions(t *testing.T) {
	t.Parallel()
	want := []drivers.Option{
		{Name: "toy-image", Env: []string{"TOY_IMAGE", "TOY_IMG"}, Default: "small", Help: "image of the host", OneOf: []string{"small", "large"}},
		{Name: "toy-memory", Env: []string{"TOY_MEMORY"}, Kind: drivers.Int, Help: "memory in MiB", Min: "128", Max: "4096"},
		{Name: "toy-ratio", Kind: drivers.Float, Help: "share of a CPU", Min: "0.1"},
		{Name: "toy-spot", Kind: drivers.Bool, Help: "take a spot instance"},
		{Name: "toy-label", Aliases: []string{"toy-tag"}, Kind: drivers.Strings, Default: "a,b", Help: "labels of the host"},
		{Name: "toy-grace", Kind: drivers.Duration, Default: "30s", Help: "time to shut down", Max: "10m"},
		{Name: "url", Env: []string{"TOY_URL"}, Help: "where the host is", Required: true},
		{Name: "toy-token", Env: []string{"TOY_TOKEN"}, Help: "token of the provider", Secret: true},
		{Name: "toy-name", Help: "name of the host"},
	}
	f := newToy()
	if diff := cmp.Diff(want, f.Options()); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
	f.Options()[0].OneOf[0] = "changed"
	if got := f.Options()[0].OneOf[0]; got != "small" {
		t.Errorf("a caller changed the factory's options to %q", got)
	}
	if f.Name() != "toy" || f.Summary() != "toys in a box" {
		t.Errorf("got %q, %q", f.Name(), f.Summary())
	}
}

func TestConfigure(t *testing.T) {
	t.Parallel()
	with := func(change func(*config)) config {
		c := defaults()
		c.URL = "tcp://h:1"
		change(&c)
		return c
	}
	for name, c := range map[string]struct {
		values drivers.Values
		want   config
	}{
		"defaults": {drivers.Values{}, with(func(*config) {})},
		"all": {
			drivers.Values{
				"toy-image": {"large"}, "toy-memory": {"128"}, "toy-ratio": {"1.5"}, "toy-spot": {"true"},
				"toy-label": {"x,y", "z"}, "toy-grace": {"1m30s"}, "toy-token": {"t0k"}, "toy-name": {"n \"1\""},
			},
			with(func(c *config) {
				c.Image, c.Memory, c.Ratio, c.Spot, c.Labels = "large", 128, 1.5, true, []string{"x,y", "z"}
				c.Grace, c.Token, c.Name = 90*time.Second, "t0k", `n "1"`
			}),
		},
		"last value counts": {drivers.Values{"toy-memory": {"1", "256"}}, with(func(c *config) { c.Memory = 256 })},
		"bound itself":      {drivers.Values{"toy-memory": {"4096"}}, with(func(c *config) { c.Memory = 4096 })},
		"alias":             {drivers.Values{"toy-tag": {"q"}}, with(func(c *config) { c.Labels = []string{"q"} })},
		"nothing given":     {drivers.Values{"toy-memory": {}, "toy-label": nil}, with(func(*config) {})},
		"no secret":         {drivers.Values{"toy-token": {""}}, with(func(*config) {})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.values["url"] = []string{"tcp://h:1"}
			if diff := cmp.Diff(c.want, open(t, c.values).config); diff != "" {
				t.Errorf("opened (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConfigureStores(t *testing.T) {
	t.Parallel()
	config, secrets, err := newToy().Configure(drivers.Values{"url": {"u"}, "toy-token": {"hush"}, "toy-grace": {"2m"}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"Image":"small","Memory":0,"Ratio":0,"Spot":false,"Labels":["a","b"],"Grace":"2m0s","URL":"u","hostname":""}`
	if string(config) != want {
		t.Errorf("got config %s\nwant %s", config, want)
	}
	if got, want := string(secrets), `{"toy-token":"hush"}`; got != want {
		t.Errorf("got secrets %s, want %s", got, want)
	}
	if _, secrets, err = newToy().Configure(drivers.Values{"url": {"u"}}); err != nil || secrets != nil {
		t.Errorf("got secrets %s, %v without one", secrets, err)
	}
}

func TestConfigureRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		values drivers.Values
		want   string
		hint   string
	}{
		"unknown":        {drivers.Values{"other": {"x"}}, "invalid option --other: driver toy has no such option", ""},
		"typo":           {drivers.Values{"toy-memry": {"x"}}, "invalid option --toy-memry: driver toy has no such option", "did you mean --toy-memory?"},
		"swapped":        {drivers.Values{"toy-iamge": {"x"}}, "invalid option --toy-iamge: driver toy has no such option", "did you mean --toy-image?"},
		"without prefix": {drivers.Values{"memory": {"x"}}, "invalid option --memory: driver toy has no such option", "did you mean --toy-memory?"},
		"not an int":     {drivers.Values{"toy-memory": {"1G"}}, `invalid option --toy-memory: "1G" is not a whole number`, ""},
		"empty int":      {drivers.Values{"toy-memory": {""}}, `invalid option --toy-memory: "" is not a whole number`, ""},
		"huge int":       {drivers.Values{"toy-memory": {"99999999999999999999"}}, "invalid option --toy-memory: 99999999999999999999 is out of range", ""},
		"too little":     {drivers.Values{"toy-memory": {"127"}}, "invalid option --toy-memory: 127 is less than 128", ""},
		"too much":       {drivers.Values{"toy-memory": {"4097"}}, "invalid option --toy-memory: 4097 is more than 4096", ""},
		"not a float":    {drivers.Values{"toy-ratio": {"NaN"}}, `invalid option --toy-ratio: "NaN" is not a number`, ""},
		"huge float":     {drivers.Values{"toy-ratio": {"1e999"}}, "invalid option --toy-ratio: 1e999 is out of range", ""},
		"small float":    {drivers.Values{"toy-ratio": {"0.01"}}, "invalid option --toy-ratio: 0.01 is less than 0.1", ""},
		"not a bool":     {drivers.Values{"toy-spot": {"yes"}}, `invalid option --toy-spot: "yes" is not true or false`, ""},
		"not a duration": {drivers.Values{"toy-grace": {"30"}}, `invalid option --toy-grace: "30" is not a duration such as 30s or 5m`, ""},
		"long duration":  {drivers.Values{"toy-grace": {"11m"}}, "invalid option --toy-grace: 11m is more than 10m", ""},
		"one of":         {drivers.Values{"toy-image": {"smal"}}, `invalid option --toy-image: "smal" is none of small, large`, "did you mean small?"},
		"not text":       {drivers.Values{"toy-name": {"\xff"}}, "invalid option --toy-name: is not UTF-8 text", ""},
		"list not text":  {drivers.Values{"toy-label": {"\xff"}}, "invalid option --toy-label: is not UTF-8 text", ""},
		"secret":         {drivers.Values{"toy-token": {"hush\xff"}}, "invalid option --toy-token: is not UTF-8 text", ""},
		"required":       {drivers.Values{"url": nil}, "invalid option --url: must be given", "give --url or set TOY_URL"},
		"required empty": {drivers.Values{"url": {""}}, "invalid option --url: must be given", "give --url or set TOY_URL"},
		"both names":     {drivers.Values{"toy-label": {"a"}, "toy-tag": {"b"}}, "invalid option --toy-label: is the same as --toy-tag, and both are given", ""},
		"validate":       {drivers.Values{"toy-name": {"plain"}}, "invalid option: plain is no name", ""},
		"validate own":   {drivers.Values{"toy-name": {"own"}}, "invalid option --toy-name: own is no name", "take another"},
		"several": {
			drivers.Values{"toy-spot": {"x"}, "zz": {"x"}, "toy-memory": {"1"}, "yy": {}},
			"invalid option --toy-memory: 1 is less than 128\n" +
				"invalid option --toy-spot: \"x\" is not true or false\n" +
				"invalid option --yy: driver toy has no such option\n" +
				"invalid option --zz: driver toy has no such option", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, ok := c.values["url"]; !ok {
				c.values["url"] = []string{"u"}
			}
			_, _, err := newToy().Configure(c.values)
			if !errors.Is(err, drivers.ErrOption) {
				t.Fatalf("got %v, want ErrOption", err)
			}
			if err.Error() != c.want {
				t.Errorf("got  %q\nwant %q", err, c.want)
			}
			var hinted interface{ Hint() string }
			if errors.As(err, &hinted); hinted != nil && hinted.Hint() != c.hint || hinted == nil && c.hint != "" {
				t.Errorf("got hint %v, want %q", hinted, c.hint)
			}
		})
	}
}

func TestOpenTolerates(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config, secrets, state string
		want                   config
	}{
		"nothing":          {want: defaults()},
		"null":             {config: "null", secrets: " null ", state: "null", want: defaults()},
		"newer":            {config: `{"Memory":1,"Colour":{"r":1}}`, state: `{"Colour":1}`, want: func() config { c := defaults(); c.Memory = 1; return c }()},
		"null field":       {config: `{"Image":null}`, want: defaults()},
		"empty list":       {config: `{"Labels":[]}`, want: func() config { c := defaults(); c.Labels = []string{}; return c }()},
		"duration number":  {config: `{"Grace":1000000000}`, want: func() config { c := defaults(); c.Grace = time.Second; return c }()},
		"invalid today":    {config: `{"Image":"gone","Memory":-1,"hostname":"plain"}`, want: func() config { c := defaults(); c.Image, c.Memory, c.Name = "gone", -1, "plain"; return c }()},
		"secret in config": {config: `{"Token":"REDACTED"}`, want: defaults()},
		"other secrets":    {secrets: `{"toy-image":"x","toy-gone":"y"}`, want: defaults()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := newToy().Open(json.RawMessage(c.config), json.RawMessage(c.secrets), json.RawMessage(c.state), nil, drivers.Env{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, d.(*toy).config); diff != "" {
				t.Errorf("opened (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ config, secrets, state, want string }{
		"config":   {config: `{"Memory":"1"}`, want: "read configuration of driver toy: option --toy-memory: json: cannot unmarshal string into Go value of type int"},
		"duration": {config: `{"Grace":"long"}`, want: `read configuration of driver toy: option --toy-grace: "long" is not a duration such as 30s or 5m`},
		"no JSON":  {config: `{`, want: "read configuration of driver toy: unexpected end of JSON input"},
		"secrets":  {secrets: `{"toy-token":"hush","x":7}`, want: "read secrets of driver toy: not a JSON object of strings (*json.UnmarshalTypeError)"},
		"state":    {state: `[]`, want: "read state of driver toy: json: cannot unmarshal array into Go value of type drivers_test.state"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := newToy().Open(json.RawMessage(c.config), json.RawMessage(c.secrets), json.RawMessage(c.state), nil, drivers.Env{})
			if err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestOpenCompletesEnv(t *testing.T) {
	t.Parallel()
	env := open(t, drivers.Values{"url": {"u"}}).env
	if got := env.Getenv("HOME"); got != "" {
		t.Errorf("got %q from an environment that was not given", got)
	}
	env.Log.Error("must not reach anybody")
	want := errors.New("x")
	if err := env.Step(t.Context(), "s", func(context.Context) error { return want }); err != want {
		t.Errorf("got %v, want %v", err, want)
	}
}

func TestDurable(t *testing.T) {
	t.Parallel()
	var saved []string
	full := errors.New("disk is full")
	save := func(s json.RawMessage) error {
		if len(saved) == 2 {
			return full
		}
		saved = append(saved, string(s))
		return nil
	}
	d, err := newToy().Open(nil, nil, json.RawMessage(`{"ID":"1"}`), save, drivers.Env{})
	if err != nil {
		t.Fatal(err)
	}
	s := d.(*toy).state
	if s.Value.ID != "1" {
		t.Errorf("got state %+v, want ID 1", s.Value)
	}
	for _, id := range []string{"2", ""} {
		s.Value.ID = id
		if err := s.Save(); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{`{"ID":"2"}`, `{}`}; !slices.Equal(saved, want) {
		t.Errorf("saved %q, want %q", saved, want)
	}
	if err := s.Save(); !errors.Is(err, full) {
		t.Errorf("got %v, want %v", err, full)
	}
	if err := open(t, drivers.Values{"url": {"u"}}).state.Save(); err == nil {
		t.Error("a driver opened for reading saved its state")
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	table := drivers.Table{newToy()}
	if f, err := table.Lookup("toy"); err != nil || f != table[0] {
		t.Errorf("got %v, %v", f, err)
	}
	for _, c := range []struct {
		table            drivers.Table
		name, want, hint string
	}{
		{table, "tyo", `unknown driver "tyo": there are toy`, "did you mean toy?"},
		{table, "virtualbox", `unknown driver "virtualbox": there are toy`, ""},
		{nil, "toy", `unknown driver "toy": there are none`, ""},
	} {
		_, err := c.table.Lookup(c.name)
		if !errors.Is(err, drivers.ErrUnknown) || err.Error() != c.want {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
		var h *drivers.HintError
		if errors.As(err, &h); h != nil && h.Hint() != c.hint || h == nil && c.hint != "" {
			t.Errorf("got hint %v, want %q", h, c.hint)
		}
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	f := newToy()
	base := drivers.Values{"url": {"u"}, "toy-token": {"hush"}}
	a, _, err := f.Configure(base)
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := f.Configure(drivers.Values{
		"url": {"v w"}, "toy-token": {"other"}, "toy-memory": {"256"}, "toy-label": {"a", "c,d"}, "toy-grace": {"1m"}, "toy-spot": {"1"}, "toy-name": {"n"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"--toy-memory: 0 → 256",
		"--toy-spot: false → true",
		`--toy-label: a,b → a,"c,d"`,
		"--toy-grace: 30s → 1m0s",
		`--url: u → "v w"`,
		`--toy-name: "" → n`,
	}
	if diff := cmp.Diff(want, drivers.Diff(f, a, b)); diff != "" {
		t.Errorf("diff (-want +got):\n%s", diff)
	}
	if got := drivers.Diff(f, a, json.RawMessage(`{"URL":"u","Colour":1}`)); got != nil {
		t.Errorf("got %q between configurations of two versions, want none", got)
	}
	if got, want := drivers.Diff(f, a, json.RawMessage(`{"URL":"u","Labels":[]}`)), []string{"--toy-label: a,b → none"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := drivers.Diff(f, a, json.RawMessage(`{`)); len(got) != 1 {
		t.Errorf("got %q for a configuration that cannot be read, want one line", got)
	}
	foreign := struct{ drivers.Factory }{f} // hides Describe
	if got := drivers.Diff(foreign, json.RawMessage(`{"a":1, "b":2}`), json.RawMessage(`{"b":2,"a":1}`)); got != nil {
		t.Errorf("got %q for equal JSON, want none", got)
	}
	if got := drivers.Diff(foreign, a, b); len(got) != 1 {
		t.Errorf("got %q for other JSON, want one line", got)
	}
}
