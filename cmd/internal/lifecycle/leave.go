package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// leaveSwarm takes a machine out of its swarm in good order. Unless forced, what would lose the quorum is refused. By force it
// does not wait for long until another command is done with the swarm.
func (m *Manager) leaveSwarm(ctx context.Context, x *machine, force bool) (err error) {
	if x.rec.Swarm.Name == "" {
		return nil
	}
	lock := m.lockCluster
	if force {
		lock = m.lockClusterByForce
	}
	txn, cluster, err := lock(ctx, x.rec.Swarm.Name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, txn.Close()) }()
	if err := m.leaveCluster(ctx, x, cluster, force); err != nil {
		if !force || context.Cause(ctx) != nil {
			return fmt.Errorf("leave swarm %q: %w", cluster.Name, err)
		}
		m.Note(ctx, "left the swarm by force: "+err.Error()+"; "+ghostAdvice(x.rec.Swarm.NodeID))
	}
	if err := strike(txn, cluster, x.rec.Name); err != nil {
		return err
	}
	x.rec.Swarm = store.Swarm{}
	x.rec.HostOptions.SwarmOptions = SwarmOptions{}
	return x.put()
}

// strike takes a machine off the record of a swarm; a swarm without members is not recorded.
func strike(txn clusterTxn, cluster store.Cluster, name string) error {
	delete(cluster.Members, name)
	if len(cluster.Members) == 0 {
		return txn.Delete()
	}
	if j, err := readJournal(cluster); err == nil {
		delete(j, name)
		cluster.Upgrade = j.encode()
	}
	return txn.Put(cluster)
}

// forget takes a machine whose record is of no use off the records of swarms.
func (m *Manager) forget(ctx context.Context, name string) error {
	all, err := m.Store.Clusters()
	if err != nil {
		m.Log.Warn("not all swarms can be read", "err", err)
	}
	for _, c := range all {
		if _, ok := c.Members[name]; !ok {
			continue
		}
		txn, cluster, err := m.lockClusterByForce(ctx, c.Name)
		if err != nil {
			return err
		}
		if err := m.tellGone(ctx, cluster, name); err != nil {
			m.Note(ctx, fmt.Sprintf("swarm %s was not told: %v; %s", c.Name, err, ghostAdvice(cluster.Members[name].NodeID)))
		}
		if err := errors.Join(strike(txn, cluster, name), txn.Close()); err != nil {
			return err
		}
	}
	return nil
}

// tellGone has a manager that answers take a machine which is gone off the list.
func (m *Manager) tellGone(ctx context.Context, cluster store.Cluster, name string) error {
	id := cluster.Members[name].NodeID
	if id == "" {
		return nil // the join had not ended
	}
	manager, _, err := m.aManager(ctx, cluster, "", name)
	if err != nil {
		return err
	}
	defer manager.close()
	ctx, cancel := within(ctx, 0, leaveDeadline, "take the node out of its swarm")
	defer cancel()
	return swarmboot.Remove(ctx, id, nil, manager, 0, m.Step)
}

// ghostAdvice is what to do about a node that a swarm still lists.
func ghostAdvice(id string) string {
	if id == "" {
		return "machine swarm status shows what it counts"
	}
	return "if the swarm still lists the node: machine swarm rm-node " + id
}

// drainLimit is how long a node's tasks may take to end.
func (m *Manager) drainLimit() time.Duration {
	if m.Wait.Drain > 0 {
		return m.Wait.Drain
	}
	return drainDeadline
}

func (m *Manager) leaveCluster(ctx context.Context, x *machine, cluster store.Cluster, force bool) error {
	self, err := x.engine(ctx, nil)
	if err != nil {
		m.Log.Warn("engine cannot be opened", "machine", x.rec.Name, "err", err)
	} else {
		defer self.close()
	}
	var seen swarmboot.Seen
	if self != nil {
		seen = inspectAll(ctx, map[string]swarmboot.Engine{x.rec.Name: self})[x.rec.Name]
	}
	manager, _, merr := m.aManager(ctx, cluster, "", x.rec.Name)
	if merr == nil {
		defer manager.close()
	}
	asked := manager
	if asked == nil && seen.Control {
		asked = self
	}
	id := x.rec.Swarm.NodeID
	if asked == nil {
		if seen.State == "inactive" || id == "" && len(cluster.Members) == 0 {
			return nil // left already, or never in, and nobody is left to tell
		}
		return merr
	}
	ctx, cancel := within(ctx, 0, m.drainLimit()+leaveDeadline, "take the node out of its swarm")
	defer cancel()
	members, err := swarmboot.Members(ctx, asked)
	if err != nil {
		return err
	}
	if id == "" {
		if id = x.nodeID(seen, members, cluster); id == "" && seen.State != "pending" {
			return nil // the join was not begun, or it failed
		}
	}
	if !force {
		if err := swarmboot.CheckRemoval(members, id); err != nil {
			return err
		}
	}
	var selfEngine, managerEngine swarmboot.Engine // nil interfaces, not nil pointers
	if seen.Reachable {
		selfEngine = self
	}
	if manager != nil {
		managerEngine = manager
	}
	wait := m.drainLimit()
	if force {
		wait = 0 // tasks that do not end are left to the managers
	}
	return swarmboot.Remove(ctx, id, selfEngine, managerEngine, wait, m.Step)
}

// nodeID finds the id of a machine whose join was interrupted: the one that its engine says, or that of a
// node at its address which is no other machine's.
func (x *machine) nodeID(seen swarmboot.Seen, members []swarmboot.Member, cluster store.Cluster) string {
	for _, n := range members {
		if n.ID == seen.NodeID {
			return n.ID
		}
	}
	if seen.Reachable {
		return ""
	}
	others := map[string]bool{}
	for _, m := range cluster.Members {
		others[m.NodeID] = true
	}
	for _, n := range members {
		if n.Addr == x.rec.Address.Peer && n.Addr != "" && !others[n.ID] {
			return n.ID
		}
	}
	return ""
}

// SwarmLeave takes machines out of their swarms. Those of a swarm are judged together before the first leaves; then they go one
// after another: workers, managers that do not answer, other managers, and the leader last. It returns what was, or would be, done.
func (m *Manager) SwarmLeave(ctx context.Context, req SwarmRequest) ([]Planned, error) {
	if err := m.exist(req.Names); err != nil {
		return nil, err
	}
	var planned []Planned
	var order []string
	for _, group := range m.swarmGroups(m.workersFirst(req.Names)) {
		if p, ok := m.planLeaveClassic(group[0]); ok {
			planned, order = append(planned, p), append(order, group[0])
			continue
		}
		plan, err := m.planLeave(ctx, group, req.Force)
		if err != nil {
			return nil, err
		}
		for _, c := range plan.Changes {
			order = append(order, c.Name)
		}
		for _, w := range plan.Warnings {
			m.Note(ctx, "warning: swarm "+m.swarmOf(group)+": "+w)
		}
		planned = append(planned, plannedChanges(plan)...)
	}
	if req.DryRun {
		return planned, nil
	}
	for _, name := range order {
		if err := m.leaveOne(OnMachine(ctx, name), name, req.Force); err != nil {
			return nil, nameError(name, len(order), err)
		}
	}
	return planned, nil
}

// swarmOf is the swarm that machines are in, which are in one.
func (m *Manager) swarmOf(names []string) string {
	rec, err := m.Store.Get(names[0])
	if err != nil {
		return ""
	}
	return rec.Swarm.Name
}

// planLeave judges whether a swarm can let machines go. By force it does so anyhow.
func (m *Manager) planLeave(ctx context.Context, names []string, force bool) (swarmboot.ChangePlan, error) {
	cluster, plan, err := m.parting(names)
	if err == nil {
		err = settled(cluster)
	}
	if err != nil {
		return plan, err
	}
	judged, err := m.judgeParting(ctx, cluster, plan)
	if err != nil && force {
		m.Note(ctx, "warning: by force: "+err.Error())
		return plan, nil
	}
	return judged, err
}

// parting is how members of one swarm leave it, in the order of names and not judged yet, and the swarm.
func (m *Manager) parting(names []string) (cluster store.Cluster, plan swarmboot.ChangePlan, err error) {
	swarm := ""
	for _, name := range names {
		rec, err := m.Store.Get(name)
		if err != nil {
			return cluster, plan, err
		}
		if swarm = rec.Swarm.Name; swarm == "" {
			return cluster, plan, fmt.Errorf("%w: %q is not in a swarm", ErrNoSwarm, name)
		}
		plan.Changes = append(plan.Changes, swarmboot.Change{
			Wish: swarmboot.Wish{Verb: swarmboot.VerbLeave, Name: name, ID: rec.Swarm.NodeID},
			Was:  swarmboot.Member{Role: swarmboot.Role(rec.Swarm.Role)},
		})
	}
	cluster, err = m.clusterOrNew(swarm)
	return cluster, plan, err
}

// judgeParting has a manager tell whether the swarm can let all go that a plan is about, and returns the plan in the order in
// which it can. Without a manager that answers nobody can tell: the plan stays as it is, and each is judged in its turn.
func (m *Manager) judgeParting(ctx context.Context, cluster store.Cluster, plan swarmboot.ChangePlan) (swarmboot.ChangePlan, error) {
	eng, _, err := m.aManager(ctx, cluster, "")
	if err != nil {
		return plan, context.Cause(ctx)
	}
	defer eng.close()
	asking, cancel := within(ctx, 0, askDeadline, "ask a manager for the nodes of swarm "+cluster.Name)
	defer cancel()
	members, err := swarmboot.Members(asking, eng)
	if err != nil {
		return plan, context.Cause(ctx)
	}
	wishes := make([]swarmboot.Wish, len(plan.Changes))
	for i, c := range plan.Changes {
		wishes[i] = c.Wish
	}
	judged, err := swarmboot.PlanChanges(wishes, members)
	if err != nil {
		return plan, fmt.Errorf("leave swarm %q: %w", cluster.Name, err)
	}
	return judged, nil
}

func (m *Manager) leaveOne(ctx context.Context, name string, force bool) (err error) {
	x, err := m.lock(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.close()) }()
	if x.classic() {
		return x.advise(m.leaveClassic(ctx, x, force))
	}
	if x.rec.Swarm.Name == "" {
		return fmt.Errorf("%w: %q is not in a swarm", ErrNoSwarm, name)
	}
	return m.leaveSwarm(ctx, x, force)
}

// workersFirst orders machines so that managers of swarms come last.
func (m *Manager) workersFirst(names []string) []string {
	manager := func(name string) bool {
		rec, err := m.Store.Get(name)
		return err == nil && rec.Swarm.Role == string(swarmboot.Manager)
	}
	out := slices.Clone(names)
	slices.SortStableFunc(out, func(a, b string) int {
		ma, mb := manager(a), manager(b)
		switch {
		case ma == mb:
			return 0
		case mb:
			return -1
		}
		return 1
	})
	return out
}
