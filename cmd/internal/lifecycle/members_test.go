package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
	"github.com/hostsmith/machine/swarmboot/swarmboottest"
)

// changes has members changed, which must succeed.
func (w *world) changes(req NodesRequest) []Planned {
	w.t.Helper()
	got, err := w.manager().SwarmNodes(w.t.Context(), req)
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

// role is what the swarm and both records say of a machine; an error if they differ.
func (w *world) role(name string) string {
	w.t.Helper()
	rec := w.record(name)
	c, err := store.Open(w.dir).Cluster(rec.Swarm.Name)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, n := range w.status(rec.Swarm.Name).Nodes {
		if n.Machine == name && n.Role == rec.Swarm.Role && n.Role == c.Members[name].Role {
			return n.Role
		}
	}
	return "in dispute"
}

func TestPromoteAndDemote(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1", "w2", "w3")
	w.swarm([]string{"m1"}, []string{"w1", "w2", "w3"})
	promote := NodesRequest{Verb: swarmboot.VerbPromote, Names: []string{"w1", "w2", "m1"}, DryRun: true}
	before := w.files()
	want := "promote w1 to manager; then 2 of 2 managers reachable, 2 needed, 0 may be lost"
	if got := w.changes(promote); len(got) != 2 || got[0].Machine != "w1" || got[0].Steps[0] != want {
		t.Errorf("got %+v", got)
	}
	if !maps.Equal(w.files(), before) || w.role("w1") != "worker" {
		t.Error("a dry run changed something")
	}
	promote.DryRun = false
	w.changes(promote)
	if st := w.status(""); st.Managers != 3 || len(st.Problems) != 0 || w.role("w1") != "manager" || w.role("w2") != "manager" {
		t.Errorf("status %+v", st)
	}
	if got := w.changes(promote); len(got) != 0 {
		t.Errorf("again: got %+v", got)
	}
	w.notes.take()
	w.changes(NodesRequest{Verb: swarmboot.VerbPromote, Names: []string{"w3"}})
	if got := w.notes.take(); !strings.Contains(got, "4 managers tolerate 1 loss, as 3 do") {
		t.Errorf("notes %s", got)
	}
	// The leader goes last, and another one takes over.
	w.changes(NodesRequest{Verb: swarmboot.VerbDemote, Names: []string{"m1", "w3"}})
	if st := w.status(""); st.Managers != 2 || st.Reachable != 2 || w.role("m1") != "worker" || w.role("w3") != "worker" {
		t.Errorf("status %+v", st)
	}
	w.hosts["w1"].setEngine(false)
	if _, err := w.manager().SwarmNodes(t.Context(), NodesRequest{Verb: swarmboot.VerbDemote, Names: []string{"w2"}}); !errors.Is(err, swarmboot.ErrNoLeader) && !errors.Is(err, swarmboot.ErrQuorum) {
		t.Errorf("got %v", err)
	}
}

// TestRefusedPromotionIsNotRecorded: the records have the intent before, and what is so after.
func TestRefusedPromotionIsNotRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1")
	w.swarm([]string{"m1"}, []string{"w1"})
	refusal := &swarmboottest.Error{Code: 400, Text: "the engine will not"}
	w.hosts["m1"].engine.Fail("POST /nodes/", refusal)
	_, err := w.manager().SwarmNodes(t.Context(), NodesRequest{Verb: swarmboot.VerbPromote, Names: []string{"w1"}})
	if err == nil || !strings.Contains(err.Error(), refusal.Text) || w.role("w1") != "worker" {
		t.Errorf("got %v, and w1 is %s", err, w.role("w1"))
	}
}

func TestDemotionThatCostsTheQuorumIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3")
	w.swarm([]string{"m1", "m2", "m3"}, nil)
	w.hosts["m3"].setEngine(false)
	before := w.files()
	_, err := w.manager().SwarmNodes(t.Context(), NodesRequest{Verb: swarmboot.VerbDemote, Names: []string{"m2"}})
	if !errors.Is(err, swarmboot.ErrQuorum) || !strings.Contains(err.Error(), "removing m2 leaves 1 of 2 managers reachable, 2 needed") {
		t.Errorf("got %v", err)
	}
	// All are judged before the first is demoted: m3, which is down, may go and would go first.
	_, err = w.manager().SwarmNodes(t.Context(), NodesRequest{Verb: swarmboot.VerbDemote, Names: []string{"m1", "m2", "m3"}})
	if !errors.Is(err, swarmboot.ErrQuorum) || !maps.Equal(w.files(), before) || w.status("m1").Managers != 3 {
		t.Errorf("got %v", err)
	}
	w.changes(NodesRequest{Verb: swarmboot.VerbDemote, Names: []string{"m2", "m3"}})
	if st := w.status("m1"); st.Managers != 1 || st.Reachable != 1 {
		t.Errorf("status %+v", st)
	}
}

func TestDrainAndActivate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1", "w2")
	w.swarm([]string{"m1"}, []string{"w1", "w2"})
	w.hosts["w1"].engine.AddTask("web", 1, 50*time.Millisecond)
	w.hosts["w2"].engine.AddTask("slow", 1, time.Hour)
	is := func(name string) string {
		for _, n := range w.status("").Nodes {
			if n.Machine == name {
				return n.Availability
			}
		}
		return "gone"
	}
	w.changes(NodesRequest{Verb: swarmboot.VerbDrain, Names: []string{"w1"}})
	_, err := w.manager().SwarmNodes(t.Context(), NodesRequest{Verb: swarmboot.VerbDrain, Names: []string{"w2"}, Wait: time.Second})
	if !errors.Is(err, swarmboot.ErrTasks) || !strings.Contains(err.Error(), "slow.1 (running)") {
		t.Errorf("got %v", err)
	}
	// Again it waits for what is left; without a wait there is nothing to do.
	if _, err := w.manager().SwarmNodes(t.Context(), NodesRequest{Verb: swarmboot.VerbDrain, Names: []string{"w2"}, Wait: time.Second}); !errors.Is(err, swarmboot.ErrTasks) {
		t.Errorf("got %v", err)
	}
	if got := w.changes(NodesRequest{Verb: swarmboot.VerbDrain, Names: []string{"w2"}, NoWait: true}); len(got) != 0 {
		t.Errorf("got %+v", got)
	}
	if is("w1") != "drain" || is("w2") != "drain" {
		t.Errorf("w1 is %s, w2 is %s", is("w1"), is("w2"))
	}
	// An upgrade had drained w1 before; what a person wishes goes before that.
	txn, c, err := w.manager().lockCluster(t.Context(), "m1")
	if err != nil {
		t.Fatal(err)
	}
	c.Upgrade = journal{"w1": "pause", "w2": "active"}.encode()
	if err := errors.Join(txn.Put(c), txn.Close()); err != nil {
		t.Fatal(err)
	}
	w.changes(NodesRequest{Verb: swarmboot.VerbActivate, Names: []string{"w1", "w2"}})
	w.changes(NodesRequest{Verb: swarmboot.VerbPause, Names: []string{"w2"}})
	if is("w1") != "active" || is("w2") != "pause" {
		t.Errorf("w1 is %s, w2 is %s", is("w1"), is("w2"))
	}
	if st := w.status(""); len(st.Problems) != 0 {
		t.Errorf("problems %q", st.Problems)
	}
}

func TestLabels(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1", "w2")
	w.create(CreateRequest{Names: []string{"m1"}, Swarm: SwarmOptions{Master: true}})
	w.create(CreateRequest{Names: []string{"w1", "w2"}, Swarm: SwarmOptions{IsSwarm: true, Labels: []string{"disk=ssd", "old=1"}}})
	req := NodesRequest{Verb: swarmboot.VerbLabel, Names: []string{"w1"}, Set: map[string]string{"tier": "web", "disk": "hdd"}, Unset: []string{"old"}}
	if got := w.changes(req); len(got) != 1 || got[0].Steps[0] != "label w1: disk=hdd tier=web old-" {
		t.Errorf("got %+v", got)
	}
	if got := w.record("w1").HostOptions.SwarmOptions.Labels; !slices.Equal(got, []string{"disk=hdd", "tier=web"}) {
		t.Errorf("recorded %q", got)
	}
	if got := w.changes(req); len(got) != 0 {
		t.Errorf("again: got %+v", got)
	}
	for _, c := range []struct{ filters, want string }{
		{"role=worker", "w1 w2"},
		{"role=manager", "m1"},
		{"role=worker role=manager", "m1 w1 w2"},
		{"node.label=tier=web", "w1"},
		{"node.label=tier=web node.label=disk=ssd", "w1 w2"},
		{"role=manager node.label=tier=web", ""},
		{"role=worker name=2", "w2"},
	} {
		got, err := w.manager().MatchMembers(t.Context(), strings.Fields(c.filters))
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %q, %v, want %s", c.filters, got, err, c.want)
		}
	}
	for _, bad := range []string{"role=boss", "node.label=x", "colour=red"} {
		if _, err := w.manager().MatchMembers(t.Context(), []string{bad}); !errors.Is(err, ErrUsage) {
			t.Errorf("%s: got %v", bad, err)
		}
	}
}

func TestChangesOfWhatIsNoMember(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "x1")
	w.swarm([]string{"m1"}, nil)
	w.create(CreateRequest{Names: []string{"x1"}})
	if _, err := w.manager().SwarmNodes(t.Context(), NodesRequest{Verb: swarmboot.VerbDrain, Names: []string{"m1", "x1"}}); !errors.Is(err, ErrNoSwarm) {
		t.Errorf("got %v", err)
	}
	if _, err := w.manager().SwarmNodes(t.Context(), NodesRequest{Verb: swarmboot.VerbDrain, Names: []string{"nobody"}}); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	// What was begun before is not in the way of this; a swarm that is being made anew is left alone.
	txn, c, err := w.manager().lockCluster(t.Context(), "m1")
	if err != nil {
		t.Fatal(err)
	}
	c.Operation = &store.Operation{Kind: recoverOperation, Resume: "swarm recover m1"}
	if err := errors.Join(txn.Put(c), txn.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.manager().SwarmNodes(t.Context(), NodesRequest{Verb: swarmboot.VerbPause, Names: []string{"m1"}}); !errors.Is(err, ErrOperation) {
		t.Errorf("got %v", err)
	}
}

func TestSwarmMachines(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3", "w1")
	w.swarm([]string{"m1", "m2", "m3"}, []string{"w1"})
	check := func(role, want string) {
		t.Helper()
		got, err := w.manager().SwarmMachines(t.Context(), "", role)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: got %q, %v, want %s", role, got, err, want)
		}
	}
	check("manager", "m1 m2 m3")
	check("worker", "w1")
	check("leader", "m1")
	check("all", "m1 m2 m3 w1")
	w.hosts["m1"].setEngine(false)
	w.hosts["m2"].setEngine(false)
	check("manager", "m1 m2 m3") // by the records, as there is no leader
	check("worker", "w1")
	if !strings.Contains(w.notes.take(), "roles are those of the records") {
		t.Error("that the records were asked is not said")
	}
	if _, err := w.manager().SwarmMachines(t.Context(), "", "leader"); !errors.Is(err, swarmboot.ErrNoLeader) {
		t.Errorf("got %v", err)
	}
}

// TestJoinWarnsOfAnEvenNumber: before it is done, and in the plan.
func TestJoinWarnsOfAnEvenNumber(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "x1", "x2")
	w.swarm([]string{"m1"}, nil)
	w.create(CreateRequest{Names: []string{"x1", "x2"}})
	const want = "2 managers tolerate no loss, as 1 does"
	req := SwarmRequest{Names: []string{"x1"}, Options: SwarmOptions{Master: true}, DryRun: true}
	planned, err := w.manager().SwarmJoin(t.Context(), req)
	if err != nil || len(planned) != 1 || len(planned[0].Warnings) != 1 || !strings.HasPrefix(planned[0].Warnings[0], want) {
		t.Errorf("plan %+v, %v", planned, err)
	}
	req.DryRun = false
	w.notes.take()
	if _, err := w.manager().SwarmJoin(t.Context(), req); err != nil || !strings.Contains(w.notes.take(), want) {
		t.Errorf("got %v, and no warning", err)
	}
	if _, err := w.manager().SwarmJoin(t.Context(), SwarmRequest{Names: []string{"x2"}, Options: SwarmOptions{Master: true}}); err != nil || strings.Contains(w.notes.take(), "tolerate") {
		t.Errorf("got %v, or a warning", err)
	}
	w.changes(NodesRequest{Verb: swarmboot.VerbLabel, Names: []string{"x2"}, Set: map[string]string{"tier": "web"}})
	if planned, err := w.manager().SwarmJoin(t.Context(), SwarmRequest{Names: []string{"x2"}, Options: SwarmOptions{Master: true}}); err != nil || len(planned) != 0 {
		t.Errorf("again: %+v, %v", planned, err)
	}
	if got := w.record("x2").HostOptions.SwarmOptions.Labels; !slices.Equal(got, []string{"tier=web"}) {
		t.Errorf("labels recorded: %q", got)
	}
}

// TestKilledChanges kills a change of roles at each of its events: the same command completes it.
func TestKilledChanges(t *testing.T) {
	t.Parallel()
	for name, req := range map[string]NodesRequest{
		"promote": {Verb: swarmboot.VerbPromote, Names: []string{"w1", "w2"}},
		"demote":  {Verb: swarmboot.VerbDemote, Names: []string{"m1", "m2"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := killing{
				names:  []string{"m1", "m2", "m3", "w1", "w2"},
				before: func(w *world) { w.swarm([]string{"m1", "m2", "m3"}, []string{"w1", "w2"}) },
				act: func(ctx context.Context, w *world) {
					orders := func(on bool) {
						for _, h := range w.hosts {
							h.set(func(h *host) { h.orders = on })
						}
					}
					orders(true)
					_, _ = w.manager().SwarmNodes(ctx, req)
					orders(false)
				},
				kinds: "put engine",
			}
			k.each(t, func(t *testing.T, w *world) {
				if _, err := w.manager().SwarmStatus(t.Context(), "m1"); err != nil {
					t.Errorf("status before: %v", err)
				}
				w.changes(req)
				want := "manager"
				if req.Verb == swarmboot.VerbDemote {
					want = "worker"
				}
				for _, n := range req.Names {
					if got := w.role(n); got != want {
						t.Errorf("%s is %s", n, got)
					}
				}
			})
		})
	}
}

// take returns the notes so far and forgets them.
func (n *notes) take() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	text := strings.Join(n.text, "\n")
	n.text = nil
	return text
}

// TestPlannedAsJSON: readers of plans find a list also where nothing is to be done.
func TestPlannedAsJSON(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]Planned{
		`{"machine":"m1","steps":[]}`:                                 {Machine: "m1"},
		`{"machine":"m1","steps":["stop"],"warnings":["it is late"]}`: {Machine: "m1", Steps: []string{"stop"}, Warnings: []string{"it is late"}},
	} {
		if got, err := json.Marshal([]Planned{p}); err != nil || string(got) != "["+want+"]" {
			t.Errorf("Got %s, %v, want %s", got, err, want)
		}
	}
}
