package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"strings"
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
