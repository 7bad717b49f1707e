package swarmboot_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/swarmboot"
)

const (
	mgr = swarmboot.Manager
	wrk = swarmboot.Worker
)

func bootstrap(t *testing.T, s *teller) {
	s.swarm.AddrPool, s.swarm.SubnetSize, s.swarm.DataPathPort = []string{"10.77.0.0/16"}, 25, 7789
	s.want(mgr, "m1", "m2", "m3")
	s.want(wrk, "w1", "w2")
	n := s.nodes["m3"]
	n.Availability = "drain"
	s.nodes["m3"] = n
	s.want(wrk)
	s.reach()

	ms := s.members("m2")
	if got := names(ms); got != "m1 m2 m3 w1 w2" {
		t.Fatalf("got members %q, want all five", got)
	}
	for name, m := range ms {
		if m.State != "ready" || m.Labels["host"] != name || m.Role != s.nodes[name].Role || m.Addr != s.w.addr(name) {
			t.Errorf("%s: got %+v", name, m)
		}
	}
	if ms["m3"].Availability != "drain" || ms["m1"].Availability != "active" {
		t.Errorf("got availability %s and %s, want drain and active", ms["m3"].Availability, ms["m1"].Availability)
	}
	if q := swarmboot.CountQuorum(list(ms)); q != (swarmboot.Quorum{Managers: 3, Reachable: 3, Needed: 2}) || q.Lost() != 1 {
		t.Errorf("got quorum %+v", q)
	}
	var cluster struct {
		DefaultAddrPool []string
		SubnetSize      int
		DataPathPort    int
	}
	if err := s.w.engine("m1").Do(t.Context(), "GET", "/swarm", nil, &cluster); err != nil {
		t.Fatal(err)
	}
	if len(cluster.DefaultAddrPool) != 1 || cluster.DefaultAddrPool[0] != "10.77.0.0/16" || cluster.SubnetSize != 25 || cluster.DataPathPort != 7789 {
		t.Errorf("got pool %+v", cluster)
	}
	if got := strings.Join(s.steps[:3], ", "); got != "init swarm on m1, join m2 as manager, join m3 as manager" {
		t.Errorf("got steps %s", got)
	}

	if port, err := swarmboot.DataPathPortOf(t.Context(), s.w.engine("m2")); err != nil || port != 7789 {
		t.Errorf("got data path port %d, %v", port, err)
	}
	if _, err := swarmboot.DataPathPortOf(t.Context(), s.w.engine("w1")); err == nil {
		t.Error("a worker tells the data path port of its swarm")
	}

	// What an interrupted run leaves: the swarm is there, its id was not recorded.
	id := s.swarm.ID
	s.swarm.ID = ""
	s.settled()
	for _, port := range []int{swarmboot.DataPathPort, 7790} {
		s.swarm.DataPathPort = port
		if _, err := s.plan(); !errors.Is(err, swarmboot.ErrDataPath) || !strings.Contains(err.Error(), "has 7789, not") {
			t.Errorf("another data path port: got %v", err)
		}
	}
	s.swarm.ID, s.swarm.DataPathPort = id, 0
	s.settled()

	for _, role := range []swarmboot.Role{wrk, mgr, ""} {
		mgrOld, wrkOld := tokens(t, s.w.engine("m1"))
		if err := swarmboot.RotateTokens(s.ctx(time.Minute), s.w.engine("m3"), role); err != nil {
			t.Fatal(err)
		}
		mgrNew, wrkNew := tokens(t, s.w.engine("m1"))
		if (mgrOld != mgrNew) != (role != wrk) || (wrkOld != wrkNew) != (role != mgr) {
			t.Errorf("rotate %q: manager's changed: %v, worker's changed: %v", role, mgrOld != mgrNew, wrkOld != wrkNew)
		}
	}
}

func tokens(t *testing.T, e swarmboot.Engine) (manager, worker string) {
	t.Helper()
	var c struct {
		JoinTokens struct{ Manager, Worker string }
	}
	if err := e.Do(t.Context(), "GET", "/swarm", nil, &c); err != nil {
		t.Fatal(err)
	}
	return c.JoinTokens.Manager, c.JoinTokens.Worker
}

func list(ms map[string]swarmboot.Member) (l []swarmboot.Member) {
	for _, m := range ms {
		l = append(l, m)
	}
	return l
}

func drift(t *testing.T, s *teller) {
	s.want(mgr, "m1")
	s.want(wrk, "m2", "w1")
	s.reach()
	ctx := s.ctx(time.Minute)
	if err := swarmboot.SetAvailability(ctx, s.w.engine("m1"), s.ids["w1"], "pause"); err != nil {
		t.Fatal(err)
	}
	s.settled() // no availability is wanted, so a person's choice stays

	s.want(mgr, "m2")
	s.want(wrk, "m1")
	n := s.nodes["w1"]
	n.Availability, n.Labels = "active", map[string]string{"zone": "b"}
	s.nodes["w1"] = n
	s.want(wrk)
	s.reach() // promotes m2, then demotes m1, which has given the orders so far
	ms := s.members("m2")
	if ms["m1"].Role != wrk || ms["m2"].Role != mgr || !ms["m2"].Leader {
		t.Errorf("got %+v, want m2 the only manager", ms)
	}
	if w := ms["w1"]; w.Availability != "active" || w.Labels["zone"] != "b" || w.Labels["host"] != "w1" {
		t.Errorf("got %+v, want it active, with labels old and new", w)
	}

	s.want(wrk, "m2")
	if _, err := s.plan(); !errors.Is(err, swarmboot.ErrQuorum) {
		t.Errorf("demote the only manager: got %v, want ErrQuorum", err)
	}
}

func removal(t *testing.T, s *teller) {
	s.want(mgr, "m1", "m2", "m3")
	s.want(wrk, "w1")
	s.reach()
	m2 := s.w.engine("m2")
	for _, name := range []string{"w1", "m1"} {
		s.steps = nil
		for range 2 { // the second time there is nothing to do
			if err := swarmboot.Remove(s.ctx(time.Minute), s.ids[name], s.w.engine(name), m2, 30*time.Second, s.step); err != nil {
				t.Fatalf("remove %s: %v", name, err)
			}
		}
		want := "drain node, demote manager, leave swarm, remove node from the swarm"
		if name == "w1" {
			want = "drain node, leave swarm, remove node from the swarm"
		}
		if got := strings.Join(s.steps, ", "); got != want {
			t.Errorf("remove %s: got steps %s, want %s", name, got, want)
		}
		if got := swarmboot.Inspect(s.ctx(time.Minute), s.w.engine(name)); got.State != "inactive" {
			t.Errorf("%s is %+v after its removal", name, got)
		}
	}
	if got := names(s.members("m2")); got != "m2 m3" {
		t.Errorf("got members %s, want m2 m3", got)
	}

	// A machine of the old name but with another node is not made to leave.
	if err := swarmboot.Remove(s.ctx(time.Minute), s.ids["m3"], m2, s.w.engine("m2"), 0, s.step); err != nil {
		t.Fatal(err)
	}
	if got := names(s.members("m2")); got != "m2" {
		t.Errorf("got members %s, want m2", got)
	}

	if err := swarmboot.Remove(s.ctx(time.Minute), "other", m2, nil, 0, s.step); !errors.Is(err, swarmboot.ErrForeign) {
		t.Errorf("got %v, want ErrForeign for a host that is another node", err)
	}
	if err := swarmboot.Remove(s.ctx(time.Minute), s.ids["m2"], m2, nil, 0, s.step); err != nil {
		t.Errorf("last node: %v", err)
	}
	if got := swarmboot.Inspect(s.ctx(time.Minute), m2); got.State != "inactive" {
		t.Errorf("the last node is %+v", got)
	}
	if err := swarmboot.Remove(s.ctx(time.Minute), s.ids["m2"], nil, nil, 0, s.step); !errors.Is(err, swarmboot.ErrNode) {
		t.Errorf("nobody to ask: got %v, want ErrNode", err)
	}
}

func deadManager(t *testing.T, s *teller) {
	s.want(mgr, "m1", "m2", "m3")
	s.want(wrk, "w1")
	s.reach()
	ctx := s.ctx(4 * time.Minute)
	s.w.stop("m3")
	eventually(t, func() bool { return s.members("m1")["m3"].Reachability == "unreachable" })
	ms := list(s.members("m1"))
	if q := swarmboot.CountQuorum(ms); q.Reachable != 2 || q.Lost() != 0 {
		t.Errorf("got quorum %+v", q)
	}
	if err := swarmboot.CheckRemoval(ms, s.ids["m2"]); !errors.Is(err, swarmboot.ErrQuorum) ||
		!strings.Contains(err.Error(), "leaves 1 of 2 managers reachable, 2 needed") {
		t.Errorf("got %v, want ErrQuorum and its arithmetic", err)
	}
	if err := swarmboot.CheckRemoval(ms, s.ids["m3"]); err != nil {
		t.Errorf("removing the dead one helps, but: %v", err)
	}
	if err := swarmboot.Remove(ctx, s.ids["m3"], nil, s.w.engine("m1"), time.Minute, s.step); err != nil {
		t.Fatal(err)
	}
	if got := names(s.members("m2")); got != "m1 m2 w1" {
		t.Errorf("got members %s", got)
	}

	// It comes back and believes it is a manager still.
	s.w.start("m3")
	eventually(t, func() bool { return swarmboot.Inspect(ctx, s.w.engine("m3")).NodeID != "" })
	actions, err := s.plan()
	if err != nil || len(actions) != 1 || actions[0].Kind != "join-manager" || !actions[0].Reset {
		t.Fatalf("got %v, %v, want m3 to leave what it was and to join", actions, err)
	}
	s.reach()
	if got := s.members("m3"); names(got) != "m1 m2 m3 w1" || got["m3"].Role != mgr {
		t.Errorf("got members %+v", got)
	}
}

func quorumLost(t *testing.T, s *teller) {
	s.want(mgr, "m1", "m2")
	s.want(wrk, "w1")
	s.reach()
	s.w.stop("m2")
	ctx := s.ctx(4 * time.Minute)
	eventually(t, func() bool { return swarmboot.Inspect(ctx, s.w.engine("m1")).ClusterID == "" })
	s.want(wrk, "w2")
	_, err := s.plan()
	if !errors.Is(err, swarmboot.ErrNoLeader) || !strings.Contains(err.Error(), "m1: too few managers are online; m2: ") {
		t.Errorf("got %v, want ErrNoLeader with why none of the two manages", err)
	}
	if _, err := swarmboot.Members(ctx, s.w.engine("m1")); !errors.Is(err, swarmboot.ErrNoLeader) {
		t.Errorf("members: got %v, want ErrNoLeader", err)
	}
	s.w.stop("m1")
	if _, err := s.plan(); !errors.Is(err, swarmboot.ErrNoManager) {
		t.Errorf("got %v, want ErrNoManager", err)
	}
	s.w.start("m1")
	s.w.start("m2")
	eventually(t, func() bool { return swarmboot.Inspect(ctx, s.w.engine("m2")).ClusterID != "" })
	for name, id := range s.ids {
		if err := swarmboot.WaitReady(ctx, s.w.engine("m1"), id); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.reach()
}

func foreign(t *testing.T, s *teller) {
	s.want(mgr, "x1")
	s.want(wrk, "x2")
	s.reach()
	theirs := s.swarm.ID
	other := s.nodes

	s.nodes, s.swarm.ID = make(map[string]swarmboot.Node), ""
	s.want(mgr, "m1")
	s.reach()
	mine := s.swarm.ID
	for _, name := range []string{"x1", "x2"} {
		s.nodes = map[string]swarmboot.Node{"m1": s.nodes["m1"]}
		s.want(wrk, name)
		_, err := s.plan()
		if !errors.Is(err, swarmboot.ErrForeign) || !strings.Contains(err.Error(), mine) {
			t.Errorf("%s: got %v, want ErrForeign naming %s", name, err, mine)
		}
		if want := map[string]string{"x1": theirs, "x2": s.w.addr("x1") + ":2377"}[name]; !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want it to name %s", name, err, want)
		}
	}
	// A new swarm takes neither a manager whose swarm has others in it, nor a worker.
	for _, name := range []string{"x1", "x2"} {
		s.nodes, s.swarm.ID = make(map[string]swarmboot.Node), ""
		s.want(mgr, name)
		if _, err := s.plan(); !errors.Is(err, swarmboot.ErrForeign) {
			t.Errorf("new swarm of %s: got %v, want ErrForeign", name, err)
		}
	}
	s.nodes, s.swarm.ID = other, theirs
	s.want(mgr)
	s.settled()
}

func unanswered(t *testing.T, s *teller) {
	s.want(mgr, "m1")
	s.reach()
	s.want(wrk, "w1")
	s.w.cut("w1")
	actions, err := s.plan()
	if err != nil {
		t.Fatal(err)
	}
	_, err = swarmboot.Apply(s.ctx(25*time.Second), actions, s.engines(), nil, s.step)
	if !errors.Is(err, swarmboot.ErrNetwork) || !strings.Contains(err.Error(), s.w.addr("m1")+":2377") {
		t.Fatalf("got %v, want ErrNetwork naming the address", err)
	}
	if !strings.Contains(err.Error(), "patience") {
		t.Errorf("got %v, want the cause of the end", err)
	}
	s.w.heal("w1")
	s.reach() // whether it is pending still or has joined in the background

	// The address of one manager is of no use, that of the other is.
	s.want(mgr, "m2", "m3")
	s.reach()
	s.want(wrk, "w2")
	actions, err = s.plan()
	if err != nil {
		t.Fatal(err)
	}
	s.w.cut("m1")
	res, err := swarmboot.Apply(s.ctx(2*time.Minute), actions, s.engines(), nil, s.step)
	if err != nil || res.NodeIDs["w2"] == "" || res.ClusterID != s.swarm.ID {
		t.Fatalf("got %+v, %v, want w2 to join through another manager", res, err)
	}
}

func drains(t *testing.T, s *teller) {
	s.want(mgr, "m1")
	s.want(wrk, "w1")
	n := s.nodes["m1"]
	n.Availability = "drain"
	s.nodes["m1"] = n
	s.want(wrk)
	s.reach()
	m1 := s.w.engine("m1")
	s.w.task("w1", "web", 8*time.Second)
	eventually(t, func() bool { return s.members("m1")["w1"].Tasks == 1 })

	former, err := swarmboot.Drain(s.ctx(2*time.Second), m1, s.ids["w1"])
	if former != "active" || !errors.Is(err, swarmboot.ErrTasks) || !strings.Contains(err.Error(), "web.1 (running)") {
		t.Errorf("got %q, %v, want the task that has not ended", former, err)
	}
	if err := swarmboot.Remove(s.ctx(time.Minute), s.ids["w1"], s.w.engine("w1"), m1, time.Second, s.step); !errors.Is(err, swarmboot.ErrTasks) {
		t.Errorf("remove: got %v, want ErrTasks", err)
	}
	former, err = swarmboot.Drain(s.ctx(time.Minute), m1, s.ids["w1"])
	if former != "drain" || err != nil {
		t.Errorf("got %q, %v, want it drained in the end", former, err)
	}
	if err := swarmboot.Remove(s.ctx(time.Minute), s.ids["w1"], s.w.engine("w1"), m1, time.Second, s.step); err != nil {
		t.Errorf("remove: %v", err)
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come to that")
		}
	}
}

func wrongAddress(t *testing.T, s *teller) {
	s.want(mgr, "m1")
	s.reach()
	s.want(mgr, "m2")
	n := s.nodes["m2"]
	right := n.Advertise
	n.Advertise = "10.213.77.99" // nobody's
	s.nodes["m2"] = n
	s.want(mgr)
	actions, err := s.plan()
	if err != nil {
		t.Fatal(err)
	}
	_, err = swarmboot.Apply(s.ctx(time.Minute), actions, s.engines(), nil, s.step)
	if !errors.Is(err, swarmboot.ErrNetwork) {
		t.Errorf("got %v, want ErrNetwork", err)
	}
	if got := s.members("m1"); len(got) != 1 {
		t.Errorf("got members %+v, want no ghost of m2", got)
	}
	n.Advertise = right
	s.nodes["m2"] = n
	s.want(mgr)
	s.reach()
	if got := s.members("m2"); names(got) != "m1 m2" {
		t.Errorf("got members %+v", got)
	}
}

// madeAnew: a manager has left without a word to the others, and comes again.
func madeAnew(t *testing.T, s *teller) {
	s.want(mgr, "m1", "m2", "m3")
	s.reach()
	old := s.ids["m3"]
	if err := s.w.engine("m3").Do(t.Context(), "POST", "/swarm/leave?force=true", nil, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return s.members("m1")["m3"].State == "down" })
	s.reach()
	ms := s.members("m1")
	if s.ids["m3"] == old || names(ms) != "m1 m2 m3" || swarmboot.CountQuorum(list(ms)).Managers != 3 {
		t.Errorf("got members %+v, want m3 once", ms)
	}
}
