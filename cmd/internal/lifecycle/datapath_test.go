package lifecycle

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// dataPath returns the port that hosts were made for: the one that is open for overlay traffic, and the one that
// the driver was told of.
func (w *world) dataPath(name string) (open, told int) {
	w.t.Helper()
	made := w.madeHost(name)
	for _, p := range made.OpenPorts {
		if p.Protocol == "udp" && p.Peers && p.Number != 7946 {
			open = p.Number
		}
	}
	return open, made.DataPathPort
}

// cluster is a swarm's record.
func (w *world) cluster(name string) store.Cluster {
	w.t.Helper()
	c, err := store.Open(w.dir).Cluster(name)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func TestDataPathPortOfNewMachines(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "w1", "w2", "d1", "x1")
	w.create(CreateRequest{Names: []string{"m1"}, Swarm: SwarmOptions{Master: true, Name: "prod", DataPathPort: 7789}})
	if c := w.cluster("prod"); c.DataPathPort != 7789 {
		t.Errorf("recorded %+v", c)
	}
	w.create(CreateRequest{Names: []string{"w1"}, Swarm: SwarmOptions{IsSwarm: true}})
	w.create(CreateRequest{Names: []string{"w2"}, Swarm: SwarmOptions{IsSwarm: true, DataPathPort: 7789}})
	w.create(CreateRequest{Names: []string{"m2"}, Swarm: SwarmOptions{Master: true, Name: "prod"}})
	for _, name := range []string{"m1", "m2", "w1", "w2"} {
		if open, told := w.dataPath(name); open != 7789 || told != 7789 {
			t.Errorf("%s: port %d is open, the driver was told %d", name, open, told)
		}
	}
	if got := w.log.String(); !strings.Contains(got, "7789/udp") || strings.Contains(got, "4789/udp") {
		t.Errorf("the network was probed otherwise:\n%s", got)
	}
	if st := w.status("prod"); st.DataPathPort != 7789 {
		t.Errorf("status %+v", st)
	}

	w.create(CreateRequest{Names: []string{"d1"}, Swarm: SwarmOptions{Master: true}})
	if open, told := w.dataPath("d1"); open != 4789 || told != 4789 || w.cluster("d1").DataPathPort != 4789 {
		t.Errorf("by default: port %d is open, the driver was told %d", open, told)
	}
	w.create(CreateRequest{Names: []string{"x1"}})
	if open, told := w.dataPath("x1"); open != 4789 || told != 0 {
		t.Errorf("of no swarm: port %d is open, the driver was told %d", open, told)
	}
}

func TestDataPathPortIsForGood(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "x1")
	w.create(CreateRequest{Names: []string{"m1"}, Swarm: SwarmOptions{Master: true}})
	hosts, _ := w.made()
	for name, o := range map[string]SwarmOptions{
		"a worker":  {IsSwarm: true, DataPathPort: 7789},
		"a manager": {Master: true, Name: "m1", DataPathPort: 7789},
	} {
		req := CreateRequest{Names: []string{"x1"}, Driver: fake.Name, Swarm: o}
		_, err := w.manager().Create(t.Context(), req)
		if !errors.Is(err, swarmboot.ErrDataPath) || !strings.Contains(err.Error(), "m1 has 4789, not 7789") || ReasonOf(err).Exit != ExitUsage {
			t.Errorf("%s: got %v", name, err)
		}
		if _, err := w.manager().PlanCreate(t.Context(), req); !errors.Is(err, swarmboot.ErrDataPath) {
			t.Errorf("plan of %s: got %v", name, err)
		}
	}
	if now, _ := w.made(); now != hosts {
		t.Errorf("%d hosts were made", now-hosts)
	}
	w.create(CreateRequest{Names: []string{"x1"}})
	for name, call := range map[string]func(SwarmRequest) ([]Planned, error){
		"join": func(req SwarmRequest) ([]Planned, error) { return w.manager().SwarmJoin(t.Context(), req) },
		"init": func(req SwarmRequest) ([]Planned, error) { return w.manager().SwarmInit(t.Context(), req) },
	} {
		_, err := call(SwarmRequest{Names: []string{"x1"}, Options: SwarmOptions{Name: "m1", DataPathPort: 7789}})
		if !errors.Is(err, swarmboot.ErrDataPath) || ReasonOf(err).Exit != ExitUsage {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := w.manager().SwarmJoin(t.Context(), SwarmRequest{Names: []string{"x1"}, Options: SwarmOptions{DataPathPort: 4789}}); err != nil {
		t.Errorf("join with the port that the swarm has: %v", err)
	}
}

// TestDataPathPortOfSwarmMadeElsewhere: the managers know what no record knows.
func TestDataPathPortOfSwarmMadeElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b", "c")
	w.create(CreateRequest{Names: []string{"a", "b"}})
	init := map[string]any{"AdvertiseAddr": w.record("a").Address.Peer, "ListenAddr": "0.0.0.0:2377", "DataPathPort": 7789}
	if err := w.hosts["a"].engine.Do(t.Context(), "POST", "/swarm/init", init, nil); err != nil {
		t.Fatal(err)
	}
	m := w.manager()
	if _, err := m.SwarmInit(t.Context(), SwarmRequest{Names: []string{"a"}, Options: SwarmOptions{DataPathPort: 7790}}); !errors.Is(err, swarmboot.ErrDataPath) {
		t.Errorf("with another port: got %v", err)
	}
	if _, err := m.SwarmInit(t.Context(), SwarmRequest{Names: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	if c := w.cluster("a"); c.DataPathPort != 7789 {
		t.Errorf("recorded %+v", c)
	}
	w.create(CreateRequest{Names: []string{"c"}, Swarm: SwarmOptions{IsSwarm: true}})
	if open, _ := w.dataPath("c"); open != 7789 {
		t.Errorf("port %d is open", open)
	}

	// A record that does not have the port is filled in when it is next written.
	txn, err := store.Open(w.dir).LockCluster(t.Context(), "a", "test")
	if err != nil {
		t.Fatal(err)
	}
	c := w.cluster("a")
	c.DataPathPort = 0
	if err := errors.Join(txn.Put(c), txn.Close()); err != nil {
		t.Fatal(err)
	}
	join := SwarmRequest{Names: []string{"b"}, Options: SwarmOptions{DataPathPort: 4789}}
	if _, err := m.SwarmJoin(t.Context(), join); !errors.Is(err, swarmboot.ErrDataPath) {
		t.Errorf("join with another port: got %v", err)
	}
	join.Options.DataPathPort = 0
	if _, err := m.SwarmJoin(t.Context(), join); err != nil {
		t.Fatal(err)
	}
	if c := w.cluster("a"); c.DataPathPort != 7789 {
		t.Errorf("recorded %+v", c)
	}
}

func TestDataPathPortIsPlanned(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2")
	o := SwarmOptions{Master: true, Name: "prod", DataPathPort: 7789}
	planned, err := w.manager().PlanCreate(t.Context(), CreateRequest{Names: []string{"m1", "m2"}, Driver: fake.Name, Swarm: o})
	if err != nil || !slices.Contains(planned[0].Steps, "initialise swarm prod with data path port 7789/udp, or join it as a manager if it exists") {
		t.Errorf("plan %+v, %v", planned, err)
	}
	w.create(CreateRequest{Names: []string{"m1"}})
	planned, err = w.manager().SwarmInit(t.Context(), SwarmRequest{Names: []string{"m1"}, Options: o, DryRun: true})
	if err != nil || len(planned) != 1 || !strings.Contains(planned[0].Steps[0], "data path port 7789/udp") {
		t.Errorf("plan %+v, %v", planned, err)
	}
}

// TestDataPathPortOfRepeatedCreate: another port is another request.
func TestDataPathPortOfRepeatedCreate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.hosts["m1"].set(func(h *host) { h.orders = true })
	w.hooks(nil, func(what string) error {
		if strings.Contains(what, "/swarm/init") {
			return errors.New("the line is cut")
		}
		return nil
	})
	req := CreateRequest{Names: []string{"m1"}, Driver: fake.Name, Options: drivers.Values{}, Swarm: SwarmOptions{Master: true, DataPathPort: 7789}}
	if _, err := w.manager().Create(t.Context(), req); err == nil {
		t.Fatal("the create does not fail")
	}
	w.hooks(nil, nil)
	other := req
	other.Swarm.DataPathPort = 0
	var spec *SpecError
	if _, err := w.manager().Create(t.Context(), other); !errors.As(err, &spec) || !slices.Equal(spec.Diff, []string{"--swarm-data-path-port: 7789 → none"}) {
		t.Errorf("without the port: got %v", err)
	}
	w.create(req)
	if st := w.status("m1"); st.DataPathPort != 7789 {
		t.Errorf("status %+v", st)
	}
}
