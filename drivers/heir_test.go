package drivers_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
)

type heirConfig struct {
	Memory int            `option:"memory" help:"memory"`
	Key    drivers.Secret `option:"key" help:"key"`
}

type heirState struct{ Name string }

// heirs are factories whose Open tells, as an error, what the driver is given.
func heirs() drivers.Factory {
	open := func(c heirConfig, s *drivers.Durable[heirState], _ drivers.Env) (drivers.Driver, error) {
		if c.Key == "" {
			c.Key = "none"
		}
		return nil, errors.New(s.Value.Name + " with " + c.Key.Reveal())
	}
	begin := func(record json.RawMessage) (heirConfig, heirState, error) {
		var r struct {
			MachineName, Secret string
			RAM                 int
		}
		err := json.Unmarshal(record, &r)
		return heirConfig{r.RAM, drivers.Secret(r.Secret)}, heirState{r.MachineName}, err
	}
	f := drivers.Define("toy", "a toy", func() heirConfig { return heirConfig{Memory: 7} }, open, "bauble")
	return drivers.TakingOver(f, begin)
}

const theirs = `{"MachineName": "m1", "RAM": 1024, "Secret": "s3cret"}`

// TestInherit takes a record of docker-machine apart, and only one of it.
func TestInherit(t *testing.T) {
	t.Parallel()
	h, ok, err := heirs().(drivers.Heir).Inherit(json.RawMessage(theirs))
	if err != nil || !ok || string(h.Config) != `{"Memory":1024}` || string(h.Secrets) != `{"toy-key":"s3cret"}` || string(h.State) != `{"Name":"m1"}` {
		t.Errorf("got %s, %s, %s, %v, %v", h.Config, h.Secrets, h.State, ok, err)
	}
	for _, ours := range []string{"", "null", `{"Memory":5}`, `{"MachineName":""}`, `{"MachineName":[]}`, `[]`} {
		if h, ok, err := heirs().(drivers.Heir).Inherit(json.RawMessage(ours)); ok || err != nil {
			t.Errorf("%s: got %s, %v, %v", ours, h.State, ok, err)
		}
	}
	_, ok, err = heirs().(drivers.Heir).Inherit(json.RawMessage(`{"MachineName": "m1", "RAM": "much"}`))
	if ok || err == nil || !strings.Contains(err.Error(), "of m1") {
		t.Errorf("got %v, %v", ok, err)
	}
}

// TestOpenOfHeir opens records of docker-machine, and others as if there were none.
func TestOpenOfHeir(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ config, secrets, state, want string }{
		{theirs, "", "", "m1 with s3cret"},
		{theirs, "null", "null", "m1 with s3cret"},
		{theirs, `{"toy-key":"newer"}`, "", "m1 with newer"},
		{theirs, "", `{"Name":"known"}`, "known with s3cret"},
		{`{"Memory":5}`, `{"toy-key":"mine"}`, "", " with mine"},
	} {
		_, err := heirs().Open(json.RawMessage(c.config), json.RawMessage(c.secrets), json.RawMessage(c.state), nil, drivers.Env{})
		if err == nil || err.Error() != c.want {
			t.Errorf("%+v: got %v", c, err)
		}
	}
	_, err := heirs().Open(json.RawMessage(theirs), json.RawMessage(`["s3cret"]`), nil, nil, drivers.Env{})
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v", err)
	}
	if found, err := (drivers.Table{heirs()}).Lookup("bauble"); err != nil || found.Name() != "toy" {
		t.Errorf("got %v, %v", found, err)
	}
	if _, ok := heirs().(drivers.Describer); !ok {
		t.Error("it describes no configuration")
	}
}
