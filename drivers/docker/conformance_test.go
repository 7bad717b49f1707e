package docker

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"testing"

	"github.com/moby/moby/api/types/common"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/volume"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest"
)

const testStore = "0123456789abcdef"

// watched lets a hook see, spoil and lose the requests of an engine.
type watched struct {
	http.Handler
	mu   sync.Mutex
	n    int
	hook func(n int, done bool) error
}

func (w *watched) observe(hook func(n int, done bool) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n, w.hook = 0, hook
}

func (w *watched) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.n++
	n, hook := w.n, w.hook
	w.mu.Unlock()
	if hook == nil {
		w.Handler.ServeHTTP(rw, r)
		return
	}
	if err := hook(n, false); err != nil {
		answer(rw, http.StatusInternalServerError, common.ErrorResponse{Message: err.Error()})
		return
	}
	late := &heldBack{header: http.Header{}, status: http.StatusOK}
	w.Handler.ServeHTTP(late, r)
	if err := hook(n, true); err != nil {
		answer(rw, http.StatusInternalServerError, common.ErrorResponse{Message: err.Error()})
		return
	}
	late.release(rw)
}

// heldBack is a response that may yet be lost.
type heldBack struct {
	header http.Header
	status int
	body   []byte
}

func (h *heldBack) Header() http.Header         { return h.header }
func (h *heldBack) WriteHeader(status int)      { h.status = status }
func (h *heldBack) Write(b []byte) (int, error) { h.body = append(h.body, b...); return len(b), nil }
func (h *heldBack) release(w http.ResponseWriter) {
	for k, v := range h.header {
		w.Header()[k] = v
	}
	w.WriteHeader(h.status)
	_, _ = w.Write(h.body)
}

func request() drivers.CreateRequest {
	return drivers.CreateRequest{
		AuthorizedKey: "ssh-ed25519 AAAA",
		HostKey:       []byte("HOST KEY"),
		OpenPorts:     []drivers.Port{{Number: 2376, Protocol: "tcp"}},
	}
}

// stubWorld is a world on an engine in memory.
func stubWorld(t testing.TB, s *stub, values drivers.Values) drivertest.World {
	w := &watched{Handler: s}
	host := serve(t, w)
	all := drivers.Values{"docker-engine": {host}, "docker-image": {"node"}}
	for k, v := range values {
		all[k] = v
	}
	return drivertest.World{
		Factory: testFactory(),
		Values:  all,
		Env:     drivers.Env{StoreID: testStore, Creator: "test/1", Dir: "/nonexistent"}, // nothing is written
		Request: request(),
		Bad: map[string][]string{
			"docker-engine":    {"docker.example.com", "unix://relative", "gopher://x"},
			"docker-no-engine": {"true"}, // there is an image
			"docker-memory":    {"1k", "much"},
			"docker-publish":   {"http", "1-3:1-3"},
			"docker-volume":    {"/srv", "../x:/y"},
			"docker-network":   {"host", "a b"},
			"docker-subnet":    {"10.0.0.1", "fd00::/64"},
			"docker-address":   {"fd00::1", "x"},
		},
		Refused: map[string]drivers.Values{
			"no engine":          {"docker-engine": {"unix:///nonexistent/docker.sock"}},
			"network of another": {"docker-network": {"elsewhere"}, "docker-address": {"192.0.2.9"}},
		},
		Spoil: map[string]any{"Network": "a b", "Memory": "much", "Suite": "jessie", "Image": "gone", "Publish": []string{"?"}, "Engine": "gopher://x"},
		Resources: func(context.Context) ([]string, error) {
			return s.list(func(labels map[string]string) bool { return labels[labelStore] == testStore }), nil
		},
		Foreign: func(context.Context) ([]string, error) {
			return s.list(func(labels map[string]string) bool { return labels[labelStore] != testStore }), nil
		},
		Vanish: func(_ context.Context, resource string) error { return s.vanish(resource) },
		Plant: func(_ context.Context, machine string) error {
			s.plant("machine-"+machine+"-01234567", "machine")
			return nil
		},
		Observe: w.observe,
	}
}

// list returns what has the labels, as the suite wants it.
func (s *stub) list(keep func(labels map[string]string) bool) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, c := range s.containers {
		if keep(c.config.Labels) {
			all = append(all, "container/"+c.id)
		}
	}
	for name, v := range s.volumes {
		if keep(v.Labels) {
			all = append(all, "volume/"+name)
		}
	}
	for id, n := range s.networks {
		if keep(n.Labels) {
			all = append(all, "network/"+id)
		}
	}
	return all
}

func (s *stub) vanish(resource string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var kind, id string
	if _, err := fmt.Sscanf(resource, "container/%s", &id); err == nil {
		kind = "container"
	} else if _, err := fmt.Sscanf(resource, "volume/%s", &id); err == nil {
		kind = "volume"
	} else if _, err := fmt.Sscanf(resource, "network/%s", &id); err == nil {
		kind = "network"
	}
	switch kind {
	case "container":
		delete(s.containers, id)
	case "volume":
		delete(s.volumes, id)
	case "network":
		delete(s.networks, id)
	default:
		return fmt.Errorf("what is %s?", resource)
	}
	return nil
}

// plant makes a container, volumes and a network that look like a machine's
// but for the labels.
func (s *stub) plant(name, net string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	another := map[string]string{labelStore: "another store", labelMachine: "suite-a"}
	id := s.newID()
	s.containers[id] = &stubContainer{id: id, name: name, state: container.StateRunning, config: &container.Config{Labels: another}, host: &container.HostConfig{}}
	for _, v := range []string{name + "-docker", name + "-containerd"} {
		s.volumes[v] = volume.Volume{Name: v}
	}
	id = s.newID()
	s.networks[id] = &network.Network{ID: id, Name: net, Labels: another, IPAM: network.IPAM{Config: []network.IPAMConfig{{Subnet: netip.MustParsePrefix("172.28.0.0/16")}}}}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		engine func(*stub)
		values drivers.Values
	}{
		"good engine":    {engine: func(s *stub) { s.modules = true }},
		"meagre engine":  {engine: func(s *stub) { s.lacks = []rights{privileged, capabilities} }},
		"desktop engine": {engine: func(s *stub) { s.info.OperatingSystem = "Docker Desktop" }},
		"image is built": {engine: func(*stub) {}, values: drivers.Values{"docker-image": {""}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			drivertest.Run(t, drivertest.Harness{New: func(t testing.TB) drivertest.World {
				s := newStub()
				s.networks["elsewhere"] = &network.Network{
					ID: "elsewhere", Name: "elsewhere",
					IPAM: network.IPAM{Config: []network.IPAMConfig{{Subnet: netip.MustParsePrefix("198.51.100.0/24")}}},
				}
				c.engine(s)
				w := stubWorld(t, s, c.values)
				if c.values != nil {
					delete(w.Bad, "docker-no-engine")
				}
				return w
			}})
		})
	}
}
