package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// What can be done with members of swarms.
const (
	Promote  = swarmboot.VerbPromote
	Demote   = swarmboot.VerbDemote
	Drain    = swarmboot.VerbDrain
	Pause    = swarmboot.VerbPause
	Activate = swarmboot.VerbActivate
	Label    = swarmboot.VerbLabel
)

// NodesRequest asks for a change of machines that are members of swarms.
type NodesRequest struct {
	Verb   swarmboot.Verb // promote, demote, drain, pause, activate or label
	Names  []string
	Set    map[string]string // labels to set
	Unset  []string          // keys of labels to take away
	Wait   time.Duration     // drain: for tasks to run elsewhere or end; 0: Deadlines.Drain
	NoWait bool              // drain: the tasks are not waited for
	DryRun bool
}

// SwarmNodes changes members of swarms. All of a swarm are judged together before any is changed; then they are changed one after
// another, each waited for, the leader last. The first failure ends it, and the same request completes what was begun. It returns
// what was, or would be, done.
func (m *Manager) SwarmNodes(ctx context.Context, req NodesRequest) (planned []Planned, err error) {
	if len(req.Names) == 0 {
		return nil, fmt.Errorf("%w: no machine name", ErrUsage)
	}
	if err := m.exist(req.Names); err != nil {
		return nil, err
	}
	ranks, err := m.muster(ctx, req.Names, !req.DryRun)
	defer func() {
		for _, r := range slices.Backward(ranks) {
			err = errors.Join(err, r.close())
		}
	}()
	if err != nil {
		return nil, err
	}
	for _, r := range ranks {
		plan, err := r.plan(ctx, req)
		if err != nil {
			return nil, err
		}
		planned = append(planned, plannedChanges(plan)...)
		for _, w := range plan.Warnings {
			m.Note(ctx, "warning: swarm "+r.cluster.Name+": "+w)
		}
	}
	if req.DryRun {
		return planned, nil
	}
	for _, r := range ranks {
		if err := r.carry(ctx, req); err != nil {
			return nil, err
		}
	}
	return planned, nil
}

// plannedChanges tells changes and warnings in words.
func plannedChanges(plan swarmboot.ChangePlan) []Planned {
	out := make([]Planned, len(plan.Changes))
	for i, c := range plan.Changes {
		out[i] = Planned{Machine: c.Name, Steps: []string{c.String()}}
	}
	if len(out) > 0 {
		out[len(out)-1].Warnings = plan.Warnings
	}
	return out
}

// rank is the machines of one swarm that a command is about, and the locks on them.
type rank struct {
	m        *Manager
	machines []*machine
	txn      clusterTxn // nil: for reading only
	cluster  store.Cluster
	changes  swarmboot.ChangePlan
}

func (r *rank) close() error {
	var errs []error
	if r.txn != nil {
		errs = append(errs, r.txn.Close())
	}
	for _, x := range r.machines {
		if x.txn != nil {
			errs = append(errs, x.close())
		}
	}
	return errors.Join(errs...)
}

// muster opens machines that are members, by swarm, and with lock takes their locks: of the machines first, then of the
// swarms. What it has opened is returned with an error too.
func (m *Manager) muster(ctx context.Context, names []string, lock bool) (ranks []*rank, err error) {
	open := func(name string) (*machine, error) { return m.view(name) }
	if lock {
		open = func(name string) (*machine, error) { return m.lock(ctx, name) }
	}
	at := map[string]*rank{}
	for _, name := range names {
		x, err := open(name)
		if err != nil {
			return ranks, nameError(name, len(names), err)
		}
		swarm := x.rec.Swarm.Name
		r := at[swarm]
		if r == nil {
			r = &rank{m: m}
			at[swarm] = r
			ranks = append(ranks, r)
		}
		r.machines = append(r.machines, x)
		switch {
		case swarm == "":
			return ranks, m.noMember(name)
		case x.rec.Swarm.NodeID == "":
			return ranks, &swarmboot.HintError{
				Err:    fmt.Errorf("%w: the join of %q has not ended", swarmboot.ErrState, name),
				Advice: "machine swarm join " + name + " ends it",
			}
		}
	}
	for _, swarm := range slices.Sorted(maps.Keys(at)) {
		r := at[swarm]
		if lock {
			r.txn, r.cluster, err = m.lockCluster(ctx, swarm)
		} else {
			r.cluster, err = m.Store.Cluster(swarm)
		}
		if err == nil {
			err = settled(r.cluster)
		}
		if err != nil {
			return ranks, err
		}
	}
	return ranks, nil
}

// settled is why the members of a swarm cannot be changed now: it is being made anew from what is left of it.
func settled(c store.Cluster) error {
	if c.Operation != nil && c.Operation.Kind == recoverOperation {
		return operationError(c)
	}
	return nil
}

func (r *rank) names() []string {
	names := make([]string, len(r.machines))
	for i, x := range r.machines {
		names[i] = x.rec.Name
	}
	return names
}

// plan judges what the request changes in the swarm.
func (r *rank) plan(ctx context.Context, req NodesRequest) (swarmboot.ChangePlan, error) {
	eng, _, err := r.m.aManager(ctx, r.cluster, "")
	if err != nil {
		return swarmboot.ChangePlan{}, err
	}
	defer eng.close()
	ctx, cancel := within(ctx, 0, askDeadline, "ask a manager for the nodes of swarm "+r.cluster.Name)
	defer cancel()
	members, err := knownMembers(ctx, r.cluster.Name, eng)
	if err != nil {
		return swarmboot.ChangePlan{}, err
	}
	var wishes []swarmboot.Wish
	for _, x := range r.machines {
		w := swarmboot.Wish{Verb: req.Verb, Name: x.rec.Name, ID: x.rec.Swarm.NodeID, Set: req.Set, Unset: req.Unset}
		if req.Verb == swarmboot.VerbDrain && !req.NoWait {
			left, err := swarmboot.Left(ctx, eng, w.ID)
			if err != nil {
				return swarmboot.ChangePlan{}, fmt.Errorf("ask swarm %q: %w", r.cluster.Name, err)
			}
			if slices.ContainsFunc(members, func(n swarmboot.Member) bool { return n.ID == w.ID && n.Availability == "drain" }) {
				w.Left = len(left)
			}
		}
		wishes = append(wishes, w)
	}
	r.changes, err = swarmboot.PlanChanges(wishes, members)
	if err != nil {
		return swarmboot.ChangePlan{}, fmt.Errorf("swarm %q: %w", r.cluster.Name, err)
	}
	return r.changes, nil
}

// askDeadline bounds questions to a manager that has answered before.
const askDeadline = time.Minute

// knownMembers asks for the nodes of a swarm. A leader that has just taken over does not know yet who is there: it is given some
// time to learn it.
func knownMembers(ctx context.Context, swarm string, eng *engine) (members []swarmboot.Member, err error) {
	until := time.Now().Add(leaderLearns)
	perr := poll(ctx, func(ctx context.Context) (bool, error) {
		if members, err = swarmboot.Members(ctx, eng); err != nil {
			return false, fmt.Errorf("ask swarm %q: %w", swarm, err)
		}
		unknown := slices.ContainsFunc(members, func(n swarmboot.Member) bool { return n.State == "unknown" })
		return !unknown || time.Now().After(until), nil
	})
	return members, perr
}

// leaderLearns is how long a new leader waits for a node before it takes it to be down.
const leaderLearns = 30 * time.Second

// carry makes the changes, and then has the records say what is so, also of machines that needed no change: an earlier
// command may have been killed before it wrote that.
func (r *rank) carry(ctx context.Context, req NodesRequest) error {
	for _, c := range r.changes.Changes {
		x := r.machine(c.Name)
		ctx := OnMachine(ctx, c.Name)
		if c.Verb == swarmboot.VerbPromote { // who may be a manager is asked as one
			if err := r.recordRole(x, swarmboot.Manager); err != nil {
				return err
			}
		}
		if err := r.change(ctx, x, c, req); err != nil {
			if c.Verb == swarmboot.VerbPromote {
				err = errors.Join(err, r.lookAgain(context.WithoutCancel(ctx), x))
			}
			return nameError(c.Name, len(r.machines), fmt.Errorf("swarm %q: %w", r.cluster.Name, err))
		}
	}
	for _, x := range r.machines {
		if err := r.record(x, req); err != nil {
			return err
		}
	}
	return nil
}

// lookAgain records the role that a machine has after all, if that can be told.
func (r *rank) lookAgain(ctx context.Context, x *machine) error {
	members, err := r.m.askMembers(ctx, r.cluster)
	if err != nil {
		return nil // that it may be a manager stays recorded
	}
	i := slices.IndexFunc(members, func(n swarmboot.Member) bool { return n.ID == x.rec.Swarm.NodeID })
	if i < 0 {
		return nil
	}
	return r.recordRole(x, members[i].Role)
}

func (r *rank) machine(name string) *machine {
	return r.machines[slices.Index(r.names(), name)]
}

func (r *rank) change(ctx context.Context, x *machine, c swarmboot.Change, req NodesRequest) error {
	manager, _, err := r.m.aManager(ctx, r.cluster, "", x.rec.Name)
	if errors.Is(err, swarmboot.ErrNoManager) && c.Verb != swarmboot.VerbDemote {
		manager, _, err = r.m.aManager(ctx, r.cluster, x.rec.Name) // the only manager looks after itself
	}
	if err != nil {
		return err
	}
	defer manager.close()
	var self swarmboot.Engine // a nil interface, not a nil pointer
	if (c.Verb == swarmboot.VerbPromote || c.Verb == swarmboot.VerbDemote) && c.Was.State != "down" {
		eng, err := x.engine(ctx, nil)
		if err != nil {
			return err
		}
		defer eng.close()
		if inspectAll(ctx, map[string]swarmboot.Engine{x.rec.Name: eng})[x.rec.Name].Reachable {
			self = eng
		}
	}
	wait := r.m.drainWait(req)
	limit := r.m.Wait.Swarm
	if c.Verb == swarmboot.VerbDrain {
		limit = wait + askDeadline
	}
	ctx, cancel := x.within(ctx, limit, engineGone, string(c.Verb)+" the node")
	defer cancel()
	return swarmboot.Carry(ctx, c, self, manager, wait, r.m.Step)
}

// drainWait is how long a drain waits for tasks; 0: it does not.
func (m *Manager) drainWait(req NodesRequest) time.Duration {
	switch {
	case req.NoWait:
		return 0
	case req.Wait > 0:
		return req.Wait
	}
	return m.drainLimit()
}

// record has the records say what holds once the request is fulfilled.
func (r *rank) record(x *machine, req NodesRequest) error {
	switch req.Verb {
	case swarmboot.VerbPromote:
		return r.recordRole(x, swarmboot.Manager)
	case swarmboot.VerbDemote:
		return r.recordRole(x, swarmboot.Worker)
	case swarmboot.VerbLabel:
		return r.recordLabels(x, req)
	}
	return r.forgetDrained(x)
}

// recordRole writes a role: of the swarm last, because it is what managers are looked for in.
func (r *rank) recordRole(x *machine, role swarmboot.Role) error {
	member := r.cluster.Members[x.rec.Name]
	if x.rec.Swarm.Role == string(role) && member.Role == string(role) {
		return nil
	}
	x.rec.Swarm.Role = string(role)
	x.rec.HostOptions.SwarmOptions.Master = role == swarmboot.Manager
	if err := x.put(); err != nil {
		return err
	}
	r.cluster.Members[x.rec.Name] = store.Member{Role: string(role), NodeID: x.rec.Swarm.NodeID}
	return r.txn.Put(r.cluster)
}

func (r *rank) recordLabels(x *machine, req NodesRequest) error {
	o := &x.rec.HostOptions.SwarmOptions
	kept := slices.DeleteFunc(slices.Clone(o.Labels), func(l string) bool {
		k, _, _ := strings.Cut(l, "=")
		_, set := req.Set[k]
		return set || slices.Contains(req.Unset, k)
	})
	for _, k := range slices.Sorted(maps.Keys(req.Set)) {
		kept = append(kept, k+"="+req.Set[k])
	}
	if slices.Equal(kept, o.Labels) {
		return nil
	}
	o.Labels = kept
	return x.put()
}

// forgetDrained gives up what an upgrade that did not end would have given back: a person has decided meanwhile.
func (r *rank) forgetDrained(x *machine) error {
	j, err := readJournal(r.cluster)
	if err != nil {
		return err
	}
	if _, drained := j[x.rec.Name]; !drained {
		return nil
	}
	delete(j, x.rec.Name)
	r.cluster.Upgrade = j.encode()
	return r.txn.Put(r.cluster)
}
