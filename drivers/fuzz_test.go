package drivers_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/hostsmith/machine/drivers"
)

// FuzzConfigure feeds options, one "name=value" a line. What is accepted must
// come back from the stored form as it was given, and a secret must be in
// none but its own part.
func FuzzConfigure(f *testing.F) {
	for _, seed := range []string{
		"", "url=u", "url=u\ntoy-memory=256\ntoy-ratio=1e3\ntoy-spot=t", "url=u\ntoy-label=a\ntoy-label=b,c\ntoy-tag=",
		"url=u\ntoy-grace=1h\ntoy-token=hush", "url=\xff", "url=u\ntoy-name=plain", "memory=1\n--url=x\n=\n==", "url=\x00\"<>&\u2028",
		"url=u\ntoy-ratio=0x1p-2\ntoy-grace=-1ns\ntoy-memory=-0",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		values := drivers.Values{}
		for line := range strings.Lines(text) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			values[name] = append(values[name], value)
		}
		toys := newToy()
		config, secrets, err := toys.Configure(values)
		if err != nil {
			if !errors.Is(err, drivers.ErrOption) || !strings.Contains(err.Error(), "invalid option") {
				t.Fatalf("error is no ErrOption: %v", err)
			}
			return
		}
		d, err := toys.Open(config, secrets, nil, nil, drivers.Env{})
		if err != nil {
			t.Fatalf("open what Configure made: %v\n%s", err, config)
		}
		got := d.(*toy).config
		for name, want := range map[string]string{"url": got.URL, "toy-name": got.Name, "toy-token": got.Token.Reveal()} {
			if given := values[name]; len(given) > 0 && given[len(given)-1] != want {
				t.Errorf("%s: gave %q, got %q", name, given, want)
			} else if !utf8.ValidString(want) {
				t.Errorf("%s: accepted %q", name, want)
			}
		}
		if labels := slices.Concat(values["toy-label"], values["toy-tag"]); len(labels) > 0 && !slices.Equal(labels, got.Labels) {
			t.Errorf("gave labels %q, got %q", labels, got.Labels)
		}

		described, err := toys.(drivers.Describer).Describe(config)
		if err != nil {
			t.Fatal(err)
		}
		if got.Memory == 0 {
			delete(described, "toy-memory") // the default is not within the bounds
		}
		if got.Ratio == 0 {
			delete(described, "toy-ratio")
		}
		again, none, err := toys.Configure(described)
		if err != nil {
			t.Fatalf("configure from the description: %v", err)
		}
		if !bytes.Equal(again, config) || none != nil {
			t.Errorf("configuration changed by description:\n%s", cmp.Diff(string(config), string(again)))
		}
		if diff := drivers.Diff(toys, config, again); diff != nil {
			t.Errorf("differs from itself: %q", diff)
		}
	})
}

// FuzzOpen feeds stored parts, which may have been damaged or edited.
func FuzzOpen(f *testing.F) {
	f.Add(`{"URL":"u","Memory":1}`, `{"toy-token":"hush"}`, `{"ID":"1"}`)
	f.Add(`{"Grace":"1h","Labels":null}`, `null`, ``)
	f.Add(`[]`, `{"toy-token":1}`, `{`)
	f.Fuzz(func(t *testing.T, config, secrets, state string) {
		d, err := newToy().Open([]byte(config), []byte(secrets), []byte(state), nil, drivers.Env{})
		if (d == nil) == (err == nil) {
			t.Errorf("got %v, %v", d, err)
		}
		drivers.Diff(newToy(), []byte(config), []byte(secrets))
	})
}
