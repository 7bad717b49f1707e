package cluster

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// planned is a file, what exists, and what may be done.
type planned struct {
	text string
	seen Seen
	wish Wish
}

const cluster3 = `
name: p
machines:
  worker: {driver: d, role: worker, count: 2, labels: {disk: ssd}}
  manager: {driver: d, role: manager, names: [m1], availability: drain, engine: {version: "28"}}
stacks:
  web: {files: [c.yaml]}
`

func plans() map[string]planned {
	// all is as cluster3 wants it, but for what change says.
	all := func(change func(s *Seen)) Seen {
		s := Seen{
			SwarmExists: true, DataPathPort: 4789,
			Machines: map[string]Machine{
				"m1":         {Project: "p", Group: "manager", Phase: Ready, Swarm: "p", Role: Manager, Availability: "drain", Version: "28.5.2"},
				"p-worker-1": {Project: "p", Group: "worker", Phase: Ready, Swarm: "p", Role: Worker, Availability: "active", Labels: map[string]string{"disk": "ssd", "theirs": "1"}},
				"p-worker-2": {Project: "p", Group: "worker", Phase: Ready, Swarm: "p", Role: Worker, Availability: "active", Labels: map[string]string{"disk": "ssd"}},
			},
			Stacks: map[string]string{"web": "1"}, StacksWanted: map[string]string{"web": "1"},
		}
		if change != nil {
			change(&s)
		}
		return s
	}
	with := func(name string, change func(m *Machine)) Seen {
		return all(func(s *Seen) {
			m := s.Machines[name]
			change(&m)
			s.Machines[name] = m
		})
	}
	fresh := Seen{StacksWanted: map[string]string{"web": "1"}}
	const three = "name: p\nmachines:\n  manager: {driver: d, role: manager, count: 3}\n"
	return map[string]planned{
		"fresh":       {cluster3, fresh, Wish{}},
		"nothing":     {cluster3, all(nil), Wish{AllowReplace: true, Prune: true}},
		"no swarm":    {"name: p\nmachines: {a: {driver: d, count: 2}}", Seen{}, Wish{}},
		"two to one":  {"name: p\nmachines: {a: {driver: d, role: manager, count: 2}}", Seen{}, Wish{}},
		"interrupted": {cluster3, with("p-worker-1", func(m *Machine) { *m = Machine{Project: "p", Group: "worker"} }), Wish{}},
		"not joined":  {cluster3, with("p-worker-1", func(m *Machine) { m.Swarm, m.Role, m.Labels = "", "", nil }), Wish{}},
		"lost member": {cluster3, with("p-worker-1", func(m *Machine) { m.Role, m.Labels = "", nil }), Wish{}},
		"gone":        {cluster3, all(func(s *Seen) { delete(s.Machines, "p-worker-2") }), Wish{}},
		"labels": {cluster3, with("p-worker-1", func(m *Machine) {
			m.Labels, m.OurLabels = map[string]string{"disk": "hdd", "old": "1", "theirs": "1"}, []string{"disk", "old"}
		}), Wish{}},
		"drained by hand":   {cluster3, with("p-worker-1", func(m *Machine) { m.Availability = "drain" }), Wish{}},
		"activated by hand": {cluster3, with("m1", func(m *Machine) { m.Availability = "active" }), Wish{}},
		"promote":           {three, Seen{SwarmExists: true, Machines: map[string]Machine{"p-manager-1": {Project: "p", Group: "manager", Phase: Ready, Swarm: "p", Role: Worker}, "p-manager-2": {Phase: Ready}}}, Wish{}},
		"demote":            {cluster3, with("p-worker-2", func(m *Machine) { m.Role = Manager }), Wish{}},
		"upgrade":           {cluster3, with("m1", func(m *Machine) { m.VersionDiffers, m.Version = true, "27.1.0" }), Wish{}},
		"change":            {cluster3, with("m1", func(m *Machine) { m.Change = []string{"engine-label: a=1 → none"} }), Wish{}},
		"replace held":      {cluster3, with("p-worker-1", func(m *Machine) { m.Replace = []string{"d-size: small → large"} }), Wish{}},
		"replace":           {cluster3, with("p-worker-1", func(m *Machine) { m.Replace = []string{"d-size: small → large"} }), Wish{AllowReplace: true}},
		"gone at provider":  {cluster3, with("p-worker-1", func(m *Machine) { m.State = Gone }), Wish{AllowReplace: true}},
		"being removed":     {cluster3, with("p-worker-1", func(m *Machine) { m.Phase = Removing }), Wish{}},
		"stopped":           {cluster3, with("p-worker-1", func(m *Machine) { m.State = Stopped }), Wish{}},
		"silent": {cluster3, all(func(s *Seen) {
			m := s.Machines["m1"]
			m.State, m.Role = Stopped, ""
			s.Machines["m1"], s.SwarmSilent = m, "m1: no route to host"
		}), Wish{}},
		"adopt": {cluster3, with("m1", func(m *Machine) { m.Project, m.Group = "", "" }), Wish{}},
		"orphans": {cluster3, all(func(s *Seen) {
			s.Machines["p-worker-3"] = Machine{Project: "p", Group: "worker", Phase: Ready, Swarm: "p", Role: Worker}
			s.Machines["a-manager"] = Machine{Project: "p", Group: "manager", Phase: Ready, Swarm: "p", Role: Manager}
			s.Machines["other"] = Machine{Project: "q", Phase: Ready}
			s.Machines["nobodys"] = Machine{Phase: Ready}
			s.Stacks["old"] = "3"
		}), Wish{Prune: true}},
		"orphans held":  {cluster3, all(func(s *Seen) { s.Machines["p-worker-3"], s.Stacks["old"] = Machine{Project: "p"}, "3" }), Wish{AllowReplace: true}},
		"stack changed": {cluster3, all(func(s *Seen) { s.StacksWanted["web"] = "2" }), Wish{}},
		"stack gone":    {cluster3, all(func(s *Seen) { s.StacksGone = map[string]bool{"web": true} }), Wish{}},
		"leave":         {"name: p\nmachines: {a: {driver: d, names: [m1]}}", with("m1", func(m *Machine) { m.Group = "a" }), Wish{}},
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	all := plans()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		p := all[name]
		s, err := Parse(source(p.text))
		if err != nil {
			t.Fatal(err)
		}
		steps, err := Plan(s, p.seen, p.wish)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		fmt.Fprintf(&b, "# %s (drift %v, idle %v)\n%s\n", name, steps.Drift(), steps.Idle(), steps)
	}
	golden(t, "plans.txt", b.String())
}

func TestPlanRefuses(t *testing.T) {
	t.Parallel()
	s, err := Parse(source(cluster3))
	if err != nil {
		t.Fatal(err)
	}
	other := Seen{Machines: map[string]Machine{"m1": {Project: "q", Phase: Ready}}}
	if _, err := Plan(s, other, Wish{}); !errors.Is(err, ErrOwned) || err.Error() != "c.yaml:5:3: machine belongs to another project: m1 is of project q" {
		t.Errorf("Got %v", err)
	}
	elsewhere := Seen{SwarmExists: true, Machines: map[string]Machine{"m1": {Project: "p", Group: "manager", Phase: Ready, Swarm: "s"}}}
	if _, err := Plan(s, elsewhere, Wish{}); !errors.Is(err, ErrOwned) || !strings.Contains(err.Error(), "m1 is in swarm s, not p") {
		t.Errorf("Got %v", err)
	}
	s.Swarm.DataPathPort = 7789
	if _, err := Plan(s, Seen{SwarmExists: true, DataPathPort: 4789}, Wish{}); !errors.Is(err, ErrFile) {
		t.Errorf("Got %v", err)
	}
}

func TestPlanDown(t *testing.T) {
	t.Parallel()
	got := PlanDown("p", map[string]Machine{"m": {Role: Manager}, "w2": {Role: Worker}, "w1": {Role: Worker}, "z": {}}, []string{"b", "a"}).String()
	golden(t, "down.txt", got)
	if got := PlanDown("p", nil, nil); !got.Idle() || got.String() != "p: nothing to do\n" {
		t.Errorf("Got %q", got)
	}
}
