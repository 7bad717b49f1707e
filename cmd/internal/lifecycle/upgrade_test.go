package lifecycle

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/provision"
	"github.com/hostsmith/machine/swarmboot"
)

func TestUpgrade(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b")
	w.create(CreateRequest{Names: []string{"a", "b"}})
	for _, h := range w.hosts {
		h.set(func(h *host) { h.newest = "29.0.1" })
	}
	m := w.manager()
	if err := m.Upgrade(t.Context(), UpgradeRequest{Names: []string{"a", "b"}}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		if rec := w.record(name); rec.Installed.Engine != "29.0.1" || rec.HostOptions.EngineOptions.Version != "" || !w.noted(name+": engine upgraded from 28.5.2 to 29.0.1") {
			t.Errorf("record %+v, notes %q", rec.Installed, w.notes.text)
		}
	}
	// Back by force only, and then the version stays what was asked for.
	err := m.Upgrade(t.Context(), UpgradeRequest{Names: []string{"a"}, Version: "28.5.2"})
	if !errors.Is(err, provision.ErrDowngrade) || ReasonOf(err).ID != "ENGINE_DOWNGRADE" || w.record("a").Installed.Engine != "29.0.1" {
		t.Errorf("downgrade: %v", err)
	}
	if err := m.Upgrade(t.Context(), UpgradeRequest{Names: []string{"a"}, Version: "28.5.2", Force: true}); err != nil {
		t.Fatal(err)
	}
	if rec := w.record("a"); rec.Installed.Engine != "28.5.2" || rec.HostOptions.EngineOptions.Version != "28.5.2" || rec.Problem != nil {
		t.Errorf("record %+v", rec)
	}
	starts := w.hosts["a"].starts
	if err := m.Upgrade(t.Context(), UpgradeRequest{Names: []string{"a"}, Version: "28.5.2"}); err != nil || !w.noted("engine is 28.5.2 already") {
		t.Errorf("upgrade again: %v", err)
	}
	if w.hosts["a"].starts != starts {
		t.Error("the engine was restarted for nothing")
	}
}

// TestUpgradeStarts: a stopped machine is upgraded if it may be started for that, and runs afterwards.
func TestUpgradeStarts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	w.create(CreateRequest{Names: []string{"a"}})
	w.hosts["a"].set(func(h *host) { h.newest = "29.0.1" })
	m := w.manager()
	if err := m.Stop(t.Context(), []string{"a"}); err != nil {
		t.Fatal(err)
	}
	if err := m.Upgrade(t.Context(), UpgradeRequest{Names: []string{"a"}}); !errors.Is(err, ErrNotRunning) {
		t.Errorf("a stopped machine: %v", err)
	}
	if err := m.Upgrade(t.Context(), UpgradeRequest{Names: []string{"a"}, Start: true}); err != nil {
		t.Fatal(err)
	}
	if rec := w.record("a"); rec.Installed.Engine != "29.0.1" || rec.Problem != nil {
		t.Errorf("record %+v", rec)
	}
	if err := m.Start(t.Context(), []string{"a"}); !errors.Is(err, ErrAlready) {
		t.Errorf("it does not run: %v", err)
	}
}

func TestUpgradeOfAMachineThatIsOnlyAnURL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.manager()
	createURL(t, m, []string{"u1"}, stubEngine(t, m, versionAPI))
	if err := m.Upgrade(t.Context(), UpgradeRequest{Names: []string{"u1"}}); !errors.Is(err, drivers.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}

// orders keeps, in order, what is told to the swarm and done on the hosts.
func (w *world) takeOrders() (orders []string) {
	for _, s := range w.takeSteps("") {
		_, what, _ := strings.Cut(s, ": ")
		for _, word := range []string{"drain the node", "change the engine", "wait for the node", "activate the node"} {
			if strings.HasPrefix(what, word) {
				orders = append(orders, s)
			}
		}
	}
	return orders
}

func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3", "w1", "w2")
	w.swarm([]string{"m1", "m2", "m3"}, []string{"w1", "w2"})
	if w.status("").Nodes[0].Leader != true {
		t.Fatal("m1 does not lead")
	}
	for _, h := range w.hosts {
		h.set(func(h *host) { h.newest = "29.0.1" })
		h.engine.AddTask("web", 1, 0)
	}
	w.takeSteps("")
	if err := w.manager().Upgrade(t.Context(), UpgradeRequest{Names: []string{"m1", "w1", "m2", "m3", "w2"}}); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, name := range []string{"w1", "w2", "m2", "m3", "m1"} {
		want = append(want, name+": drain the node", name+": change the engine to docker-ce newest", name+": wait for the node to be ready", name+": activate the node")
	}
	if got := w.takeOrders(); !slices.Equal(got, want) {
		t.Errorf("did %q, want %q", got, want)
	}
	for _, n := range w.status("").Nodes {
		if n.Availability != "active" || n.Engine != "29.0.1" || n.State != "ready" {
			t.Errorf("node %+v", n)
		}
	}
	if c, err := w.manager().Store.Cluster("m1"); err != nil || len(c.Upgrade) > 0 {
		t.Errorf("the journal is left: %s, %v", c.Upgrade, err)
	}
	// Nothing to do drains nothing.
	for _, version := range []string{"", "29", "29.0.1"} {
		if err := w.manager().Upgrade(t.Context(), UpgradeRequest{Names: []string{"m1", "w1"}, Version: version}); err != nil {
			t.Fatal(err)
		}
		if got, want := w.takeOrders(), []string{"w1: wait for the node to be ready", "m1: wait for the node to be ready"}; !slices.Equal(got, want) {
			t.Errorf("version %q: did %q, want %q", version, got, want)
		}
	}
}

// TestDrainedProvisioning renews certificates and provisions with members empty meanwhile.
func TestDrainedProvisioning(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "w1")
	w.swarm([]string{"m1", "m2"}, []string{"w1"})
	w.availability("w1", "pause")
	all := []string{"m1", "m2", "w1"}
	drained := func(passes int) (want []string) {
		for range passes {
			for _, name := range []string{"w1", "m1", "m2"} {
				want = append(want, name+": drain the node", name+": activate the node")
			}
		}
		return want
	}
	for _, tt := range []struct {
		what string
		do   func(m *Manager) error
		want []string
	}{
		{"regenerate-certs", func(m *Manager) error { return m.RegenerateCerts(t.Context(), CertsRequest{Names: all}) }, nil},
		{"regenerate-certs --drain", func(m *Manager) error {
			return m.RegenerateCerts(t.Context(), CertsRequest{Names: all, Drain: true})
		}, drained(1)},
		{"provision --drain with nothing to do", func(m *Manager) error {
			return m.Provision(t.Context(), ProvisionRequest{Names: all, Drain: true})
		}, nil},
		{"regenerate-certs --rotate-ca --drain", func(m *Manager) error {
			return m.RegenerateCerts(t.Context(), CertsRequest{RotateCA: true, Drain: true})
		}, drained(2)},
	} {
		w.takeSteps("")
		if err := tt.do(w.manager()); err != nil {
			t.Errorf("%s: %v", tt.what, err)
		}
		got := slices.DeleteFunc(w.takeOrders(), func(s string) bool { return strings.Contains(s, "wait for the node") })
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: did %q, want %q", tt.what, got, tt.want)
		}
		for _, n := range w.status("").Nodes {
			want := map[bool]string{true: "pause", false: "active"}[n.Machine == "w1"]
			if n.Availability != want || n.State != "ready" {
				t.Errorf("%s: node %+v", tt.what, n)
			}
		}
		if c, err := w.manager().Store.Cluster("m1"); err != nil || len(c.Upgrade) > 0 {
			t.Errorf("%s: journal %s, %v", tt.what, c.Upgrade, err)
		}
	}
}

// TestUpgradeThatFailsIsContinued stops at the first failure, leaves the rest alone, and puts back
// the availability when it is continued.
func TestUpgradeThatFailsIsContinued(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1", "w2")
	w.swarm([]string{"m1"}, []string{"w1", "w2"})
	for _, h := range w.hosts {
		h.set(func(h *host) { h.newest = "29.0.1" })
	}
	w.hosts["w1"].set(func(h *host) { h.fail["apt_engine"] = 80 })
	all := UpgradeRequest{Names: []string{"w1", "w2", "m1"}}
	err := w.manager().Upgrade(t.Context(), all)
	if err == nil || !strings.Contains(err.Error(), "w2: not begun") || !strings.Contains(err.Error(), "m1: not begun") {
		t.Errorf("got %v, want w2 and m1 to be named as not begun", err)
	}
	if !w.noted("stays drained") {
		t.Errorf("nothing tells that w1 stays drained: %q", w.notes.text)
	}
	for _, n := range w.status("").Nodes {
		want := map[bool]string{true: "drain", false: "active"}[n.Machine == "w1"]
		if n.Availability != want || n.Engine != "28.5.2" {
			t.Errorf("node %+v", n)
		}
	}
	if c, err := w.manager().Store.Cluster("m1"); err != nil || !strings.Contains(string(c.Upgrade), "w1") {
		t.Errorf("journal %s, %v", c.Upgrade, err)
	}
	w.hosts["w1"].set(func(h *host) { delete(h.fail, "apt_engine") })
	if err := w.manager().Upgrade(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	for _, n := range w.status("").Nodes {
		if n.Availability != "active" || n.Engine != "29.0.1" {
			t.Errorf("node %+v", n)
		}
	}
	if c, err := w.manager().Store.Cluster("m1"); err != nil || len(c.Upgrade) > 0 {
		t.Errorf("journal %s, %v", c.Upgrade, err)
	}
}

// TestKilledUpgrade kills the upgrade of a worker that was paused: it is paused again in the end, and
// whatever was before is not taken for what the upgrade did.
func TestKilledUpgrade(t *testing.T) {
	t.Parallel()
	req := UpgradeRequest{Names: []string{"w1"}}
	k := killing{
		names: []string{"m1", "w1"},
		before: func(w *world) {
			w.swarm([]string{"m1"}, []string{"w1"})
			w.hosts["w1"].set(func(h *host) { h.newest = "29.0.1" })
			w.availability("w1", "pause")
		},
		act: func(ctx context.Context, w *world) {
			w.hosts["m1"].set(func(h *host) { h.orders = true })
			_ = w.manager().Upgrade(ctx, req)
			w.hosts["m1"].set(func(h *host) { h.orders = false })
		},
		from:  "put cluster", // the journal's first entry
		kinds: "put ssh before after engine",
	}
	k.each(t, func(t *testing.T, w *world) {
		if err := w.manager().Upgrade(t.Context(), req); err != nil {
			t.Fatalf("upgrade again: %v", err)
		}
		for _, n := range w.status("").Nodes {
			if n.Machine == "w1" && (n.Availability != "pause" || n.Engine != "29.0.1") {
				t.Errorf("node %+v", n)
			}
		}
		if c, err := w.manager().Store.Cluster("m1"); err != nil || len(c.Upgrade) > 0 {
			t.Errorf("journal %s, %v", c.Upgrade, err)
		}
	})
}

func (w *world) availability(name, a string) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	m := w.manager()
	c, err := m.findCluster("")
	if err != nil {
		w.t.Fatal(err)
	}
	eng, _, err := m.aManager(ctx, c, "")
	if err != nil {
		w.t.Fatal(err)
	}
	defer eng.close()
	if err := swarmboot.SetAvailability(ctx, eng, c.Members[name].NodeID, a); err != nil {
		w.t.Fatal(err)
	}
}

// TestRemovedMachineLeavesTheJournal removes a machine whose upgrade failed; one of its name that
// joins later is upgraded as any other.
func TestRemovedMachineLeavesTheJournal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1")
	w.swarm([]string{"m1"}, []string{"w1"})
	w.hosts["w1"].set(func(h *host) { h.newest, h.fail["apt_engine"] = "29.0.1", 80 })
	if err := w.manager().Upgrade(t.Context(), UpgradeRequest{Names: []string{"w1"}}); err == nil {
		t.Fatal("the fault did not come")
	}
	if _, err := w.manager().Remove(t.Context(), RemoveRequest{Names: []string{"w1"}}); err != nil {
		t.Fatal(err)
	}
	if c, err := w.manager().Store.Cluster("m1"); err != nil || len(c.Upgrade) > 0 {
		t.Errorf("journal %s, %v", c.Upgrade, err)
	}
}
