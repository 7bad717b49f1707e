package docker

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"github.com/hostsmith/machine/drivers"
)

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
