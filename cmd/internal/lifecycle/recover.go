package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// RecoverRequest asks to bring a swarm back that has lost its quorum, or whose certificates have expired.
type RecoverRequest struct {
	Name      string   // of the swarm or of a member; empty: the only swarm
	Via       string   // the manager to go on with; empty: the one with the newest log
	UnlockKey string   // of a swarm with autolock; secret
	Promote   []string // workers that become managers once the swarm is back, in place of those that are lost
	DryRun    bool

	// Confirm is told the plan and what is lost, and tells whether to go on; nil: nobody is asked.
	Confirm func(ctx context.Context, plan []Planned, lost []string) (bool, error)
}

// recovery is how far a recovery came. It is in the swarm's record.
type recovery struct {
	Plan   swarmboot.Recovery
	Root   string          // folder of the engine of Plan.Via
	Forced bool            // the swarm goes on with Plan.Via
	Nodes  map[string]node // by machine name, as the swarm had them before
	Done   []string        // machines that are back, or out

	Before *store.Operation `json:",omitempty"` // work that the loss of the quorum interrupted, to be gone on with after it
}

// node is what of a node of the swarm has to be the same when it comes back.
type node struct {
	ID           string
	Availability string            `json:",omitempty"`
	Labels       map[string]string `json:",omitempty"`
}

// recovering is one recovery at work.
type recovering struct {
	m        *Manager
	req      RecoverRequest
	op       *operation[recovery]
	cluster  *store.Cluster
	txn      clusterTxn
	machines map[string]*machine // locked; without those that have no record
	engines  map[string]swarmboot.Engine
	planned  []swarmboot.Survivor
}

// SwarmRecover brings a swarm back. Without a quorum it goes on with what the manager with the newest log knows; managers that
// do not answer are taken out, the others join again. A command that ended half-way is gone on with by the next one.
func (m *Manager) SwarmRecover(ctx context.Context, req RecoverRequest) (planned []Planned, err error) {
	if len(req.Promote) == 0 {
		planned, _, err = m.recoverSwarm(ctx, req)
		return planned, err
	}
	if err := m.membersOf(req.Name, req.Promote); err != nil {
		return nil, err
	}
	planned, back, err := m.recoverSwarm(ctx, req)
	healthy := errors.Is(err, swarmboot.ErrHealthy) // a command before this one came so far
	if !healthy && (err != nil || !back) {
		return planned, err
	}
	if req.DryRun {
		return m.SwarmNodes(ctx, NodesRequest{Verb: swarmboot.VerbPromote, Names: req.Promote, DryRun: true})
	}
	return nil, m.promoteLeft(ctx, req)
}

// promoteLeft promotes workers that the recovery left. One that looks for managers which are gone joins again as a manager.
func (m *Manager) promoteLeft(ctx context.Context, req RecoverRequest) error {
	for range req.Promote {
		_, err := m.SwarmNodes(ctx, NodesRequest{Verb: swarmboot.VerbPromote, Names: req.Promote})
		if !errors.Is(err, swarmboot.ErrStuck) {
			return err
		}
		m.Note(ctx, err.Error()+"; it joins again")
		if _, _, err := m.recoverSwarm(ctx, RecoverRequest{Name: req.Name}); err != nil {
			return err
		}
	}
	_, err := m.SwarmNodes(ctx, NodesRequest{Verb: swarmboot.VerbPromote, Names: req.Promote})
	return err
}

// membersOf checks that machines are recorded as members of a swarm.
func (m *Manager) membersOf(swarm string, names []string) error {
	c, err := m.findCluster(swarm)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, ok := c.Members[name]; !ok {
			return &swarmboot.HintError{Err: fmt.Errorf("%w: %q is no machine of swarm %q", ErrUsage, name, c.Name), Advice: "machine swarm ls"}
		}
	}
	return nil
}

// recoverSwarm is SwarmRecover without promotions; back: it was done, not only planned or declined.
func (m *Manager) recoverSwarm(ctx context.Context, req RecoverRequest) (planned []Planned, back bool, err error) {
	c, err := m.findCluster(req.Name)
	if err != nil {
		return nil, false, err
	}
	r := &recovering{m: m, req: req, machines: map[string]*machine{}, engines: map[string]swarmboot.Engine{}}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.open(ctx, c); err != nil {
		return nil, false, err
	}
	var first recovery
	if first.Before, err = r.interrupted(); err != nil {
		return nil, false, err
	}
	if err := m.Step(ctx, "ask the machines of swarm "+c.Name, func(ctx context.Context) error { return r.survey(ctx) }); err != nil {
		return nil, false, err
	}
	resumed, err := r.resume(ctx)
	if err != nil {
		return nil, false, err
	}
	if resumed == nil {
		if first.Plan, err = swarmboot.PlanRecovery(r.cluster.ID, r.planned, req.Via, m.Now()); err != nil {
			return nil, false, fmt.Errorf("recover swarm %q: %w", c.Name, err)
		}
		if first.Before != nil && !first.Plan.Force { // with a quorum that work can be gone on with
			r.cluster.Operation = first.Before
			return nil, false, operationError(*r.cluster)
		}
		resumed = &first
		i := slices.IndexFunc(r.planned, func(s swarmboot.Survivor) bool { return s.Node.Name == first.Plan.Via })
		first.Root = r.planned[i].Seen.Root
	}
	if r.engines[resumed.Plan.Via] == nil {
		return nil, false, &swarmboot.HintError{Err: fmt.Errorf("recover swarm %q: %w: %s, with which it goes on", c.Name, swarmboot.ErrNode, resumed.Plan.Via),
			Advice: "if it is lost too: machine swarm recover --via NAME " + c.Name + " goes on with another manager that is left"}
	}
	plan := plannedRecovery(resumed.Plan)
	for _, name := range req.Promote {
		plan = append(plan, Planned{Machine: name, Steps: []string{"promote it to manager, in place of one that is lost"}})
	}
	if req.DryRun {
		return plan, false, nil
	}
	if resumed.Plan.Unlock && !resumed.Forced && req.UnlockKey == "" {
		return nil, false, &swarmboot.HintError{Err: fmt.Errorf("recover swarm %q: %w, and a new cluster cannot be forced without its unlock key", c.Name, swarmboot.ErrLocked),
			Advice: "give the unlock key by standard input: machine swarm recover --unlock-key - " + c.Name}
	}
	if req.Confirm != nil && resumed == &first {
		yes, err := req.Confirm(ctx, plan, append(resumed.Plan.Lost(), resumed.Plan.Warnings...))
		if err != nil || !yes {
			return nil, false, err
		}
	}
	if r.cluster.Operation != nil && resumed == &first { // begun, and nothing done: what is seen now counts
		r.cluster.Operation = nil
	}
	if r.op, err = begin(m, r.txn, r.cluster, recoverOperation, "swarm recover "+c.Name, first); err != nil {
		return nil, false, err
	}
	return nil, true, r.run(ctx)
}

// resume is how far a command before this one came; nil: nothing that counts.
func (r *recovering) resume(ctx context.Context) (*recovery, error) {
	if r.cluster.Operation == nil {
		return nil, nil //nolint:nilnil // there is none
	}
	shadow := *r.cluster
	op, err := begin(r.m, r.txn, &shadow, recoverOperation, "", recovery{})
	if err != nil {
		return nil, err
	}
	if r.req.Via != "" && r.req.Via != op.State.Plan.Via {
		r.m.Note(ctx, "the recovery with "+op.State.Plan.Via+" that was begun is given up, for "+r.req.Via)
		return nil, nil //nolint:nilnil // a person knows better which manager is left
	}
	via := r.engines[op.State.Plan.Via]
	under := op.State.Forced || op.State.Plan.Aside // its engine may be stopped, or know nothing of a swarm
	if !under && (via == nil || !swarmboot.LeadsAlone(ctx, via)) {
		return nil, nil //nolint:nilnil // the order was not given, or not followed
	}
	r.m.Note(ctx, "going on with the recovery begun "+r.cluster.Operation.Begun.Local().Format("2006-01-02 15:04"))
	return &op.State, nil
}

// open takes the locks of the members, then that of the swarm, and opens the members' engines.
func (r *recovering) open(ctx context.Context, c store.Cluster) error {
	for _, name := range slices.Sorted(maps.Keys(c.Members)) {
		x, err := r.m.lock(ctx, name)
		if errors.Is(err, store.ErrNotExist) {
			continue
		}
		if err != nil {
			return nameError(name, len(c.Members), err)
		}
		r.machines[name] = x
	}
	txn, cluster, err := r.m.lockCluster(ctx, c.Name)
	if err != nil {
		return err
	}
	r.txn, r.cluster = txn, &cluster
	for name, x := range r.machines {
		if eng, err := x.engine(ctx, nil); err == nil {
			r.engines[name] = eng
		} else {
			r.m.Log.Warn("engine cannot be opened", "machine", name, "err", err)
		}
	}
	return nil
}

func (r *recovering) close() error {
	var errs []error
	for _, e := range r.engines {
		e.(*engine).close()
	}
	if r.txn != nil {
		errs = append(errs, r.txn.Close())
	}
	for _, x := range r.machines {
		errs = append(errs, x.close())
	}
	return errors.Join(errs...)
}

// survey asks the engines, and the hosts of managers for their logs.
func (r *recovering) survey(ctx context.Context) error {
	seen := r.patiently(ctx)
	names := slices.Sorted(maps.Keys(r.cluster.Members))
	r.planned = make([]swarmboot.Survivor, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		s, err := r.survivor(name)
		if err != nil {
			return err
		}
		if e, ok := seen[name]; ok {
			s.Seen = e
		}
		r.planned[i] = s
		if s.Node.Role != swarmboot.Manager || !s.Seen.Reachable || len(s.Seen.Nodes) > 0 {
			continue
		}
		wg.Go(func() {
			log, err := r.readLog(ctx, name, s.Seen.Root)
			if err != nil {
				r.planned[i].LogErr = err.Error()
			}
			r.planned[i].Log = log
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// noticing is how long a manager that has just lost its leader takes to tell of its swarm: the engine waits for a leader, 20
// seconds each, for the swarm and for its nodes.
const noticing = 45 * time.Second

// patiently asks all engines, and those again that answer, but do not tell of their swarm in time: a manager that has just
// lost its leader must not pass for lost.
func (r *recovering) patiently(ctx context.Context) map[string]swarmboot.Seen {
	seen := inspectAll(ctx, r.engines)
	late := map[string]swarmboot.Engine{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, s := range seen {
		if s.Reachable || r.cluster.Members[name].Role != string(swarmboot.Manager) {
			continue
		}
		wg.Go(func() {
			asking, cancel := within(ctx, 0, 5*time.Second, "ask the engine of "+name)
			defer cancel()
			if r.engines[name].Do(asking, http.MethodGet, "/version", nil, nil) == nil {
				mu.Lock()
				defer mu.Unlock()
				late[name] = r.engines[name]
			}
		})
	}
	wg.Wait()
	if len(late) > 0 {
		r.m.Note(ctx, "waiting for managers that have just lost their leader: "+strings.Join(slices.Sorted(maps.Keys(late)), ", "))
		maps.Copy(seen, inspectWithin(ctx, noticing, late))
	}
	return seen
}

// survivor is what is recorded of a member.
func (r *recovering) survivor(name string) (swarmboot.Survivor, error) {
	member := r.cluster.Members[name]
	s := swarmboot.Survivor{NodeID: member.NodeID, Seen: swarmboot.Seen{Err: "is no machine of this store"}}
	s.Node = swarmboot.Node{Name: name, Role: swarmboot.Role(member.Role)}
	x := r.machines[name]
	if x == nil {
		return s, nil
	}
	o := x.rec.HostOptions.SwarmOptions
	o.Labels, o.Availability = nil, "" // those that the swarm has count
	n, err := r.m.node(joining{machine: x, role: s.Node.Role}, o)
	s.Node, s.Seen.Err = n, "its engine cannot be reached"
	return s, err
}

func (r *recovering) readLog(ctx context.Context, name, root string) (swarmboot.RaftLog, error) {
	ctx, cancel := within(OnMachine(ctx, name), 0, time.Minute, "read the state of the Raft log")
	defer cancel()
	conn, err := ssh.Dial(ctx, r.machines[name].target())
	if err != nil {
		return swarmboot.RaftLog{}, err
	}
	defer conn.Close() //nolint:errcheck // it has told
	return swarmboot.ReadRaftLog(ctx, conn, root)
}

func plannedRecovery(p swarmboot.Recovery) []Planned {
	var out []Planned
	for _, s := range p.Steps() {
		if n := len(out); n == 0 || out[n-1].Machine != s.Machine {
			out = append(out, Planned{Machine: s.Machine})
		}
		out[len(out)-1].Steps = append(out[len(out)-1].Steps, s.Text)
	}
	return out
}
