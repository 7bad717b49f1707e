package lifecycle

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

func TestRemoveAllMembersOfASwarm(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3", "w1", "w2")
	w.swarm([]string{"m1", "m2", "m3"}, []string{"w1", "w2"})
	w.takeSteps("")
	removed, err := w.manager().Remove(t.Context(), RemoveRequest{Names: []string{"m1", "w1", "m2", "m3", "w2"}})
	if err != nil || !slices.Equal(removed, []string{"m1", "w1", "m2", "m3", "w2"}) {
		t.Errorf("removed %v, %v", removed, err)
	}
	want := []string{"w1: remove the host", "w2: remove the host", "m2: remove the host", "m3: remove the host", "m1: remove the host"} // the leader last
	if got := w.takeSteps("remove the host"); !slices.Equal(got, want) {
		t.Errorf("in the order %q", got)
	}
	w.removes(t) // and no swarm is recorded
	if list, err := w.manager().SwarmList(); len(list) != 0 || err != nil {
		t.Errorf("swarms %+v, %v", list, err)
	}
}

func TestQuorumGuard(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3", "w1")
	w.swarm([]string{"m1", "m2", "m3"}, []string{"w1"})
	w.hosts["m3"].setEngine(false)
	m := w.manager()
	before := w.files()
	for what, do := range map[string]func() error{
		"rm m1": func() error {
			removed, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"m1"}})
			if len(removed) > 0 {
				t.Errorf("removed %v", removed)
			}
			return err
		},
		"rm m1 m2": func() error {
			_, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"m1", "m2"}})
			return err
		},
		"swarm leave m2": func() error {
			_, err := m.SwarmLeave(t.Context(), SwarmRequest{Names: []string{"m2"}})
			return err
		},
	} {
		err := do()
		if !errors.Is(err, swarmboot.ErrQuorum) || !strings.Contains(err.Error(), "leaves 1 of 2 managers reachable, 2 needed") || ReasonOf(err).ID != "SWARM_QUORUM" {
			t.Errorf("%s: %v", what, err)
		}
	}
	for path, data := range w.files() {
		if before[path] != data && filepath.Base(path) != "config.json" {
			t.Errorf("%s was changed", path)
		}
	}
	if st := w.status("m1"); st.Managers != 3 || st.Reachable != 2 || st.CanLose != 0 || !slices.Contains(st.Problems, "m3: down unreachable") {
		t.Errorf("status %+v", st)
	}
	for _, name := range []string{"m1", "m2"} {
		if rec := w.record(name); rec.Phase != store.Ready || rec.Swarm.NodeID == "" {
			t.Errorf("%s: %+v", name, rec)
		}
	}
	// The one that is down may go: the others agree on it.
	if _, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"m3"}}); err != nil {
		t.Errorf("rm m3: %v", err)
	}
	if st := w.status("m1"); st.Managers != 2 || st.Reachable != 2 {
		t.Errorf("status %+v", st)
	}
	// The last manager does not leave its worker behind.
	if _, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"m2"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"m1"}}); !errors.Is(err, swarmboot.ErrQuorum) || !strings.Contains(err.Error(), "m1 is the last manager") {
		t.Errorf("rm m1: %v", err)
	}
	if _, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"m1"}, Force: true}); err != nil {
		t.Errorf("rm --force m1: %v", err)
	}
	if hosts, _ := w.made(); hosts != 1 {
		t.Errorf("%d hosts are left, want that of w1", hosts)
	}
}

// TestRemovalIsJudgedAsAWhole has managers go of whom each one could, and all together cannot: none is touched, nor a worker
// that goes with them; a machine besides is removed all the same.
func TestRemovalIsJudgedAsAWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3", "w1", "w2", "alone")
	w.swarm([]string{"m1", "m2", "m3"}, []string{"w1", "w2"})
	w.create(CreateRequest{Names: []string{"alone"}})
	m := w.manager()
	w.takeSteps("")
	removed, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"m1", "m2", "m3", "w1", "alone"}})
	if !errors.Is(err, swarmboot.ErrQuorum) || !strings.Contains(err.Error(), `leave swarm "m1": m1: `) || !slices.Equal(removed, []string{"alone"}) {
		t.Errorf("removed %v, %v", removed, err)
	}
	if got := w.takeSteps(""); slices.ContainsFunc(got, func(s string) bool { return !strings.HasPrefix(s, "alone: ") }) {
		t.Errorf("steps %q", got)
	}
	if st := w.status("m1"); st.Managers != 3 || st.Reachable != 3 || len(st.Nodes) != 5 || len(st.Problems) > 0 {
		t.Errorf("status %+v", st)
	}
	// With the other worker they may go: the one that is down first, though it is named last.
	w.hosts["m3"].setEngine(false)
	w.takeSteps("")
	removed, err = m.Remove(t.Context(), RemoveRequest{Names: []string{"m1", "m2", "m3", "w1", "w2"}})
	if len(removed) != 5 || err != nil {
		t.Errorf("removed %v, %v", removed, err)
	}
	want := []string{"w1: remove the host", "w2: remove the host", "m3: remove the host", "m2: remove the host", "m1: remove the host"}
	if got := w.takeSteps("remove the host"); !slices.Equal(got, want) {
		t.Errorf("in the order %q", got)
	}
	w.removes(t)
}

func TestForceRemovesWithoutAnyManager(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3")
	w.swarm([]string{"m1", "m2", "m3"}, nil)
	w.hosts["m2"].setEngine(false)
	w.hosts["m3"].setEngine(false)
	m := w.manager()
	if _, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"m1"}}); err == nil {
		t.Error("removed although the managers have no leader")
	}
	if _, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"m1"}, Force: true}); err != nil || !w.noted("left the swarm by force") {
		t.Errorf("by force: %v, %q", err, w.notes.text)
	}
	if _, err := m.Store.Get("m1"); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("m1: %v", err)
	}
	if c, err := m.Store.Cluster("m1"); err != nil || len(c.Members) != 2 {
		t.Errorf("cluster %+v, %v", c, err)
	}
}

// TestInterruptedForceKeepsTheMembership has Ctrl-C while a member is removed by force: it is not
// taken for a swarm that refuses.
func TestInterruptedForceKeepsTheMembership(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1")
	w.swarm([]string{"m1"}, []string{"w1"})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.hooks(func(step string) {
		if strings.Contains(step, "drain node") {
			cancel()
		}
	}, nil)
	_, err := w.manager().Remove(ctx, RemoveRequest{Names: []string{"w1"}, Force: true})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	w.hooks(nil, nil)
	c, err := w.manager().Store.Cluster("m1")
	if rec := w.record("w1"); rec.Swarm.NodeID == "" || c.Members["w1"].NodeID == "" || err != nil || rec.Phase != store.Ready {
		t.Errorf("record %+v, cluster %+v, %v", rec.Swarm, c, err)
	}
	if w.noted("left the swarm by force") {
		t.Error("the interruption was taken for a refusal")
	}
	if _, err := w.manager().Remove(t.Context(), RemoveRequest{Names: []string{"w1"}}); err != nil {
		t.Error(err)
	}
	if st := w.status("m1"); len(st.Nodes) != 1 {
		t.Errorf("status %+v", st)
	}
}

// TestTasksHoldTheRemoval has a task that does not end: rm waits, says which, and is done by force.
func TestTasksHoldTheRemoval(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1")
	w.swarm([]string{"m1"}, []string{"w1"})
	w.hosts["w1"].engine.AddTask("web", 1, time.Hour)
	m := w.manager()
	m.Wait.Drain = 2 * time.Second
	_, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"w1"}})
	if !errors.Is(err, swarmboot.ErrTasks) || !strings.Contains(err.Error(), "web.1") {
		t.Errorf("got %v", err)
	}
	if rec := w.record("w1"); rec.Phase != store.Ready || rec.Problem == nil || rec.Problem.Reason != "SWARM_TASKS_STAY" {
		t.Errorf("record %+v", rec)
	}
	if _, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"w1"}, Force: true}); err != nil {
		t.Errorf("by force: %v", err)
	}
	if st := w.status("m1"); len(st.Nodes) != 1 {
		t.Errorf("status %+v", st)
	}
}

func TestRemoveWhatTheProviderHolds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.create(CreateRequest{Names: []string{"m1"}})
	m := w.manager()
	w.setenv(fake.EnvFail, "remove:credentials")
	if _, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"m1"}}); !errors.Is(err, drivers.ErrCredentials) {
		t.Errorf("got %v", err)
	}
	rec := w.record("m1")
	if rec.Phase != store.Removing || rec.Problem == nil || rec.Problem.Reason != "PROVIDER_CREDENTIALS" {
		t.Errorf("record %+v", rec)
	}
	rows, err := m.List(t.Context(), ListRequest{})
	if err != nil || !strings.HasPrefix(rows[0].Error, "removal unfinished: ") {
		t.Errorf("rows %+v, %v", rows, err)
	}
	if _, err := m.Create(t.Context(), CreateRequest{Names: []string{"m1"}, Driver: fake.Name}); !errors.Is(err, store.ErrExist) || !strings.Contains(err.Error(), "removal has begun") {
		t.Errorf("create: %v", err)
	}
	w.setenv(fake.EnvFail, "")
	w.removes(t, "m1")
}

func TestRemoveByForceForgetsWhatTheProviderRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1")
	w.swarm([]string{"m1"}, []string{"w1"})
	w.setenv(fake.EnvFail, "remove:credentials")
	if removed, err := w.manager().Remove(t.Context(), RemoveRequest{Names: []string{"w1"}, Force: true}); len(removed) != 1 || err != nil {
		t.Errorf("removed %v, %v", removed, err)
	}
	if !w.noted("the provider did not release everything: remove: credentials refused; machine gc -d fake finds it by its tag") {
		t.Errorf("notes %q", w.notes.text)
	}
	// A record that cannot be read is forgotten too, and its place in the swarm with it.
	if err := os.WriteFile(filepath.Join(w.dir, "machines", "m1", "config.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := w.manager().Remove(t.Context(), RemoveRequest{Names: []string{"m1"}}); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
	if removed, err := w.manager().Remove(t.Context(), RemoveRequest{Names: []string{"m1"}, Force: true}); len(removed) != 1 || err != nil {
		t.Errorf("removed %v, %v", removed, err)
	}
	if !w.noted("machine gc -d DRIVER finds what the provider holds") {
		t.Errorf("notes %q", w.notes.text)
	}
	if list, err := w.manager().SwarmList(); len(list) != 0 || err != nil {
		t.Errorf("swarms %+v, %v", list, err)
	}
}

func TestSwarmStatusShowsDrift(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1", "w2")
	w.swarm([]string{"m1"}, []string{"w1", "w2"})
	ctx := t.Context()
	m1 := w.hosts["m1"].engine
	// w1 is taken out by hand.
	id := w.hosts["w1"].engine.NodeID()
	if err := w.hosts["w1"].engine.Do(ctx, "POST", "/swarm/leave", nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := m1.Do(ctx, "DELETE", "/nodes/"+id+"?force=true", nil, nil); err != nil {
		t.Fatal(err)
	}
	// A node that is none of ours joins.
	_, token := m1.Tokens()
	ghost := w.net.Engine("ghost", "10.7.7.7")
	join := map[string]any{"AdvertiseAddr": "10.7.7.7", "RemoteAddrs": []string{w.record("m1").Address.Peer + ":2377"}, "JoinToken": token}
	if err := ghost.Do(ctx, "POST", "/swarm/join", join, nil); err != nil {
		t.Fatal(err)
	}
	// w2 becomes a manager.
	if err := swarmboot.SetAvailability(ctx, m1, w.hosts["w2"].engine.NodeID(), "pause"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.manager().SwarmJoin(ctx, SwarmRequest{Names: []string{"w2"}, Options: SwarmOptions{Master: true}}); err != nil {
		t.Fatal(err)
	}
	txn, c, err := w.manager().lockCluster(ctx, "m1")
	if err != nil {
		t.Fatal(err)
	}
	c.Members["w2"] = store.Member{Role: "worker", NodeID: c.Members["w2"].NodeID}
	if err := errors.Join(txn.Put(c), txn.Close()); err != nil {
		t.Fatal(err)
	}
	st := w.status("m1")
	for _, want := range []string{"ghost: not a machine of this store", "w1: recorded, but no longer in the swarm", "w2: recorded as worker"} {
		if !slices.Contains(st.Problems, want) {
			t.Errorf("problems %q, want %q", st.Problems, want)
		}
	}
	if len(st.Nodes) != 4 || st.Nodes[1].Availability != "pause" {
		t.Errorf("nodes %+v", st.Nodes)
	}
	// What is gone already is removed without ado.
	if _, err := w.manager().Remove(ctx, RemoveRequest{Names: []string{"w1"}}); err != nil {
		t.Errorf("rm w1: %v", err)
	}
}

func TestSwarmEndpointFindsAManager(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3", "w1", "alone")
	w.swarm([]string{"m1", "m2", "m3"}, []string{"w1"})
	w.create(CreateRequest{Names: []string{"alone"}})
	m, ctx := w.manager(), t.Context()
	for name, want := range map[string]string{"m1": "m1", "m2": "m2", "w1": "m1", "": "m1"} {
		if ep, err := m.Endpoint(ctx, name, true); err != nil || ep.Machine != want {
			t.Errorf("%q: %+v, %v", name, ep, err)
		}
	}
	w.hosts["m1"].setEngine(false)
	ep, err := m.Endpoint(ctx, "m1", true)
	if err != nil || ep.Machine != "m2" || ep.CertPath != m.Store.MachineDir("m2") || !ep.TLS || !w.noted("manager m1 does not answer, using m2") {
		t.Errorf("%+v, %v, notes %q", ep, err, w.notes.text)
	}
	if st := w.status("m1"); st.AskedVia != "m2" {
		t.Errorf("asked via %s", st.AskedVia)
	}
	if _, err := m.Endpoint(ctx, "alone", true); !errors.Is(err, ErrNoSwarm) {
		t.Errorf("a machine in no swarm: %v", err)
	}
	if _, err := m.Endpoint(ctx, "nobody", true); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("no machine: %v", err)
	}
	w.hosts["m2"].setEngine(false)
	w.hosts["m3"].setEngine(false)
	_, err = m.Endpoint(ctx, "m1", true)
	if !errors.Is(err, swarmboot.ErrNoManager) || !strings.Contains(err.Error(), "m1: ") || !strings.Contains(err.Error(), "m3: ") {
		t.Errorf("no manager: %v", err)
	}
}
