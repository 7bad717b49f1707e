package swarmboot_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/hostsmith/machine/swarmboot"
)

// swarmOf is members by a letter each: M a manager, m one that is not reachable, g one that never came to vote, W and w workers.
func swarmOf(letters string) []swarmboot.Member {
	var ms []swarmboot.Member
	for i, l := range letters {
		id := string(rune('a' + i))
		m := swarmboot.Member{ID: id, Hostname: "n" + id, Role: wrk, State: "ready"}
		switch l {
		case 'M':
			m.Role, m.Reachability = mgr, "reachable"
		case 'm':
			m.Role, m.Reachability, m.State = mgr, "unreachable", "down"
		case 'g':
			m.Role = mgr
		}
		ms = append(ms, m)
	}
	return ms
}

func TestCountQuorum(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		members                          string
		managers, reachable, needed, can int
		warning                          string
	}{
		{"M", 1, 1, 1, 0, ""},
		{"MW", 1, 1, 1, 0, ""},
		{"MM", 2, 2, 2, 0, "2 managers: the loss of either stops the swarm; 1 or 3 are better"},
		{"MMM", 3, 3, 2, 1, ""},
		{"MMm", 3, 2, 2, 0, ""},
		{"Mmm", 3, 1, 2, -1, "quorum lost: 1 of 3 managers reachable, 2 needed"},
		{"MMMM", 4, 4, 3, 1, "4 managers tolerate no more losses than 3; an odd number is better"},
		{"MMMMM", 5, 5, 3, 2, ""},
		{"MMMgW", 3, 3, 2, 1, ""},
	} {
		q := swarmboot.CountQuorum(swarmOf(c.members))
		if q != (swarmboot.Quorum{Managers: c.managers, Reachable: c.reachable, Needed: c.needed}) || q.Lost() != c.can {
			t.Errorf("%s: got %+v that can lose %d", c.members, q, q.Lost())
		}
		if got := q.Warning(); got != c.warning {
			t.Errorf("%s: got warning %q, want %q", c.members, got, c.warning)
		}
	}
}

func TestCheckRemoval(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		members, id, want string
	}{
		{"M", "a", ""},    // the last node
		{"MW", "b", ""},   // a worker
		{"mmW", "c", ""},  // a worker, even then
		{"MM", "b", ""},   // 1 of 1 is left
		{"MMM", "a", ""},  // 2 of 2
		{"MMm", "c", ""},  // the dead one
		{"MMMg", "d", ""}, // never came to vote
		{"MMM", "z", ""},  // not there
		{"MW", "a", "na is the last manager but not the last node"},
		{"MMm", "a", "removing na leaves 1 of 2 managers reachable, 2 needed"},
		{"MMMmm", "a", "removing na leaves 2 of 4 managers reachable, 3 needed"},
		{"Mmm", "b", "it is lost already, 1 of 3 managers reachable, 2 needed, so nb cannot be removed in good order"},
	} {
		err := swarmboot.CheckRemoval(swarmOf(c.members), c.id)
		if c.want == "" && err != nil {
			t.Errorf("%s without %s: got %v", c.members, c.id, err)
		}
		if c.want != "" && (!errors.Is(err, swarmboot.ErrQuorum) || !strings.HasSuffix(err.Error(), ": "+c.want)) {
			t.Errorf("%s without %s: got %v, want %s", c.members, c.id, err, c.want)
		}
	}
}

func TestWarnOfJoins(t *testing.T) {
	t.Parallel()
	nodes := func(role swarmboot.Role, names ...string) (ns []swarmboot.Node) {
		for _, name := range names {
			ns = append(ns, node(name, role))
		}
		return ns
	}
	for _, c := range []struct {
		managers, workers int
		id, want          string
		nodes             []swarmboot.Node
	}{
		{0, 0, "", "", nodes(mgr, "m1")},
		{0, 0, "", "2 managers tolerate no loss, as 1 does", nodes(mgr, "m1", "m2")},
		{0, 0, "", "", nodes(mgr, "m1", "m2", "m3")},
		{3, 0, "c1", "4 managers tolerate 1 loss, as 3 do: 3 of them are needed", nodes(mgr, "m4")},
		{5, 0, "c1", "6 managers tolerate 2 losses, as 5 do", nodes(mgr, "m6")},
		{2, 0, "c1", "", nodes(wrk, "w1")},
		{2, 1, "c1", "", nodes(mgr, "w1")},
		{3, 1, "c1", "4 managers tolerate 1 loss", nodes(mgr, "w1")},
		{3, 0, "c1", "2 managers tolerate no loss", nodes(wrk, "m2")},
	} {
		seen := cluster("c1", fleetOf(c.managers, c.workers)...)
		for _, n := range c.nodes {
			if _, ok := seen[n.Name]; !ok {
				seen[n.Name] = inactive
			}
		}
		actions, err := swarmboot.Plan(swarmboot.Swarm{ID: c.id, Nodes: c.nodes}, seen)
		if err != nil {
			t.Fatal(err)
		}
		if got := swarmboot.WarnOfJoins(actions, seen, c.id); c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
			t.Errorf("%v: got %q, want %q", actions, got, c.want)
		}
	}
}
