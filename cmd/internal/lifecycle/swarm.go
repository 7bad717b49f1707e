package lifecycle

import (
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
	return store.Cluster{}, errors.Join(fmt.Errorf("%w: %q", ErrNoSwarm, name), err)
}

// formSwarm makes nodes members of the named swarm, which is new if it is not recorded.
// The records of what was reached are written also when it fails half-way.
func (m *Manager) formSwarm(ctx context.Context, o SwarmOptions, nodes []joining, preflight bool) (err error) {
	txn, cluster, err := m.lockCluster(ctx, o.Name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, txn.Close()) }()
	f, err := m.surveySwarm(ctx, o, cluster, nodes)
	if err != nil {
		return err
	}
	defer f.close()
	cluster.DataPathPort = f.dataPathPort
	if len(f.actions) == 0 {
		return f.record(txn, cluster, swarmboot.Result{})
	}
	if preflight {
		if err := m.preflight(ctx, f); err != nil {
			return err
		}
	}
	if err := f.intend(txn, cluster); err != nil {
		return err
	}
	each := m.Wait.Swarm
	if each <= 0 {
		each = engineGone * time.Duration(f.slowness())
	}
	joinCtx, cancel := within(ctx, each*time.Duration(len(f.actions)), 0, "join swarm "+o.Name)
	defer cancel()
	res, err := swarmboot.Apply(joinCtx, f.actions, f.engines, f.addrs, m.Step)
	if err != nil {
		err = fmt.Errorf("join swarm %q: %w", o.Name, err)
	}
	// What was reached is recorded also when the command was interrupted.
	f.lookAgain(context.WithoutCancel(ctx), res)
	return errors.Join(err, f.record(txn, cluster, res))
}

func (m *Manager) lockCluster(ctx context.Context, name string) (clusterTxn, store.Cluster, error) {
	txn, err := m.waitCluster(ctx, name)
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
func (m *Manager) waitCluster(ctx context.Context, name string) (clusterTxn, error) {
	soon, cancel := within(ctx, 0, 2*time.Second, "lock swarm "+name)
	txn, err := m.locks().cluster(soon, name)
	cancel()
	if err == nil || context.Cause(ctx) != nil || !errors.Is(err, store.ErrLocked) && !errors.Is(err, context.DeadlineExceeded) {
		return txn, err
	}
	m.Note(ctx, "waiting: "+err.Error())
	ctx, cancel = within(ctx, 0, lockDeadline, "wait for another command on swarm "+name)
	defer cancel()
	return m.locks().cluster(ctx, name)
}

// forming is a swarm about to be formed or extended.
type forming struct {
	nodes   []joining
	others  []*machine // members of before that are managers
	seen    map[string]swarmboot.Seen
	engines map[string]swarmboot.Engine
	addrs   map[string]string
	actions []swarmboot.Action

	dataPathPort int
}

// slowness is that of the slowest node.
func (f *forming) slowness() int {
	slowest := 1
	for _, n := range f.nodes {
		slowest = max(slowest, n.slowness())
	}
	return slowest
}

func (f *forming) close() {
	for _, e := range f.engines {
		e.(*engine).close()
	}
}

// surveySwarm asks all engines concerned and plans.
func (m *Manager) surveySwarm(ctx context.Context, o SwarmOptions, cluster store.Cluster, nodes []joining) (*forming, error) {
	f := &forming{nodes: nodes, engines: map[string]swarmboot.Engine{}, addrs: map[string]string{}}
	want := swarmboot.Swarm{Name: o.Name, ID: cluster.ID, AddrPool: o.AddrPool, SubnetSize: o.SubnetSize, DataPathPort: o.DataPathPort}
	for _, n := range nodes {
		node, err := m.node(n, o)
		if err != nil {
			return nil, err
		}
		want.Nodes = append(want.Nodes, node)
		eng, err := n.engine(ctx, n.dialer(n.conn))
		if err != nil {
			return nil, err
		}
		f.engines[n.rec.Name] = eng
		f.addrs[n.rec.Name] = withPort(node.Advertise, swarmPort)
	}
	for name, member := range cluster.Members {
		if member.Role != string(swarmboot.Manager) || f.engines[name] != nil {
			continue
		}
		x, err := m.view(name)
		if err != nil {
			m.Log.Warn("member of the swarm cannot be opened", "machine", name, "err", err)
			continue
		}
		eng, err := x.engine(ctx, nil)
		if err != nil {
			m.Log.Warn("member of the swarm cannot be reached", "machine", name, "err", err)
			continue
		}
		f.others = append(f.others, x)
		f.engines[name] = eng
		f.addrs[name] = net.JoinHostPort(x.rec.Address.Peer, swarmPort)
	}
	f.seen = inspectAll(ctx, f.engines)
	var err error
	if f.actions, err = swarmboot.Plan(want, f.seen); err != nil {
		return nil, fmt.Errorf("plan swarm %q: %w", o.Name, err)
	}
	if f.dataPathPort, err = f.seenDataPathPort(cluster, o); err != nil {
		return nil, err
	}
	return f, nil
}

// seenDataPathPort is what managers say of an existing swarm, which may have been made elsewhere, else what the record says.
func (f *forming) seenDataPathPort(cluster store.Cluster, o SwarmOptions) (int, error) {
	for _, s := range f.seen {
		if s.DataPathPort != 0 && (cluster.ID == "" || s.ClusterID == cluster.ID) {
			return s.DataPathPort, nil
		}
	}
	return dataPathPort(cluster, o)
}

// node is what a machine shall be in the swarm.
func (m *Manager) node(n joining, o SwarmOptions) (swarmboot.Node, error) {
	labels := map[string]string{}
	for _, l := range o.Labels {
		k, v, _ := strings.Cut(l, "=")
		if k == "" {
			return swarmboot.Node{}, fmt.Errorf("%w: node label %q has no key", ErrUsage, l)
		}
		labels[k] = v
	}
	advertise := o.Advertise
	if advertise == "" {
		advertise = n.rec.Address.Peer
	}
	return swarmboot.Node{
		Name:         n.rec.Name,
		Role:         n.role,
		Advertise:    advertise,
		Listen:       o.Listen,
		DataPath:     o.DataPath,
		Availability: o.Availability,
		Labels:       labels,
	}, nil
}

func withPort(addr, port string) string {
	if _, _, err := net.SplitHostPort(addr); err == nil {
		return addr
	}
	return net.JoinHostPort(addr, port)
}

// inspectAll asks engines at once; each has ten seconds.
func inspectAll(ctx context.Context, engines map[string]swarmboot.Engine) map[string]swarmboot.Seen {
	var mu sync.Mutex
	var wg sync.WaitGroup
	seen := make(map[string]swarmboot.Seen, len(engines))
	for name, e := range engines {
		wg.Go(func() {
			ctx, cancel := within(ctx, 0, 10*time.Second, "ask the engine of "+name)
			defer cancel()
			s := swarmboot.Inspect(ctx, e)
			mu.Lock()
			defer mu.Unlock()
			seen[name] = s
		})
	}
	wg.Wait()
	return seen
}

// intend records, before anything is done, that the nodes are about to be members. A machine with
// a swarm and no node id may be one that the swarm counts: it is taken out before it is removed.
func (f *forming) intend(txn clusterTxn, cluster store.Cluster) error {
	for _, n := range f.nodes {
		if n.rec.Swarm.NodeID != "" {
			continue
		}
		n.rec.Swarm = store.Swarm{Name: cluster.Name, Role: string(n.role)}
		if err := n.put(); err != nil {
			return err
		}
	}
	return txn.Put(cluster) // last: without a machine that knows of it, nothing would remove it
}

// lookAgain takes the intent back of nodes that are certain not to have joined.
func (f *forming) lookAgain(ctx context.Context, res swarmboot.Result) {
	asked := map[string]swarmboot.Engine{}
	for _, n := range f.nodes {
		if res.NodeIDs[n.rec.Name] == "" && n.rec.Swarm.NodeID == "" && f.seen[n.rec.Name].State != "active" {
			asked[n.rec.Name] = f.engines[n.rec.Name]
		}
	}
	for name, seen := range inspectAll(ctx, asked) {
		for _, n := range f.nodes {
			if n.rec.Name == name && seen.State == "inactive" {
				n.rec.Swarm = store.Swarm{}
			}
		}
	}
}

// record writes what was reached into the records of the machines and of the swarm.
func (f *forming) record(txn clusterTxn, cluster store.Cluster, res swarmboot.Result) error {
	if res.ClusterID != "" {
		cluster.ID = res.ClusterID
	}
	var errs []error
	for _, n := range f.nodes {
		id := res.NodeIDs[n.rec.Name]
		if seen := f.seen[n.rec.Name]; id == "" && seen.State == "active" && !f.joins(n.rec.Name) {
			id = seen.NodeID // was a member before
			if cluster.ID == "" {
				cluster.ID = seen.ClusterID
			}
		}
		if id == "" {
			errs = append(errs, n.put())
			continue
		}
		cluster.Members[n.rec.Name] = store.Member{Role: string(n.role), NodeID: id}
		n.rec.Swarm = store.Swarm{Name: cluster.Name, Role: string(n.role), NodeID: id}
		errs = append(errs, n.put())
	}
	if cluster.ID == "" && len(cluster.Members) == 0 {
		return errors.Join(append(errs, txn.Delete())...)
	}
	return errors.Join(append(errs, txn.Put(cluster))...)
}

// joins tells whether a node was to be brought in: what it said of itself before was not membership.
func (f *forming) joins(name string) bool {
	return slices.ContainsFunc(f.actions, func(a swarmboot.Action) bool {
		return a.Node.Name == name && a.Kind != "update"
	})
}

// preflight probes the network between those who join and the managers.
func (m *Manager) preflight(ctx context.Context, f *forming) error {
	var hosts []swarmboot.Host
	for _, n := range f.nodes {
		if n.conn == nil { // a machine that was ready before: the others ask for the way to it
			if f.seen[n.rec.Name].State == "active" {
				hosts = append(hosts, swarmboot.Host{Name: n.rec.Name, Addr: n.rec.Address.Peer, Role: n.role})
			}
			continue
		}
		hosts = append(hosts, swarmboot.Host{
			Name: n.rec.Name, Addr: n.rec.Address.Peer, Runner: n.conn, Role: n.role,
			Joining: f.seen[n.rec.Name].State != "active",
		})
	}
	for _, x := range f.others {
		hosts = append(hosts, swarmboot.Host{Name: x.rec.Name, Addr: x.rec.Address.Peer, Role: swarmboot.Manager})
	}
	if len(hosts) < 2 {
		return nil
	}
	limit := 45*time.Second + time.Duration(len(hosts))*2*time.Second
	ctx, cancel := within(ctx, 0, limit*time.Duration(f.slowness()), "probe the network between the hosts")
	defer cancel()
	return m.Step(ctx, "probe the network between the hosts", func(ctx context.Context) error {
		var fatal []string
		for _, finding := range swarmboot.Preflight(ctx, hosts, f.dataPathPort) {
			text := finding.String()
			switch {
			case finding.Fatal:
				fatal = append(fatal, text)
			case finding.Verdict == "ok":
				m.Log.Debug("preflight", "finding", text)
			case finding.Verdict == "unknown":
				m.Log.Info("preflight", "finding", text)
			default:
				m.Note(OnMachine(ctx, finding.From), text)
			}
		}
		if len(fatal) > 0 {
			return fmt.Errorf("%w: %s", swarmboot.ErrNetwork, strings.Join(fatal, "; "))
		}
		return nil
	})
}

// SwarmInit starts a swarm on existing machines, the first initialises, the others join as managers.
func (m *Manager) SwarmInit(ctx context.Context, req SwarmRequest) ([]Planned, error) {
	if len(req.Names) == 0 {
		return nil, fmt.Errorf("%w: no machine name", ErrUsage)
	}
	o := req.Options
	o.IsSwarm, o.Master = true, true
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
		nodes = append(nodes, joining{machine: x, role: role})
		if _, ok := x.drv.(drivers.Unmanaged); ok {
			return nil, fmt.Errorf("join %q: %w: driver %s has no address for a swarm", name, drivers.ErrUnsupported, x.rec.DriverName)
		}
		if x.rec.Swarm.Name != "" && x.rec.Swarm.Name != o.Name {
			return nil, fmt.Errorf("join %q: %w: it is in swarm %q", name, swarmboot.ErrForeign, x.rec.Swarm.Name)
		}
	}
	if req.DryRun {
		return m.planSwarm(ctx, o, nodes)
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
		n.rec.HostOptions.SwarmOptions = o
		if err := n.put(); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (m *Manager) planSwarm(ctx context.Context, o SwarmOptions, nodes []joining) ([]Planned, error) {
	cluster, err := m.clusterOrNew(o.Name)
	if err != nil {
		return nil, err
	}
	f, err := m.surveySwarm(ctx, o, cluster, nodes)
	if err != nil {
		return nil, err
	}
	defer f.close()
	return plannedActions(f.actions), nil
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
		info := SwarmInfo{Name: c.Name, ID: c.ID, Managers: []string{}, Workers: []string{}}
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
	return out, err // the good ones also when one cannot be read
}

// SwarmRotateTokens replaces the join tokens of a role ("manager", "worker" or empty: both).
func (m *Manager) SwarmRotateTokens(ctx context.Context, name, role string) error {
	if role != "" && role != string(swarmboot.Manager) && role != string(swarmboot.Worker) {
		return fmt.Errorf("%w: role %q is neither manager nor worker", ErrUsage, role)
	}
	c, err := m.findCluster(name)
	if err != nil {
		return err
	}
	eng, _, err := m.aManager(ctx, c, "")
	if err != nil {
		return err
	}
	defer eng.close()
	return m.Step(ctx, "rotate join tokens of "+c.Name, func(ctx context.Context) error {
		return swarmboot.RotateTokens(ctx, eng, swarmboot.Role(role))
	})
}
