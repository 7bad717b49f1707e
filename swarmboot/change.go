package swarmboot

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Verb is what shall be done with a node that a swarm has.
type Verb string

// The verbs. Leaving is for a node that the swarm lets go in good order, striking for one that it only lists.
const (
	VerbPromote  Verb = "promote"
	VerbDemote   Verb = "demote"
	VerbDrain    Verb = "drain"
	VerbPause    Verb = "pause"
	VerbActivate Verb = "activate"
	VerbLabel    Verb = "label"
	VerbLeave    Verb = "leave"
	VerbStrike   Verb = "strike"
)

// Wish asks for a change of one node.
type Wish struct {
	Verb  Verb
	Name  string            // what people call the node: its machine's name
	ID    string            // of the node
	Set   map[string]string // of VerbLabel
	Unset []string          // of VerbLabel: keys
	Left  int               // of VerbDrain: tasks that an earlier drain has not found another place for
	Force bool              // of VerbStrike: also a node that is ready
}

// Change is a wish that is not fulfilled yet.
type Change struct {
	Wish
	Was   Member
	After Quorum // of the managers once it is done; zero: their number stays
}

// ChangePlan is what is to be done, in order, and what a person should know of it.
type ChangePlan struct {
	Changes  []Change
	Warnings []string
}

// String renders the change for a dry run.
func (c Change) String() string {
	text := c.what()
	if c.After != (Quorum{}) {
		text += "; then " + c.After.String()
	}
	return text
}

func tasks(n int) string {
	if n == 1 {
		return "1 task"
	}
	return fmt.Sprintf("%d tasks", n)
}

func (c Change) what() string {
	switch c.Verb {
	case VerbPromote:
		return "promote " + c.Name + " to manager"
	case VerbDemote:
		if c.Was.Leader {
			return "demote " + c.Name + " to worker, after another manager has taken over the lead"
		}
		return "demote " + c.Name + " to worker"
	case VerbDrain:
		if c.Was.Availability == drain {
			return fmt.Sprintf("wait for %s of %s, which is drained", tasks(c.Left), c.Name)
		}
		return fmt.Sprintf("drain %s, which runs %s", c.Name, tasks(c.Was.Tasks))
	case VerbPause:
		return "pause " + c.Name + ", which was " + c.Was.Availability
	case VerbActivate:
		return "activate " + c.Name + ", which was " + c.Was.Availability
	case VerbLabel:
		var words []string
		if set := labels(c.Set); set != "" {
			words = append(words, set)
		}
		for _, k := range c.Unset {
			words = append(words, k+"-")
		}
		return "label " + c.Name + ": " + strings.Join(words, " ")
	case VerbLeave:
		return "take " + string(c.Was.Role) + " " + c.Name + " out of the swarm: " + c.parting("let it leave, ")
	case VerbStrike:
		return "take " + string(c.Was.Role) + " " + c.Name + " (" + c.ID + ", " + c.Was.State + ") off the list: " + c.parting("")
	}
	return string(c.Verb) + " " + c.Name
}

// parting is how a node is taken out.
func (c Change) parting(leave string) string {
	if c.Was.Role == Manager {
		return "drain and demote it, " + leave + "remove it"
	}
	return "drain it, " + leave + "remove it"
}

// String is the arithmetic of a quorum.
func (q Quorum) String() string {
	fate := fmt.Sprintf("%d may be lost", q.Lost())
	if q.Lost() < 0 {
		fate = "the quorum is lost"
	}
	return fmt.Sprintf("%d of %d managers reachable, %d needed, %s", q.Reachable, q.Managers, q.Needed, fate)
}

// even is why an even number of managers is no better than one less; empty: the number is odd, or there is none.
func (q Quorum) even() string {
	if q.Managers == 0 || q.Managers%2 == 1 {
		return ""
	}
	losses := fmt.Sprintf("%d losses", q.Managers-q.Needed)
	switch q.Managers {
	case 2:
		losses = "no loss"
	case 4:
		losses = "1 loss"
	}
	who := fmt.Sprintf("%d do", q.Managers-1)
	if q.Managers == 2 {
		who = "1 does"
	}
	return fmt.Sprintf("%d managers tolerate %s, as %s: %d of them are needed; an odd number is better",
		q.Managers, losses, who, q.Needed)
}

// PlanChanges decides in which order nodes are changed, and whether the swarm can bear it all: promotions come first;
// of those that stop being managers or leave, workers before managers, those that do not answer before those that do, and
// the leader last. What is fulfilled already is left out.
//
// Errors, joined if there are several: ErrQuorum with the arithmetic, ErrNoNode (the swarm does not list it), ErrNode (one that
// is to be promoted does not answer), ErrReady (one that is to be struck off the list is in service).
func PlanChanges(wishes []Wish, members []Member) (ChangePlan, error) {
	p := changing{ms: slices.Clone(members)}
	todo := make([]Change, 0, len(wishes))
	var errs []error
	for _, w := range wishes {
		i := slices.IndexFunc(members, func(m Member) bool { return m.ID == w.ID })
		switch {
		case i < 0 && (w.Verb == VerbLeave || w.Verb == VerbStrike): // whoever takes it out finds that it is out
			todo = append(todo, Change{Wish: w, Was: Member{ID: w.ID, Role: Worker, State: "not listed"}})
		case i < 0:
			errs = append(errs, hint(fmt.Errorf("%w: %s (%s)", ErrNoNode, w.Name, w.ID),
				"machine swarm leave "+w.Name+" forgets what is recorded of it, machine swarm join "+w.Name+" brings it back"))
		default:
			todo = append(todo, Change{Wish: w, Was: members[i]})
		}
	}
	slices.SortStableFunc(todo, func(a, b Change) int { return a.weight() - b.weight() })
	var plan ChangePlan
	for _, c := range todo {
		needed, err := p.change(&c)
		if err != nil {
			errs = append(errs, err)
		} else if needed {
			plan.Changes = append(plan.Changes, c)
		}
	}
	if len(errs) > 0 {
		return ChangePlan{}, errors.Join(errs...)
	}
	plan.Warnings = p.warnings(members, plan.Changes)
	return plan, nil
}

// weight orders changes.
func (c Change) weight() int {
	switch {
	case c.Verb == VerbPromote:
		return 0
	case c.Verb != VerbDemote && c.Verb != VerbLeave && c.Verb != VerbStrike:
		return 1
	case !c.Was.votes():
		return 2
	case c.Was.Reachability != "reachable":
		return 3
	case !c.Was.Leader:
		return 4
	}
	return 5
}

// changing plays changes through on the list of members.
type changing struct{ ms []Member }

func (p *changing) at(id string) *Member {
	i := slices.IndexFunc(p.ms, func(m Member) bool { return m.ID == id })
	if i < 0 {
		return &Member{}
	}
	return &p.ms[i]
}

// change plays one change through. It reports whether there is anything to do.
func (p *changing) change(c *Change) (needed bool, err error) {
	before, m := CountQuorum(p.ms), p.at(c.ID)
	switch c.Verb {
	case VerbPromote:
		if m.votes() {
			return false, nil
		}
		if m.State != "ready" {
			return false, fmt.Errorf("promote %s: %w: it is %s, and would count without answering: %d of %d managers reachable, %d needed",
				c.Name, ErrNode, m.State, before.Reachable, before.Managers+1, (before.Managers+1)/2+1)
		}
		m.Role, m.Reachability = Manager, "reachable"
	case VerbDemote:
		if m.Role != Manager && m.Reachability == "" {
			return false, nil
		}
		if err := p.demotable(*m); err != nil {
			return false, fmt.Errorf("demote %s: %w", c.Name, err)
		}
		m.Role, m.Reachability = Worker, ""
	case VerbDrain, VerbPause, VerbActivate:
		want := map[Verb]string{VerbDrain: drain, VerbPause: pause, VerbActivate: active}[c.Verb]
		needed = m.Availability != want || c.Left > 0
		m.Availability = want
		return needed, nil
	case VerbLabel:
		c.Set, c.Unset = relabel(*m, c.Set, c.Unset)
		return len(c.Set)+len(c.Unset) > 0, nil
	case VerbLeave, VerbStrike:
		if c.Verb == VerbStrike && !m.gone() && !c.Force {
			return false, hint(fmt.Errorf("%w: %s (%s) is %s", ErrReady, c.Name, c.ID, m.State),
				"machine swarm leave "+c.Name+" takes a machine out in good order; --force removes a node all the same")
		}
		if err := CheckRemoval(p.ms, c.ID); err != nil {
			return false, fmt.Errorf("%s: %w", c.Name, err)
		}
		p.ms = slices.DeleteFunc(p.ms, func(m Member) bool { return m.ID == c.ID })
	default:
		return false, fmt.Errorf("change %s: unknown verb %q", c.Name, c.Verb)
	}
	if after := CountQuorum(p.ms); after.Managers != before.Managers && after.Managers > 0 {
		c.After = after
	}
	return true, nil
}

// gone: the managers have not heard of the node for longer than it may be silent, or do not list it. One that is unknown may
// answer the next moment: the leader is new.
func (m Member) gone() bool { return m.ID == "" || m.State == "down" || m.State == "disconnected" }

func (p *changing) demotable(m Member) error {
	if m.votes() && CountQuorum(p.ms).Managers == 1 {
		return hint(fmt.Errorf("%w: it is the only manager", ErrQuorum), "promote another node first")
	}
	return CheckRemoval(p.ms, m.ID)
}

// relabel returns what of a change of labels is not so yet.
func relabel(m Member, set map[string]string, unset []string) (map[string]string, []string) {
	set = maps.Clone(set)
	maps.DeleteFunc(set, func(k, v string) bool { old, ok := m.Labels[k]; return ok && old == v })
	return set, slices.DeleteFunc(slices.Clone(unset), func(k string) bool { _, ok := m.Labels[k]; return !ok })
}

// warnings are what a person should know before the changes are made.
func (p *changing) warnings(before []Member, changes []Change) []string {
	var out []string
	was, is := CountQuorum(before), CountQuorum(p.ms)
	if text := is.even(); text != "" && is.Managers != was.Managers {
		out = append(out, text)
	}
	drains := slices.ContainsFunc(changes, func(c Change) bool { return c.Verb == VerbDrain || c.Verb == VerbPause })
	free := slices.ContainsFunc(p.ms, func(m Member) bool { return m.State == "ready" && m.Availability == active })
	if drains && !free {
		out = append(out, "no active node is left: services get no new tasks until one is activated")
	}
	return out
}

// FindNode returns the node that word means: its id, a unique beginning of it with four letters at least, or its hostname;
// machine is the id of the machine of that name, if there is one. ErrNoNode, or ErrAmbiguous with the ids.
func FindNode(ms []Member, word, machine string) (Member, error) {
	var found []Member
	for _, m := range ms {
		if m.ID == word {
			return m, nil
		}
		if m.Hostname == word || m.ID == machine || len(word) >= 4 && strings.HasPrefix(m.ID, word) {
			found = append(found, m)
		}
	}
	switch len(found) {
	case 0:
		return Member{}, fmt.Errorf("%w: %s", ErrNoNode, word)
	case 1:
		return found[0], nil
	}
	ids := make([]string, len(found))
	for i, m := range found {
		ids[i] = fmt.Sprintf("%s (%s %s at %s)", m.ID, m.State, m.Role, orElse(m.Addr, "no address"))
	}
	return Member{}, hint(fmt.Errorf("%w: %s: %s", ErrAmbiguous, word, strings.Join(ids, ", ")), "name the node by its id")
}
