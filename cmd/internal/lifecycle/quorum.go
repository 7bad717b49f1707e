package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// aManager returns the engine of a manager of the swarm that answers and has access to the
// swarm's state, prefer first, and the machine it is of. The error tells why each did not.
func (m *Manager) aManager(ctx context.Context, c store.Cluster, prefer string, not ...string) (*engine, *machine, error) {
	var managers, workers []string
	for name, member := range c.Members {
		switch {
		case slices.Contains(not, name):
		case member.Role == string(swarmboot.Manager):
			managers = append(managers, name)
		default:
			workers = append(workers, name)
		}
	}
	eng, x, err := m.askManagers(ctx, c, prefer, managers)
	if err != nil && len(workers) > 0 {
		// Roles may have been changed by other means since they were recorded.
		if eng, x, werr := m.askManagers(ctx, c, prefer, workers); werr == nil {
			return eng, x, nil
		}
	}
	return eng, x, err
}

// preferFor is how long a manager that answers waits for one that comes before it in order.
const preferFor = 500 * time.Millisecond

// askManagers asks the engines of names at once and returns the first, in order, that manages.
func (m *Manager) askManagers(ctx context.Context, c store.Cluster, prefer string, names []string) (*engine, *machine, error) {
	sort.Slice(names, func(i, j int) bool {
		if (names[i] == prefer) != (names[j] == prefer) {
			return names[i] == prefer
		}
		return names[i] < names[j]
	})
	type answer struct {
		x   *machine
		eng *engine
		err error
	}
	answers := make([]answer, len(names))
	var wg sync.WaitGroup
	ctx, cancel := within(ctx, 0, 15*time.Second, "find a manager that answers")
	defer cancel()
	for i, name := range names {
		wg.Go(func() {
			a := &answers[i]
			if a.x, a.err = m.view(name); a.err != nil {
				return
			}
			if a.eng, a.err = a.x.engine(ctx, nil); a.err != nil {
				return
			}
			switch seen := swarmboot.Inspect(ctx, a.eng); {
			case !seen.Reachable:
				a.err = errors.New(seen.Err)
			case !seen.Control:
				a.err = fmt.Errorf("is no manager with access to the swarm's state (%s)", seen.State)
			case c.ID != "" && seen.ClusterID != "" && seen.ClusterID != c.ID:
				a.err = fmt.Errorf("%w: %s", swarmboot.ErrForeign, seen.ClusterID)
			case i == 0:
				cancel() // the first of all; the others need not answer
			default:
				time.AfterFunc(preferFor, cancel)
			}
		})
	}
	wg.Wait()
	var found *answer
	var why []string
	for i := range answers {
		a := &answers[i]
		switch {
		case a.err != nil:
			why = append(why, names[i]+": "+a.err.Error())
		case found == nil:
			found = a
			continue
		}
		if a.eng != nil {
			a.eng.close()
		}
	}
	if found == nil {
		if len(why) == 0 {
			why = append(why, "no manager is recorded")
		}
		return nil, nil, fmt.Errorf("ask swarm %q: %w: %s", c.Name, swarmboot.ErrNoManager, strings.Join(why, "; "))
	}
	return found.eng, found.x, nil
}

// leaveSwarm takes a machine out of its swarm in good order. Unless forced, what would lose the quorum is refused.
func (m *Manager) leaveSwarm(ctx context.Context, x *machine, force bool) (err error) {
	if x.rec.Swarm.Name == "" {
		return nil
	}
	txn, cluster, err := m.lockCluster(ctx, x.rec.Swarm.Name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, txn.Close()) }()
	if err := m.leaveCluster(ctx, x, cluster, force); err != nil {
		if !force || context.Cause(ctx) != nil {
			return fmt.Errorf("leave swarm %q: %w", cluster.Name, err)
		}
		m.Note(ctx, "left the swarm by force: "+err.Error())
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
		txn, cluster, err := m.lockCluster(ctx, c.Name)
		if err != nil {
			return err
		}
		m.Note(ctx, fmt.Sprintf("swarm %s was not told: machine swarm status %s shows what it counts", c.Name, c.Name))
		if err := errors.Join(strike(txn, cluster, name), txn.Close()); err != nil {
			return err
		}
	}
	return nil
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

// SwarmLeave takes machines out of their swarm: workers first, then managers, one after another.
func (m *Manager) SwarmLeave(ctx context.Context, req SwarmRequest) ([]Planned, error) {
	if err := m.exist(req.Names); err != nil {
		return nil, err
	}
	names := m.workersFirst(req.Names)
	var planned []Planned
	for _, name := range names {
		ctx := OnMachine(ctx, name)
		if req.DryRun {
			rec, err := m.Store.Get(name)
			if err != nil {
				return planned, err
			}
			if rec.Swarm.Name != "" {
				planned = append(planned, Planned{Machine: name, Steps: []string{fmt.Sprintf("drain, take out and remove %s %s from swarm %s", rec.Swarm.Role, name, rec.Swarm.Name)}})
			}
			continue
		}
		if err := m.leaveOne(ctx, name, req.Force); err != nil {
			return nil, nameError(name, len(names), err)
		}
	}
	return planned, nil
}

func (m *Manager) leaveOne(ctx context.Context, name string, force bool) (err error) {
	x, err := m.lock(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.close()) }()
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
