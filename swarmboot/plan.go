package swarmboot

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
)

// Plan decides what to do so that want holds. seen has an entry for each node of want
// and for existing managers. Order: init, further managers one by one, workers, then
// updates of nodes that are in the swarm already, promotions first and demotions last. It
// returns no action for what holds already.
//
// Without an ID the swarm is a new one; but a swarm of which every node is in want is taken for this
// one, because an Apply that was interrupted leaves just that. A node that is not reachable fails the
// plan unless its NodeID is given and a manager lists it.
//
// Errors, joined if there are several: ErrForeign (a node belongs to another swarm), ErrNoManager
// (no manager answers), ErrNoLeader, ErrLocked, ErrAddress (no advertise address, or a useless one), ErrQuorum
// (a demotion would lose it), ErrDataPath (an existing swarm has another port), ErrNode (a node does not answer),
// ErrState.
func Plan(want Swarm, seen map[string]Seen) ([]Action, error) {
	if err := valid(want); err != nil {
		return nil, err
	}
	p := planner{want: want, seen: seen, id: want.ID}
	if err := p.findSwarm(); err != nil {
		return nil, err
	}
	var errs []error
	for _, n := range want.Nodes {
		if err := p.place(n); err != nil {
			errs = append(errs, err)
		}
	}
	errs = append(errs, p.checkAddresses()...)
	if err := p.checkDataPath(); err != nil {
		errs = append(errs, err)
	}
	if err := p.checkDemotions(); err != nil {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return p.actions()
}

func valid(want Swarm) error {
	names := make(map[string]bool)
	for _, n := range want.Nodes {
		switch {
		case n.Name == "":
			return errors.New("plan swarm: a node has no name")
		case names[n.Name]:
			return fmt.Errorf("plan swarm: node %q is given twice", n.Name)
		case n.Role != Manager && n.Role != Worker:
			return fmt.Errorf("plan swarm: node %q: unknown role %q", n.Name, n.Role)
		case n.Availability != "" && !slices.Contains([]string{active, pause, drain}, n.Availability):
			return fmt.Errorf("plan swarm: node %q: unknown availability %q", n.Name, n.Availability)
		}
		names[n.Name] = true
	}
	return nil
}

// planner holds what Plan has found out so far.
type planner struct {
	want     Swarm
	seen     map[string]Seen
	id       string            // of the swarm; empty: it is to be made
	managers []string          // names of managers that take orders
	members  map[string]Member // of the swarm by node id
	addrs    map[string]bool   // of the swarm's managers
	joins    []Action
	updates  []Action
}

// findSwarm settles which swarm it is and who gives orders in it.
func (p *planner) findSwarm() error {
	p.members = make(map[string]Member)
	p.addrs = make(map[string]bool)
	if p.id == "" {
		id, err := p.interrupted()
		if id == "" || err != nil {
			return err
		}
		p.id = id
	}
	for _, name := range slices.Sorted(maps.Keys(p.seen)) {
		s := p.seen[name]
		if !s.manages() || s.ClusterID != p.id {
			continue
		}
		p.managers = append(p.managers, name)
		for _, m := range s.Nodes {
			p.members[m.ID] = m
		}
		for _, a := range s.Managers {
			p.addrs[a] = true
		}
	}
	if len(p.managers) == 0 {
		return p.noManager()
	}
	return nil
}

// interrupted returns the id of the swarm that an earlier, interrupted Apply made of the nodes wanted.
func (p *planner) interrupted() (string, error) {
	var found, owner string
	ours := make(map[string]bool)
	for _, n := range p.want.Nodes {
		s := p.seen[n.Name]
		ours[s.NodeID] = true
		if s.ClusterID == "" {
			continue
		}
		if found != "" && s.ClusterID != found {
			return "", hint(fmt.Errorf("%w: %s is in swarm %s, %s in swarm %s", ErrForeign, owner, found, n.Name, s.ClusterID),
				"name the swarm to use, and let the nodes of the other one leave it first")
		}
		found, owner = s.ClusterID, n.Name
	}
	if found == "" {
		return "", nil
	}
	for _, m := range p.seen[owner].Nodes {
		if !ours[m.ID] {
			return "", hint(fmt.Errorf("%w: %s is in swarm %s with %s", ErrForeign, owner, found, m.Hostname),
				"use that swarm by its id, or let "+owner+" leave it first")
		}
	}
	return found, nil
}

// noManager says of each host that could have given orders why it does not.
func (p *planner) noManager() error {
	joining := make(map[string]bool)
	for _, n := range p.want.Nodes {
		s := p.seen[n.Name]
		joining[n.Name] = s.Reachable && s.State == "inactive"
	}
	sentinel, advice := ErrNoManager, "start a manager of the swarm, or name the managers that are left"
	var why []string
	for _, name := range slices.Sorted(maps.Keys(p.seen)) {
		s := p.seen[name]
		switch {
		case joining[name]:
			continue
		case !s.Reachable:
			why = append(why, name+": "+orElse(s.Err, "does not answer"))
		case s.State == "locked":
			sentinel, advice = ErrLocked, "machine swarm unlock "+name
			why = append(why, name+": locked")
		case s.Control && len(s.Nodes) == 0:
			if !errors.Is(sentinel, ErrLocked) {
				sentinel, advice = ErrNoLeader, "start managers again until more than half of them answer; if too few come back: machine swarm recover "+p.want.Name
			}
			why = append(why, name+": "+orElse(strings.TrimPrefix(s.Err, ErrNoLeader.Error()+": "), "a manager without a leader"))
		case s.ClusterID != "" && s.ClusterID != p.id:
			why = append(why, name+": is in swarm "+s.ClusterID)
		case s.State == "active":
			why = append(why, name+": is a worker")
		case s.State == "inactive":
			why = append(why, name+": is in no swarm")
		default:
			why = append(why, name+": "+strings.TrimSuffix(s.State+": "+s.Err, ": "))
		}
	}
	if len(why) == 0 {
		why = append(why, "none is known")
	}
	return hint(fmt.Errorf("%w: swarm %s: %s", sentinel, p.swarmName(), strings.Join(why, "; ")), advice)
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func (p *planner) swarmName() string {
	if p.want.Name != "" && p.id != "" {
		return p.want.Name + " (" + p.id + ")"
	}
	return p.want.Name + p.id
}

// place decides for one node: it joins, is updated, is fine, or cannot be used.
func (p *planner) place(n Node) error {
	s, known := p.seen[n.Name]
	alive := !s.Reachable || s.State == "active" || s.State == "pending" // pending: it reconnects
	if m, ok := p.members[s.NodeID]; ok && s.NodeID != "" && alive {
		p.update(n, m)
		return nil
	}
	switch {
	case !known:
		return fmt.Errorf("%w: %s: not asked", ErrNode, n.Name)
	case !s.Reachable:
		return fmt.Errorf("%w: %s: %s", ErrNode, n.Name, orElse(s.Err, "no reason given"))
	case s.State == "locked":
		return hint(fmt.Errorf("%w: %s", ErrLocked, n.Name), "machine swarm unlock "+n.Name)
	case s.State == "inactive":
		p.join(n, false)
		return nil
	case s.State == "pending" && len(s.Managers) == 0, s.State == "error" && n.Former != "", p.left(s):
		p.join(n, true)
		return nil
	case s.State == "pending":
		return p.foreign(n, s)
	case s.State == "active":
		return p.foreign(n, s)
	case s.State == "":
		return fmt.Errorf("%w: %s: its engine (version %s) has no Swarm mode", ErrState, n.Name, orElse(s.Version, "unknown"))
	default:
		return hint(fmt.Errorf("%w: %s: %s", ErrState, n.Name, strings.Trim(s.State+": "+s.Err, ": ")),
			"look at docker info on "+n.Name+"; docker swarm leave --force there makes it free")
	}
}

// left reports whether a node is one that the swarm does not have, but that knows no other: a join
// that never ended, or a member that was struck off the list while it was away.
func (p *planner) left(s Seen) bool {
	if s.State != "active" && s.State != "pending" || s.manages() {
		return false
	}
	known := false
	for _, a := range s.Managers {
		h, _, err := net.SplitHostPort(a)
		if err == nil && h == s.NodeAddr {
			continue // a former manager knows itself
		}
		if !p.addrs[a] {
			return false
		}
		known = true
	}
	return known
}

// foreign names both swarms. Workers do not know the id of theirs, so it is told by another
// manager that lists the node or, failing that, by its managers' addresses.
func (p *planner) foreign(n Node, s Seen) error {
	theirs := s.ClusterID
	for _, name := range slices.Sorted(maps.Keys(p.seen)) {
		for _, m := range p.seen[name].Nodes {
			if theirs == "" && s.NodeID != "" && m.ID == s.NodeID {
				theirs = p.seen[name].ClusterID
			}
		}
	}
	switch {
	case theirs != "":
		theirs = "swarm " + theirs
	case len(s.Managers) > 0:
		theirs = "the swarm of " + strings.Join(s.Managers, ", ")
	default:
		theirs = "a swarm of unknown id"
	}
	verb := "is in"
	if s.State == "pending" {
		verb = "is joining"
	}
	return hint(fmt.Errorf("%w: %s %s %s, not %s", ErrForeign, n.Name, verb, theirs, orElse(p.swarmName(), "a new one")),
		"let "+n.Name+" leave its swarm first, if nothing there needs it")
}
