package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/hostsmith/machine/cmd/internal/cluster"
	"github.com/hostsmith/machine/store"
)

// DownRequest asks for the removal of all that belongs to a project.
type DownRequest struct {
	Project string

	// Agree is shown the plan and tells whether to act; nil: no.
	Agree func(cluster.Steps) (bool, error)
}

// Down removes the machines of a project, and its stacks before them. Where a swarm goes as a whole its quorum is no
// obstacle; one that others are in loses nobody if it cannot do without all of them.
func (m *Manager) Down(ctx context.Context, req DownRequest) (cluster.Steps, error) {
	steps := cluster.Steps{Project: req.Project}
	recs, err := m.projectRecords(&cluster.Spec{Name: req.Project})
	if err != nil {
		return steps, err
	}
	clusters, err := m.Store.Clusters()
	if err != nil {
		m.Log.Warn("not all swarms can be read", "err", err)
	}
	stacks := map[string]string{} // to their swarms
	for _, c := range clusters {
		for name, s := range c.Stacks {
			if s.Project == req.Project {
				stacks[name] = c.Name
			}
		}
	}
	machines := map[string]cluster.Machine{}
	for name, rec := range recs {
		machines[name] = cluster.Machine{Project: rec.Project.Name, Group: rec.Project.Group, Role: rec.Swarm.Role}
	}
	steps = cluster.PlanDown(req.Project, machines, slices.Collect(maps.Keys(stacks)))
	if req.Agree == nil {
		return steps, nil
	}
	if yes, err := req.Agree(steps); err != nil || !yes {
		return steps, err
	}
	for _, s := range steps.Of(cluster.RemoveStack) {
		if err := m.removeStack(ctx, stacks[s.Name], s.Name); err != nil {
			if context.Cause(ctx) != nil {
				return steps, err
			}
			m.Note(ctx, err.Error()+"; its nodes are removed all the same")
		}
	}
	goes := stepNames(steps.Of(cluster.Remove))
	for _, c := range clusters {
		if err := m.dissolve(ctx, c, recs); err != nil {
			return steps, err
		}
	}
	_, err = m.Remove(ctx, RemoveRequest{Names: goes})
	return steps, err
}

// dissolve has all members leave a swarm, if all of them are to go: nobody is left to take anybody out in good order.
func (m *Manager) dissolve(ctx context.Context, c store.Cluster, leaving map[string]store.Record) error {
	for name := range c.Members {
		if _, ok := leaving[name]; !ok {
			return nil
		}
	}
	var members []string
	for name, rec := range leaving {
		if rec.Swarm.Name == c.Name {
			members = append(members, name)
		}
	}
	slices.Sort(members)
	return m.each(ctx, members, func(ctx context.Context, name string) error {
		return m.withLock(ctx, name, func(ctx context.Context, x *machine) error { return m.desert(ctx, x, c.Name) })
	})
}

// desert takes a machine out of a swarm that ends. An engine that does not answer ends with its host.
func (m *Manager) desert(ctx context.Context, x *machine, swarm string) (err error) {
	if x.rec.Swarm.Name != swarm {
		return nil
	}
	if eng, err := x.engine(ctx, nil); err == nil {
		left, cancel := within(ctx, 0, 30*time.Second, "leave the swarm")
		err = m.Step(left, "leave the swarm", func(ctx context.Context) error {
			err := eng.Do(ctx, http.MethodPost, "/swarm/leave?force=1", nil, nil)
			var answer *APIError
			if errors.As(err, &answer) {
				m.Log.Info("leave", "machine", x.rec.Name, "answer", answer.Text) // it is in none
				return nil
			}
			return err
		})
		cancel()
		eng.close()
		if err != nil && context.Cause(ctx) == nil {
			m.Note(ctx, "did not leave the swarm: "+err.Error())
		} else if err != nil {
			return err
		}
	}
	txn, c, err := m.lockCluster(ctx, swarm)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, txn.Close()) }()
	if err := strike(txn, c, x.rec.Name); err != nil {
		return fmt.Errorf("leave swarm %q: %w", swarm, err)
	}
	x.rec.Swarm = store.Swarm{}
	x.rec.HostOptions.SwarmOptions = SwarmOptions{}
	return x.put()
}
