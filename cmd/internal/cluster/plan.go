package cluster

import (
	"fmt"
	"maps"
	"slices"
)

// Seen is what exists, as far as a file is about it.
type Seen struct {
	Machines     map[string]Machine
	SwarmExists  bool              // it is recorded
	SwarmSilent  string            // why the swarm could not be asked; empty: it was, or there is none
	DataPathPort int               // of the swarm; 0: not known
	Stacks       map[string]string // deployed by this project: what of, by name
	StacksWanted map[string]string // what the file's stacks would be deployed of, by name
	StacksGone   map[string]bool   // stacks deployed of which the swarm has no service
}

// Machine is a machine of the store.
type Machine struct {
	Project, Group string
	Phase          Phase
	State          State
	Replace        []string // how it differs from its group where only another machine helps
	Change         []string // how it differs where provisioning helps
	Version        string   // of its engine
	VersionDiffers bool     // from what its group asks for

	Swarm        string            // it is recorded as a member of
	Role         string            // in the swarm; empty: the swarm does not have it
	Availability string            // in the swarm
	Labels       map[string]string // in the swarm
	OurLabels    []string          // labels that were set for a file before
}

// Phase is how far a machine is made.
type Phase int

// The phases of a machine.
const (
	Unfinished Phase = iota
	Ready
	Removing
)

// State is what the provider says of a machine.
type State int

// The states of a machine.
const (
	Running State = iota // or not known, which is nothing to act on
	Stopped
	Gone
)

// Wish is what the steps that destroy something may do.
type Wish struct{ AllowReplace, Prune bool }

// Plan decides what makes a file true. It is the order of things that it returns: kinds one after another, managers before
// workers, and of what goes, workers before managers. Where nothing differs there is no step. Errors: ErrOwned, and an
// *Error at the group's place.
func Plan(s *Spec, seen Seen, wish Wish) (Steps, error) {
	p := &planner{spec: s, seen: seen, wish: wish, out: Steps{Project: s.Name, Steps: []Step{}}}
	if seen.DataPathPort != 0 && s.Swarm.DataPathPort != 0 && seen.DataPathPort != s.Swarm.DataPathPort {
		return p.out, s.At(Pos{}, fmt.Errorf("%w: swarm %s has data path port %d for good, not %d", ErrFile, s.Swarm.Name, seen.DataPathPort, s.Swarm.DataPathPort))
	}
	p.newSwarm = s.Swarm.Name != "" && !seen.SwarmExists
	managers := 0
	for _, role := range []string{Manager, Worker, None} {
		for _, g := range s.Groups {
			if g.Role != role {
				continue
			}
			if err := p.group(g); err != nil {
				return p.out, err
			}
			if role == Manager {
				managers += len(g.Names)
			}
		}
	}
	p.stacks()
	p.orphans()
	p.sort()
	if managers > 0 && managers%2 == 0 {
		p.out.Notes = append(p.out.Notes, fmt.Sprintf("%d managers tolerate no more losses than %d; an odd number is better", managers, managers-1))
	}
	if seen.SwarmSilent != "" {
		p.out.Notes = append(p.out.Notes, "the swarm was not asked: "+seen.SwarmSilent+"; what differs there is seen by the next up")
	}
	return p.out, nil
}

type planner struct {
	spec     *Spec
	seen     Seen
	wish     Wish
	newSwarm bool // until a machine was found to begin it on
	out      Steps
}

func (p *planner) add(s Step) {
	s.Held = s.Needs == AllowReplace && !p.wish.AllowReplace || s.Needs == Prune && !p.wish.Prune
	p.out.Steps = append(p.out.Steps, s)
}

func (p *planner) group(g Group) error {
	for _, name := range g.Names {
		if err := p.machine(g, name); err != nil {
			return err
		}
	}
	return nil
}

// machine decides for one machine of a group.
func (p *planner) machine(g Group, name string) error {
	m, exists := p.seen.Machines[name]
	member := func(kind Kind, why ...string) {
		p.add(Step{Kind: kind, Name: name, Group: g.Name, Role: g.Role, Why: why})
	}
	switch {
	case !exists:
		member(Create, "driver "+g.Driver)
		p.join(g, name)
		return nil
	case m.Project != "" && m.Project != p.spec.Name:
		return p.spec.At(g.Pos, fmt.Errorf("%w: %s is of project %s", ErrOwned, name, m.Project))
	case m.Project == "" || m.Group != g.Name:
		p.add(Step{Kind: Adopt, Name: name, Group: g.Name})
	}
	switch {
	case m.Phase == Removing:
		member(Replace, "its removal has begun")
		return nil
	case m.State == Gone && m.Phase == Ready:
		p.add(Step{Kind: Replace, Name: name, Group: g.Name, Role: g.Role, Why: []string{"the provider no longer has it"}, Needs: AllowReplace})
		return nil
	case len(m.Replace) > 0:
		p.add(Step{Kind: Replace, Name: name, Group: g.Name, Role: g.Role, Why: m.Replace, Needs: AllowReplace})
		return nil
	case m.Phase == Unfinished:
		member(Create, "continue an unfinished create")
		p.join(g, name)
		return nil
	case m.State == Stopped:
		member(Start)
	}
	p.engine(g, name, m)
	return p.membership(g, name, m)
}

// join brings a machine into the swarm that is in none.
func (p *planner) join(g Group, name string) {
	switch {
	case g.Role == None:
	case p.newSwarm:
		p.newSwarm = false
		p.add(Step{Kind: Init, Name: name, Group: g.Name, Role: g.Role, Why: []string{"new swarm " + p.spec.Swarm.Name}})
	default:
		p.add(Step{Kind: Join, Name: name, Group: g.Name, Role: g.Role, Why: []string{"swarm " + p.spec.Swarm.Name + " as " + g.Role}})
	}
}

// membership decides on a machine's place in the swarm.
func (p *planner) membership(g Group, name string, m Machine) error {
	switch {
	case g.Role == None && m.Swarm == "":
		return nil
	case g.Role == None:
		p.add(Step{Kind: Leave, Name: name, Group: g.Name, Why: []string{"swarm " + m.Swarm}, Needs: Prune})
		return nil
	case m.Swarm != "" && m.Swarm != p.spec.Swarm.Name:
		return p.spec.At(g.Pos, fmt.Errorf("%w: %s is in swarm %s, not %s", ErrOwned, name, m.Swarm, p.spec.Swarm.Name))
	case p.seen.SwarmSilent != "" && m.Swarm != "":
		return nil
	case m.Role == "":
		p.join(g, name)
		return nil
	case m.Role != g.Role:
		kind := Demote
		if g.Role == Manager {
			kind = Promote
		}
		p.add(Step{Kind: kind, Name: name, Group: g.Name, Role: g.Role, Why: []string{m.Role + " → " + g.Role}})
	}
	if why := p.labels(g, m); len(why) > 0 {
		p.add(Step{Kind: Label, Name: name, Group: g.Name, Role: g.Role, Why: why})
	}
	if g.Availability != "" && g.Availability != m.Availability {
		p.add(Step{Kind: Availability, Name: name, Group: g.Name, Role: g.Role, Why: []string{m.Availability + " → " + g.Availability}})
	}
	return nil
}

// labels tells by which labels a node differs. One that the file never had is left alone.
func (p *planner) labels(g Group, m Machine) []string {
	var why []string
	want := map[string]bool{}
	for _, l := range g.Labels {
		want[l.Key] = true
		now, has := m.Labels[l.Key]
		switch {
		case !has:
			why = append(why, "+"+l.String())
		case now != l.Value:
			why = append(why, fmt.Sprintf("%s: %s → %s", l.Key, now, l.Value))
		}
	}
	for _, k := range m.OurLabels {
		if _, has := m.Labels[k]; has && !want[k] {
			why = append(why, "-"+k)
		}
	}
	return why
}

// Dropped are the labels that a node is to lose.
func Dropped(g *Group, ours []string) []string {
	return slices.DeleteFunc(slices.Clone(ours), func(k string) bool {
		return slices.ContainsFunc(g.Labels, func(p Pair) bool { return p.Key == k })
	})
}

func (p *planner) engine(g Group, name string, m Machine) {
	if len(m.Change) > 0 {
		p.add(Step{Kind: Change, Name: name, Group: g.Name, Role: g.Role, Why: m.Change})
	}
	if m.VersionDiffers {
		p.add(Step{Kind: Upgrade, Name: name, Group: g.Name, Role: g.Role, Why: []string{m.Version + " → " + g.Engine.Version}})
	}
}

func (p *planner) stacks() {
	for _, s := range p.spec.Stacks {
		before, known := p.seen.Stacks[s.Name]
		why := ""
		switch {
		case !known:
			why = "new"
		case before != p.seen.StacksWanted[s.Name]:
			why = "its files, their variables or its options changed"
		case p.seen.StacksGone[s.Name]:
			why = "the swarm no longer has it"
		default:
			continue
		}
		p.add(Step{Kind: Deploy, Name: s.Name, Why: []string{why}})
	}
	for _, name := range slices.Sorted(maps.Keys(p.seen.Stacks)) {
		if !slices.ContainsFunc(p.spec.Stacks, func(s Stack) bool { return s.Name == name }) {
			p.add(Step{Kind: RemoveStack, Name: name, Why: []string{"the file no longer has it"}, Needs: Prune})
		}
	}
}

// orphans are the project's machines that the file no longer has.
func (p *planner) orphans() {
	for _, name := range slices.Sorted(maps.Keys(p.seen.Machines)) {
		m := p.seen.Machines[name]
		if m.Project == p.spec.Name && p.spec.Named(name) == nil {
			p.add(Step{Kind: Remove, Name: name, Group: m.Group, Role: m.Role, Why: []string{"the file no longer has it"}, Needs: Prune})
		}
	}
}

// sort puts steps in the order of kinds; of what goes, workers are before managers.
func (p *planner) sort() {
	var sorted []Step
	take := func(kind Kind, ok func(Step) bool) {
		for _, s := range p.out.Steps {
			if s.Kind == kind && ok(s) {
				sorted = append(sorted, s)
			}
		}
	}
	manages := func(s Step) bool { return s.Role == Manager }
	for _, kind := range order() {
		switch kind {
		case Remove, Leave, Change, Upgrade, Replace:
			take(kind, func(s Step) bool { return !manages(s) })
			take(kind, manages)
		default:
			take(kind, func(Step) bool { return true })
		}
	}
	p.out.Steps = append([]Step{}, sorted...)
}

// PlanDown is the plan of removing a project: its stacks, its workers, its managers.
func PlanDown(project string, machines map[string]Machine, stacks []string) Steps {
	p := &planner{out: Steps{Project: project, Steps: []Step{}}}
	for _, name := range slices.Sorted(slices.Values(stacks)) {
		p.add(Step{Kind: RemoveStack, Name: name})
	}
	for _, name := range slices.Sorted(maps.Keys(machines)) {
		m := machines[name]
		p.add(Step{Kind: Remove, Name: name, Group: m.Group, Role: m.Role})
	}
	p.sort()
	return p.out
}
