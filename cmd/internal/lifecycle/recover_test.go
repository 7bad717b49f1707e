package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
	"github.com/hostsmith/machine/swarmboot/swarmboottest"
)

const expiredText = "error while loading TLS certificate: x509: certificate has expired or is not yet valid"

// loseQuorum makes a swarm of three managers and a worker of which m1 and m3 are gone for good.
func (w *world) loseQuorum() {
	w.swarm([]string{"m1", "m2", "m3"}, nil)
	w.create(CreateRequest{Names: []string{"w1"}, Swarm: SwarmOptions{IsSwarm: true, Labels: []string{"disk=ssd"}}})
	w.hosts["m1"].setEngine(false)
	w.hosts["m3"].setEngine(false)
}

func (w *world) recover(req RecoverRequest) error {
	w.t.Helper()
	_, err := w.manager().SwarmRecover(w.t.Context(), req)
	return err
}

// label is what manager via says of a label of a node.
func (w *world) label(via, name, key string) string {
	w.t.Helper()
	members, err := swarmboot.Members(w.t.Context(), w.hosts[via].engine)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, n := range members {
		if n.ID == w.hosts[name].engine.NodeID() {
			return n.Labels[key]
		}
	}
	return ""
}

func TestRecoverLostQuorum(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3", "w1")
	w.loseQuorum()
	id := w.record("w1").Swarm.NodeID
	if _, err := w.manager().SwarmStatus(t.Context(), "m1"); !errors.Is(err, swarmboot.ErrNoLeader) {
		t.Fatalf("got %v", err)
	}
	planned, err := w.manager().SwarmRecover(t.Context(), RecoverRequest{DryRun: true})
	if err != nil || len(planned) != 4 || planned[0].Machine != "m2" || !strings.Contains(planned[0].Steps[0], "force new cluster") {
		t.Fatalf("got %+v, %v", planned, err)
	}
	no := func(_ context.Context, p []Planned, lost []string) (bool, error) {
		if len(p) != 4 || !strings.Contains(strings.Join(lost, "\n"), "2 of 3 managers: m1, m3") {
			t.Errorf("asked with %+v, %q", p, lost)
		}
		return false, nil
	}
	if err := w.recover(RecoverRequest{Confirm: no}); err != nil {
		t.Fatal(err)
	}
	if c, _ := store.Open(w.dir).Cluster("m1"); c.Operation != nil {
		t.Error("begun without leave")
	}
	if err := w.recover(RecoverRequest{}); err != nil {
		t.Fatal(err)
	}
	st := w.status("m1")
	if st.Managers != 1 || st.CanLose != 0 || len(st.Nodes) != 2 || len(st.Problems) != 0 {
		t.Errorf("got %+v", st)
	}
	if got := w.record("w1").Swarm.NodeID; got != id {
		t.Error("a worker that comes back by itself was made to join again")
	}
	if rec := w.record("m1"); rec.Swarm != (store.Swarm{}) {
		t.Errorf("m1 is recorded as %+v", rec.Swarm)
	}
	w.notes.mu.Lock()
	if notes := strings.Join(w.notes.text, "\n"); !strings.Contains(notes, "managers: 1 now, 3 before") {
		t.Errorf("notes %s", notes)
	}
	w.notes.mu.Unlock()
	if err := w.recover(RecoverRequest{}); !errors.Is(err, swarmboot.ErrHealthy) || ReasonOf(err).ID != "SWARM_HEALTHY" {
		t.Errorf("again: %v", err)
	}
}

// TestRecoverPromotes has workers take the places of managers that are lost.
func TestRecoverPromotes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3", "w1", "w2")
	w.swarm([]string{"m1", "m2", "m3"}, []string{"w1", "w2"})
	w.hosts["m1"].setEngine(false)
	w.hosts["m3"].setEngine(false)
	req := RecoverRequest{Promote: []string{"w1", "w2"}}
	if err := w.recover(RecoverRequest{Promote: []string{"w9"}}); !errors.Is(err, ErrUsage) {
		t.Errorf("a machine that is no member: %v", err)
	}
	declined := req
	declined.Confirm = func(_ context.Context, p []Planned, _ []string) (bool, error) {
		if last := p[len(p)-1]; last.Machine != "w2" || !strings.Contains(last.Steps[0], "promote") {
			t.Errorf("asked with %+v", p)
		}
		return false, nil
	}
	if err := w.recover(declined); err != nil {
		t.Fatal(err)
	}
	if got := w.record("w1").Swarm.Role; got != "worker" {
		t.Fatalf("w1 is a %s although nobody agreed", got)
	}
	for range 2 { // the second finds all done
		if err := w.recover(req); err != nil {
			t.Fatal(err)
		}
		if st := w.status("m2"); st.Managers != 3 || st.CanLose != 1 || len(st.Nodes) != 3 {
			t.Errorf("got %+v", st)
		}
	}
}

// TestRecoverChoosesTheNewestLog has two managers of five left; the other one joins again as what it was.
func TestRecoverChoosesTheNewestLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3", "m4", "m5")
	w.swarm([]string{"m1", "m2", "m3", "m4", "m5"}, nil)
	for _, name := range []string{"m1", "m3", "m5"} {
		w.hosts[name].setEngine(false)
	}
	for name, index := range map[string]int{"m2": 50, "m4": 51} {
		w.hosts[name].set(func(h *host) {
			h.raftLog = fmt.Sprintf("rl said msg=\"7c [logterm: 4, index: %d] sent MsgVote request to 55 at term 5\"\n", index)
		})
	}
	if err := w.recover(RecoverRequest{}); err != nil {
		t.Fatal(err)
	}
	st := w.status("m1")
	if st.Managers != 2 || st.Reachable != 2 || len(st.Nodes) != 2 || w.record("m2").Swarm.Role != "manager" {
		t.Errorf("got %+v", st)
	}
	calls := strings.Join(w.hosts["m4"].engine.Calls(), "\n")
	if !strings.Contains(calls, "POST /swarm/init") {
		t.Errorf("m4 has the newest log, and was told\n%s", calls)
	}
}

// TestRecoverExpired is a swarm that was switched off for longer than its certificates last.
func TestRecoverExpired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "w1")
	w.swarm([]string{"m1", "m2"}, nil)
	w.create(CreateRequest{Names: []string{"w1"}, Swarm: SwarmOptions{IsSwarm: true, Labels: []string{"disk=ssd"}, Availability: "drain"}})
	for _, h := range w.hosts {
		h.engine.SetState("error", expiredText)
	}
	w.hosts["m2"].set(func(h *host) { h.raftLog = "rl wal 0000000000000000-0000000000000000.wal 1795219200\n" })
	id := w.record("w1").Swarm.NodeID
	if err := w.recover(RecoverRequest{}); err != nil {
		t.Fatal(err)
	}
	st := w.status("m1")
	if st.Managers != 2 || st.Reachable != 2 || len(st.Nodes) != 3 {
		t.Errorf("got %+v", st)
	}
	if !w.hosts["m2"].aside || w.hosts["m1"].aside {
		t.Error("the engine of another manager than m2, which has the newest files, was started anew")
	}
	i := slices.IndexFunc(st.Nodes, func(n SwarmNode) bool { return n.Machine == "w1" })
	if n := st.Nodes[i]; n.Availability != "drain" || n.ID == id || w.hosts["w1"].engine.NodeID() != n.ID {
		t.Errorf("w1 came back as %+v", n)
	}
	// A worker that was off for too long is let in again by a swarm that goes well.
	w.hosts["w1"].engine.SetState("error", expiredText)
	if err := w.recover(RecoverRequest{}); err != nil {
		t.Fatal(err)
	}
	if st := w.status("m1"); len(st.Nodes) != 3 || len(st.Problems) != 1 {
		t.Errorf("got %+v", st)
	}
}

func TestRecoverIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "w1")
	w.swarm([]string{"m1", "m2"}, []string{"w1"})
	if err := w.recover(RecoverRequest{}); !errors.Is(err, swarmboot.ErrHealthy) {
		t.Errorf("with a quorum: %v", err)
	}
	w.hosts["m1"].setEngine(false)
	w.hosts["m2"].set(func(h *host) { h.raftLog = "rl locked yes\n" })
	err := w.recover(RecoverRequest{})
	if !errors.Is(err, swarmboot.ErrLocked) || !strings.Contains(err.Error(), "unlock key") {
		t.Errorf("with autolock: %v", err)
	}
	w.hosts["m2"].setEngine(false)
	if err := w.recover(RecoverRequest{}); !errors.Is(err, swarmboot.ErrNoManager) {
		t.Errorf("without a manager: %v", err)
	}
}

// TestKilledRecover kills a recovery at each write, order and step on a host; the same command goes on.
func TestKilledRecover(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		lost     []string
		expired  []string
		managers int // in the end
		kinds    string
	}{
		{"quorum", []string{"m1", "m3"}, nil, 1, "put engine"},
		{"expired", []string{"m1"}, []string{"m2", "m3", "w1"}, 2, "put engine ssh"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k := killing{
				names: []string{"m1", "m2", "m3", "w1"},
				before: func(w *world) {
					w.swarm([]string{"m1", "m2", "m3"}, nil)
					w.create(CreateRequest{Names: []string{"w1"}, Swarm: SwarmOptions{IsSwarm: true, Labels: []string{"disk=ssd"}}})
					for _, name := range c.lost {
						w.hosts[name].setEngine(false)
					}
					for _, name := range c.expired {
						w.hosts[name].engine.SetState("error", expiredText)
					}
				},
				act: func(ctx context.Context, w *world) {
					orders := func(on bool) {
						for _, h := range w.hosts {
							h.set(func(h *host) { h.orders = on })
						}
					}
					orders(true)
					_, _ = w.manager().SwarmRecover(ctx, RecoverRequest{})
					orders(false)
				},
				from:  "put cluster",
				kinds: c.kinds,
			}
			k.each(t, func(t *testing.T, w *world) {
				if err := w.recover(RecoverRequest{}); err != nil && !errors.Is(err, swarmboot.ErrHealthy) {
					t.Fatalf("again: %v", err)
				}
				st := w.status("m1")
				if st.Managers != c.managers || st.Reachable != c.managers || len(st.Nodes) != c.managers+1 {
					t.Errorf("got %+v", st)
				}
				if got := w.label("m2", "w1", "disk"); got != "ssd" {
					t.Errorf("w1 has the label %q", got)
				}
				for _, n := range st.Nodes {
					if n.Machine == "" || n.Problem != "" || w.hosts[n.Machine].engine.NodeID() != n.ID {
						t.Errorf("node %+v, engine %s", n, w.hosts[n.Machine].engine.NodeID())
					}
				}
				if rec, err := store.Open(w.dir).Cluster("m1"); err != nil || rec.Operation != nil || len(rec.Members) != c.managers+1 {
					t.Errorf("record %+v, %v", rec, err)
				}
			})
		})
	}
}

// TestRecoverWithAnother has the manager lost with which a recovery was begun.
func TestRecoverWithAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2")
	w.swarm([]string{"m1", "m2"}, nil)
	for _, h := range w.hosts {
		h.engine.SetState("error", expiredText)
	}
	w.hosts["m1"].engine.Fail("POST /swarm/init", &swarmboottest.Error{Code: 400, Text: "the engine will not"})
	if err := w.recover(RecoverRequest{Via: "m1"}); err == nil || !strings.Contains(err.Error(), "will not") {
		t.Fatalf("got %v", err)
	}
	w.hosts["m1"].set(func(h *host) { h.halt() })
	if err := w.recover(RecoverRequest{Via: "m2"}); err != nil {
		t.Fatal(err)
	}
	if st := w.status("m2"); st.AskedVia != "m2" || st.Managers != 1 || len(st.Nodes) != 1 {
		t.Errorf("got %+v", st)
	}
}

// TestRecoverInTheMiddleOfOtherWork loses the quorum while an upgrade, or a rotation of the authority, is half done: neither
// can be gone on with without a recovery, and both can after it.
func TestRecoverInTheMiddleOfOtherWork(t *testing.T) {
	t.Parallel()
	for kind, state := range map[string]string{upgradeOperation: "{}", rotateCAOperation: `{"Number":1}`} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "m1", "m2", "m3", "w1")
			w.loseQuorum()
			txn, c, err := w.manager().lockCluster(t.Context(), "m1")
			if err != nil {
				t.Fatal(err)
			}
			c.Operation = &store.Operation{Kind: kind, Resume: "swarm " + kind + " m1", State: []byte(state)}
			if err := errors.Join(txn.Put(c), txn.Close()); err != nil {
				t.Fatal(err)
			}
			if _, err := w.manager().SwarmRecover(t.Context(), RecoverRequest{DryRun: true}); err != nil {
				t.Fatal(err)
			}
			if err := w.recover(RecoverRequest{}); err != nil {
				t.Fatal(err)
			}
			if c, err := w.manager().Store.Cluster("m1"); err != nil || c.Operation == nil || c.Operation.Kind != kind || string(c.Operation.State) != state {
				t.Errorf("recorded is %+v, %v", c.Operation, err)
			}
			if st := w.status("m1"); st.Managers != 1 || len(st.Nodes) != 2 {
				t.Errorf("got %+v", st)
			}
			if err := w.recover(RecoverRequest{}); !errors.Is(err, swarmboot.ErrHealthy) && !errors.Is(err, ErrOperation) {
				t.Errorf("again: %v", err)
			}
		})
	}
}
