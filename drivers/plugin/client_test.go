package plugin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest"
)

// TestPluginConforms has a plugin pass the suite that all drivers pass.
func TestPluginConforms(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, drivertest.Harness{New: func(t testing.TB) drivertest.World {
		q := newQuarry(t, "")
		hosts := func(context.Context) (all []string, err error) {
			entries, err := os.ReadDir(q.dir)
			for _, e := range entries {
				if !strings.HasPrefix(e.Name(), ".") {
					all = append(all, "pebble/"+e.Name())
				}
			}
			return all, err
		}
		env := q.env
		env.Machine, env.Log = "", nil
		return drivertest.World{
			Factory:   q.factory,
			Values:    drivers.Values{"pebble-token": {"hush-hush"}},
			Env:       env,
			Bad:       map[string][]string{"pebble-size": {"big"}},
			Refused:   map[string]drivers.Values{"size": {"pebble-size": {"-1"}}, "kind": {"pebble-kind": {"no"}}},
			Resources: hosts,
			Vanish: func(_ context.Context, resource string) error {
				return os.Remove(filepath.Join(q.dir, strings.TrimPrefix(resource, "pebble/")))
			},
		}
	}})
}

func TestOptionsOfAPlugin(t *testing.T) {
	t.Parallel()
	q := newQuarry(t, "")
	want := []drivers.Option{
		{Name: "pebble-token", Env: []string{"PEBBLE_TOKEN"}, Kind: drivers.String, Help: "who may have pebbles", Secret: true},
		{Name: "pebble-kind", Env: []string{"PEBBLE_KIND", "OTHER_KIND"}, Kind: drivers.String, Default: "round", Help: "kind"},
		{Name: "pebble-size", Kind: drivers.Int, Default: "7", Help: "size"},
		{Name: "pebble-wet", Kind: drivers.Bool, Help: "wet"},
		{Name: "pebble-tag", Kind: drivers.Strings, Default: "a,b", Help: "tags"},
	}
	got := q.factory.Options()
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	q.factory.Options()
	if n := len(q.started()); n != 1 {
		t.Errorf("%d processes to ask for options twice", n)
	}
	q.alone()
}

// TestPluginLives has a plugin go through the life of a machine, each act by another command.
func TestPluginLives(t *testing.T) {
	t.Parallel()
	q := newQuarry(t, "noisy")
	k := q.configure(drivers.Values{"pebble-token": {"tok-1234"}, "pebble-size": {"9"}})
	k.env.CreateFlags = func() map[string]any {
		return map[string]any{"swarm-host": "tcp://0.0.0.0:3376", "engine-opt": []string{"x"}}
	}
	k.create()
	q.end()
	q.alone()
	if n := len(q.started()); n != 2 {
		t.Errorf("create took %d processes, want one for the options and one", n)
	}
	flags, _ := os.ReadFile(filepath.Join(q.dir, ".flags"))
	if want := "map[engine-opt:[x] pebble-kind:round pebble-size:9 pebble-tag:[a b] pebble-token:tok-1234 pebble-wet:false swarm-host:tcp://0.0.0.0:3376]"; string(flags) != want {
		t.Errorf("flags %s\nwant  %s", flags, want)
	}
	var raw pebble
	if err := json.Unmarshal(k.config, &raw); err != nil || raw.ID != "id-p1" || raw.Size != 9 || raw.MachineName != "p1" {
		t.Errorf("recorded %s: %v", k.config, err)
	}
	for _, secret := range []string{"tok-1234", "made-by-the-plugin"} {
		if strings.Contains(string(k.config), secret) || !strings.Contains(string(k.secrets), secret) {
			t.Errorf("%s is not kept apart: %s, %s", secret, k.config, k.secrets)
		}
		if strings.Contains(q.log.String()+strings.Join(q.told(), "\n"), secret) {
			t.Errorf("%s is told", secret)
		}
	}
	if !slices.Contains(q.told(), "heaving p1 with REDACTED") {
		t.Errorf("notes %.2000q", q.told())
	}
	// The store has moved since.
	moved := filepath.Join(t.TempDir(), "machines", "p1")
	k.env.Dir = moved
	if file, err := k.open().(drivers.KeyMaker).KeyFile(t.Context()); err != nil || file != filepath.Join(moved, "id_rsa") {
		t.Errorf("login key %s: %v", file, err)
	}
	want := drivers.Status{State: drivers.Running, Host: "127.0.0.1", User: "flint", SSHPort: 2222, EnginePort: 2377}
	if s, err := k.open().Status(t.Context()); err != nil || s != want {
		t.Errorf("status %+v: %v", s, err)
	}
	if err := k.open().Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if s, err := k.open().Status(t.Context()); err != nil || s.State != drivers.Stopped {
		t.Errorf("status %+v: %v", s, err)
	}
	if err := k.open().Remove(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := k.open().Status(t.Context()); !errors.Is(err, drivers.ErrNotFound) {
		t.Errorf("status of nothing: %v", err)
	}
	q.end()
	q.alone()
}

// TestRecordsOfDockerMachine demands that machines of plugins go on as docker-machine recorded them, but for their secrets.
func TestRecordsOfDockerMachine(t *testing.T) {
	t.Parallel()
	q := newQuarry(t, "")
	record := `{"IPAddress":"127.0.0.1","MachineName":"p1","SSHKeyPath":"/home/x/.docker/machine/machines/p1/id_rsa","StorePath":"/home/x/.docker/machine","ID":"id-p1","Token":"tok-1234","Size":12345678901234567890}`
	h, ok, err := q.factory.(drivers.Heir).Inherit(json.RawMessage(record))
	if err != nil || !ok || strings.Contains(string(h.Config), "tok-1234") || string(h.Secrets) != `{"Token":"tok-1234"}` || h.State != nil {
		t.Fatalf("%s %s %s %v %v", h.Config, h.Secrets, h.State, ok, err)
	}
	if !strings.Contains(string(h.Config), `"Size":12345678901234567890`) {
		t.Errorf("a number is another: %s", h.Config)
	}
	if _, ok, err := q.factory.(drivers.Heir).Inherit(h.Config); ok || err != nil {
		t.Errorf("inherited twice: %v", err)
	}
	if err := os.WriteFile(filepath.Join(q.dir, "p1"), []byte("4"), 0o600); err != nil {
		t.Fatal(err)
	}
	k := &kept{q: q, config: json.RawMessage(strings.Replace(string(h.Config), "12345678901234567890", "3", 1)), secrets: h.Secrets, env: q.env}
	if err := k.open().Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err := k.open().Status(t.Context()); err != nil || s.State != drivers.Running {
		t.Errorf("%+v: %v", s, err)
	}
}

// TestStrangersForgetNothing demands that a machine whose provider shows nothing to these credentials stays recorded.
func TestStrangersForgetNothing(t *testing.T) {
	t.Parallel()
	q := newQuarry(t, "")
	k := q.configure(nil)
	k.create()
	q.with("stranger")
	if err := k.open().Remove(t.Context()); err == nil || !strings.Contains(err.Error(), "project quarry not found") {
		t.Errorf("got %v", err)
	}
	q.with("")
	if s, err := k.open().Status(t.Context()); err != nil || s.State != drivers.Running {
		t.Errorf("afterwards: %+v, %v", s, err)
	}
}

func TestOldPlugins(t *testing.T) {
	t.Parallel()
	q := newQuarry(t, "old")
	k := q.configure(nil)
	k.create()
	if s, err := k.open().Status(t.Context()); err != nil || s.State != drivers.Running {
		t.Errorf("%+v: %v", s, err)
	}
}
