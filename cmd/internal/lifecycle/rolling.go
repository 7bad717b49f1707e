package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hostsmith/machine/swarmboot"
)

// rollout is what an upgrade that was interrupted has to know.
type rollout struct {
	Version string                     `json:",omitempty"` // that was asked for
	Force   bool                       `json:",omitempty"`
	Running map[string]int             `json:",omitempty"` // tasks of services that ran before, by the ids of services
	Updates map[string]json.RawMessage `json:",omitempty"` // update configurations to be put back, by the ids of services
	Saving  string                     `json:",omitempty"` // file that a backup was to be written to
	Saved   bool                       `json:",omitempty"` // it was
}

// rolling is a SwarmUpgrade at work. The locks of all machines and of the swarm are held.
type rolling struct {
	*holding
	req      SwarmUpgradeRequest
	auth     authority
	machines map[string]*machine
	outlooks map[string]outlook
	op       *operation[rollout]
	from     map[string]string // engines before, by machine
	backedUp *BackupResult
}

// openRolling takes the locks: machines in the order of their names, then the swarm.
func (m *Manager) openRolling(ctx context.Context, req SwarmUpgradeRequest) (_ *rolling, err error) {
	found, err := m.findCluster(req.Swarm)
	if err != nil {
		return nil, err
	}
	r := &rolling{req: req, machines: map[string]*machine{}, outlooks: map[string]outlook{}, from: map[string]string{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	for _, name := range slices.Sorted(maps.Keys(found.Members)) {
		x, err := m.lock(ctx, name)
		if err != nil {
			return nil, nameError(name, len(found.Members), err)
		}
		r.machines[name] = x
		r.from[name] = x.rec.Installed.Engine
	}
	txn, cluster, err := m.lockCluster(ctx, found.Name)
	if err != nil {
		return nil, err
	}
	r.holding = &holding{txn: txn} // to be closed
	if r.holding, err = m.holding(txn, &cluster); err != nil {
		return nil, err
	}
	if !maps.Equal(cluster.Members, found.Members) {
		return nil, &swarmboot.HintError{Err: fmt.Errorf("%w: members of swarm %q changed meanwhile", ErrOperation, found.Name), Advice: "give the command again"}
	}
	if op := cluster.Operation; op != nil && op.Kind != upgradeOperation {
		return nil, operationError(cluster)
	}
	r.remembered = r.saveRunning
	if r.auth, err = m.ensureAuthority(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *rolling) close() error {
	var errs []error
	if r.holding != nil {
		errs = append(errs, r.txn.Close())
	}
	for _, x := range r.machines {
		errs = append(errs, x.close())
	}
	return errors.Join(errs...)
}

// resume takes over what an upgrade that was interrupted had been asked for, where nothing else is asked for now.
func (r *rolling) resume() error {
	if r.cluster.Operation == nil {
		return nil
	}
	op, err := begin(r.m, r.txn, r.cluster, upgradeOperation, "", rollout{})
	if err != nil {
		return err
	}
	r.op = op
	if r.req.Version == "" {
		r.req.Version = op.State.Version
		r.req.Force = r.req.Force || op.State.Force
	}
	maps.Copy(r.before, op.State.Running)
	return nil
}

// begin records that the upgrade is under way.
func (r *rolling) begin() error {
	if r.op == nil {
		op, err := begin(r.m, r.txn, r.cluster, upgradeOperation, "swarm upgrade "+r.cluster.Name, rollout{Version: r.req.Version, Force: r.req.Force})
		r.op = op
		return err
	}
	r.op.State.Version, r.op.State.Force = r.req.Version, r.req.Force
	return r.op.save()
}

func (r *rolling) refit() refit { return refit{adjust: upgradeWish(r.req.Version, r.req.Force)} }

// survey asks a manager for the nodes, and then the hosts for what is to be done there, unless an engine may not be taken away anyway.
func (r *rolling) survey(ctx context.Context) (swarmboot.Upgrading, error) {
	u, err := r.awaitHealthy(ctx, healthyAtFirst)
	if err != nil {
		return u, err
	}
	var names []string
	for name, x := range r.machines {
		if err := x.managed("upgrade"); err == nil && slices.ContainsFunc(u.Members, func(n swarmboot.Member) bool { return n.ID == x.rec.Swarm.NodeID }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	looks := make([]outlook, len(names))
	err = r.m.each(ctx, names, func(ctx context.Context, name string) error {
		i, _ := slices.BinarySearch(names, name)
		o, err := r.machines[name].outlook(ctx, r.auth, r.refit())
		looks[i] = o
		return err
	})
	if err != nil {
		return u, err
	}
	for i, name := range names {
		r.outlooks[name] = looks[i]
	}
	return r.view(u.Members), nil
}

// view is what there is to plan.
func (r *rolling) view(members []swarmboot.Member) swarmboot.Upgrading {
	u := swarmboot.Upgrading{Members: members, Machines: map[string]swarmboot.Upgradable{}, Parallel: r.req.Parallel}
	for name, x := range r.machines {
		o := r.outlooks[name]
		u.Machines[name] = swarmboot.Upgradable{NodeID: x.rec.Swarm.NodeID, Change: o.change, Version: o.version, Former: r.owed(name)}
	}
	return u
}

// healthyAtFirst is how long nodes may take to show as ready before anything is begun: after a leader was lost the next one has
// not heard of them yet.
const healthyAtFirst = 20 * time.Second

// awaitHealthy waits until all nodes are ready and managers have a majority to spare. Nodes that are down at first are not waited
// for: nothing has been done that would bring them back.
func (r *rolling) awaitHealthy(ctx context.Context, limit time.Duration) (u swarmboot.Upgrading, err error) {
	wait, cancel := within(ctx, limit, engineGone, "wait for all nodes to be ready")
	defer cancel()
	var sick error
	err = r.m.Step(wait, "look at all nodes", func(ctx context.Context) error {
		return poll(ctx, func(ctx context.Context) (bool, error) {
			eng, err := r.guided(ctx)
			if err != nil {
				sick = err
				return false, nil
			}
			defer eng.close()
			members, err := swarmboot.Members(ctx, eng)
			if err != nil {
				sick = err
				return false, nil
			}
			u = r.view(members)
			sick = swarmboot.CheckUpgrade(u)
			return sick == nil || limit == healthyAtFirst && downForGood(members), nil
		})
	})
	if sick != nil && context.Cause(ctx) == nil {
		return u, fmt.Errorf("upgrade swarm %q: %w", r.cluster.Name, sick)
	}
	return u, err
}

// downForGood: the leader has missed a node's heartbeats.
func downForGood(members []swarmboot.Member) bool {
	return slices.ContainsFunc(members, func(n swarmboot.Member) bool { return n.State == "down" })
}

// planned is the plan as a dry run shows it.
func (r *rolling) planned(ctx context.Context, steps []swarmboot.UpgradeStep, warnings []string) ([]Planned, error) {
	out := []Planned{{Machine: "swarm " + r.cluster.Name}}
	for _, w := range warnings {
		out[0].Steps = append(out[0].Steps, "warning: "+w)
	}
	if len(steps) == 0 {
		return out, nil
	}
	out[0].Steps = append(out[0].Steps, "upgrade the following machines, in this order, services with all their tasks in between")
	backup, err := r.planBackup(ctx)
	if err != nil {
		return nil, err
	}
	out = append(out, backup...)
	for _, s := range steps {
		for i, t := range s {
			p := Planned{Machine: t.Name, Steps: t.Steps()}
			if i > 0 {
				p.Steps[0] += ", at once with " + s[0].Name
			}
			out = append(out, p)
		}
	}
	return out, nil
}
