package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// MatchMembers returns the machines that are members of swarms and match filters: those of ListRequest, and role=manager,
// role=worker and node.label=KEY=VALUE, which go by the records.
func (m *Manager) MatchMembers(ctx context.Context, filters []string) ([]string, error) {
	var roles, labels, others []string
	for _, f := range filters {
		key, value, _ := strings.Cut(f, "=")
		switch key {
		case "role":
			if value != "manager" && value != "worker" {
				return nil, fmt.Errorf("%w: filter %q: a role is manager or worker", ErrUsage, f)
			}
			roles = append(roles, value)
		case "node.label":
			if !strings.Contains(value, "=") {
				return nil, fmt.Errorf("%w: filter %q: a label is key=value", ErrUsage, f)
			}
			labels = append(labels, value)
		default:
			others = append(others, f)
		}
	}
	names, err := m.Match(ctx, others)
	return slices.DeleteFunc(names, func(name string) bool {
		rec, err := m.Store.Get(name)
		return err != nil || rec.Swarm.Name == "" || len(roles) > 0 && !slices.Contains(roles, rec.Swarm.Role) ||
			len(labels) > 0 && !slices.ContainsFunc(labels, func(l string) bool { return slices.Contains(rec.HostOptions.SwarmOptions.Labels, l) })
	}), err
}

// SwarmMachines returns the machines that have a role in a swarm: manager, worker, leader or all. name is a swarm, a machine,
// or empty for the only swarm. A manager is asked; when none answers the records tell, and they know no leader. Nodes that
// are no machines of the store are noted.
func (m *Manager) SwarmMachines(ctx context.Context, name, role string) ([]string, error) {
	c, err := m.findCluster(name)
	if err != nil {
		return nil, err
	}
	members, err := m.askMembers(ctx, c)
	if err != nil && role == "leader" {
		return nil, err
	}
	var names []string
	if err != nil {
		m.Note(ctx, "roles are those of the records: "+err.Error())
		for machine, member := range c.Members {
			if role == "all" || role == member.Role {
				names = append(names, machine)
			}
		}
		slices.Sort(names)
		return names, nil
	}
	for _, n := range members {
		machine := machineOf(c, n.ID)
		switch {
		case role == "leader" && !n.Leader, role != "leader" && role != "all" && role != string(n.Role):
		case machine == "":
			m.Note(ctx, fmt.Sprintf("node %s (%s) is no machine of this store", n.Hostname, n.ID))
		default:
			names = append(names, machine)
		}
	}
	slices.Sort(names)
	return names, nil
}

// askMembers asks a manager that answers for the nodes of a swarm.
func (m *Manager) askMembers(ctx context.Context, c store.Cluster) ([]swarmboot.Member, error) {
	eng, _, err := m.aManager(ctx, c, "")
	if err != nil {
		return nil, err
	}
	defer eng.close()
	ctx, cancel := within(ctx, 0, askDeadline, "ask a manager for the nodes of swarm "+c.Name)
	defer cancel()
	members, err := swarmboot.Members(ctx, eng)
	if err != nil {
		return nil, fmt.Errorf("ask swarm %q: %w", c.Name, err)
	}
	return members, nil
}
