package swarmboot_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hostsmith/machine/swarmboot"
)

// fleetOf is members m1 ... and w1 ...; those of down are down.
func fleetOf(managers, workers int, down ...string) []swarmboot.Member {
	var ms []swarmboot.Member
	for i := range managers {
		ms = append(ms, member(fmt.Sprintf("m%d", i+1), mgr))
	}
	for i := range workers {
		ms = append(ms, member(fmt.Sprintf("w%d", i+1), wrk))
	}
	for i := range ms {
		ms[i].Leader = i == 0 && managers > 0
		for _, name := range down {
			if ms[i].Hostname == name {
				ms[i].State = "down"
				if ms[i].Role == mgr {
					ms[i].Reachability = "unreachable"
				}
			}
		}
	}
	return ms
}

// with changes the members of names.
func with(ms []swarmboot.Member, change func(*swarmboot.Member), names ...string) []swarmboot.Member {
	for i := range ms {
		for _, name := range names {
			if ms[i].Hostname == name {
				change(&ms[i])
			}
		}
	}
	return ms
}

func wishes(verb swarmboot.Verb, names ...string) []swarmboot.Wish {
	var ws []swarmboot.Wish
	for _, name := range names {
		ws = append(ws, swarmboot.Wish{Verb: verb, Name: name, ID: "id-" + name})
	}
	return ws
}

func TestPlanChanges(t *testing.T) {
	t.Parallel()
	drained := func(m *swarmboot.Member) { m.Availability = "drain" }
	label := func(names ...string) []swarmboot.Wish {
		ws := wishes(swarmboot.VerbLabel, names...)
		for i := range ws {
			ws[i].Set, ws[i].Unset = map[string]string{"tier": "web", "zone": "b"}, []string{"old", "never"}
		}
		return ws
	}
	labelled := func(m *swarmboot.Member) { m.Labels = map[string]string{"tier": "web", "zone": "a", "old": ""} }
	forced := func(ws []swarmboot.Wish) []swarmboot.Wish {
		for i := range ws {
			ws[i].Force = true
		}
		return ws
	}
	ended := wishes(swarmboot.VerbDrain, "w1")
	ended[0].Left = 2
	for name, c := range map[string]struct {
		ms   []swarmboot.Member
		want []swarmboot.Wish
	}{
		"promote":                  {fleetOf(1, 3), wishes(swarmboot.VerbPromote, "w1", "w2")},
		"promote-to-even":          {fleetOf(3, 2), wishes(swarmboot.VerbPromote, "w1")},
		"promote-to-two":           {fleetOf(1, 1), wishes(swarmboot.VerbPromote, "w1")},
		"promote-manager":          {fleetOf(3, 0), wishes(swarmboot.VerbPromote, "m2")},
		"promote-down":             {fleetOf(3, 1, "w1"), wishes(swarmboot.VerbPromote, "w1")},
		"demote-leader-last":       {fleetOf(3, 0), wishes(swarmboot.VerbDemote, "m1", "m3")},
		"demote-dead-first":        {fleetOf(5, 0, "m5"), wishes(swarmboot.VerbDemote, "m1", "m2", "m5")},
		"demote-all":               {fleetOf(3, 1), wishes(swarmboot.VerbDemote, "m1", "m2", "m3")},
		"demote-without-quorum":    {fleetOf(3, 1, "m3"), wishes(swarmboot.VerbDemote, "m2")},
		"demote-worker":            {fleetOf(1, 1), wishes(swarmboot.VerbDemote, "w1")},
		"demote-unlisted":          {fleetOf(1, 1), wishes(swarmboot.VerbDemote, "w9")},
		"drain":                    {with(fleetOf(1, 2), drained, "w2"), wishes(swarmboot.VerbDrain, "w1", "w2")},
		"drain-all":                {with(fleetOf(1, 1), func(m *swarmboot.Member) { m.Tasks = 3 }, "w1"), wishes(swarmboot.VerbDrain, "m1", "w1")},
		"drain-again":              {with(fleetOf(1, 1), drained, "w1"), ended},
		"drain-one-task":           {with(fleetOf(1, 1), func(m *swarmboot.Member) { m.Tasks = 1 }, "w1"), wishes(swarmboot.VerbDrain, "w1")},
		"pause":                    {fleetOf(1, 1), wishes(swarmboot.VerbPause, "w1")},
		"activate":                 {with(fleetOf(1, 2), drained, "w2"), wishes(swarmboot.VerbActivate, "w1", "w2")},
		"label":                    {with(fleetOf(1, 2), labelled, "w1"), label("w1", "w2", "m1")},
		"leave":                    {fleetOf(3, 2), wishes(swarmboot.VerbLeave, "m1", "w2")},
		"leave-all":                {fleetOf(3, 1), wishes(swarmboot.VerbLeave, "m1", "m2", "m3", "w1")},
		"leave-managers":           {fleetOf(3, 1), wishes(swarmboot.VerbLeave, "m1", "m2", "m3")},
		"leave-all-one-down":       {fleetOf(3, 0, "m3"), wishes(swarmboot.VerbLeave, "m1", "m2", "m3")},
		"leave-together-no-quorum": {fleetOf(5, 0, "m5"), wishes(swarmboot.VerbLeave, "m1", "m2", "m3")},
		"leave-unlisted":           {fleetOf(1, 1), wishes(swarmboot.VerbLeave, "w9")},
		"strike":                   {fleetOf(3, 2, "m3", "w2"), wishes(swarmboot.VerbStrike, "m3", "w2")},
		"strike-ready":             {fleetOf(3, 2), wishes(swarmboot.VerbStrike, "m3", "w2")},
		"strike-ready-by-force":    {fleetOf(3, 2), forced(wishes(swarmboot.VerbStrike, "m3", "w2"))},
		"strike-unknown":           {with(fleetOf(3, 1), func(m *swarmboot.Member) { m.State = "unknown" }, "w1"), wishes(swarmboot.VerbStrike, "w1")},
		"strike-unlisted":          {fleetOf(3, 1), wishes(swarmboot.VerbStrike, "w9")},
		"strike-no-quorum":         {fleetOf(3, 0, "m2", "m3"), wishes(swarmboot.VerbStrike, "m3")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := fmt.Sprint(c.ms)
			plan, err := swarmboot.PlanChanges(c.want, c.ms)
			if fmt.Sprint(c.ms) != before {
				t.Error("the members were changed")
			}
			var got strings.Builder
			if err != nil {
				fmt.Fprintf(&got, "error: %v\n", err)
				var h *swarmboot.HintError
				if errors.As(err, &h) {
					fmt.Fprintf(&got, "hint: %s\n", h.Hint())
				}
			}
			for _, ch := range plan.Changes {
				fmt.Fprintln(&got, ch)
			}
			for _, w := range plan.Warnings {
				fmt.Fprintln(&got, "warning:", w)
			}
			golden(t, "change/"+name, got.String())
		})
	}
}

func TestFindNode(t *testing.T) {
	t.Parallel()
	ms := append(fleetOf(1, 1), swarmboot.Member{ID: "gone-w1", Hostname: "w1", Role: wrk, State: "down", Addr: "10.0.1.1"})
	for _, c := range []struct {
		word, machine, want string
		err                 error
	}{
		{"m1", "id-m1", "id-m1", nil},
		{"m1", "", "id-m1", nil},
		{"id-m", "", "id-m1", nil},
		{"id-", "", "", swarmboot.ErrNoNode},
		{"gone", "", "gone-w1", nil},
		{"gone-w1", "", "gone-w1", nil},
		{"w1", "id-w1", "", swarmboot.ErrAmbiguous},
		{"x1", "", "", swarmboot.ErrNoNode},
		{"a-machine", "id-w1", "id-w1", nil},
	} {
		got, err := swarmboot.FindNode(ms, c.word, c.machine)
		if got.ID != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: got %s, %v, want %s, %v", c.word, got.ID, err, c.want, c.err)
		}
		if c.err == swarmboot.ErrAmbiguous && (!strings.Contains(err.Error(), "gone-w1") || !strings.Contains(err.Error(), "id-w1")) {
			t.Errorf("%s: got %v, want the ids", c.word, err)
		}
	}
}
