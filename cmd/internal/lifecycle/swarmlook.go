package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

const (
	askLimit   = 10 * time.Second // for the engines, while no manager has answered
	stragglers = 4 * time.Second  // for the other engines, once a manager has answered
	certsAge   = time.Minute      // certificates are read again after
)

// SwarmWatch looks at one swarm as often as it is asked to.
type SwarmWatch struct {
	m    *Manager
	name string

	mu     sync.Mutex
	certs  map[string]nodeCert // by machine
	certAt time.Time
}

// WatchSwarm returns a look at a swarm, with its node certificates; name is a swarm, a machine, or empty for the only swarm.
func (m *Manager) WatchSwarm(name string) *SwarmWatch { return &SwarmWatch{m: m, name: name} }

// SwarmStatus asks the engines of a swarm how it is; name is a swarm, a machine, or empty for the only swarm.
// Without a manager that can tell, the error says so, and the status is what is known all the same.
// Node certificates are not read: see WatchSwarm.
func (m *Manager) SwarmStatus(ctx context.Context, name string) (SwarmStatus, error) {
	c, err := m.findCluster(name)
	if err != nil {
		return SwarmStatus{}, err
	}
	view := judgeSwarm(m.lookAt(ctx, c, nil))
	return view.SwarmStatus, view.err()
}

// Look asks all engines of the swarm, and the hosts for the certificates. The view is of use with an error too, unless the
// swarm is not recorded: then it has no name.
func (w *SwarmWatch) Look(ctx context.Context) (SwarmView, error) {
	c, err := w.m.findCluster(w.name)
	if err != nil {
		return SwarmView{}, err
	}
	view := judgeSwarm(w.m.lookAt(ctx, c, w))
	if cause := context.Cause(ctx); cause != nil {
		return view, cause
	}
	return view, view.err()
}

// known returns certificates that were read a short while ago.
func (w *SwarmWatch) known(now time.Time) map[string]nodeCert {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now.Sub(w.certAt) > certsAge {
		return nil
	}
	return maps.Clone(w.certs)
}

func (w *SwarmWatch) keep(certs map[string]nodeCert, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.certs, w.certAt = certs, now
}

// answer is what one machine says.
type answer struct {
	fact machineFact
	eng  *engine
}

// lookAt gathers the facts of a swarm. Nothing of it fails: what is not known is not there. certs is nil where nobody wants them.
func (m *Manager) lookAt(ctx context.Context, c store.Cluster, watch *SwarmWatch) swarmFacts {
	f := swarmFacts{Now: m.Now(), Cluster: c, Machines: map[string]machineFact{}, Certs: map[string]nodeCert{}}
	if c.Operation != nil || len(c.Upgrade) > 0 {
		f.AtWork = m.lockHolder(ctx, c.Name)
	}
	names := m.concerned(c)
	ask, end := context.WithCancelCause(ctx)
	defer end(nil)
	ask, cancel := within(ask, 0, askLimit, "ask the engine")
	defer cancel()
	readCerts := watch != nil
	if readCerts {
		if known := watch.known(f.Now); known != nil {
			f.Certs, readCerts = known, false
		}
	}
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		asked = make([]answer, len(names))
		once  sync.Once
	)
	late := func() {
		once.Do(func() {
			time.AfterFunc(stragglers, func() { end(&DeadlineError{What: "ask the engine", Limit: stragglers}) })
		})
	}
	for i, name := range names {
		root := make(chan string, 1)
		reading, stop := context.WithCancelCause(ctx)
		defer stop(nil)
		wg.Go(func() {
			asked[i] = m.askMachine(ask, name)
			if cause := context.Cause(ask); cause != nil && !asked[i].fact.Seen.Reachable {
				stop(cause) // a host that has not answered until now will not do so over SSH
			}
			seen := asked[i].fact.Seen
			root <- seen.Root
			if len(seen.Nodes) > 0 && (c.ID == "" || seen.ClusterID == c.ID) {
				late()
			}
		})
		if readCerts {
			wg.Go(func() {
				cert := m.certOf(reading, name, root)
				mu.Lock()
				defer mu.Unlock()
				f.Certs[name] = cert
			})
		}
	}
	wg.Wait()
	if readCerts {
		watch.keep(maps.Clone(f.Certs), f.Now)
	}
	for i, name := range names {
		f.Machines[name] = asked[i].fact
		if eng := asked[i].eng; eng != nil {
			defer eng.close()
		}
	}
	m.paint(ctx, &f, names, asked)
	return f
}

// lockHolder names the command that has the lock of a swarm; empty: none has.
func (m *Manager) lockHolder(ctx context.Context, name string) string {
	ctx, cancel := within(ctx, 0, 200*time.Millisecond, "lock swarm "+name)
	defer cancel()
	txn, err := m.locks().cluster(ctx, name)
	var locked *store.LockedError
	switch {
	case errors.As(err, &locked):
		return cmp.Or(locked.Holder.Command, "another command")
	case err == nil:
		_ = txn.Close() // only read
	}
	return ""
}

// concerned are the machines that the swarm's record or their own say are in it.
func (m *Manager) concerned(c store.Cluster) []string {
	names := slices.Collect(maps.Keys(c.Members))
	all, err := m.Store.Names()
	if err != nil {
		m.Log.Warn("machines cannot be listed", "err", err)
	}
	for _, name := range all {
		if _, member := c.Members[name]; member {
			continue
		}
		if rec, err := m.Store.Get(name); err == nil && rec.Swarm.Name == c.Name {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (m *Manager) askMachine(ctx context.Context, name string) (a answer) {
	x, err := m.view(name)
	if err != nil {
		a.fact.Gone = errors.Is(err, store.ErrNotExist)
		a.fact.Seen.Err = err.Error()
		return a
	}
	a.fact.Swarm, a.fact.Peer, a.fact.Advertise = x.rec.Swarm, x.rec.Address.Peer, x.rec.HostOptions.SwarmOptions.Advertise
	if a.eng, err = x.engine(ctx, nil); err != nil {
		a.fact.Seen.Err = err.Error()
		return a
	}
	aside, cancel := context.WithCancel(ctx)
	defer cancel()
	version := make(chan string, 1)
	go func() {
		v, _ := a.eng.version(aside) // empty: no answer
		version <- v.Version
	}()
	if a.fact.Seen = swarmboot.Inspect(ctx, a.eng); a.fact.Seen.Reachable {
		return a
	}
	if v := <-version; v != "" && ctx.Err() != nil {
		a.fact.Seen = swarmboot.Seen{Reachable: true, State: hangs, Version: v, Err: a.fact.Seen.Err}
	}
	return a
}

// hangs is the state of an engine that answers and does not tell of its swarm: a manager that has just lost its leader takes
// some 20 seconds, for each question, to see that it has.
const hangs = "hangs"

func (m *Manager) certOf(ctx context.Context, name string, root <-chan string) nodeCert {
	x, err := m.view(name)
	if err != nil {
		return nodeCert{Err: err.Error()}
	}
	return x.readNodeCert(ctx, root)
}

// paint has the first manager that can draw the picture.
func (m *Manager) paint(ctx context.Context, f *swarmFacts, names []string, asked []answer) {
	for i, name := range names {
		seen := asked[i].fact.Seen
		if len(seen.Nodes) == 0 || f.Cluster.ID != "" && seen.ClusterID != f.Cluster.ID {
			continue
		}
		p, err := swarmboot.Look(ctx, asked[i].eng)
		if err != nil {
			m.Log.Warn("manager cannot tell", "machine", name, "err", err)
			f.Failed = fmt.Sprintf("%s: %v", name, err)
			continue
		}
		f.Via, f.Picture, f.DataPathPort = name, &p, seen.DataPathPort
		return
	}
}

// HasSwarm is why there is no swarm to look at; nil: there is one.
func (m *Manager) HasSwarm(name string) error {
	_, err := m.findCluster(name)
	return err
}
