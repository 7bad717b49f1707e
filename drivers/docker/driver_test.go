package docker

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
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

func TestRightsFallBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lacks []rights
		want  rights
		asked int // containers, by two machines
	}{
		"gives all":    {nil, privileged, 2},
		"lacks one":    {[]rights{privileged}, capabilities, 3},
		"lacks many":   {[]rights{privileged, capabilities}, minimal, 4},
		"lacks modest": {[]rights{privileged, capabilities, minimal}, "", 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStub()
			s.modules, s.lacks = true, c.lacks
			f, at := testFactory(), serve(t, s)
			m1 := newHost(t, f, "m1", on(at))
			err := m1.Create(t.Context(), request())
			if c.want == "" {
				if err == nil || hintOf(err) == "" || !strings.Contains(err.Error(), "unable to apply caps") {
					t.Errorf("got %v, want the engine's refusal and advice", err)
				}
				if err := m1.Remove(t.Context()); err != nil || len(s.containers) > 0 {
					t.Errorf("remove: %v, left %v", err, s.containers)
				}
			} else {
				if err != nil {
					t.Fatal(err)
				}
				// The second machine knows from the first what the engine gives.
				m2 := newHost(t, f, "m2", on(at))
				m2.mustCreate()
				if got := m2.recorded().Rights; got != c.want || m1.recorded().Rights != c.want {
					t.Errorf("rights %q and %q, want %q", m1.recorded().Rights, got, c.want)
				}
			}
			if len(s.seen) != c.asked {
				t.Errorf("asked for %d containers, want %d", len(s.seen), c.asked)
			}
		})
	}
}

// TestAddressChosenTwice lets another process take the address between choice
// and creation, and between creation and start.
func TestAddressChosenTwice(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		when  string
		most  int
		state container.ContainerState
	}{
		"before it is made": {"/containers/create", 1, container.StateCreated}, // only who looks can tell
		"before it starts":  {"/start", 3, container.StateRunning},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStub()
			s.modules = true
			rivals := 0
			s.before = func(method, path string) {
				if method != "POST" || !strings.HasSuffix(path, c.when) || rivals == c.most {
					return
				}
				rivals++
				s.mu.Lock()
				defer s.mu.Unlock()
				chosen := netip.MustParseAddr("172.28.0.2")
				for _, c := range s.containers {
					if c.name == "machine-m1-01234567" {
						chosen = c.address
					}
				}
				id := s.newID()
				s.containers[id] = &stubContainer{
					id: id, name: id, network: "machine", address: chosen, state: c.state, host: &container.HostConfig{},
					config: &container.Config{Labels: map[string]string{labelNetwork: "machine", labelAddress: chosen.String() + "/16"}},
				}
			}
			m := newHost(t, testFactory(), "m1", on(serve(t, s)))
			got := m.mustCreate()
			if rivals == 0 {
				t.Fatal("there was no rival")
			}
			seen := map[netip.Addr]bool{}
			for _, c := range s.containers {
				if seen[c.address] {
					t.Errorf("%s is taken twice", c.address)
				}
				seen[c.address] = true
			}
			if !seen[netip.MustParseAddr(got.Host)] || m.recorded().Address != got.Host+"/16" {
				t.Errorf("status says %s, state %s", got.Host, m.recorded().Address)
			}
		})
	}
}

// TestAddressesOfTwoProcesses lets machines of separate factories, which share
// no memory, choose at the same time.
func TestAddressesOfTwoProcesses(t *testing.T) {
	t.Parallel()
	s := newStub()
	s.modules, s.twins = true, true
	at := serve(t, s)
	var g sync.WaitGroup
	hosts := make([]*host, 8)
	for i := range hosts {
		hosts[i] = newHost(t, testFactory(), string(rune('a'+i)), on(at))
		g.Go(func() {
			if err := hosts[i].Create(context.WithoutCancel(t.Context()), request()); err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
	if len(s.networks) != 1 {
		t.Errorf("%d networks, want 1", len(s.networks))
	}
	seen := map[string]bool{}
	for _, h := range hosts {
		seen[h.recorded().Address] = true
	}
	if len(seen) != len(hosts) {
		t.Errorf("%d machines share %d addresses", len(hosts), len(seen))
	}
	for _, h := range hosts {
		if err := h.Remove(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if left := s.list(func(map[string]string) bool { return true }); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func TestForeignNetworkIsUsedAndKept(t *testing.T) {
	t.Parallel()
	s := newStub()
	s.networks["n"] = &network.Network{ID: "n", Name: "lab", IPAM: network.IPAM{Config: []network.IPAMConfig{{Subnet: netip.MustParsePrefix("198.51.100.0/24")}}}}
	s.networks["o"] = &network.Network{ID: "o", Name: "lab-2", IPAM: network.IPAM{Config: []network.IPAMConfig{{Subnet: netip.MustParsePrefix("192.0.2.0/24")}}}}
	m := newHost(t, testFactory(), "m1", on(serve(t, s), "docker-network", "lab"))
	if got := m.mustCreate(); got.Peer != "198.51.100.2" {
		t.Errorf("peer %s", got.Peer)
	}
	if err := m.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(s.networks) != 2 {
		t.Errorf("networks %v", s.networks)
	}
}

// TestNetworkOfOthers demands that a network goes neither while a stopped
// machine or a container of somebody else's is on it, nor if another store made it.
func TestNetworkOfOthers(t *testing.T) {
	t.Parallel()
	s := newStub()
	f, at := testFactory(), serve(t, s)
	m1, m2 := newHost(t, f, "m1", on(at)), newHost(t, f, "m2", on(at))
	m1.mustCreate()
	m2.mustCreate()
	other := newHost(t, f, "m1", on(at))
	other.env.StoreID = "fedcba9876543210"
	other.reopen()
	other.mustCreate()
	if err := m2.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		name  string
		do    func() error
		there bool
	}{
		{"a stopped machine is left", func() error { return m1.Remove(t.Context()) }, true},
		{"another store's is left", func() error { return m2.Remove(t.Context()) }, true},
		{"the other store did not make it", func() error { return other.Remove(t.Context()) }, true},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if (len(s.networks) == 1) != step.there {
			t.Errorf("%s: networks %v", step.name, s.networks)
		}
	}
	// The next machine of the store that made it takes it along.
	m1.mustCreate()
	if err := m1.Remove(t.Context()); err != nil || len(s.networks) > 0 {
		t.Errorf("last: %v, networks %v", err, s.networks)
	}
}

// TestNetworkMadeTwice lets another process make a network of the same name at
// the same time, as old engines allow: the older one must stay, and the younger
// go if it is ours.
func TestNetworkMadeTwice(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rival string // id: networks of one age are told apart by it
		store string
		left  []string
	}{
		"the other's is older":   {"0", testStore, []string{"0"}},
		"ours is older":          {"f", testStore, []string{"1"}},
		"another store's, older": {"0", "another", []string{"0"}},
		// Nobody's but the other store's to remove. The engine refuses to
		// start anything on an ambiguous name, so this cannot last.
		"another store's, younger": {"f", "another", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStub()
			s.modules, s.twins = true, true
			id := strings.Repeat(c.rival, 64)
			var once, gone sync.Once
			s.before = func(_, path string) {
				if strings.HasSuffix(path, "/networks/create") {
					once.Do(func() {
						s.mu.Lock()
						defer s.mu.Unlock()
						s.networks[id] = &network.Network{
							ID: id, Name: "machine", Labels: map[string]string{labelStore: c.store},
							IPAM: network.IPAM{Config: []network.IPAMConfig{{Subnet: netip.MustParsePrefix("172.31.0.0/16")}}},
						}
					})
				}
				// The other store's process sees it too, and gives way.
				if c.left == nil && strings.HasSuffix(path, "/start") {
					gone.Do(func() {
						s.mu.Lock()
						defer s.mu.Unlock()
						if s.networks[id] == nil {
							t.Error("the other store's network was removed")
						}
						delete(s.networks, id)
					})
				}
			}
			m := newHost(t, testFactory(), "m1", on(serve(t, s)))
			m.mustCreate()
			if len(s.networks) != 1 || s.networks[m.recorded().Network.ID] == nil {
				t.Fatalf("networks %v, the machine is on %s", s.networks, m.recorded().Network.ID)
			}
			if c.left != nil && !strings.HasSuffix(m.recorded().Network.ID, c.left[0]) {
				t.Errorf("on network %s, want %s", m.recorded().Network.ID, c.left[0])
			}
			if ours := m.recorded().Network.Ours; ours != (c.store == testStore || c.left == nil) {
				t.Errorf("the network is ours: %v", ours)
			}
		})
	}
}

// TestPrunedNetwork takes the network away while no container runs on it. The
// machines must keep their addresses.
func TestPrunedNetwork(t *testing.T) {
	t.Parallel()
	s := newStub()
	s.networks["x"] = &network.Network{ID: "x", Name: "x", IPAM: network.IPAM{Config: []network.IPAMConfig{{Subnet: netip.MustParsePrefix("172.28.0.0/16")}}}}
	f, at := testFactory(), serve(t, s)
	m1 := newHost(t, f, "m1", on(at))
	before := m1.mustCreate()
	if err := m1.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.networks = map[string]*network.Network{} // 172.28.0.0/16 is free now, too
	m2 := newHost(t, f, "m2", on(at))
	if got := m2.mustCreate(); !strings.HasPrefix(got.Host, "172.29.") || got.Host == before.Host {
		t.Errorf("m2 is at %s, m1 at %s", got.Host, before.Host)
	}
	if err := m2.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.networks = map[string]*network.Network{}
	m1.reopen()
	if err := m1.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after, err := m1.Status(t.Context()); err != nil || after != before {
		t.Errorf("%+v, %v; was %+v", after, err, before)
	}
}

// TestNetworkGoesDuringCreate removes the network between the making of the
// container and its start, as the removal of another last machine may.
func TestNetworkGoesDuringCreate(t *testing.T) {
	t.Parallel()
	s := newStub()
	gone := false
	s.before = func(_, path string) {
		if strings.HasSuffix(path, "/start") && !gone {
			gone = true
			s.mu.Lock()
			s.networks = map[string]*network.Network{}
			s.mu.Unlock()
		}
	}
	m := newHost(t, testFactory(), "m1", on(serve(t, s)))
	if got := m.mustCreate(); !gone || got.State != drivers.Running || len(s.networks) != 1 {
		t.Errorf("%+v, networks %v", got, s.networks)
	}
	if _, ok := s.networks[m.recorded().Network.ID]; !ok {
		t.Error("the state names a network that does not exist")
	}
}

// TestNameTaken demands that what has the machine's name and is not known to
// its state stays untouched, even if its labels are right.
func TestNameTaken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		labels   map[string]string
		recorded bool
	}{
		"no labels":             {nil, false},
		"our labels":            {map[string]string{labelStore: testStore, labelMachine: "m1"}, false},
		"intent was recorded":   {map[string]string{labelStore: "other", labelMachine: "m1"}, true},
		"intent, other machine": {map[string]string{labelStore: testStore, labelMachine: "m2"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStub()
			m := newHost(t, testFactory(), "m1", on(serve(t, s)))
			s.containers["id"] = &stubContainer{id: "id", name: "machine-m1-01234567", state: "running", config: &container.Config{Labels: c.labels}, host: &container.HostConfig{}}
			if c.recorded {
				m.state = json.RawMessage(`{"engine":{"host":"` + m.engine() + `"},"container":"machine-m1-01234567"}`)
				m.reopen()
			}
			for what, err := range map[string]error{"check": m.Check(t.Context()), "create": m.Create(t.Context(), request())} {
				if !errors.Is(err, drivers.ErrConflict) || !strings.Contains(hintOf(err), "docker rm") {
					t.Errorf("%s: got %v (%s)", what, err, hintOf(err))
				}
			}
			if err := m.Remove(t.Context()); err != nil || s.containers["id"] == nil {
				t.Errorf("remove: %v, containers %v", err, s.containers)
			}
		})
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

func TestImage(t *testing.T) {
	t.Parallel()
	t.Run("is built once", func(t *testing.T) {
		t.Parallel()
		s := newStub()
		f, at := testFactory(), serve(t, s)
		var g sync.WaitGroup
		for _, name := range []string{"a", "b", "c"} {
			h := newHost(t, f, name, on(at))
			h.config = json.RawMessage(strings.Replace(string(h.config), `"Image":"node"`, `"Image":""`, 1))
			h.reopen()
			g.Go(func() {
				if err := h.Create(context.WithoutCancel(t.Context()), request()); err != nil {
					t.Error(err)
				}
			})
		}
		g.Wait()
		if s.builds != 1 {
			t.Errorf("built %d times", s.builds)
		}
	})
	t.Run("is pulled", func(t *testing.T) {
		t.Parallel()
		s := newStub()
		m := newHost(t, testFactory(), "m1", on(serve(t, s), "docker-image", "mine:1")) // the last value counts
		m.mustCreate()
		if !s.images["mine:1"] || s.builds > 0 || m.recorded().Image != "mine:1" {
			t.Errorf("images %v, recorded %q", s.images, m.recorded().Image)
		}
	})
	t.Run("cannot be pulled", func(t *testing.T) {
		t.Parallel()
		m := newHost(t, testFactory(), "m1", on(serve(t, newStub()), "docker-image", "example.com/private"))
		err := m.Create(t.Context(), request())
		if !errors.Is(err, drivers.ErrNotFound) || !strings.Contains(hintOf(err), "docker pull example.com/private") {
			t.Errorf("got %v (%s)", err, hintOf(err))
		}
	})
	for name, c := range map[string]struct{ output, want, hint string }{
		"no registry": {
			`{"stream":"Step 2/7 : FROM debian:bookworm-slim\n"}{"errorDetail":{"message":"Get \"https://registry-1.docker.io/v2/\": dial tcp: lookup registry-1.docker.io: no such host"},"error":"x"}`,
			"no such host", "docker import",
		},
		"no mirror": {
			`{"stream":"Err:1 http://deb.debian.org bookworm\n"}{"stream":"  Temporary failure resolving 'deb.debian.org'\n"}{"errorDetail":{"code":100,"message":"The command '/bin/sh -c sh /tmp/build.sh' returned a non-zero code: 100"}}`,
			"Temporary failure resolving", "HTTP_PROXY",
		},
		"full disk": {`{"errorDetail":{"message":"write /usr/lib/x: no space left on device"}}`, "no space left", "docker system df"},
		"cut off":   {`{"stream":"Step 1/7"}{"str`, "unexpected EOF", "--docker-image"},
	} {
		t.Run("build fails: "+name, func(t *testing.T) {
			t.Parallel()
			s := newStub()
			s.build = func(w io.Writer) { _, _ = io.WriteString(w, c.output) }
			m := newHost(t, testFactory(), "m1", drivers.Values{"docker-engine": {serve(t, s)}})
			err := m.Create(t.Context(), request())
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(hintOf(err), c.hint) {
				t.Errorf("got %v (%s)", err, hintOf(err))
			}
			if name == "full disk" && !errors.Is(err, drivers.ErrQuota) {
				t.Errorf("%v is not ErrQuota", err)
			}
			if err := m.Remove(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestInterruptedRequestIsSeenThrough cancels while the engine makes the
// container, which it then has made.
func TestInterruptedRequestIsSeenThrough(t *testing.T) {
	t.Parallel()
	cause := errors.New("interrupted")
	for _, what := range []string{"containers", "volumes", "networks"} {
		s := newStub()
		s.modules = true
		ctx, cancel := context.WithCancelCause(t.Context())
		s.before = func(_, path string) {
			if strings.HasSuffix(path, what+"/create") {
				cancel(cause)
			}
		}
		m := newHost(t, testFactory(), "m1", on(serve(t, s)))
		if err := m.Create(ctx, request()); !errors.Is(err, cause) {
			t.Errorf("%s: got %v, want the cause", what, err)
		}
		if what == "containers" && (len(s.containers) != 1 || m.recorded().ID == "") {
			t.Errorf("containers %v, recorded %q", s.containers, m.recorded().ID)
		}
		if err := m.Remove(t.Context()); err != nil {
			t.Error(err)
		}
		if left := s.list(func(map[string]string) bool { return true }); len(left) > 0 {
			t.Errorf("%s: left %v", what, left)
		}
	}
}

// TestLateContainerIsAdopted has the request of a killed Create come true only
// while the next one is at work.
func TestLateContainerIsAdopted(t *testing.T) {
	t.Parallel()
	s := newStub()
	s.modules = true
	m := newHost(t, testFactory(), "m1", on(serve(t, s)))
	m.state = json.RawMessage(`{"engine":{"host":"` + m.engine() + `"},"network":{"name":"machine"},"container":"machine-m1-01234567","address":"172.28.0.9/16","rights":"capabilities"}`)
	m.reopen()
	var once sync.Once
	s.before = func(_, path string) {
		if strings.HasSuffix(path, "/containers/create") {
			once.Do(func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.containers["late"] = &stubContainer{
					id: "late", name: "machine-m1-01234567", network: "machine", state: container.StateCreated,
					address: netip.MustParseAddr("172.28.0.7"), host: &container.HostConfig{},
					config: &container.Config{Labels: map[string]string{
						labelStore: testStore, labelMachine: "m1", labelNetwork: "machine", labelAddress: "172.28.0.7/16", labelRights: "minimal",
					}},
				}
			})
		}
	}
	got := m.mustCreate()
	if st := m.recorded(); got.Host != "172.28.0.7" || st.ID != "late" || st.Rights != minimal || len(s.containers) != 1 {
		t.Errorf("%+v, recorded %+v", got, st)
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

// TestKeysAreGivenOnce demands that a host that has run keeps what it made of
// its files.
func TestKeysAreGivenOnce(t *testing.T) {
	t.Parallel()
	s := newStub()
	m := newHost(t, testFactory(), "m1", on(serve(t, s)))
	m.mustCreate()
	if err := m.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.mustCreate()
	if len(s.planted) != 1 {
		t.Errorf("planted %d times", len(s.planted))
	}
}

// TestWhatHasRunStays demands that a refused start costs a host nothing, at
// whatever an engine may balk that it bore before.
func TestWhatHasRunStays(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*stub){
		"rights are refused": func(s *stub) { s.lacks = []rights{privileged} },
		"address is taken": func(s *stub) {
			for _, n := range s.networks {
				s.containers["rival"] = &stubContainer{
					id: "rival", network: n.Name, joined: n.ID, address: netip.MustParseAddr("172.28.0.2"), state: container.StateRunning,
					config: &container.Config{}, host: &container.HostConfig{},
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStub()
			m := newHost(t, testFactory(), "m1", on(serve(t, s)))
			m.mustCreate()
			if err := m.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			before := m.recorded()
			spoil(s)
			for what, act := range map[string]func() error{
				"create": func() error { return m.Create(t.Context(), request()) },
				"start":  func() error { return m.Start(t.Context()) },
			} {
				if err := act(); err == nil {
					t.Errorf("%s succeeded", what)
				}
				if s.containers[before.ID] == nil || m.recorded().ID != before.ID {
					t.Fatalf("%s lost the container", what)
				}
			}
		})
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

func TestUserVolumeTakesOursPlace(t *testing.T) {
	t.Parallel()
	s := newStub()
	s.modules = true
	newHost(t, testFactory(), "m1", on(serve(t, s), "docker-volume", "mine:/var/lib/docker")).mustCreate()
	for _, c := range s.containers {
		want := []string{"mine:/var/lib/docker", "machine-m1-01234567-containerd:/var/lib/containerd"}
		if !slices.Equal(c.host.Binds, want) {
			t.Errorf("got %q, want %q", c.host.Binds, want)
		}
	}
}
