package lifecycle

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
	"github.com/hostsmith/machine/swarmboot/swarmboottest"
)

func (w *world) status(swarm string) SwarmStatus {
	w.t.Helper()
	st, err := w.manager().SwarmStatus(w.t.Context(), swarm)
	if err != nil {
		w.t.Fatal(err)
	}
	return st
}

func TestSwarm(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "w1", "w2")
	w.create(CreateRequest{Names: []string{"m1"}, Swarm: SwarmOptions{Master: true, Name: "prod"}})
	got := w.create(CreateRequest{Names: []string{"w1", "w2"}, Swarm: SwarmOptions{IsSwarm: true, Labels: []string{"disk=ssd"}}})
	// A second master of an existing swarm is a further manager.
	got = append(got, w.create(CreateRequest{Names: []string{"m2"}, Swarm: SwarmOptions{Master: true, Name: "prod", Availability: "drain"}})...)
	for i, role := range []string{"worker", "worker", "manager"} {
		if got[i].Swarm != "prod" || got[i].Role != role {
			t.Errorf("result %+v", got[i])
		}
	}
	st := w.status("")
	if st.Name != "prod" || st.Managers != 2 || st.Reachable != 2 || st.Needed != 2 || st.CanLose != 0 || len(st.Nodes) != 4 {
		t.Errorf("status %+v", st)
	}
	if want := []string{"2 managers tolerate no more failures than 1 do"}; !slices.Equal(st.Problems, want) {
		t.Errorf("problems %q", st.Problems)
	}
	for i, name := range []string{"m1", "m2", "w1", "w2"} {
		n, rec := st.Nodes[i], w.record(name)
		if n.Machine != name || n.Problem != "" || rec.Swarm.NodeID != n.ID || rec.Swarm.Name != "prod" || rec.Swarm.Role != n.Role || n.Addr != rec.Address.Peer {
			t.Errorf("node %+v, record %+v", n, rec.Swarm)
		}
		if want := map[bool]string{true: "drain", false: "active"}[name == "m2"]; n.Availability != want {
			t.Errorf("%s is %s", name, n.Availability)
		}
	}
	infos, err := w.manager().SwarmList()
	if err != nil || len(infos) != 1 || !slices.Equal(infos[0].Managers, []string{"m1", "m2"}) || !slices.Equal(infos[0].Workers, []string{"w1", "w2"}) || infos[0].ID != st.ID {
		t.Errorf("list %+v, %v", infos, err)
	}
	rows, err := w.manager().List(t.Context(), ListRequest{Filters: []string{"swarm=prod"}})
	if err != nil || len(rows) != 4 || rows[0].Swarm != "prod (master)" || rows[2].Swarm != "prod" {
		t.Errorf("rows %+v, %v", rows, err)
	}
}

func TestExistingMachinesJoin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b", "c")
	w.create(CreateRequest{Names: []string{"a", "b", "c"}})
	m := w.manager()
	planned, err := m.SwarmInit(t.Context(), SwarmRequest{Names: []string{"a"}, DryRun: true})
	if err != nil || len(planned) != 1 || !strings.Contains(strings.Join(planned[0].Steps, ""), "init swarm on a") {
		t.Errorf("plan %+v, %v", planned, err)
	}
	if _, err := m.SwarmJoin(t.Context(), SwarmRequest{Names: []string{"b"}}); !errors.Is(err, ErrNoSwarm) {
		t.Errorf("join without a swarm: %v", err)
	}
	if _, err := m.SwarmInit(t.Context(), SwarmRequest{Names: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.SwarmJoin(t.Context(), SwarmRequest{Names: []string{"b", "c"}}); err != nil {
		t.Fatal(err)
	}
	if st := w.status("a"); len(st.Nodes) != 3 || st.Managers != 1 {
		t.Errorf("status %+v", st)
	}
	// Joining again is no error, and a worker becomes a manager when it is asked for.
	if _, err := m.SwarmJoin(t.Context(), SwarmRequest{Names: []string{"b", "c"}, Options: SwarmOptions{Master: true}}); err != nil {
		t.Fatal(err)
	}
	if st := w.status("a"); st.Managers != 3 || st.CanLose != 1 || len(st.Problems) != 0 {
		t.Errorf("status %+v", st)
	}
	if got := w.record("b").Swarm.Role; got != "manager" {
		t.Errorf("b is recorded as %s", got)
	}
	if _, err := m.SwarmLeave(t.Context(), SwarmRequest{Names: []string{"c", "b"}}); err != nil {
		t.Fatal(err)
	}
	if st := w.status("a"); len(st.Nodes) != 1 {
		t.Errorf("status %+v", st)
	}
	if rec := w.record("b"); rec.Swarm != (store.Swarm{}) || rec.HostOptions.SwarmOptions.IsSwarm || rec.Phase != store.Ready {
		t.Errorf("record %+v", rec)
	}
	if _, err := m.SwarmLeave(t.Context(), SwarmRequest{Names: []string{"b"}}); !errors.Is(err, ErrNoSwarm) {
		t.Errorf("leave again: %v", err)
	}
}

// TestFailedJoinLeavesNoGhost: the manager falls silent when the node that did not come to be is to be taken off its
// list. The machine's record keeps the id, and the next join, or the removal, takes it off.
func TestFailedJoinLeavesNoGhost(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]func(*world) error{
		"join": func(w *world) error {
			_, err := w.manager().SwarmJoin(t.Context(), SwarmRequest{Names: []string{"x1"}, Options: SwarmOptions{Master: true}})
			return err
		},
		"rm": func(w *world) error {
			_, err := w.manager().Remove(t.Context(), RemoveRequest{Names: []string{"x1"}})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "m1", "x1")
			w.swarm([]string{"m1"}, nil)
			w.create(CreateRequest{Names: []string{"x1"}})
			m1 := w.hosts["m1"].engine
			m1.Fail("GET /nodes/", swarmboottest.ErrDown)
			nobody := SwarmOptions{Master: true, Advertise: "10.213.77.99"}
			if _, err := w.manager().SwarmJoin(t.Context(), SwarmRequest{Names: []string{"x1"}, Options: nobody}); err == nil {
				t.Fatal("it has joined at an address that is nobody's")
			}
			ghost := w.record("x1").Swarm.NodeID
			if ghost == "" || !w.lists(ghost) {
				t.Fatalf("the record has node %q of %v", ghost, w.nodeIDs())
			}
			if err := next(w); err != nil {
				t.Fatal(err)
			}
			if w.lists(ghost) {
				t.Errorf("%s is still listed: %v", ghost, w.nodeIDs())
			}
		})
	}
}

func TestNodeOfAnotherSwarmIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "x1", "x2")
	w.swarm([]string{"m1"}, nil)
	w.create(CreateRequest{Names: []string{"x1"}})
	// Somebody has made a swarm of x1 by hand.
	peer := w.record("x1").Address.Peer
	init := map[string]any{"AdvertiseAddr": peer, "ListenAddr": "0.0.0.0:2377"}
	if err := w.hosts["x1"].engine.Do(t.Context(), "POST", "/swarm/init", init, nil); err != nil {
		t.Fatal(err)
	}
	_, err := w.manager().SwarmJoin(t.Context(), SwarmRequest{Names: []string{"x1"}})
	if !errors.Is(err, swarmboot.ErrForeign) {
		t.Errorf("got %v", err)
	}
	if rec := w.record("x1"); rec.Swarm != (store.Swarm{}) {
		t.Errorf("recorded as %+v", rec.Swarm)
	}
	if st := w.status("m1"); len(st.Nodes) != 1 {
		t.Errorf("status %+v", st)
	}
	// Our own second swarm: a member of one does not join the other.
	w.create(CreateRequest{Names: []string{"x2"}, Swarm: SwarmOptions{Master: true}})
	if _, err := w.manager().SwarmJoin(t.Context(), SwarmRequest{Names: []string{"x2"}, Options: SwarmOptions{Name: "m1"}}); !errors.Is(err, swarmboot.ErrForeign) {
		t.Errorf("got %v", err)
	}
	if _, err := w.manager().SwarmStatus(t.Context(), ""); !errors.Is(err, ErrNoSwarm) || !strings.Contains(err.Error(), "m1, x2") {
		t.Errorf("no name and two swarms: %v", err)
	}
}

func TestBlockedNetworkIsFoundBeforeTheJoin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1")
	w.swarm([]string{"m1"}, nil)
	w.hosts["m1"].set(func(h *host) { h.blocked = true })
	req := CreateRequest{Names: []string{"w1"}, Driver: fake.Name, Swarm: SwarmOptions{IsSwarm: true}}
	_, err := w.manager().Create(t.Context(), req)
	if !errors.Is(err, swarmboot.ErrNetwork) || !strings.Contains(err.Error(), "2377/tcp") {
		t.Fatalf("got %v", err)
	}
	if rec := w.record("w1"); rec.Phase != store.Provisioned || rec.Problem == nil || rec.Problem.Reason != "SWARM_NETWORK" {
		t.Errorf("record %+v", rec)
	}
	if slices.ContainsFunc(w.hosts["w1"].engine.Calls(), func(c string) bool { return strings.HasPrefix(c, "POST") }) {
		t.Errorf("the join was tried: %v", w.hosts["w1"].engine.Calls())
	}
	req.NoPreflight = true
	if _, err := w.manager().Create(t.Context(), req); err != nil {
		t.Errorf("create again without the probe: %v", err)
	}
}

// TestKilledJoin kills the create of a second manager and removes the machine: a manager that is
// gone and still counted would cost the swarm its quorum.
func TestKilledJoin(t *testing.T) {
	t.Parallel()
	req := CreateRequest{Names: []string{"m2"}, Driver: fake.Name, Swarm: SwarmOptions{Master: true, Name: "m1"}, NoPreflight: true}
	k := killing{
		names:  []string{"m1", "m2"},
		before: func(w *world) { w.swarm([]string{"m1"}, nil) },
		act: func(ctx context.Context, w *world) {
			w.hosts["m2"].set(func(h *host) { h.orders = true })
			_, _ = w.manager().Create(ctx, req)
			w.hosts["m2"].set(func(h *host) { h.orders = false })
		},
		from:  "put record, provisioned", // what is before is TestKilledCreate's
		kinds: "put engine",
	}
	k.each(t, func(t *testing.T, w *world) {
		if _, err := w.manager().Remove(t.Context(), RemoveRequest{Names: []string{"m2"}}); err != nil {
			t.Fatalf("rm m2: %v", err)
		}
		if st := w.status("m1"); len(st.Nodes) != 1 || st.Managers != 1 || st.CanLose != 0 {
			t.Errorf("status %+v", st)
		}
		w.removes(t, "m1")
	})
}

func TestKilledInit(t *testing.T) {
	t.Parallel()
	req := CreateRequest{Names: []string{"m1"}, Driver: fake.Name, Swarm: SwarmOptions{Master: true, DataPathPort: 7789}}
	k := killing{
		names: req.Names,
		act: func(ctx context.Context, w *world) {
			w.hosts["m1"].set(func(h *host) { h.orders = true })
			_, _ = w.manager().Create(ctx, req)
			w.hosts["m1"].set(func(h *host) { h.orders = false })
		},
		from:  "put record, provisioned", // what is before is TestKilledCreate's
		kinds: "put engine",
	}
	k.each(t, func(t *testing.T, w *world) {
		if rec, err := w.manager().Store.Get("m1"); err != nil || rec.Phase != store.Ready {
			w.create(req)
		}
		if st := w.status("m1"); len(st.Nodes) != 1 || len(st.Problems) != 0 || st.DataPathPort != 7789 {
			t.Errorf("status %+v", st)
		}
		w.removes(t, "m1")
	})
}

func TestSwarmRefusesMachinesThatAreOnlyAnURL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.manager()
	createURL(t, m, []string{"u1"}, stubEngine(t, m, versionAPI))
	if _, err := m.SwarmInit(t.Context(), SwarmRequest{Names: []string{"u1"}}); !errors.Is(err, drivers.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}

// TestKilledInitIsRemoved removes what a killed create of a swarm's first manager left.
func TestKilledInitIsRemoved(t *testing.T) {
	t.Parallel()
	k := killing{
		names: []string{"m1"},
		act: func(ctx context.Context, w *world) {
			w.hosts["m1"].set(func(h *host) { h.orders = true })
			_, _ = w.manager().Create(ctx, CreateRequest{Names: []string{"m1"}, Driver: fake.Name, Swarm: SwarmOptions{Master: true}})
		},
		from:  "put record, provisioned", // what is before is TestKilledCreate's
		kinds: "put engine",
	}
	k.each(t, func(t *testing.T, w *world) {
		w.hosts["m1"].setEngine(false) // and it does not answer any more
		if rec, err := w.manager().Store.Get("m1"); err == nil && rec.Swarm.NodeID == "" {
			w.removes(t, "m1")
		}
	})
}

// TestFailedJoinIsNoMembership has a worker refused by the manager: it is not shown as a member.
func TestFailedJoinIsNoMembership(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "x1")
	w.swarm([]string{"m1"}, nil)
	w.create(CreateRequest{Names: []string{"x1"}})
	refusal := &swarmboottest.Error{Code: 400, Text: "the engine will not"}
	w.hosts["x1"].engine.Fail("POST /swarm/join", refusal)
	if _, err := w.manager().SwarmJoin(t.Context(), SwarmRequest{Names: []string{"x1"}}); err == nil || !strings.Contains(err.Error(), refusal.Text) {
		t.Errorf("got %v", err)
	}
	if rec := w.record("x1"); rec.Swarm != (store.Swarm{}) {
		t.Errorf("recorded as %+v", rec.Swarm)
	}
}
