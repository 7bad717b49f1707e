package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/provision"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// Remove removes machines. removed has the names that are gone. Members of a swarm are judged together before the first goes:
// unless forced, all of them stay if the swarm cannot do without them. Then they leave it one after another, in SwarmLeave's
// order; everything else goes at once.
func (m *Manager) Remove(ctx context.Context, req RemoveRequest) (removed []string, err error) {
	var names []string
	var errs []error
	for _, name := range req.Names {
		_, err := m.Store.Get(name)
		switch {
		case errors.Is(err, store.ErrNotExist), errors.Is(err, store.ErrName):
			errs = append(errs, nameError(name, len(req.Names), err))
		case !slices.Contains(names, name):
			names = append(names, name)
		}
	}
	var leads []string
	byLead := map[string][]string{}
	for _, group := range m.swarmGroups(m.workersFirst(names)) {
		group, err := m.partingOrder(ctx, group, req.Force)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		leads = append(leads, group[0])
		byLead[group[0]] = group
	}
	gone := make(chan string, len(names))
	err = m.each(ctx, leads, func(ctx context.Context, lead string) error {
		var errs []error
		for _, name := range byLead[lead] {
			if err := m.removeOne(OnMachine(ctx, name), name, req.Force); err != nil {
				errs = append(errs, nameError(name, len(req.Names), err))
				if errors.Is(err, swarmboot.ErrQuorum) {
					break // the next manager would be refused for the same reason
				}
				continue
			}
			gone <- name
		}
		return errors.Join(errs...)
	})
	close(gone)
	for name := range gone {
		removed = append(removed, name)
	}
	slices.SortFunc(removed, func(a, b string) int { return slices.Index(req.Names, a) - slices.Index(req.Names, b) })
	return removed, errors.Join(append(errs, err)...)
}

// partingOrder is the order in which members of a swarm are removed, or why the swarm cannot do without them. One alone is
// judged when it leaves, as are those of whom nothing is known together; by force nobody is.
func (m *Manager) partingOrder(ctx context.Context, group []string, force bool) ([]string, error) {
	if force || len(group) == 1 {
		return group, nil
	}
	cluster, plan, err := m.parting(group)
	if err != nil {
		return group, nil // another command has taken one out since
	}
	if plan, err = m.judgeParting(ctx, cluster, plan); err != nil {
		return nil, err
	}
	order := make([]string, len(plan.Changes))
	for i, c := range plan.Changes {
		order[i] = c.Name
	}
	return order, nil
}

func (m *Manager) removeOne(ctx context.Context, name string, force bool) (err error) {
	txn, err := m.waitMachine(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, txn.Close()) }()
	x := &machine{m: m, txn: txn, givenUp: new(atomic.Bool)}
	x.rec, err = txn.Get()
	if errors.Is(err, store.ErrNotExist) {
		m.Note(ctx, "another command has removed it")
		return nil
	}
	if err == nil {
		err = x.open()
	}
	if err != nil {
		if !force {
			return err
		}
		// Nothing at a provider can be released by a record that cannot be read: that is said.
		m.Note(ctx, "removed the record only: "+err.Error()+"; machine gc -d DRIVER finds what the provider holds of the machine by its tag")
		if err := m.forget(ctx, name); err != nil {
			return err
		}
		return txn.Delete()
	}
	if err := x.needsDriver("remove host"); err != nil && !force {
		return err
	}
	return x.advise(m.removeLocked(ctx, x, force))
}

// waitMachine locks a machine that is to go. Another command at work on it gets some time to end: unlike others,
// a removal loses nothing by what that command does meanwhile.
func (m *Manager) waitMachine(ctx context.Context, name string) (txn machineTxn, err error) {
	txn, err = m.locks().machine(ctx, name)
	if !errors.Is(err, store.ErrLocked) {
		return txn, err
	}
	m.Note(ctx, "waiting: "+err.Error())
	bounded, cancel := within(ctx, m.Wait.Lock, removalLockDeadline, "wait for another command on "+name)
	defer cancel()
	perr := poll(bounded, func(ctx context.Context) (bool, error) {
		txn, err = m.locks().machine(ctx, name)
		return !errors.Is(err, store.ErrLocked), nil
	})
	if perr != nil && context.Cause(ctx) != nil {
		return nil, errors.Join(context.Cause(ctx), err)
	}
	return txn, err // of the last attempt: it names who holds the lock
}

// removeLocked removes a machine whose lock is held. The record stays until all else is gone.
func (m *Manager) removeLocked(ctx context.Context, x *machine, force bool) error {
	if err := m.leaveSwarm(ctx, x, force); err != nil {
		return x.fail(err)
	}
	// A full store must not keep a host that costs money: the record on disk still leads to it.
	if err := x.phase(store.Removing); err != nil && !errors.Is(err, store.ErrFull) {
		return err
	}
	if x.classic() {
		err := x.bounded(ctx, force, "take the machine off the lists of members", func(ctx context.Context) error {
			m.unlist(ctx, x)
			return nil
		})
		if err != nil {
			m.Note(ctx, "a list of members may still have the machine: "+err.Error())
		}
	}
	if a, ok := x.drv.(drivers.Adopter); ok && a.Deprovision() {
		if err := x.bounded(ctx, force, "deprovision the host", x.deprovision); err != nil {
			if !force || context.Cause(ctx) != nil {
				return x.fail(fmt.Errorf("deprovision: %w", err))
			}
			m.Note(ctx, "the host was not deprovisioned: "+err.Error())
		}
	}
	err := m.Step(ctx, "remove the host", func(ctx context.Context) error {
		return x.bounded(ctx, force, "remove the host", x.drv.Remove)
	})
	if err != nil && !errors.Is(err, drivers.ErrNotFound) {
		if !force || context.Cause(ctx) != nil {
			return x.fail(fmt.Errorf("remove host: %w", err))
		}
		text := "the provider did not release everything: " + err.Error()
		if _, ok := x.drv.(drivers.Orphans); ok {
			text += "; machine gc -d " + x.rec.DriverName + " finds it by its tag"
		}
		m.Note(ctx, text)
	}
	if x.rec.DockerContext {
		if err := m.removeContext(ctx, x.rec.Name); err != nil {
			m.Note(ctx, "the docker context stays: "+err.Error())
		}
	}
	return x.txn.Delete()
}

// bounded calls fn, which gets so much time to take the host away. By force a call that does not even heed its context is
// given up: removal by force ends.
func (x *machine) bounded(ctx context.Context, force bool, what string, fn func(context.Context) error) error {
	limit := removalDeadline
	if force {
		limit = forcedDeadline
	}
	if x.m.Wait.Remove > 0 {
		limit = x.m.Wait.Remove
	}
	ctx, cancel := within(ctx, limit, limit, what)
	defer cancel()
	if !force {
		return fn(ctx)
	}
	done := make(chan error, 1)
	go func() { done <- fn(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(min(heedDeadline, limit)):
		x.givenUp.Store(true)
		return context.Cause(ctx)
	}
}

// deprovision undoes on the user's own host what provisioning did.
func (x *machine) deprovision(ctx context.Context) error {
	if x.classic() {
		if err := x.clearClassic(ctx); err != nil {
			return err
		}
	}
	conn, err := x.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	facts, err := provision.Probe(ctx, conn, x.wanted())
	if err != nil {
		return err
	}
	steps, err := provision.PlanRemoval(facts)
	if err != nil {
		return err
	}
	return provision.Apply(ctx, conn, steps, x.m.Step)
}
