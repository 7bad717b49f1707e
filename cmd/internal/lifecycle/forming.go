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
	if text := f.warning(cluster); text != "" {
		m.Note(ctx, "warning: swarm "+o.Name+": "+text)
	}
	m.openPorts(ctx, f)
	if preflight {
		if err := m.checkEngines(ctx, f); err != nil {
			return err
		}
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

// openPorts has providers' firewalls let through what the nodes reach each other at, where they were made before the swarm
// and its port were known. Where that fails the preflight tells what is closed.
func (m *Manager) openPorts(ctx context.Context, f *forming) {
	for _, n := range f.nodes {
		opener, ok := n.drv.(drivers.PortOpener)
		if !ok || !n.old || !f.joins(n.rec.Name) {
			continue
		}
		ctx := OnMachine(ctx, n.rec.Name)
		err := m.Step(ctx, "open the swarm's ports at the provider", func(ctx context.Context) error { return opener.OpenPorts(ctx, swarmPorts(f.dataPathPort)) })
		if err != nil {
			m.Note(ctx, "warning: the provider's firewall was not opened for the swarm: "+err.Error())
		}
	}
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
	given        bool // the advertised address was given, not the driver's
}

// slowness is that of the slowest node.
func (f *forming) slowness() int {
	slowest := 1
	for _, n := range f.nodes {
		slowest = max(slowest, n.slowness())
	}
	return slowest
}

// warning is what speaks against the number of managers that the swarm is going to have.
func (f *forming) warning(c store.Cluster) string {
	return swarmboot.WarnOfJoins(f.actions, f.seen, c.ID)
}

func (f *forming) close() {
	for _, e := range f.engines {
		e.(*engine).close()
	}
}

// surveySwarm asks all engines concerned and plans.
func (m *Manager) surveySwarm(ctx context.Context, o SwarmOptions, cluster store.Cluster, nodes []joining) (*forming, error) {
	f := &forming{nodes: nodes, given: o.Advertise != "", engines: map[string]swarmboot.Engine{}, addrs: map[string]string{}}
	want := swarmboot.Swarm{Name: o.Name, ID: cluster.ID, AddrPool: o.AddrPool, SubnetSize: o.SubnetSize, DataPathPort: o.DataPathPort, CertExpiry: o.CertExpiry}
	for _, n := range nodes {
		node, err := m.node(n, o)
		if err != nil {
			return nil, err
		}
		if id := n.rec.Swarm.NodeID; id != cluster.Members[n.rec.Name].NodeID {
			node.Former = id
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
	return inspectWithin(ctx, 10*time.Second, engines)
}

func inspectWithin(ctx context.Context, limit time.Duration, engines map[string]swarmboot.Engine) map[string]swarmboot.Seen {
	var mu sync.Mutex
	var wg sync.WaitGroup
	seen := make(map[string]swarmboot.Seen, len(engines))
	for name, e := range engines {
		wg.Go(func() {
			ctx, cancel := within(ctx, 0, limit, "ask the engine of "+name)
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
			if ghost := res.Ghosts[n.rec.Name]; ghost != "" { // whoever joins or removes the machine next strikes it off the list
				n.rec.Swarm = store.Swarm{Name: cluster.Name, Role: string(n.role), NodeID: ghost}
			}
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

// hosts are the ends of the preflight.
func (f *forming) hosts() []swarmboot.Host {
	var hosts []swarmboot.Host
	for _, n := range f.nodes {
		member := f.seen[n.rec.Name].State == "active"
		if n.conn == nil { // a machine that was ready before: the others ask for the way to it
			if member {
				hosts = append(hosts, swarmboot.Host{Name: n.rec.Name, Addr: f.advertised(n.machine), Role: n.role})
			}
			continue
		}
		hosts = append(hosts, swarmboot.Host{
			Name: n.rec.Name, Addr: f.advertised(n.machine), Given: f.given, Runner: n.conn, Role: n.role, Joining: !member,
		})
	}
	for _, x := range f.others {
		hosts = append(hosts, swarmboot.Host{Name: x.rec.Name, Addr: f.advertised(x), Role: swarmboot.Manager})
	}
	return hosts
}

// advertised is where other nodes reach a machine, or will: a member says itself what it advertises.
func (f *forming) advertised(x *machine) string {
	if addr := f.seen[x.rec.Name].NodeAddr; addr != "" {
		return addr
	}
	host, _, err := net.SplitHostPort(f.addrs[x.rec.Name])
	if err != nil || net.ParseIP(host) == nil { // the engine resolves names of interfaces
		return x.rec.Address.Peer
	}
	return host
}

// lend gives managers that are in the swarm a connection, so that they are asked for their way to who joins too: a
// firewall may be closed in one direction only. One that SSH does not reach is not asked. done ends the connections.
func (m *Manager) lend(ctx context.Context, f *forming, hosts []swarmboot.Host) (done func()) {
	conns := make([]*ssh.Client, len(hosts))
	var wg sync.WaitGroup
	for i := range hosts {
		if !slices.ContainsFunc(f.others, func(x *machine) bool { return x.rec.Name == hosts[i].Name }) {
			continue
		}
		wg.Go(func() {
			ctx, cancel := within(ctx, 0, 10*time.Second, "connect to "+hosts[i].Name+" over SSH")
			defer cancel()
			conn, err := m.Dial(ctx, hosts[i].Name)
			if err != nil {
				m.Log.Info("preflight: not asked", "machine", hosts[i].Name, "err", err)
				return
			}
			conns[i], hosts[i].Runner = conn, conn
		})
	}
	wg.Wait()
	return func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close() // nothing is under way
			}
		}
	}
}

// preflight probes the network between those who join and the managers.
func (m *Manager) preflight(ctx context.Context, f *forming) error {
	hosts := f.hosts()
	if len(hosts) < 2 && !f.given {
		return nil
	}
	defer m.lend(ctx, f, hosts)()
	limit := 45*time.Second + time.Duration(len(hosts))*2*time.Second
	ctx, cancel := within(ctx, 0, limit*time.Duration(f.slowness()), "probe the network between the hosts")
	defer cancel()
	return m.Step(ctx, "probe the network between the hosts", func(ctx context.Context) error {
		var fatal []string
		cause := swarmboot.ErrClock
		for _, finding := range swarmboot.Preflight(ctx, hosts, f.dataPathPort) {
			text := finding.String()
			switch {
			case finding.Fatal:
				fatal = append(fatal, text)
				switch {
				case finding.Subject == "address": // that nobody gets an answer follows from it
					cause = swarmboot.ErrAddress
				case finding.Subject != "clock" && cause != swarmboot.ErrAddress: //nolint:errorlint // it is the variable's value
					cause = swarmboot.ErrNetwork
				}
			case finding.Verdict == "ok":
				m.Log.Debug("preflight", "finding", text)
			case finding.Verdict == "unknown":
				m.Log.Info("preflight", "finding", text)
			default:
				m.Note(OnMachine(ctx, finding.From), text)
			}
		}
		if len(fatal) > 0 {
			return fmt.Errorf("%w: %s", cause, strings.Join(fatal, "; "))
		}
		return nil
	})
}
