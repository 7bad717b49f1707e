package swarmboot

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"golang.org/x/sync/errgroup"
)

// workersAtOnce bounds how many workers join at the same time; each makes the
// managers sign a certificate and write to their log.
const workersAtOnce = 16

// Result is what Apply reached, also when it failed half-way.
type Result struct {
	ClusterID string
	NodeIDs   map[string]string // by machine name
	Ghosts    map[string]string // ids that nodes got in joins that failed, and that the swarm may still list; by machine name
}

// Apply does the actions in order, workers concurrently, and returns the node ids by machine
// name and the swarm's id; both are empty where no action told them. engines has each node and each
// manager by machine name. addrs has addresses of managers by machine name, for managers
// that do not say theirs; it may be nil.
//
// A manager that cannot join or be promoted ends the work, because what comes after it may count on
// it for the quorum; workers go on without each other, and their errors are joined. Every
// node is waited for until the swarm has it ready. When ctx ends, the nodes that have joined stay
// joined: planning again continues from there.
func Apply(ctx context.Context, actions []Action, engines map[string]Engine, addrs map[string]string, step StepFunc) (Result, error) {
	b := &boot{engines: engines, addrs: addrs, step: step, result: Result{NodeIDs: make(map[string]string), Ghosts: make(map[string]string)}}
	var errs []error
	for i := 0; i < len(actions); {
		batch := 1
		if actions[i].Kind == kindJoinWorker {
			for i+batch < len(actions) && actions[i+batch].Kind == kindJoinWorker {
				batch++
			}
			errs = append(errs, b.workers(ctx, actions[i:i+batch]))
		} else if err := b.do(ctx, actions[i]); err != nil {
			errs = append(errs, err)
			if actions[i].Node.Role == Manager {
				break
			}
		}
		i += batch
	}
	return b.result, errors.Join(errs...)
}

// NodeError is an action of Apply that failed.
type NodeError struct {
	Node   string // machine name
	Action string // such as "join w1 as worker"
	Err    error
}

func (e *NodeError) Error() string { return e.Action + ": " + e.Err.Error() }
func (e *NodeError) Unwrap() error { return e.Err }

// boot is one Apply at work.
type boot struct {
	engines map[string]Engine
	addrs   map[string]string
	step    StepFunc

	mu     sync.Mutex
	result Result
}

func (b *boot) reached(name, id, cluster string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.result.NodeIDs[name] = id
	if cluster != "" {
		b.result.ClusterID = cluster
	}
}

// haunted notes the id of a node that did not come to be and may still be listed.
func (b *boot) haunted(name, id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.result.Ghosts[name] = id
}

func (b *boot) workers(ctx context.Context, actions []Action) error {
	errs := make([]error, len(actions))
	var g errgroup.Group // without a context: one that fails does not end the others
	g.SetLimit(workersAtOnce)
	for i, a := range actions {
		g.Go(func() error {
			errs[i] = b.do(ctx, a)
			return nil
		})
	}
	_ = g.Wait()
	return errors.Join(errs...)
}

func (b *boot) do(ctx context.Context, a Action) error {
	return stepped(ctx, b.step, a.Name(), func(ctx context.Context) error {
		var err error
		switch a.Kind {
		case kindInit:
			err = b.init(ctx, a)
		case kindJoinManager, kindJoinWorker:
			err = b.join(ctx, a)
		case kindUpdate:
			err = b.update(ctx, a)
		default:
			err = errors.New("unknown kind of action")
		}
		if err != nil {
			return &NodeError{Node: a.Node.Name, Action: a.Name(), Err: err}
		}
		return nil
	})
}

func (b *boot) init(ctx context.Context, a Action) error {
	e := b.engines[a.Node.Name]
	if e == nil {
		return fmt.Errorf("%w: no connection", ErrNode)
	}
	if a.Reset {
		if err := leave(ctx, e, true); err != nil {
			return err
		}
	}
	req := initRequest{
		ListenAddr:      listenAddr(a.Node),
		AdvertiseAddr:   a.Node.Advertise,
		DataPathAddr:    a.Node.DataPath,
		DefaultAddrPool: a.Pool,
		SubnetSize:      a.SubnetSize,
		DataPathPort:    a.DataPathPort,
		Availability:    a.Node.Availability,
	}
	if a.CertExpiry > 0 {
		req.Spec = &initSpec{}
		req.Spec.CAConfig.NodeCertExpiry = a.CertExpiry
	}
	if err := call(ctx, e, http.MethodPost, "/swarm/init", req, nil); err != nil && !inBackground(err) {
		return addressHint(err)
	}
	var id, cluster string
	err := poll(ctx, func(ctx context.Context) (bool, error) {
		i, err := info(ctx, e)
		if err != nil {
			return false, err
		}
		if i.Swarm.LocalNodeState == "error" {
			return false, &apiError{status: http.StatusConflict, message: redact(i.Swarm.Error)}
		}
		id = i.Swarm.NodeID
		if i.Swarm.Cluster != nil {
			cluster = i.Swarm.Cluster.ID
		}
		return i.Swarm.ControlAvailable && id != "" && cluster != "", nil
	})
	if err != nil {
		return fmt.Errorf("wait for the new swarm: %w", err)
	}
	b.reached(a.Node.Name, id, cluster)
	return b.settle(ctx, e, id, a.Node)
}

// settle waits until a node is ready and gives it the labels and the availability wanted.
func (b *boot) settle(ctx context.Context, manager Engine, id string, n Node) error {
	if err := WaitReady(ctx, manager, id); err != nil {
		return err
	}
	return updateNode(ctx, manager, id, func(s *nodeSpec) bool { return n.spec(s) })
}

func (b *boot) update(ctx context.Context, a Action) error {
	g, _, err := b.guide(ctx, a.Via)
	if err != nil {
		return err
	}
	manager := g.engine
	if err := updateNode(ctx, manager, a.NodeID, func(s *nodeSpec) bool {
		changed := a.Node.spec(s)
		if s.Role != a.Node.Role {
			s.Role, changed = a.Node.Role, true
		}
		return changed
	}); err != nil {
		return err
	}
	b.reached(a.Node.Name, a.NodeID, g.cluster.ID)
	if err := waitRole(ctx, manager, a.NodeID, a.Node.Role); err != nil {
		return err
	}
	if e := b.engines[a.Node.Name]; e != nil && a.Node.Role == Manager {
		return controls(ctx, e) // the next order may go through it
	}
	return nil
}

// controls waits until an engine takes orders: the others count it as a manager a little earlier.
func controls(ctx context.Context, e Engine) error {
	err := poll(ctx, func(ctx context.Context) (bool, error) {
		i, err := info(ctx, e)
		return i.Swarm.ControlAvailable, err
	})
	if err != nil {
		return fmt.Errorf("wait for the manager to take orders: %w", err)
	}
	return nil
}
