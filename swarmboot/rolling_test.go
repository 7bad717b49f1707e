package swarmboot_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hostsmith/machine/swarmboot"
)

// upgrading is a swarm of machines that all have 28.5.2 and shall have 29.0.1.
func upgrading(names ...string) swarmboot.Upgrading {
	u := swarmboot.Upgrading{Machines: map[string]swarmboot.Upgradable{}}
	for _, name := range names {
		role := wrk
		if name[0] == 'm' {
			role = mgr
		}
		m := member(name, role)
		m.Version, m.Leader = "28.5.2", name == "m1"
		u.Members = append(u.Members, m)
		u.Machines[name] = swarmboot.Upgradable{NodeID: m.ID, Change: []string{"change the engine to docker-ce 29.0.1", "restart the engine"}, Version: "29.0.1"}
	}
	return u
}

// altered changes what is known of a node.
func altered(u swarmboot.Upgrading, name string, change func(*swarmboot.Member, *swarmboot.Upgradable)) swarmboot.Upgrading {
	x := u.Machines[name]
	for i := range u.Members {
		if u.Members[i].Hostname == name {
			change(&u.Members[i], &x)
		}
	}
	u.Machines[name] = x
	return u
}

func TestPlanUpgrade(t *testing.T) {
	t.Parallel()
	three := func() swarmboot.Upgrading { return upgrading("m1", "m2", "m3", "w1", "w2", "w3") }
	parallel := func(u swarmboot.Upgrading, n int) swarmboot.Upgrading { u.Parallel = n; return u }
	done := func(m *swarmboot.Member, x *swarmboot.Upgradable) { m.Version, x.Change = "29.0.1", nil }
	drained := func(m *swarmboot.Member, _ *swarmboot.Upgradable) { m.Availability = "drain" }
	begun := func(m *swarmboot.Member, x *swarmboot.Upgradable) { m.Availability, x.Former = "drain", "pause" }
	down := func(m *swarmboot.Member, _ *swarmboot.Upgradable) {
		m.State = "down"
		if m.Role == mgr {
			m.Reachability = "unreachable"
		}
	}
	foreign := func(u swarmboot.Upgrading, name string, change func(*swarmboot.Member, *swarmboot.Upgradable)) swarmboot.Upgrading {
		u = altered(u, name, change)
		delete(u.Machines, name)
		return u
	}
	for name, tt := range map[string]struct {
		u   swarmboot.Upgrading
		err error // wrapped by the error; nil: none
	}{
		"whole":                {u: three()},
		"parallel":             {u: parallel(three(), 2)},
		"parallel-all":         {u: parallel(altered(upgrading("m1", "w1", "w2"), "m1", drained), 9)},
		"none":                 {u: altered(altered(upgrading("m1", "w1"), "m1", done), "w1", done)},
		"already-upgraded":     {u: altered(altered(three(), "w2", done), "m2", done)},
		"single-manager":       {u: upgrading("m1", "w1")},
		"single-node":          {u: upgrading("m1")},
		"two-managers":         {u: upgrading("m1", "m2", "w1")},
		"drained-by-hand":      {u: altered(three(), "w1", drained)},
		"paused":               {u: altered(upgrading("m1", "w1", "w2"), "w1", func(m *swarmboot.Member, _ *swarmboot.Upgradable) { m.Availability = "pause" })},
		"mixed":                {u: altered(altered(upgrading("m1", "w1", "w2"), "w1", func(m *swarmboot.Member, _ *swarmboot.Upgradable) { m.Version = "20.10.24+dfsg1" }), "w2", func(_ *swarmboot.Member, x *swarmboot.Upgradable) { x.Version = "28.5.3" })},
		"interrupted":          {u: altered(altered(altered(three(), "w1", done), "w3", begun), "w3", down)},
		"interrupted-done":     {u: altered(altered(three(), "m2", begun), "m2", done)},
		"interrupted-quorum":   {u: altered(altered(three(), "m2", begun), "m2", down)},
		"worker-down":          {u: altered(three(), "w2", down), err: swarmboot.ErrNode},
		"manager-down":         {u: altered(three(), "m2", down), err: swarmboot.ErrNode},
		"foreign-down":         {u: foreign(three(), "w2", down)},
		"foreign-manager-down": {u: foreign(three(), "m2", down), err: swarmboot.ErrQuorum},
		"not-a-node": {u: func() swarmboot.Upgrading {
			u := upgrading("m1", "w1")
			u.Members = u.Members[:1]
			return u
		}()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			steps, err := swarmboot.PlanUpgrade(tt.u)
			if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
				t.Errorf("got error %v, want %v", err, tt.err)
			}
			var b strings.Builder
			for _, w := range swarmboot.UpgradeWarnings(tt.u) {
				fmt.Fprintf(&b, "warning: %s\n", w)
			}
			for _, s := range steps {
				fmt.Fprintln(&b, s)
			}
			if err != nil {
				fmt.Fprintf(&b, "error: %v\n", err)
				var h interface{ Hint() string }
				if errors.As(err, &h) {
					fmt.Fprintf(&b, "hint: %s\n", h.Hint())
				}
			}
			golden(t, "upgrade/"+name, b.String())
		})
	}
}
