package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

const userDataFile = "user-data"

// Create makes, resumes or completes machines, several at once. The results are in the order
// of the names, also when the joined error is not nil.
//
// The order of things: record, keys, host, SSH, probe, certificate, engine, TLS
// check (each machine on its own, several at once), then the swarm (all together).
func (m *Manager) Create(ctx context.Context, req CreateRequest) ([]Created, error) {
	results := make([]Created, len(req.Names))
	for i, name := range req.Names {
		results[i] = Created{Name: name, Driver: req.Driver}
		if f, err := m.driver(req.Driver); err == nil {
			results[i].Driver = f.Name()
		}
	}
	s, err := m.check(req)
	if err != nil {
		return results, err
	}
	works := make([]*making, len(s.names))
	index := map[string]int{}
	for i, name := range s.names {
		index[name] = i
		works[i] = &making{out: &results[i], started: m.Now(), lap: m.Now(), machine: &machine{m: m}}
	}
	defer func() {
		for _, x := range works {
			if err := x.close(); err != nil {
				m.Log.Debug("close machine", "machine", x.rec.Name, "err", err)
			}
		}
	}()
	errs := make([]error, len(works))
	note := func(i int, err error) {
		if err = nameError(s.names[i], len(s.names), works[i].advise(err)); err == nil {
			return
		}
		errs[i] = errors.Join(errs[i], err)
		results[i].Error, results[i].ReasonID = errs[i].Error(), ReasonOf(errs[i]).ID
	}
	all := func(fn func(ctx context.Context, name string, x *making) error) {
		called := make([]bool, len(works))
		_ = eachLimit(ctx, s.names, cmp.Or(max(req.limit, 0), m.limit()), func(ctx context.Context, name string) error {
			i := index[name]
			called[i] = true
			if errs[i] == nil {
				note(i, fn(ctx, name, works[i]))
			}
			return nil
		})
		for i, x := range works {
			if !called[i] && errs[i] == nil { // the command was interrupted before
				note(i, x.fail(context.Cause(ctx)))
			}
		}
	}
	all(func(ctx context.Context, name string, x *making) error { return m.makeOne(ctx, s, name, x) })
	switch {
	case isClassic(s.options.SwarmOptions):
		m.makeClassic(ctx, s, works, errs, note)
	case s.options.SwarmOptions.IsSwarm:
		m.makeSwarm(ctx, s, works, errs, note)
	}
	all(func(ctx context.Context, _ string, x *making) error { return m.finish(ctx, x) })
	if req.RemoveOnFailure {
		m.removeFailed(ctx, works, errs, results)
	}
	return results, errors.Join(errs...)
}

// makeOne brings one machine to an engine that answers over TLS.
func (m *Manager) makeOne(ctx context.Context, s *spec, name string, x *making) error {
	if err := x.begin(ctx, s, name); err != nil {
		return err
	}
	if x.done {
		return x.fail(x.reach(ctx))
	}
	if _, ok := x.drv.(drivers.Unmanaged); ok {
		_, err := m.ensureAuthority(ctx)
		return x.fail(err)
	}
	return x.fail(x.makeHost(ctx))
}

// makeSwarm joins the machines that are ready so far.
func (m *Manager) makeSwarm(ctx context.Context, s *spec, works []*making, errs []error, note func(int, error)) {
	role := swarmboot.Worker
	if s.options.SwarmOptions.Master {
		role = swarmboot.Manager
	}
	var nodes []joining
	var at []int
	for i, x := range works {
		if errs[i] == nil {
			nodes = append(nodes, joining{machine: x.machine, conn: x.conn, role: role})
			at = append(at, i)
		}
	}
	if len(nodes) == 0 {
		return
	}
	err := m.formSwarm(ctx, s.options.SwarmOptions, nodes, !s.req.NoPreflight)
	if err == nil && s.req.RotateTokens {
		_, _, err = m.SwarmRotateTokens(ctx, RotateTokensRequest{Swarm: s.options.SwarmOptions.Name})
	}
	failed := nodeErrors(err)
	told := len(failed) > 0 // the cause, by the machine that it is about or by the first one
	for _, i := range at {
		x := works[i]
		x.timed("swarm")
		if x.rec.Swarm.NodeID != "" {
			x.out.Swarm, x.out.Role = x.rec.Swarm.Name, x.rec.Swarm.Role
		}
		var cause error
		switch own := failed[x.rec.Name]; {
		case own != nil: // also of a member, which lacks its labels, say
			cause = fmt.Errorf("join swarm %q: %w", s.options.SwarmOptions.Name, own)
		case x.rec.Swarm.NodeID != "":
			continue
		case err == nil:
			cause = fmt.Errorf("join swarm %q: not reached", s.options.SwarmOptions.Name)
		case !told:
			cause, told = err, true
		default:
			cause = fmt.Errorf("join swarm %q: %w", s.options.SwarmOptions.Name, errNotJoined)
		}
		note(i, x.fail(cause))
	}
	if err != nil && !slices.ContainsFunc(at, func(i int) bool { return errs[i] != nil }) {
		note(at[0], err)
	}
}

// nodeErrors returns the errors of single nodes that are joined in err, by machine name.
func nodeErrors(err error) map[string]error {
	found := map[string]error{}
	var walk func(err error)
	walk = func(err error) {
		if n, ok := err.(*swarmboot.NodeError); ok { //nolint:errorlint // the tree is walked here
			found[n.Node] = errors.Join(found[n.Node], n)
			return
		}
		switch u := err.(type) { //nolint:errorlint // the tree is walked here
		case interface{ Unwrap() error }:
			walk(u.Unwrap())
		case interface{ Unwrap() []error }:
			for _, e := range u.Unwrap() {
				walk(e)
			}
		}
	}
	walk(err)
	return found
}

var errNotJoined = errors.New("stopped because another machine could not join")

// finish marks a machine ready and fills in the result.
func (m *Manager) finish(ctx context.Context, x *making) error {
	if x.rec.DockerContext {
		if err := m.makeContext(ctx, x.machine); err != nil {
			return x.fail(err)
		}
	}
	if err := x.txn.RemoveFile(hostKeyFile); err != nil {
		return err
	}
	if err := x.phase(store.Ready); err != nil {
		return err
	}
	x.out.URL = x.engineURL()
	x.out.IP = x.ip()
	x.out.Engine = x.rec.Installed.Engine
	x.out.Total = m.Now().Sub(x.started)
	return nil
}

// removeFailed releases what failed machines of this request had got.
func (m *Manager) removeFailed(ctx context.Context, works []*making, errs []error, results []Created) {
	// A cancelled command still cleans up after itself when that was asked for.
	ctx = context.WithoutCancel(ctx)
	for i, x := range works {
		if errs[i] == nil || x.drv == nil || x.done || errors.Is(errs[i], ErrSpec) || errors.Is(errs[i], store.ErrExist) {
			continue
		}
		if _, err := x.txn.Get(); errors.Is(err, store.ErrNotExist) {
			continue // what is not recorded was not begun
		}
		ctx := OnMachine(ctx, x.rec.Name)
		// Not by force: what is refused, or not released by the provider, keeps its record.
		if err := m.removeLocked(ctx, x.machine, false); err != nil {
			errs[i] = errors.Join(errs[i], nameError(x.rec.Name, len(works), fmt.Errorf("remove after failure: %w", err)))
			results[i].Error = errs[i].Error()
			continue
		}
		m.Note(ctx, "removed after the failure")
		results[i].Resumed = false
	}
}

// ensureID makes the store's identity, which tags everything at the providers.
func (m *Manager) ensureID(ctx context.Context) error {
	if id, err := m.Store.ID(); err != nil || id != "" {
		return err
	}
	txn, err := m.locks().shared(ctx)
	if err != nil {
		return err
	}
	_, err = txn.EnsureID()
	return errors.Join(err, txn.Close())
}
