package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/hostsmith/machine/swarmboot"
)

// MachineError is an error about one machine of several.
type MachineError struct {
	Machine string
	Err     error
}

func (e *MachineError) Error() string { return e.Machine + ": " + e.Err.Error() }
func (e *MachineError) Unwrap() error { return e.Err }

// each calls fn for each name, some at once. One failure does not stop the others; the
// errors are joined in the order of names, each with its name if there are several.
func (m *Manager) each(ctx context.Context, names []string, fn func(ctx context.Context, name string) error) error {
	return eachLimit(ctx, names, m.limit(), fn)
}

// limit is how many machines are worked on at once.
func (m *Manager) limit() int {
	if m.Limit <= 0 {
		return 16
	}
	return m.Limit
}

func eachLimit(ctx context.Context, names []string, limit int, fn func(ctx context.Context, name string) error) error {
	var g errgroup.Group
	g.SetLimit(limit)
	errs := make([]error, len(names))
	for i, name := range names {
		g.Go(func() error {
			err := context.Cause(ctx)
			if err == nil {
				err = fn(OnMachine(ctx, name), name)
			}
			errs[i] = nameError(name, len(names), err)
			return nil
		})
	}
	_ = g.Wait() // the functions above return nil
	return errors.Join(errs...)
}

// nameError puts the machine's name before an error if there is more than one machine.
func nameError(name string, of int, err error) error {
	var named *MachineError
	if err == nil || of < 2 || errors.As(err, &named) {
		return err
	}
	return &MachineError{Machine: name, Err: err}
}

// notBegun is why one machine cannot be worked on, and the others named with it were not either.
type notBegun struct{ error }

func (e notBegun) Unwrap() error        { return e.error }
func (e notBegun) Is(target error) bool { return target == ErrNotBegun } //nolint:errorlint // what Is is for

// exist returns why one of names cannot be worked on, before any work is begun: an ErrNotBegun.
func (m *Manager) exist(names []string) error {
	var errs []error
	for i, name := range names {
		if _, err := m.Store.Get(name); err != nil {
			errs = append(errs, notBegun{nameError(name, len(names), err)})
		}
		for _, other := range names[:i] {
			if name == other {
				errs = append(errs, fmt.Errorf("%w: machine %q is named twice", ErrUsage, name))
			}
		}
	}
	return errors.Join(errs...)
}

// swarmGroups sorts machines into groups that may be worked on at once: members of one swarm
// stay together, in the order of names, everything else is on its own.
func (m *Manager) swarmGroups(names []string) [][]string {
	var groups [][]string
	at := map[string]int{}
	for _, name := range names {
		rec, err := m.Store.Get(name)
		if err != nil || rec.Swarm.Name == "" {
			groups = append(groups, []string{name})
			continue
		}
		i, ok := at[rec.Swarm.Name]
		if !ok {
			i = len(groups)
			at[rec.Swarm.Name] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], name)
	}
	return groups
}

// eachInTurn is each for work that restarts engines: members of one swarm go one after another,
// workers first, each once the one before is ready in the swarm again; the first failure stops
// the rest of that swarm.
func (m *Manager) eachInTurn(ctx context.Context, names []string, fn func(ctx context.Context, name string) error) error {
	return m.inTurn(ctx, names, fn, m.settle)
}

// inTurn is eachInTurn with another wait between members of one swarm.
func (m *Manager) inTurn(ctx context.Context, names []string, fn, settle func(ctx context.Context, name string) error) error {
	groups := m.swarmGroups(m.workersFirst(names))
	leads := make([]string, len(groups))
	index := map[string]int{}
	for i, g := range groups {
		leads[i] = g[0]
		index[g[0]] = i
	}
	var mu sync.Mutex
	byName := map[string]error{}
	_ = m.each(ctx, leads, func(ctx context.Context, lead string) error {
		group := groups[index[lead]]
		for i, name := range group {
			ctx := OnMachine(ctx, name)
			err := fn(ctx, name)
			if err == nil && i+1 < len(group) {
				err = settle(ctx, name)
			}
			mu.Lock()
			byName[name] = nameError(name, len(names), err)
			if err != nil {
				for _, rest := range group[i+1:] {
					byName[rest] = &MachineError{rest, fmt.Errorf("%w: %s", errNotContinued, name)}
				}
			}
			mu.Unlock()
			if err != nil {
				break
			}
		}
		return nil
	})
	errs := make([]error, 0, len(names))
	for _, name := range names {
		errs = append(errs, byName[name])
	}
	return errors.Join(append(errs, context.Cause(ctx))...)
}

// errNotContinued is the error of a member that was not touched because one before it failed.
var errNotContinued = errors.New("not begun, because of another member of the same swarm")

// settle waits until a member of a swarm whose engine was restarted is ready in it, so that the
// next one may go without taking the quorum along.
func (m *Manager) settle(ctx context.Context, name string) error {
	x, err := m.view(name)
	if err != nil || x.rec.Swarm.NodeID == "" {
		return err
	}
	cluster, err := m.Store.Cluster(x.rec.Swarm.Name)
	if err != nil {
		return err
	}
	if err := x.waitsForKey(ctx); err != nil {
		return err // the next one to restart would lock too
	}
	ctx, cancel := x.within(ctx, m.Wait.Swarm, engineGone, "wait for the node to be ready in its swarm")
	defer cancel()
	return m.Step(ctx, "wait for the node to be ready", func(ctx context.Context) error {
		return poll(ctx, func(ctx context.Context) (bool, error) {
			eng, _, err := m.aManager(ctx, cluster, "", name)
			if errors.Is(err, swarmboot.ErrNoManager) {
				eng, _, err = m.aManager(ctx, cluster, name) // the only manager looks after itself
			}
			if errors.Is(err, swarmboot.ErrNoManager) {
				return false, nil
			}
			if err != nil {
				return false, err
			}
			defer eng.close()
			return true, swarmboot.WaitReady(ctx, eng, x.rec.Swarm.NodeID)
		})
	})
}
