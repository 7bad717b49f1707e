package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

const swarmPort = "2377"

// joining is a machine that shall be in a swarm.
type joining struct {
	*machine
	conn *ssh.Client // for the preflight; nil: none
	role swarmboot.Role
	old  bool // it was made before, perhaps for no swarm
}

// findCluster returns the record of a swarm by its name or by a member's name; empty: the only one.
func (m *Manager) findCluster(name string) (store.Cluster, error) {
	all, err := m.Store.Clusters()
	if err != nil && (name == "" || len(all) == 0) {
		return store.Cluster{}, err // a bad record among others matters only to who names it
	}
	if name == "" {
		switch len(all) {
		case 0:
			return store.Cluster{}, fmt.Errorf("%w: none is recorded", ErrNoSwarm)
		case 1:
			return all[0], nil
		}
		names := make([]string, len(all))
		for i, c := range all {
			names[i] = c.Name
		}
		return store.Cluster{}, fmt.Errorf("%w given, and there are several: %s", ErrNoSwarm, strings.Join(names, ", "))
	}
	for _, c := range all {
		if c.Name == name {
			return c, nil
		}
	}
	for _, c := range all {
		if _, ok := c.Members[name]; ok {
			return c, nil
		}
	}
	if kind := m.notClassic(name); kind != nil {
		return store.Cluster{}, kind
	}
	return store.Cluster{}, errors.Join(fmt.Errorf("%w: %q", ErrNoSwarm, name), err)
}

func (m *Manager) lockCluster(ctx context.Context, name string) (clusterTxn, store.Cluster, error) {
	return m.lockClusterWithin(ctx, name, lockDeadline)
}

// lockClusterByForce is lockCluster for what must end soon, whatever another command does with the swarm.
func (m *Manager) lockClusterByForce(ctx context.Context, name string) (clusterTxn, store.Cluster, error) {
	return m.lockClusterWithin(ctx, name, cmp.Or(m.Wait.Lock, removalLockDeadline))
}

func (m *Manager) lockClusterWithin(ctx context.Context, name string, limit time.Duration) (clusterTxn, store.Cluster, error) {
	txn, err := m.waitCluster(ctx, name, limit)
	if err != nil {
		return nil, store.Cluster{}, err
	}
	cluster, err := txn.Get()
	if errors.Is(err, store.ErrNoCluster) {
		cluster, err = store.Cluster{Name: name, Created: m.Now().UTC()}, nil
	}
	if err != nil {
		return nil, cluster, errors.Join(err, txn.Close())
	}
	if cluster.Members == nil {
		cluster.Members = map[string]store.Member{}
	}
	return txn, cluster, nil
}

// waitCluster waits for the lock of a swarm, and says so when it takes long.
func (m *Manager) waitCluster(ctx context.Context, name string, limit time.Duration) (clusterTxn, error) {
	soon, cancel := within(ctx, 0, min(2*time.Second, limit), "lock swarm "+name)
	txn, err := m.locks().cluster(soon, name)
	cancel()
	if err == nil || context.Cause(ctx) != nil || !errors.Is(err, store.ErrLocked) && !errors.Is(err, context.DeadlineExceeded) {
		return txn, err
	}
	m.Note(ctx, "waiting: "+err.Error())
	ctx, cancel = within(ctx, 0, limit, "wait for another command on swarm "+name)
	defer cancel()
	return m.locks().cluster(ctx, name)
}

// SwarmInit starts a swarm on existing machines, the first initialises, the others join as managers.
func (m *Manager) SwarmInit(ctx context.Context, req SwarmRequest) ([]Planned, error) {
	if len(req.Names) == 0 {
		return nil, fmt.Errorf("%w: no machine name", ErrUsage)
	}
	o := req.Options
	o.IsSwarm, o.Master = true, true
	if req.Classic {
		return m.classicExisting(ctx, req, o)
	}
	if o.Name == "" {
		o.Name = req.Names[0]
	}
	if err := store.ValidName(o.Name); err != nil {
		return nil, err
	}
	return m.swarmExisting(ctx, req, o)
}

// SwarmJoin joins existing machines to a swarm.
func (m *Manager) SwarmJoin(ctx context.Context, req SwarmRequest) ([]Planned, error) {
	if len(req.Names) == 0 {
		return nil, fmt.Errorf("%w: no machine name", ErrUsage)
	}
	o := req.Options
	if req.Classic {
		return m.joinClassic(ctx, req, o)
	}
	c, err := m.findCluster(o.Name)
	if err != nil {
		return nil, err
	}
	o.IsSwarm, o.Name = true, c.Name
	return m.swarmExisting(ctx, req, o)
}

func (m *Manager) swarmExisting(ctx context.Context, req SwarmRequest, o SwarmOptions) (planned []Planned, err error) {
	if err := m.exist(req.Names); err != nil {
		return nil, err
	}
	cluster, err := m.clusterOrNew(o.Name)
	if err != nil {
		return nil, err
	}
	if _, err := dataPathPort(cluster, o); err != nil {
		return nil, err
	}
	role := swarmboot.Worker
	if o.Master {
		role = swarmboot.Manager
	}
	nodes := make([]joining, 0, len(req.Names))
	defer func() {
		for _, n := range nodes {
			if n.conn != nil {
				err = errors.Join(err, ignoreClosed(n.conn.Close()))
			}
			err = errors.Join(err, n.close())
		}
	}()
	for _, name := range req.Names {
		x, err := m.lock(ctx, name)
		if err != nil {
			return nil, nameError(name, len(req.Names), err)
		}
		nodes = append(nodes, joining{machine: x, role: role, old: true})
		if x.classic() {
			return nil, fmt.Errorf("join %q: %w: it is in classic swarm %q", name, swarmboot.ErrForeign, m.classicName(x.rec))
		}
		if _, ok := x.drv.(drivers.Unmanaged); ok {
			return nil, fmt.Errorf("join %q: %w: driver %s has no address for a swarm", name, drivers.ErrUnsupported, x.rec.DriverName)
		}
		if x.rec.Swarm.Name != "" && x.rec.Swarm.Name != o.Name {
			return nil, fmt.Errorf("join %q: %w: it is in %s, not in %s", name, swarmboot.ErrForeign, m.swarmWithID(x.rec.Swarm.Name), m.swarmWithID(o.Name))
		}
	}
	if req.DryRun {
		return m.planSwarm(ctx, o, nodes, req.RotateTokens)
	}
	if !req.NoPreflight {
		var mu sync.Mutex
		index := map[string]int{}
		for i, n := range nodes {
			index[n.rec.Name] = i
		}
		err := m.each(ctx, req.Names, func(ctx context.Context, name string) error {
			conn, err := nodes[index[name]].dial(ctx)
			mu.Lock()
			defer mu.Unlock()
			nodes[index[name]].conn = conn
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if err := m.formSwarm(ctx, o, nodes, !req.NoPreflight); err != nil {
		return nil, err
	}
	for _, n := range nodes {
		n.remember(o)
		if err := n.put(); err != nil {
			return nil, err
		}
	}
	if !req.RotateTokens {
		return nil, nil
	}
	_, _, err = m.SwarmRotateTokens(ctx, RotateTokensRequest{Swarm: o.Name})
	return nil, err
}

// remember keeps the options that a node has joined with; the labels of a member that was given none are what they were.
func (n joining) remember(o SwarmOptions) {
	if was := n.rec.HostOptions.SwarmOptions; was.Name == o.Name && len(o.Labels) == 0 {
		o.Labels = was.Labels
	}
	n.rec.HostOptions.SwarmOptions = o
}

func (m *Manager) planSwarm(ctx context.Context, o SwarmOptions, nodes []joining, rotate bool) ([]Planned, error) {
	cluster, err := m.clusterOrNew(o.Name)
	if err != nil {
		return nil, err
	}
	f, err := m.surveySwarm(ctx, o, cluster, nodes)
	if err != nil {
		return nil, err
	}
	defer f.close()
	plans := plannedActions(f.actions)
	if rotate && len(plans) > 0 {
		last := &plans[len(plans)-1]
		last.Steps = append(last.Steps, "replace both join tokens of swarm "+o.Name)
	}
	if text := f.warning(cluster); text != "" {
		plans[len(plans)-1].Warnings = []string{text}
	}
	return plans, nil
}

// swarmWithID is a swarm for messages.
func (m *Manager) swarmWithID(name string) string {
	if c, err := m.Store.Cluster(name); err == nil && c.ID != "" {
		return fmt.Sprintf("swarm %q (%s)", name, c.ID)
	}
	return fmt.Sprintf("swarm %q", name)
}

func plannedActions(actions []swarmboot.Action) []Planned {
	var out []Planned
	for _, a := range actions {
		i := slices.IndexFunc(out, func(p Planned) bool { return p.Machine == a.Node.Name })
		if i < 0 {
			out = append(out, Planned{Machine: a.Node.Name})
			i = len(out) - 1
		}
		out[i].Steps = append(out[i].Steps, a.String())
	}
	return out
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// SwarmList returns the recorded swarms.
func (m *Manager) SwarmList() ([]SwarmInfo, error) {
	all, err := m.Store.Clusters()
	out := make([]SwarmInfo, 0, len(all))
	for _, c := range all {
		info := SwarmInfo{Name: c.Name, Kind: KindSwarmMode, ID: c.ID, Managers: []string{}, Workers: []string{}}
		for name, member := range c.Members {
			if member.Role == string(swarmboot.Manager) {
				info.Managers = append(info.Managers, name)
			} else {
				info.Workers = append(info.Workers, name)
			}
		}
		slices.Sort(info.Managers)
		slices.Sort(info.Workers)
		out = append(out, info)
	}
	classic, cerr := m.classicSwarms()
	for _, s := range classic {
		info := SwarmInfo{Name: s.name, Kind: KindClassic, ID: s.discovery, Managers: []string{}, Workers: []string{}}
		for _, rec := range s.masters {
			info.Managers = append(info.Managers, rec.Name)
		}
		for _, rec := range s.agents {
			if !slices.Contains(info.Managers, rec.Name) {
				info.Workers = append(info.Workers, rec.Name)
			}
		}
		out = append(out, info)
	}
	return out, errors.Join(err, cerr) // the good ones also when one cannot be read
}
