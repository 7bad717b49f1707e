package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// StrikeRequest asks to take nodes off a swarm's list that are gone.
type StrikeRequest struct {
	Swarm  string   // or a machine in it; empty: that of the first node, else the only one
	Nodes  []string // machine names, node ids, unique beginnings of such, or hostnames
	Force  bool     // also nodes that are ready
	DryRun bool
}

// SwarmStrike takes nodes off a swarm's list: those that are down and will not come back, of machines that are gone or that the
// store never knew. Managers are demoted first; what would cost the swarm its quorum is refused. It returns what was, or
// would be, done. The same request completes what a killed command began.
func (m *Manager) SwarmStrike(ctx context.Context, req StrikeRequest) (planned []Planned, err error) {
	if len(req.Nodes) == 0 {
		return nil, fmt.Errorf("%w: no node", ErrUsage)
	}
	cluster, err := m.clusterOf(req)
	if err != nil {
		return nil, err
	}
	plan, err := m.planStrike(ctx, cluster, req)
	if err != nil {
		return nil, err
	}
	for _, w := range plan.Warnings {
		m.Note(ctx, "warning: swarm "+cluster.Name+": "+w)
	}
	if req.DryRun {
		return plannedChanges(plan), nil
	}
	s := striking{m: m, req: req, machines: map[string]*machine{}}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.lock(ctx, cluster, plan); err != nil {
		return nil, err
	}
	// What was judged before the locks were held is judged again.
	if plan, err = m.planStrike(ctx, s.cluster, req); err != nil {
		return nil, err
	}
	for _, c := range plan.Changes {
		if err := s.strike(ctx, c); err != nil {
			return nil, nameError(c.Name, len(plan.Changes), fmt.Errorf("swarm %q: %w", s.cluster.Name, err))
		}
	}
	return plannedChanges(plan), nil
}

// clusterOf returns the record of the swarm that a request is about.
func (m *Manager) clusterOf(req StrikeRequest) (store.Cluster, error) {
	if req.Swarm == "" {
		if c, err := m.findCluster(req.Nodes[0]); err == nil && c.Name != req.Nodes[0] {
			return c, nil
		}
	}
	return m.findCluster(req.Swarm)
}

// planStrike finds the nodes and judges whether the swarm can do without them.
func (m *Manager) planStrike(ctx context.Context, c store.Cluster, req StrikeRequest) (plan swarmboot.ChangePlan, err error) {
	if err := settled(c); err != nil {
		return plan, err
	}
	eng, _, err := m.aManager(ctx, c, "")
	if err != nil {
		return plan, err
	}
	defer eng.close()
	ctx, cancel := within(ctx, 0, askDeadline, "ask a manager for the nodes of swarm "+c.Name)
	defer cancel()
	members, err := knownMembers(ctx, c.Name, eng)
	if err != nil {
		return plan, err
	}
	var wishes []swarmboot.Wish
	for _, word := range req.Nodes {
		recorded := m.recordedNode(c, word)
		n, err := swarmboot.FindNode(members, word, recorded)
		if errors.Is(err, swarmboot.ErrNoNode) && recorded != "" {
			n, err = swarmboot.Member{ID: recorded, Hostname: word}, nil // struck off already; the records may not say so
		}
		if err != nil {
			return plan, fmt.Errorf("swarm %q: %w", c.Name, err)
		}
		name := machineOf(c, n.ID)
		if name == "" {
			name = n.Hostname
		}
		if !slices.ContainsFunc(wishes, func(w swarmboot.Wish) bool { return w.ID == n.ID }) {
			wishes = append(wishes, swarmboot.Wish{Verb: swarmboot.VerbStrike, Name: name, ID: n.ID, Force: req.Force})
		}
	}
	plan, err = swarmboot.PlanChanges(wishes, members)
	if err != nil {
		return plan, fmt.Errorf("swarm %q: %w", c.Name, err)
	}
	return plan, nil
}

// recordedNode is the id that the records give a machine in a swarm; empty: none.
func (m *Manager) recordedNode(c store.Cluster, name string) string {
	if member, ok := c.Members[name]; ok {
		return member.NodeID
	}
	if rec, err := m.Store.Get(name); err == nil && rec.Swarm.Name == c.Name {
		return rec.Swarm.NodeID
	}
	return ""
}

// machineOf is the machine that a node is of; empty: none is recorded.
func machineOf(c store.Cluster, id string) string {
	for name, member := range c.Members {
		if member.NodeID == id {
			return name
		}
	}
	return ""
}

// striking is nodes about to be struck off, and the locks on what is recorded of them.
type striking struct {
	m        *Manager
	req      StrikeRequest
	machines map[string]*machine // those of the store among the nodes
	txn      clusterTxn
	cluster  store.Cluster
}

func (s *striking) close() error {
	var errs []error
	if s.txn != nil {
		errs = append(errs, s.txn.Close())
	}
	for _, x := range s.machines {
		errs = append(errs, x.close())
	}
	return errors.Join(errs...)
}

func (s *striking) lock(ctx context.Context, c store.Cluster, plan swarmboot.ChangePlan) (err error) {
	for _, change := range plan.Changes {
		rec, err := s.m.Store.Get(change.Name)
		if err != nil || rec.Swarm.Name != c.Name || rec.Swarm.NodeID != change.ID {
			continue // no machine of ours, or one whose record is of no use, or another one of that name
		}
		if s.machines[change.Name], err = s.m.lock(ctx, change.Name); err != nil {
			delete(s.machines, change.Name)
			return nameError(change.Name, len(plan.Changes), err)
		}
	}
	s.txn, s.cluster, err = s.m.lockCluster(ctx, c.Name)
	return err
}

// strike takes one node off the list and then off the records.
func (s *striking) strike(ctx context.Context, c swarmboot.Change) error {
	ctx = OnMachine(ctx, c.Name)
	x := s.machines[c.Name]
	manager, _, err := s.m.aManager(ctx, s.cluster, "", c.Name)
	if err != nil {
		return err
	}
	defer manager.close()
	var self swarmboot.Engine              // a nil interface, not a nil pointer
	if x != nil && c.Was.State != "down" { // its engine would only be waited for
		if eng, err := x.engine(ctx, nil); err == nil {
			defer eng.close()
			if inspectAll(ctx, map[string]swarmboot.Engine{c.Name: eng})[c.Name].Reachable {
				self = eng
			}
		}
	}
	ctx, cancel := within(ctx, 0, leaveDeadline, "take the node off the swarm's list")
	defer cancel()
	if err := swarmboot.Carry(ctx, c, self, manager, 0, s.m.Step); err != nil {
		return err
	}
	if s.cluster.Members[c.Name].NodeID == c.ID && c.ID != "" {
		if err := strike(s.txn, s.cluster, c.Name); err != nil {
			return err
		}
	}
	if x == nil {
		return nil
	}
	x.rec.Swarm = store.Swarm{}
	x.rec.HostOptions.SwarmOptions = SwarmOptions{}
	return x.put()
}
