package swarmboot

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
)

// join notes that a node has to be brought in.
func (p *planner) join(n Node, reset bool) {
	kind := kindJoinWorker
	if n.Role == Manager {
		kind = kindJoinManager
	}
	p.joins = append(p.joins, Action{Kind: kind, Node: n, Reset: reset, Replaces: p.former(n)})
}

// former returns the ids that a host had in the swarm before, when it left or was made anew without being
// removed: nodes that are down, of its name and at its address, and the one of a join that failed, which may
// never have come to have a name. A manager among them would count for the quorum.
func (p *planner) former(n Node) []string {
	name, host := p.seen[n.Name].Hostname, hostOf(n.Advertise)
	used := make(map[string]bool)
	for _, s := range p.seen {
		used[s.NodeID] = true
	}
	var ids []string
	for id, m := range p.members {
		namesake := name != "" && host != "" && m.State == "down" && m.Hostname == name && m.Addr == host && !used[id]
		if namesake || id == n.Former && m.State != "ready" {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// hostOf is an address without port.
func hostOf(addr string) string {
	if h, _, err := net.SplitHostPort(addr); err == nil {
		return h
	}
	return addr
}

// update notes what has to change at a node that is in the swarm.
func (p *planner) update(n Node, m Member) {
	var changes []string
	switch {
	case n.Role == m.Role:
	case n.Role == Manager:
		changes = append(changes, "promote to manager")
	default:
		changes = append(changes, "demote to worker")
	}
	if n.Availability != "" && n.Availability != m.Availability {
		changes = append(changes, "availability "+m.Availability+" to "+n.Availability)
	}
	for _, k := range slices.Sorted(maps.Keys(n.Labels)) {
		if v, ok := m.Labels[k]; !ok || v != n.Labels[k] {
			changes = append(changes, "label "+k+"="+n.Labels[k])
		}
	}
	if len(changes) > 0 {
		p.updates = append(p.updates, Action{Kind: kindUpdate, Node: n, NodeID: m.ID, Changes: changes})
	}
}

// weight orders actions: managers before workers, promotions before plain updates before demotions.
func (p *planner) weight(a Action) int {
	if a.Kind == kindJoinWorker {
		return 1
	}
	if a.Kind != kindUpdate {
		return 0
	}
	switch was := p.members[a.NodeID].Role; {
	case was == a.Node.Role:
		return 3
	case was == Worker:
		return 2
	default:
		return 4
	}
}

func (p *planner) actions() ([]Action, error) {
	todo := append(p.joins, p.updates...)
	slices.SortStableFunc(todo, func(a, b Action) int { return p.weight(a) - p.weight(b) })
	if len(todo) == 0 {
		return nil, nil
	}
	via := p.managers
	if p.id == "" {
		if todo[0].Kind != kindJoinManager {
			return nil, fmt.Errorf("%w: a new swarm needs a manager among its nodes", ErrNoManager)
		}
		todo[0].Kind = kindInit
		todo[0].Pool = p.want.AddrPool
		todo[0].SubnetSize = p.want.SubnetSize
		todo[0].DataPathPort = p.want.DataPathPort
		todo[0].CertExpiry = p.want.CertExpiry
		if err := p.takesDataPath(todo[0].Node.Name); err != nil {
			return nil, err
		}
	}
	for i := range todo {
		a := &todo[i]
		if a.Kind == kindUpdate {
			a.Via = others(via, a.Node.Name)
			if a.Node.Role == Manager && slices.Contains(via, a.Node.Name) {
				a.Via = append(a.Via, a.Node.Name)
			}
			if a.Node.Role == Manager && !slices.Contains(via, a.Node.Name) {
				via = append(slices.Clip(via), a.Node.Name)
			}
			continue
		}
		a.Via = slices.Clone(via)
		if a.Kind == kindInit || a.Kind == kindJoinManager {
			via = append(slices.Clip(via), a.Node.Name)
		}
	}
	return todo, nil
}

// others returns names without name: a node that is demoted cannot see it through.
func others(names []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(s string) bool { return s == name })
}

// checkAddresses finds advertise addresses that cannot work before an engine takes them.
func (p *planner) checkAddresses() []error {
	var errs []error
	advice := "give the address that the other nodes reach the machine at: --swarm-advertise-addr ADDRESS"
	others := len(p.members) > 0 || len(p.joins) > 1
	owner := make(map[string]string)
	for name, s := range p.seen {
		if _, ok := p.members[s.NodeID]; ok && s.Reachable && s.NodeAddr != "" {
			owner[s.NodeAddr] = name
		}
	}
	for _, a := range p.joins {
		n := a.Node
		if n.Advertise == "" {
			errs = append(errs, hint(fmt.Errorf("%w: %s", ErrAddress, n.Name), advice))
			continue
		}
		host := hostOf(n.Advertise)
		ip := net.ParseIP(host)
		switch {
		case ip == nil: // a name of an interface, for the engine to resolve
		case ip.IsUnspecified(), ip.IsMulticast():
			errs = append(errs, hint(fmt.Errorf("%w: %s: %s is no address of a host", ErrAddress, n.Name, host), advice))
		case ip.IsLoopback() && others:
			errs = append(errs, hint(fmt.Errorf("%w: %s: other nodes cannot reach %s", ErrAddress, n.Name, host), advice))
		case owner[host] != "":
			// The address of a NAT, as several virtual machines on one computer have it.
			errs = append(errs, hint(fmt.Errorf("%w: %s: %s is that of %s too", ErrAddress, n.Name, host, owner[host]), advice))
		default:
			owner[host] = n.Name
		}
	}
	return errs
}

// checkDemotions plays the updates and joins through on the list of members.
func (p *planner) checkDemotions() error {
	ms := slices.Collect(maps.Values(p.members))
	for _, a := range p.joins {
		if a.Kind == kindJoinManager {
			ms = append(ms, Member{ID: "joining " + a.Node.Name, Role: Manager, State: "ready", Reachability: "reachable"})
		}
	}
	set := func(id string, role Role) {
		for i := range ms {
			if ms[i].ID == id {
				ms[i].Role = role
				if role == Manager && ms[i].State == "ready" {
					ms[i].Reachability = "reachable"
				}
			}
		}
	}
	for _, a := range p.updates {
		if a.Node.Role == Manager {
			set(a.NodeID, Manager)
		}
	}
	var errs []error
	for _, a := range p.updates {
		if a.Node.Role == Manager || p.members[a.NodeID].Role != Manager {
			continue
		}
		if err := CheckRemoval(ms, a.NodeID); err != nil {
			errs = append(errs, fmt.Errorf("demote %s: %w", a.Node.Name, err))
			continue
		}
		if CountQuorum(ms).Managers == 1 {
			errs = append(errs, fmt.Errorf("demote %s: %w: it is the only manager", a.Node.Name, ErrQuorum))
			continue
		}
		set(a.NodeID, Worker)
	}
	return errors.Join(errs...)
}
