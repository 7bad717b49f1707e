package lifecycle

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

func (w *world) nodeIDs() map[string]string {
	w.t.Helper()
	ids := map[string]string{}
	for _, n := range w.status("").Nodes {
		ids[n.Hostname] = n.ID
	}
	return ids
}

// lists tells whether the swarm lists a node of this id.
func (w *world) lists(id string) bool {
	w.t.Helper()
	return slices.ContainsFunc(w.status("").Nodes, func(n SwarmNode) bool { return n.ID == id })
}

func TestStrike(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3", "w1", "w2")
	w.swarm([]string{"m1", "m2", "m3"}, []string{"w1", "w2"})
	ids := w.nodeIDs()
	strike := func(force bool, nodes ...string) error {
		_, err := w.manager().SwarmStrike(t.Context(), StrikeRequest{Nodes: nodes, Force: force})
		return err
	}
	var h interface{ Hint() string }
	if err := strike(false, "w1"); !errors.Is(err, swarmboot.ErrReady) || !errors.As(err, &h) || !strings.Contains(h.Hint(), "machine swarm leave w1") {
		t.Errorf("a ready node: %v", err)
	}
	if err := strike(false, "nobody"); !errors.Is(err, swarmboot.ErrNoNode) {
		t.Errorf("an unknown node: %v", err)
	}
	w.hosts["m3"].setEngine(false)
	w.hosts["w1"].setEngine(false)
	planned, err := w.manager().SwarmStrike(t.Context(), StrikeRequest{Nodes: []string{"m3", ids["w1"]}, DryRun: true})
	if err != nil || len(planned) != 2 || planned[1].Machine != "m3" || !strings.Contains(planned[1].Steps[0], "then 2 of 2 managers reachable, 2 needed") {
		t.Errorf("plan %+v, %v", planned, err)
	}
	if err := strike(false, "m3", ids["w1"], "w1"); err != nil {
		t.Fatal(err)
	}
	st := w.status("")
	if len(st.Nodes) != 3 || st.Managers != 2 {
		t.Errorf("status %+v", st)
	}
	for _, name := range []string{"m3", "w1"} {
		if rec := w.record(name); rec.Swarm != (store.Swarm{}) || rec.HostOptions.SwarmOptions.IsSwarm {
			t.Errorf("%s is recorded as %+v", name, rec.Swarm)
		}
	}
	// They come back, and join again.
	w.hosts["m3"].setEngine(true)
	w.hosts["w1"].setEngine(true)
	if _, err := w.manager().SwarmJoin(t.Context(), SwarmRequest{Names: []string{"m3"}, Options: SwarmOptions{Master: true}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.manager().SwarmJoin(t.Context(), SwarmRequest{Names: []string{"w1"}}); err != nil {
		t.Fatal(err)
	}
	if st := w.status(""); len(st.Nodes) != 5 || st.Managers != 3 || len(st.Problems) != 0 {
		t.Errorf("status %+v", st)
	}
	if err := strike(true, "w2"); err != nil { // by force it leaves, but is not waited for
		t.Fatal(err)
	}
	if st := w.status(""); len(st.Nodes) != 4 || w.hosts["w2"].engine.NodeID() != "" {
		t.Errorf("status %+v", st)
	}
}

// TestStrikeOfAGhost: a node of the name of a machine is another node, and has to be named by its id.
func TestStrikeOfAGhost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1")
	w.swarm([]string{"m1"}, []string{"w1"})
	ghost := w.nodeIDs()["w1"]
	if err := w.hosts["w1"].engine.Do(t.Context(), "POST", "/swarm/leave", nil, nil); err != nil { // by hand
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(w.dir, "swarms")); err != nil { // as another computer's store has it
		t.Fatal(err)
	}
	txn, c, err := w.manager().lockCluster(t.Context(), "m1")
	if err != nil {
		t.Fatal(err)
	}
	c.ID = "" // whatever it is
	c.Members = map[string]store.Member{"m1": {Role: "manager", NodeID: w.record("m1").Swarm.NodeID}}
	if err := errors.Join(txn.Put(c), txn.Close()); err != nil {
		t.Fatal(err)
	}
	peer := w.record("m1").Address.Peer
	token := func() string { _, worker := w.hosts["m1"].engine.Tokens(); return worker }
	join := map[string]any{"AdvertiseAddr": w.record("w1").Address.Peer, "ListenAddr": "0.0.0.0:2377", "RemoteAddrs": []string{peer + ":2377"}, "JoinToken": token()}
	if err := w.hosts["w1"].engine.Do(t.Context(), "POST", "/swarm/join", join, nil); err != nil {
		t.Fatal(err)
	}
	_, err = w.manager().SwarmStrike(t.Context(), StrikeRequest{Nodes: []string{"w1"}})
	if !errors.Is(err, swarmboot.ErrAmbiguous) || !strings.Contains(err.Error(), ghost) {
		t.Errorf("got %v, want the ids", err)
	}
	if _, err = w.manager().SwarmStrike(t.Context(), StrikeRequest{Nodes: []string{ghost}}); err != nil {
		t.Error(err)
	}
	if st := w.status(""); len(st.Nodes) != 2 {
		t.Errorf("status %+v", st)
	}
}

func TestKilledStrike(t *testing.T) {
	t.Parallel()
	req := StrikeRequest{Nodes: []string{"m3"}}
	k := killing{
		names: []string{"m1", "m2", "m3"},
		before: func(w *world) {
			w.swarm([]string{"m1", "m2", "m3"}, nil)
			w.hosts["m3"].setEngine(false)
		},
		act: func(ctx context.Context, w *world) {
			orders := func(on bool) {
				for _, h := range w.hosts {
					h.set(func(h *host) { h.orders = on })
				}
			}
			orders(true)
			_, _ = w.manager().SwarmStrike(ctx, req)
			orders(false)
		},
		kinds: "put engine",
	}
	k.each(t, func(t *testing.T, w *world) {
		if rec := w.record("m3"); rec.Swarm.Name != "" {
			if _, err := w.manager().SwarmStrike(t.Context(), req); err != nil {
				t.Fatal(err)
			}
		}
		if st := w.status(""); len(st.Nodes) != 2 || st.Managers != 2 || w.record("m3").Swarm.Name != "" {
			t.Errorf("status %+v", st)
		}
	})
}

func TestLeaveIsJudgedTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3", "w1")
	w.swarm([]string{"m1", "m2", "m3"}, []string{"w1"})
	m := w.manager()
	before := len(w.status("").Nodes)
	_, err := m.SwarmLeave(t.Context(), SwarmRequest{Names: []string{"m1", "m2", "m3"}})
	if !errors.Is(err, swarmboot.ErrQuorum) || !strings.Contains(err.Error(), "last manager but not the last node") || len(w.status("").Nodes) != before {
		t.Errorf("got %v", err)
	}
	planned, err := m.SwarmLeave(t.Context(), SwarmRequest{Names: []string{"m1", "m2", "w1"}, DryRun: true})
	if err != nil || len(planned) != 3 || planned[0].Machine != "w1" || planned[2].Machine != "m1" || len(w.status("").Nodes) != before {
		t.Errorf("plan %+v, %v", planned, err)
	}
	if _, err := m.SwarmLeave(t.Context(), SwarmRequest{Names: []string{"m1", "m2", "w1"}}); err != nil {
		t.Fatal(err)
	}
	if st := w.status("m3"); len(st.Nodes) != 1 || st.Managers != 1 {
		t.Errorf("status %+v", st)
	}
}

// TestRecordThatCannotBeReadLeavesNoGhost removes by force a machine that is gone and whose record is of no use.
func TestRecordThatCannotBeReadLeavesNoGhost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3", "w1")
	w.swarm([]string{"m1", "m2", "m3"}, []string{"w1"})
	for _, name := range []string{"w1", "m2"} {
		w.hosts[name].setEngine(false)
		if err := os.WriteFile(filepath.Join(w.dir, "machines", name, "config.json"), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.manager().Remove(t.Context(), RemoveRequest{Names: []string{"w1", "m2"}, Force: true}); err != nil {
		t.Fatal(err)
	}
	if st := w.status(""); len(st.Nodes) != 2 || st.Managers != 2 || len(st.Problems) != 1 {
		t.Errorf("status %+v", st)
	}
}

// TestKilledLeave kills the leaving of a manager and a worker at each of its events: the same command completes it.
func TestKilledLeave(t *testing.T) {
	t.Parallel()
	k := killing{
		names:  []string{"m1", "m2", "m3", "w1"},
		before: func(w *world) { w.swarm([]string{"m1", "m2", "m3"}, []string{"w1"}) },
		act: func(ctx context.Context, w *world) {
			orders := func(on bool) {
				for _, h := range w.hosts {
					h.set(func(h *host) { h.orders = on })
				}
			}
			orders(true)
			_, _ = w.manager().SwarmLeave(ctx, SwarmRequest{Names: []string{"m1", "w1"}})
			orders(false)
		},
		kinds: "put engine",
	}
	k.each(t, func(t *testing.T, w *world) {
		var left []string
		for _, name := range []string{"m1", "w1"} {
			if w.record(name).Swarm.Name != "" {
				left = append(left, name)
			}
		}
		if _, err := w.manager().SwarmLeave(t.Context(), SwarmRequest{Names: left}); err != nil {
			t.Fatal(err)
		}
		if st := w.status("m2"); len(st.Nodes) != 2 || st.Managers != 2 || w.record("m1").Swarm.Name != "" || w.record("w1").Swarm.Name != "" {
			t.Errorf("status %+v", st)
		}
	})
}
