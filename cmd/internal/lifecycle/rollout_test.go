package lifecycle

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/provision"
	"github.com/hostsmith/machine/swarmboot"
	"github.com/hostsmith/machine/swarmboot/swarmboottest"
)

// newer gives hosts' package sources a newer engine.
func (w *world) newer(names ...string) {
	for _, name := range names {
		w.hosts[name].set(func(h *host) { h.newest = "29.0.1" })
	}
}

// over fails the test unless all nodes have the engine and the availability, and nothing is under way.
func (w *world) over(t *testing.T, engine string, availability map[string]string) {
	t.Helper()
	for _, n := range w.status("").Nodes {
		want := availability[n.Machine]
		if want == "" {
			want = "active"
		}
		if n.Availability != want || n.Engine != engine || n.State != "ready" {
			t.Errorf("node %+v, want %s and %s", n, engine, want)
		}
	}
	c, err := w.manager().Store.Cluster("m1")
	if err != nil || len(c.Upgrade) > 0 || c.Operation != nil {
		t.Errorf("left in the record: journal %s, operation %+v, %v", c.Upgrade, c.Operation, err)
	}
}

// served watches a service of the swarm until it is asked how many of its tasks ran at the least.
func (w *world) served(t *testing.T, name, service string) (least func() int) {
	ctx, cancel := context.WithCancel(t.Context())
	out := make(chan int)
	go func() {
		n := 99
		for ctx.Err() == nil {
			sum := 0
			for _, tasks := range w.hosts[name].engine.Tasks(service) {
				sum += tasks
			}
			n = min(n, sum)
			time.Sleep(10 * time.Millisecond)
		}
		out <- n
	}()
	return func() int { cancel(); return <-out }
}

func TestSwarmUpgrade(t *testing.T) {
	t.Parallel()
	all := []string{"m1", "m2", "m3", "w1", "w2", "w3"}
	w := newWorld(t, all...)
	w.swarm([]string{"m1", "m2", "m3"}, []string{"w1", "w2", "w3"})
	w.newer("m1", "m2", "m3", "w1", "w2") // nothing is newer for w3
	w.hosts["w3"].set(func(h *host) { h.version = "29.0.1"; h.newest = "29.0.1"; h.start() })
	w.availability("w2", "drain")
	w.hosts["m1"].engine.AddService("web", swarmboottest.ServiceOptions{Replicas: 2, On: w.hosts["w1"].engine, Start: 20 * time.Millisecond, Update: `{"Parallelism":0,"FailureAction":"continue","MaxFailureRatio":0,"Order":"stop-first"}`})
	spec := w.hosts["m1"].engine.Spec("web")
	w.takeSteps("")
	least := w.served(t, "m1", "web")

	got, err := w.manager().SwarmUpgrade(t.Context(), SwarmUpgradeRequest{})
	if n := least(); err != nil || n < 1 {
		t.Fatalf("%d tasks of web at the least, %v", n, err)
	}
	var want []string
	for _, name := range []string{"w1", "w2", "m2", "m3", "m1"} {
		if name != "w2" {
			want = append(want, name+": drain the node")
		}
		want = append(want, name+": change the engine to docker-ce newest", name+": wait for the node to be ready")
		if name != "w2" {
			want = append(want, name+": activate the node")
		}
	}
	if orders := w.takeOrders(); !slices.Equal(orders, want) {
		t.Errorf("did %q, want %q", orders, want)
	}
	w.over(t, "29.0.1", map[string]string{"w2": "drain"})
	if len(got.Nodes) != 6 || got.Nodes[0] != (NodeUpgraded{"m1", "manager", "28.5.2", "29.0.1"}) {
		t.Errorf("got %+v", got.Nodes)
	}
	if !slices.Contains(got.Warnings, "no backup of the swarm is made: --backup FILE makes one first") || !w.noted("no backup of the swarm is made: --backup FILE makes one first") {
		t.Errorf("warned of %q", got.Warnings)
	}
	if after := strings.Replace(w.hosts["m1"].engine.Spec("web"), `,"ForceUpdate":1`, "", 1); after != spec {
		t.Errorf("the service was\n%s\nand is\n%s", spec, after)
	}

	// Again: nothing is touched.
	starts := w.hosts["w1"].starts
	if _, err := w.manager().SwarmUpgrade(t.Context(), SwarmUpgradeRequest{Swarm: "w1"}); err != nil || w.hosts["w1"].starts != starts {
		t.Errorf("again: %v", err)
	}
	if orders := w.takeOrders(); len(orders) > 0 {
		t.Errorf("again: did %q", orders)
	}
}

func TestSwarmUpgradeOfWorkersAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1", "w2", "w3")
	w.swarm([]string{"m1"}, []string{"w1", "w2", "w3"})
	w.newer("m1", "w1", "w2", "w3")
	w.hosts["m1"].engine.AddService("web", swarmboottest.ServiceOptions{Replicas: 2, Start: 30 * time.Millisecond})
	w.hosts["m1"].engine.AddService("agent", swarmboottest.ServiceOptions{Start: 30 * time.Millisecond})
	least := w.served(t, "m1", "web")
	if _, err := w.manager().SwarmUpgrade(t.Context(), SwarmUpgradeRequest{Parallel: 3, Version: "29.0.1", NoBackup: true}); err != nil {
		t.Fatal(err)
	}
	if n := least(); n < 1 {
		t.Errorf("%d tasks of web at the least", n)
	}
	w.over(t, "29.0.1", nil)
	if got := w.hosts["m1"].engine.Tasks("agent"); !maps.Equal(got, map[string]int{"m1": 1, "w1": 1, "w2": 1, "w3": 1}) {
		t.Errorf("agent runs on %v", got)
	}
	for name := range w.hosts {
		if v := w.record(name).HostOptions.EngineOptions.Version; v != "29.0.1" {
			t.Errorf("%s is pinned to %q", name, v)
		}
	}
}

// TestSwarmUpgradeOfWorkersNotAtOnce leaves a worker for later without which a service would have nowhere to run.
func TestSwarmUpgradeOfWorkersNotAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1", "w2")
	w.swarm([]string{"m1"}, []string{"w1", "w2"})
	w.newer("w1", "w2")
	w.hosts["m1"].engine.AddService("web", swarmboottest.ServiceOptions{Replicas: 2, Only: "w1 w2"})
	least := w.served(t, "m1", "web")
	w.takeSteps("")
	if _, err := w.manager().SwarmUpgrade(t.Context(), SwarmUpgradeRequest{Parallel: 2}); err != nil {
		t.Fatal(err)
	}
	if n := least(); n < 1 {
		t.Errorf("%d tasks of web at the least", n)
	}
	orders := w.takeOrders()
	if i, k := slices.Index(orders, "w1: activate the node"), slices.Index(orders, "w2: drain the node"); i < 0 || k < i {
		t.Errorf("did %q", orders)
	}
}

func TestSwarmUpgradeRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3", "w1")
	w.swarm([]string{"m1", "m2", "m3"}, []string{"w1"})
	w.newer("m1", "m2", "m3", "w1")
	m := w.manager()
	before := w.files()
	refused := func(what string, req SwarmUpgradeRequest, is error, reason string) {
		t.Helper()
		_, err := m.SwarmUpgrade(t.Context(), req)
		if !errors.Is(err, is) || ReasonOf(err).ID != reason || HintOf(err) == "" {
			t.Errorf("%s: %v (%s), hint %q", what, err, ReasonOf(err).ID, HintOf(err))
		}
	}
	refused("a swarm that is none", SwarmUpgradeRequest{Swarm: "x"}, ErrNoSwarm, "SWARM_UNKNOWN")
	refused("a downgrade", SwarmUpgradeRequest{Version: "20.10"}, provision.ErrDowngrade, "ENGINE_DOWNGRADE")
	refused("nothing to give up", SwarmUpgradeRequest{Abandon: true}, ErrAlready, "ALREADY_SO")
	w.hosts["w1"].setEngine(false)
	refused("a worker that is down", SwarmUpgradeRequest{}, swarmboot.ErrNode, "SWARM_NODE_SILENT")
	w.hosts["w1"].setEngine(true)
	w.hosts["m3"].setEngine(false)
	refused("a manager that is down", SwarmUpgradeRequest{}, swarmboot.ErrNode, "SWARM_NODE_SILENT")
	w.hosts["m3"].setEngine(true)
	plan, err := m.SwarmUpgrade(t.Context(), SwarmUpgradeRequest{DryRun: true})
	if err != nil || len(plan.Plan) != 5 || plan.Plan[1].Machine != "w1" || plan.Plan[4].Machine != "m1" || plan.Plan[4].Steps[0] != "drain the node until its tasks run elsewhere" {
		t.Errorf("plan %+v, %v", plan.Plan, err)
	}
	if after := w.files(); !maps.Equal(after, before) {
		t.Error("the store was changed")
	}
	if orders := w.takeOrders(); slices.ContainsFunc(orders, func(o string) bool { return strings.Contains(o, "drain") }) {
		t.Errorf("did %q", orders)
	}
}

// TestSwarmUpgradeStops at the first failure, says how to go on and back, and does both.
func TestSwarmUpgradeStops(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"on", "back", "abandon"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "m1", "w1", "w2", "w3")
			w.swarm([]string{"m1"}, []string{"w1", "w2", "w3"})
			w.newer("m1", "w1", "w2", "w3")
			w.hosts["w2"].set(func(h *host) { h.fail["apt_engine"] = 82 }) // no space is left
			m := w.manager()
			_, err := m.SwarmUpgrade(t.Context(), SwarmUpgradeRequest{Version: "29.0.1"})
			if !errors.Is(err, provision.ErrDiskFull) || !strings.Contains(err.Error(), "w2: ") {
				t.Errorf("got %v", err)
			}
			for _, part := range []string{"Free space", "go on: machine swarm upgrade m1;", "machine upgrade w2 --engine-version 28.5.2 --force", "machine swarm upgrade --abandon m1"} {
				if !strings.Contains(strings.ToLower(HintOf(err)), strings.ToLower(part)) {
					t.Errorf("hint %q lacks %q", HintOf(err), part)
				}
			}
			for _, n := range w.status("").Nodes {
				wantEngine, wantAvailability := "28.5.2", "active"
				switch n.Machine {
				case "w1":
					wantEngine = "29.0.1"
				case "w2":
					wantAvailability = "drain"
				}
				if n.Engine != wantEngine || n.Availability != wantAvailability {
					t.Errorf("node %+v", n)
				}
			}
			if err := otherWork(t, m); !errors.Is(err, ErrOperation) || !strings.Contains(HintOf(err), "machine swarm upgrade m1") {
				t.Errorf("other work: %v, hint %q", err, HintOf(err))
			}
			w.hosts["w2"].set(func(h *host) { delete(h.fail, "apt_engine") })
			switch way {
			case "on":
				if _, err := w.manager().SwarmUpgrade(t.Context(), SwarmUpgradeRequest{}); err != nil {
					t.Fatal(err)
				}
				w.over(t, "29.0.1", nil)
				if v := w.record("w3").HostOptions.EngineOptions.Version; v != "29.0.1" {
					t.Errorf("the version asked for at first was forgotten: pinned to %q", v)
				}
			case "back":
				back := UpgradeRequest{Names: []string{"w1", "w2"}, Version: "28.5.2", Force: true}
				if err := w.manager().Upgrade(t.Context(), back); err != nil {
					t.Fatal(err)
				}
				if _, err := w.manager().SwarmUpgrade(t.Context(), SwarmUpgradeRequest{Abandon: true}); err != nil {
					t.Fatal(err)
				}
				w.over(t, "28.5.2", nil)
			case "abandon":
				if _, err := w.manager().SwarmUpgrade(t.Context(), SwarmUpgradeRequest{Abandon: true}); err != nil {
					t.Fatal(err)
				}
				c, err := m.Store.Cluster("m1")
				if err != nil || c.Operation != nil || len(c.Upgrade) > 0 {
					t.Errorf("got %+v, %v", c, err)
				}
				for _, n := range w.status("").Nodes {
					if n.Availability != "active" {
						t.Errorf("node %+v", n)
					}
				}
			}
		})
	}
}

// TestSwarmUpgradeWaitsForServices stops where tasks do not come up elsewhere.
func TestSwarmUpgradeWaitsForServices(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1", "w2")
	w.swarm([]string{"m1"}, []string{"w1", "w2"})
	w.newer("m1", "w1", "w2")
	e := w.hosts["m1"].engine
	e.AddService("web", swarmboottest.ServiceOptions{Replicas: 3})
	e.Break("web", true)
	m := w.manager()
	m.Wait.Drain = 3 * time.Second
	starts := w.hosts["w1"].starts
	_, err := m.SwarmUpgrade(t.Context(), SwarmUpgradeRequest{})
	if !errors.Is(err, swarmboot.ErrReplicas) || ReasonOf(err).ID != "SWARM_SERVICES" || !strings.Contains(err.Error(), "web runs 2 of 3 tasks, waiting: web.") {
		t.Errorf("got %v (%s)", err, ReasonOf(err).ID)
	}
	if w.hosts["w1"].starts != starts {
		t.Error("the engine was restarted all the same")
	}
}

// otherWork is why other long work on the swarm may not begin.
func otherWork(t *testing.T, m *Manager) error {
	t.Helper()
	txn, cluster, err := m.lockCluster(t.Context(), "m1")
	if err != nil {
		t.Fatal(err)
	}
	defer txn.Close()
	_, err = begin(m, txn, &cluster, recoverOperation, "swarm recover m1", "")
	return err
}

// TestUpgradeOfOneNode names what is away while its tasks move: by itself it spreads nothing.
func TestUpgradeOfOneNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1", "w2")
	w.swarm([]string{"m1"}, []string{"w1", "w2"})
	w.newer("w1")
	e := w.hosts["m1"].engine
	e.AddService("web", swarmboottest.ServiceOptions{Replicas: 2, On: w.hosts["w1"].engine})
	e.AddService("db", swarmboottest.ServiceOptions{Replicas: 1, On: w.hosts["w1"].engine})
	if err := w.manager().Upgrade(t.Context(), UpgradeRequest{Names: []string{"w1"}}); err != nil {
		t.Fatal(err)
	}
	if !w.noted("away while they move: web (machine swarm upgrade would") || !w.noted("services of one task are away while it moves: db") {
		t.Errorf("notes %q", w.notes.text)
	}
	if got := e.Tasks("web"); got["w1"] > 0 || got["m1"]+got["w2"] != 2 {
		t.Errorf("web runs on %v", got)
	}
}
