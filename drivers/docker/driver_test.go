package docker

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"github.com/hostsmith/machine/drivers"
)

// testFactory is New's, but for what the computer that tests is connected to.
func testFactory() drivers.Factory {
	return factory(func() []netip.Prefix { return nil }, stopWithin, time.Millisecond)
}

// host is a machine on an engine in memory.
type host struct {
	drivers.Driver
	t       testing.TB
	factory drivers.Factory
	config  json.RawMessage
	state   json.RawMessage
	env     drivers.Env
}

func newHost(t testing.TB, f drivers.Factory, name string, values drivers.Values) *host {
	t.Helper()
	config, _, err := f.Configure(values)
	if err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, factory: f, config: config, env: drivers.Env{Machine: name, StoreID: testStore, Creator: "test/1"}}
	h.reopen()
	return h
}

// reopen opens the machine anew, as the next command does.
func (h *host) reopen() {
	h.t.Helper()
	d, err := h.factory.Open(h.config, nil, h.state, func(s json.RawMessage) error { h.state = s; return nil }, h.env)
	if err != nil {
		h.t.Fatal(err)
	}
	h.Driver = d
}

func (h *host) recorded() State {
	var s State
	if err := json.Unmarshal(h.state, &s); err != nil {
		h.t.Fatal(err)
	}
	return s
}

func (h *host) mustCreate() drivers.Status {
	h.t.Helper()
	if err := h.Create(h.t.Context(), request()); err != nil {
		h.t.Fatal(err)
	}
	s, err := h.Status(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

func on(host string, more ...string) drivers.Values {
	v := drivers.Values{"docker-engine": {host}, "docker-image": {"node"}}
	for i := 0; i < len(more); i += 2 {
		v[more[i]] = append(v[more[i]], more[i+1])
	}
	return v
}

func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

// TestKeysAreFilesOnly demands that neither key is in anything that shows when
// a container is inspected or its processes are listed.
func TestKeysAreFilesOnly(t *testing.T) {
	t.Parallel()
	s := newStub()
	newHost(t, testFactory(), "m1", on(serve(t, s))).mustCreate()
	for _, body := range s.seen {
		if strings.Contains(body, "HOST KEY") || strings.Contains(body, "AAAA") {
			t.Errorf("the request holds a key: %s", body)
		}
	}
	if len(s.planted) != 1 || !strings.Contains(s.planted[0], "HOST KEY") || !strings.Contains(s.planted[0], "ssh-ed25519 AAAA\n") {
		t.Errorf("planted %q", s.planted)
	}
}

func (h *host) engine() string {
	var c Config
	if err := json.Unmarshal(h.config, &c); err != nil {
		h.t.Fatal(err)
	}
	return c.Engine
}

func TestPublishedAccess(t *testing.T) {
	t.Parallel()
	s := newStub()
	s.info.OperatingSystem = "Docker Desktop"
	m := newHost(t, testFactory(), "m1", on(serve(t, s)))
	before := m.mustCreate()
	if before.Host != "127.0.0.1" || before.SSHPort < 1024 || before.EnginePort < 1024 || before.SSHPort == before.EnginePort || before.Peer != "172.28.0.2" {
		t.Errorf("%+v", before)
	}
	if err := m.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	after, err := m.Status(t.Context())
	if err != nil || after.SSHPort == before.SSHPort || after.Host != before.Host || after.Peer != before.Peer {
		t.Errorf("%+v, %v; was %+v", after, err, before)
	}
}

// TestEngineIsRecorded demands that a machine stays on its engine whatever the
// environment says later.
func TestEngineIsRecorded(t *testing.T) {
	t.Parallel()
	here, there := newStub(), newStub()
	env := map[string]string{"DOCKER_HOST": serve(t, here)}
	config, _, err := testFactory().Configure(drivers.Values{"docker-image": {"node"}})
	if err != nil {
		t.Fatal(err)
	}
	m := &host{t: t, factory: testFactory(), config: config, env: drivers.Env{
		Machine: "m1", StoreID: testStore, Getenv: func(k string) string { return env[k] },
	}}
	m.reopen()
	m.mustCreate()
	env["DOCKER_HOST"] = serve(t, there)
	m.reopen()
	if s, err := m.Status(t.Context()); err != nil || s.State != drivers.Running {
		t.Errorf("%+v, %v", s, err)
	}
	if err := m.Remove(t.Context()); err != nil || len(here.containers) > 0 {
		t.Errorf("remove: %v, left %v", err, here.containers)
	}
}

// TestProxyPasswordIsHidden demands that what apt says of a proxy is neither
// logged nor in the error as it is.
func TestProxyPasswordIsHidden(t *testing.T) {
	t.Parallel()
	s := newStub()
	s.build = func(w io.Writer) {
		_, _ = io.WriteString(w, `{"stream":"W: http://me:hunter2@proxy.example.com refuses"}{"errorDetail":{"message":"code 100"}}`)
	}
	m := newHost(t, testFactory(), "m1", drivers.Values{"docker-engine": {serve(t, s)}})
	var log strings.Builder
	m.env.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	m.env.Getenv = func(k string) string {
		return map[string]string{"HTTP_PROXY": "http://me:hunter2@proxy.example.com:3128"}[k]
	}
	m.reopen()
	err := m.Create(t.Context(), request())
	if err == nil || !strings.Contains(err.Error(), "proxy.example.com refuses") || !strings.Contains(log.String(), "proxy.example.com refuses") {
		t.Fatalf("got %v, logged %s", err, log.String())
	}
	if strings.Contains(err.Error()+log.String()+string(m.state), "hunter2") {
		t.Errorf("the password shows: %v, logged %s", err, log.String())
	}
}

func TestPausedHost(t *testing.T) {
	t.Parallel()
	s := newStub()
	m := newHost(t, testFactory(), "m1", on(serve(t, s)))
	acts := map[string]func() error{
		"create": func() error { return m.Create(t.Context(), request()) },
		"start":  func() error { return m.Start(t.Context()) },
		"stop":   func() error { return m.Stop(t.Context()) },
	}
	for name, act := range acts {
		m.mustCreate()
		for _, c := range s.containers {
			c.state = container.StatePaused
		}
		if got, err := m.Status(t.Context()); err != nil || got.State != drivers.Paused {
			t.Fatalf("%+v, %v", got, err)
		}
		if err := act(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := drivers.Running
		if name == "stop" {
			want = drivers.Stopped
		}
		if got, err := m.Status(t.Context()); err != nil || got.State != want {
			t.Errorf("after %s: %+v, %v", name, got, err)
		}
	}
}

func TestStateOf(t *testing.T) {
	t.Parallel()
	d := &driver{state: &drivers.Durable[State]{}}
	for name, c := range map[string]struct {
		state    container.ContainerState
		restarts int
		want     drivers.State
	}{
		"running":      {container.StateRunning, 0, drivers.Running},
		"paused":       {container.StatePaused, 0, drivers.Paused},
		"not started":  {container.StateCreated, 0, drivers.Stopped},
		"stopped":      {container.StateExited, 0, drivers.Stopped},
		"reboots":      {container.StateRestarting, 1, drivers.Starting},
		"keeps dying":  {container.StateRestarting, 7, drivers.Error},
		"goes away":    {container.StateRemoving, 0, drivers.Stopping},
		"half removed": {container.StateDead, 0, drivers.Error},
	} {
		got := d.statusOf(container.InspectResponse{State: &container.State{Status: c.state}, RestartCount: c.restarts})
		if got.State != c.want {
			t.Errorf("%s: got %s, want %s", name, got.State, c.want)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		engine func(*stub)
		want   error
		hint   string
	}{
		"windows containers": {func(s *stub) { s.info.OSType = "windows" }, drivers.ErrUnsupported, "Linux containers"},
		"old engine":         {func(s *stub) { s.api = "1.40" }, drivers.ErrUnsupported, "20.10"},
		"network elsewhere": {func(s *stub) {
			s.networks["n"] = &network.Network{ID: "n", Name: "machine", IPAM: network.IPAM{Config: []network.IPAMConfig{{Subnet: netip.MustParsePrefix("fd00::/64")}}}}
		}, drivers.ErrConflict, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStub()
			c.engine(s)
			err := newHost(t, testFactory(), "m1", on(serve(t, s))).Check(t.Context())
			if !errors.Is(err, c.want) || !strings.Contains(hintOf(err), c.hint) {
				t.Errorf("got %v (%s)", err, hintOf(err))
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		t.Parallel()
		err := newHost(t, testFactory(), "m1", on("unix:///nonexistent/docker.sock")).Check(t.Context())
		if !errors.Is(err, drivers.ErrUnreachable) || !strings.Contains(hintOf(err), "--docker-engine") {
			t.Errorf("got %v (%s)", err, hintOf(err))
		}
	})
}
