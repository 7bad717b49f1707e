package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// journal is what must be put back in a swarm: the availability that drained nodes had.
type journal map[string]string

func readJournal(c store.Cluster) (journal, error) {
	j := journal{}
	if len(c.Upgrade) == 0 {
		return j, nil
	}
	if err := json.Unmarshal(c.Upgrade, &j); err != nil {
		return nil, fmt.Errorf("read upgrade journal of swarm %q: %w", c.Name, err)
	}
	return j, nil
}

func (j journal) encode() json.RawMessage {
	if len(j) == 0 {
		return nil
	}
	data, err := json.Marshal(j)
	if err != nil {
		panic(err) // strings
	}
	return data
}

// refit provisions a machine that runs. With drain a member of a swarm is empty while its engine restarts.
func (m *Manager) refit(ctx context.Context, x *machine, a authority, r refit, drain bool) error {
	if !drain || x.rec.Swarm.NodeID == "" {
		return x.reprovisionWith(ctx, a, r)
	}
	return m.refitDrained(ctx, x, a, r)
}

// refitDrained provisions a member that is drained for it and activated again afterwards. A plan
// without steps drains nothing.
func (m *Manager) refitDrained(ctx context.Context, x *machine, a authority, r refit) (err error) {
	txn, cluster, err := m.lockCluster(ctx, x.rec.Swarm.Name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, txn.Close()) }()
	h, err := m.holding(txn, &cluster)
	if err != nil {
		return err
	}
	eng, err := h.guided(ctx, x.rec.Name)
	if err != nil {
		return err
	}
	defer eng.close()
	if steps, err := x.due(ctx, a, r); err != nil {
		return err
	} else if len(steps) > 0 {
		if err := h.drain(ctx, x, eng); err != nil {
			return err
		}
	}
	if err := h.renew(ctx, x, eng, a, r); err != nil {
		return err
	}
	return h.settled(ctx, eng)
}

// holding is a swarm whose lock is held while members of it are drained, provisioned and activated again. It is what
// one command and a rolling upgrade have in common. Its methods may be called concurrently for several members.
type holding struct {
	m       *Manager
	txn     clusterTxn
	cluster *store.Cluster
	before  map[string]int // tasks of services that ran before the first node was drained, by the ids of services

	remembered func() error // makes before durable; nil: it need not be

	mu      sync.Mutex // guards what is written
	journal journal
}

func (m *Manager) holding(txn clusterTxn, cluster *store.Cluster) (*holding, error) {
	j, err := readJournal(*cluster)
	return &holding{m: m, txn: txn, cluster: cluster, journal: j, before: map[string]int{}}, err
}

// owe records the availability that a node is to get back; empty: it has it.
func (h *holding) owe(name, former string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if former == "" {
		delete(h.journal, name)
	} else {
		h.journal[name] = former
	}
	h.cluster.Upgrade = h.journal.encode()
	return h.txn.Put(*h.cluster)
}

func (h *holding) owed(name string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.journal[name]
}

// drain empties a node, if there is another one to move its tasks to, and waits until they run there. The former
// availability is in the journal before anything is changed.
func (h *holding) drain(ctx context.Context, x *machine, eng *guide) error {
	id := x.rec.Swarm.NodeID
	members, err := swarmboot.Members(ctx, eng)
	if err != nil {
		return err
	}
	now, others := "", 0
	for _, n := range members {
		if n.ID == id {
			now = n.Availability
		} else if n.Availability == "active" && n.State == "ready" {
			others++
		}
	}
	former := h.owed(x.rec.Name)
	switch {
	case now == "drain" && former == "":
		return nil // by a person, whose wish it stays
	case others == 0:
		h.m.Note(ctx, "no other active node: tasks stop meanwhile")
		return nil
	}
	if former == "" {
		if err := h.remember(ctx, x, eng, members); err != nil {
			return err
		}
		if err := h.owe(x.rec.Name, now); err != nil {
			return err
		}
	}
	wait, cancel := within(ctx, h.m.Wait.Drain, drainDeadline, "wait for the node's tasks to end")
	defer cancel()
	err = h.m.Step(wait, "drain the node", func(ctx context.Context) error {
		if _, err := swarmboot.Drain(ctx, eng, id); err != nil {
			return fmt.Errorf("drain: %w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return h.elsewhere(ctx, eng, id)
}

// remember notes what runs of services: so many tasks are waited for from now on. Services of one task are named, because
// they are away while it moves.
func (h *holding) remember(ctx context.Context, x *machine, eng *guide, members []swarmboot.Member) error {
	services, err := swarmboot.Workloads(ctx, eng)
	if err != nil {
		return err
	}
	for id, n := range swarmboot.RunningTasks(services) {
		h.before[id] = max(h.before[id], n)
	}
	if alone := swarmboot.Alone(services, x.rec.Swarm.NodeID); len(alone) > 0 {
		h.m.Note(ctx, "services of one task are away while it moves: "+strings.Join(alone, ", "))
	}
	if h.remembered != nil {
		return h.remembered()
	}
	movable, bound := swarmboot.Crowded(services, members, x.rec.Swarm.NodeID)
	for _, s := range movable {
		bound = append(bound, s.Name+" (machine swarm upgrade would move its tasks one by one)")
	}
	if len(bound) > 0 {
		h.m.Note(ctx, "services that have all their tasks here are away while they move: "+strings.Join(bound, ", "))
	}
	return nil
}

// elsewhere waits until what ran on a drained node runs on others.
func (h *holding) elsewhere(ctx context.Context, eng *guide, id string) error {
	wait, cancel := within(ctx, h.m.Wait.Drain, drainDeadline, "wait for the node's tasks to run elsewhere")
	defer cancel()
	return h.m.Step(wait, "wait for its tasks to run elsewhere", func(ctx context.Context) error {
		homeless, err := swarmboot.WaitServices(ctx, eng, h.before, id)
		for _, task := range homeless {
			h.m.Note(ctx, "runs nowhere until the node is back: "+task)
		}
		return err
	})
}

// renew provisions a member, waits until it is ready in its swarm, and gives it the availability that the journal has.
func (h *holding) renew(ctx context.Context, x *machine, eng *guide, a authority, r refit) error {
	id := x.rec.Swarm.NodeID
	if err := x.reprovisionWith(ctx, a, r); err != nil {
		if h.owed(x.rec.Name) != "" {
			h.m.Note(ctx, "stays drained until the same command is given again and succeeds")
		}
		return err
	}
	wait, cancel := x.within(ctx, h.m.Wait.Swarm, engineGone, "wait for the node to be ready in its swarm")
	defer cancel()
	err := h.m.Step(wait, "wait for the node to be ready", func(ctx context.Context) error { return swarmboot.WaitReady(ctx, eng, id) })
	if err != nil {
		return err
	}
	return h.activate(ctx, x, eng)
}

// activate gives a node the availability that the journal has.
func (h *holding) activate(ctx context.Context, x *machine, eng *guide) error {
	former := h.owed(x.rec.Name)
	if former == "" {
		return nil
	}
	err := h.m.Step(ctx, "activate the node", func(ctx context.Context) error {
		return swarmboot.SetAvailability(ctx, eng, x.rec.Swarm.NodeID, former)
	})
	if err != nil {
		return err
	}
	return h.owe(x.rec.Name, "")
}

// settled waits until services have all the tasks that they had, those of global services included on all nodes but those
// that are away.
func (h *holding) settled(ctx context.Context, eng *guide, away ...string) error {
	if len(h.before) == 0 {
		return nil
	}
	wait, cancel := within(ctx, h.m.Wait.Drain, drainDeadline, "wait for services to have their tasks again")
	defer cancel()
	return h.m.Step(wait, "wait for services to have their tasks again", func(ctx context.Context) error {
		homeless, err := swarmboot.WaitServices(ctx, eng, h.before, away...)
		for _, task := range homeless {
			h.m.Note(ctx, "runs nowhere: "+task)
		}
		return err
	})
}

// due is what provisioning has to do. The host is asked and not changed.
func (x *machine) due(ctx context.Context, a authority, r refit) ([]string, error) {
	s, err := x.outlook(ctx, a, r)
	return s.change, err
}

// outlook is what provisioning would do, and the engine that the host would have then.
type outlook struct {
	change  []string
	version string
}

func (x *machine) outlook(ctx context.Context, a authority, r refit) (outlook, error) {
	conn, err := x.dial(ctx)
	if err != nil {
		return outlook{}, err
	}
	defer conn.Close()
	want := x.wanted()
	if r.adjust != nil {
		r.adjust(&want)
	}
	facts, _, steps, err := x.survey(ctx, conn, a, want, r)
	if err != nil {
		return outlook{}, err
	}
	o := outlook{version: facts.Version}
	for _, s := range steps {
		o.change = append(o.change, s.Name)
	}
	if want.Upgrade && len(steps) > 0 {
		o.version = want.Version
		if facts.Candidate != "" {
			o.version = facts.Candidate
		}
	}
	return o, nil
}
