package generic_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest"
	"github.com/hostsmith/machine/drivers/generic"
)

// listen accepts connections like an SSH port.
func listen(t testing.TB) (port string) {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// silent returns a port at which nobody listens.
func silent(t *testing.T) string {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func open(t testing.TB, values drivers.Values, env drivers.Env) drivers.Driver {
	t.Helper()
	config, _, err := generic.New().Configure(values)
	if err != nil {
		t.Fatal(err)
	}
	d, err := generic.New().Open(config, nil, nil, nil, env)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestConformance(t *testing.T) {
	t.Parallel()
	missing := drivers.Values{"generic-ssh-key": {"/nonexistent/key"}}
	public := drivers.Values{"generic-ssh-key": {write(t, "id.pub", newKey(t).public)}}
	drivertest.Run(t, drivertest.Harness{
		Existing: true,
		NoPower:  true,
		New: func(t testing.TB) drivertest.World {
			port := listen(t)
			return drivertest.World{
				Factory: generic.New(),
				Values:  drivers.Values{"generic-ip-address": {"127.0.0.1"}, "generic-ssh-port": {port}},
				Bad: map[string][]string{
					"generic-ip-address": {"a b"}, "generic-ssh-user": {"-oProxyCommand=x"}, "generic-ssh-port": {"0"},
					"generic-engine-port": {"65536"}, "generic-jump-host": {"@:x"}, "generic-peer-address": {"tcp://h"},
				},
				Refused: map[string]drivers.Values{"missing key": missing, "public key": public},
				Spoil:   map[string]any{"IPAddress": "a b", "SSHKey": "/nonexistent/key", "SSHPort": -1},
			}
		},
	})
}

func TestStatus(t *testing.T) {
	t.Parallel()
	port := listen(t)
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	dead, err := strconv.Atoi(silent(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		values drivers.Values
		want   drivers.Status
	}{
		"running": {
			drivers.Values{"generic-ip-address": {"127.0.0.1"}, "generic-ssh-port": {port}},
			drivers.Status{State: drivers.Running, Host: "127.0.0.1", User: "root", SSHPort: number},
		},
		"all given": {
			drivers.Values{
				"generic-ip-address": {"127.0.0.1"}, "generic-ssh-port": {port}, "generic-ssh-user": {"admin"},
				"generic-engine-port": {"2377"}, "generic-peer-address": {"10.0.0.7"},
			},
			drivers.Status{State: drivers.Running, Host: "127.0.0.1", User: "admin", SSHPort: number, EnginePort: 2377, Peer: "10.0.0.7"},
		},
		"refused": {
			drivers.Values{"generic-ip-address": {"127.0.0.1"}, "generic-ssh-port": {strconv.Itoa(dead)}},
			drivers.Status{State: drivers.Stopped, Host: "127.0.0.1", User: "root", SSHPort: dead},
		},
		"behind a jump host": {
			drivers.Values{"generic-ip-address": {"inner.invalid"}, "generic-ssh-port": {strconv.Itoa(dead)}, "generic-jump-host": {"me@gate:2222"}},
			drivers.Status{State: drivers.Running, Host: "inner.invalid", User: "root", SSHPort: dead},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := open(t, c.values, drivers.Env{}).Status(t.Context())
			if err != nil || got != c.want {
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

func TestCannot(t *testing.T) {
	t.Parallel()
	d := open(t, drivers.Values{"generic-ip-address": {"192.0.2.1"}}, drivers.Env{})
	for want, err := range map[string]error{
		"generic driver does not support start": d.Start(t.Context()),
		"generic driver does not support stop":  d.Stop(t.Context()),
		"generic driver does not support kill":  d.(drivers.Killer).Kill(t.Context()),
	} {
		if !errors.Is(err, drivers.ErrUnsupported) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, ok := d.(drivers.Restarter); ok {
		t.Error("the driver restarts hosts, which takes a login")
	}
}

func TestAccess(t *testing.T) {
	t.Parallel()
	d := open(t, drivers.Values{
		"generic-ip-address": {"192.0.2.1"}, "generic-ssh-key": {"~/keys/id"}, "generic-jump-host": {"me@gate:2222"}, "generic-deprovision": {"true"},
	}, drivers.Env{})
	if got, want := d.(drivers.SSHAccess).SSHAccess(), (drivers.Access{KeyFile: "~/keys/id", Jump: "me@gate:2222"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if !d.(drivers.Adopter).Deprovision() {
		t.Error("removal would not deprovision")
	}
	d = open(t, drivers.Values{"generic-ip-address": {"192.0.2.1"}}, drivers.Env{})
	if d.(drivers.Adopter).Deprovision() || d.(drivers.SSHAccess).SSHAccess() != (drivers.Access{}) {
		t.Error("defaults are not those of an untouched host with the user's own keys")
	}
}

func TestFlagsOfDockerMachine(t *testing.T) {
	t.Parallel()
	want := []drivers.Option{
		{Name: "generic-ip-address", Env: []string{"GENERIC_IP_ADDRESS"}, Required: true},
		{Name: "generic-ssh-user", Env: []string{"GENERIC_SSH_USER"}, Default: "root"},
		{Name: "generic-ssh-key", Env: []string{"GENERIC_SSH_KEY"}},
		{Name: "generic-ssh-port", Env: []string{"GENERIC_SSH_PORT"}, Kind: drivers.Int, Default: "22"},
		{Name: "generic-engine-port", Env: []string{"GENERIC_ENGINE_PORT"}, Kind: drivers.Int},
	}
	for i, got := range generic.New().Options()[:len(want)] {
		w := want[i]
		if got.Name != w.Name || !slices.Equal(got.Env, w.Env) || got.Kind != w.Kind || got.Default != w.Default || got.Required != w.Required {
			t.Errorf("got %+v, want %+v", got, w)
		}
	}
}

func TestOldRecord(t *testing.T) {
	t.Parallel()
	old := `{"IPAddress":"127.0.0.1","MachineName":"g1","SSHUser":"root","SSHPort":23822,"SSHKeyPath":"/s/machines/g1/key","StorePath":"/s",
		"SwarmMaster":false,"SwarmHost":"","SwarmDiscovery":"","EnginePort":23876,"SSHKey":"/home/u/.ssh/key"}`
	d, err := generic.New().Open(json.RawMessage(old), nil, nil, nil, drivers.Env{})
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	got, _ := d.Status(ended)
	if want := (drivers.Status{State: drivers.Running, Host: "127.0.0.1", User: "root", SSHPort: 23822, EnginePort: 23876}); got != want {
		t.Errorf("got %+v of docker-machine's record, want %+v", got, want)
	}
	if got := d.(drivers.SSHAccess).SSHAccess().KeyFile; got != "/home/u/.ssh/key" {
		t.Errorf("got key %s of docker-machine's record", got)
	}
}
