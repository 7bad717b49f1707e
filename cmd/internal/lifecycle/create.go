package lifecycle

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/provision"
	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

const userDataFile = "user-data"

// making is one machine on its way.
type making struct {
	*machine
	out     *Created
	conn    *ssh.Client
	started time.Time
	lap     time.Time
	done    bool // was ready before this create

	dataPathPort int // of the swarm that it is to join; 0: none
}

// timed closes a phase of the time table.
func (x *making) timed(phase string) {
	now := x.m.Now()
	x.out.Phases = append(x.out.Phases, PhaseTime{phase, now.Sub(x.lap)})
	x.lap = now
}

func (x *making) close() error {
	var err error
	if x.conn != nil {
		x.out.Trips = x.conn.Trips()
		err = x.conn.Close()
	}
	if x.txn != nil {
		err = errors.Join(err, x.machine.close())
	}
	return err
}

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

// reach connects to a machine that is ready, if its engine is reached only that way.
func (x *making) reach(ctx context.Context) (err error) {
	if x.rec.SSH.Jump != "" && x.rec.HostOptions.SwarmOptions.IsSwarm {
		x.conn, err = x.dial(ctx)
	}
	return err
}

// begin takes the lock and either records a new machine or finds the one to be resumed.
func (x *making) begin(ctx context.Context, s *spec, name string) error {
	m := x.m
	txn, err := m.locks().machine(ctx, name)
	if err != nil {
		return err
	}
	x.txn, x.dataPathPort = txn, s.dataPathPort
	rec, err := txn.Get()
	switch {
	case err == nil:
		return x.resume(ctx, s, rec)
	case !errors.Is(err, store.ErrNotExist):
		return err
	}
	if err := m.ensureID(ctx); err != nil {
		return err
	}
	x.rec = store.Record{
		ConfigVersion: store.Version,
		Name:          name,
		DriverName:    s.factory.Name(),
		Driver:        s.config,
		Phase:         store.Pending,
		Created:       m.Now().UTC(),
		Creator:       m.Version,
		HostOptions:   s.options,
		DockerContext: s.req.DockerContext,
		UserData:      s.userData,

		NoStoredSecrets: s.req.NoStoreSecrets,
		Project:         s.req.project,
	}
	if s.req.bake != "" {
		x.rec.Bake = &store.Bake{Image: s.req.bake}
	}
	if err := x.openWith(s.factory, s.secrets); err != nil {
		return err
	}
	x.settle()
	if s.req.DockerContext {
		if err := x.wouldMakeContext(ctx); err != nil {
			return err
		}
	}
	if x.classic() && !x.classicByOthers() {
		if err := x.takesClassic(); err != nil {
			return err
		}
	}
	err = m.Step(ctx, "check", func(ctx context.Context) error { return x.drv.Check(ctx) })
	x.timed("check")
	if err != nil {
		return checkError(ctx, err)
	}
	if err := x.put(); err != nil {
		return err
	}
	return x.fail(x.keepRequest(s, s.secrets))
}

// checkError is why nothing was made: the check's answer, unless the command was interrupted.
func checkError(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return fmt.Errorf("%w: %w", ErrCheck, err)
}

// wouldMakeContext returns why the docker context cannot be made, before anything else is.
func (x *making) wouldMakeContext(ctx context.Context) error {
	if err := x.m.checkContext(ctx, x.rec.Name); err != nil {
		return checkError(ctx, err)
	}
	return nil
}

// keepRequest stores what belongs to a record and is not in it. A resumed create stores it again: the
// first one may have ended in between.
func (x *making) keepRequest(s *spec, secrets json.RawMessage) error {
	if x.rec.NoStoredSecrets {
		secrets = nil
	}
	if err := x.txn.PutSecrets(secrets); err != nil {
		return err
	}
	if s.req.knownHosts != nil && x.rec.SSH.HostKey == "" {
		if err := x.txn.WriteFile(knownHostsFile, s.req.knownHosts); err != nil {
			return err
		}
		x.rec.SSH.HostKey = pinned
		if err := x.put(); err != nil {
			return err
		}
	}
	if s.req.UserData != nil {
		return x.txn.WriteFile(userDataFile, s.req.UserData)
	}
	return nil
}

// resume continues a machine that an earlier create did not finish.
func (x *making) resume(ctx context.Context, s *spec, rec store.Record) error {
	if err := s.resumes(rec); err != nil {
		return err
	}
	x.rec = rec
	x.out.Resumed = true
	secrets, err := s.secretsFor(x.m, rec.Name)
	if err != nil {
		return err
	}
	if x.done = s.done(rec); x.done {
		x.m.Note(ctx, "is ready already")
		return x.openWith(s.factory, secrets)
	}
	x.m.Note(ctx, fmt.Sprintf("continuing an unfinished create (%s)", rec.Phase))
	if s.req.DockerContext && !rec.DockerContext {
		if err := x.wouldMakeContext(ctx); err != nil {
			return err
		}
		x.rec.DockerContext = true // recorded with the next step, before the context is made
	}
	if s.req.NoStoreSecrets && !rec.NoStoredSecrets {
		x.rec.NoStoredSecrets = true
		if err := x.put(); err != nil {
			return err
		}
	}
	if err := x.keepRequest(s, secrets); err != nil {
		return err
	}
	return x.openWith(s.factory, secrets)
}

// makeHost brings a recorded machine to a verified engine.
func (x *making) makeHost(ctx context.Context) error {
	// First, because a store without authority must not get a host that costs money.
	if _, err := x.m.ensureAuthority(ctx); err != nil {
		return err
	}
	if err := x.allocate(ctx); err != nil {
		return x.silent(ctx, err)
	}
	if err := x.await(ctx); err != nil {
		return x.silent(ctx, err)
	}
	if err := x.takeMadeKey(ctx); err != nil {
		return err
	}
	if x.rec.Phase == store.Pending {
		if err := x.phase(store.Created); err != nil {
			return err
		}
	}
	x.timed("host")
	var err error
	if x.conn, err = x.dial(ctx); err != nil {
		return x.silent(ctx, err)
	}
	x.timed("ssh")
	err = x.secure(ctx)
	x.timed("provision")
	return err
}

// secure provisions with the authority as it is now, and again if it was rotated meanwhile: the
// rotation may have passed this machine by.
func (x *making) secure(ctx context.Context) error {
	for {
		a, err := x.m.ensureAuthority(ctx)
		if err != nil {
			return err
		}
		err = x.provision(ctx, x.conn, a, refit{planned: func(steps []provision.Step) {
			x.m.Log.Debug("plan", "machine", x.rec.Name, "steps", len(steps))
		}})
		if err != nil {
			return err
		}
		now, err := x.m.readAuthority()
		if err != nil || string(now.trust) == string(a.trust) {
			return err
		}
		x.m.Note(ctx, "the authority was rotated meanwhile")
	}
}

// allocate makes the host, or makes it run if it exists.
func (x *making) allocate(ctx context.Context) error {
	if x.rec.Phase != store.Pending {
		return x.m.Step(ctx, "start the host", func(ctx context.Context) error {
			err := x.drv.Start(ctx)
			if errors.Is(err, drivers.ErrUnsupported) {
				return nil // such a host runs or is not ours to start
			}
			return err
		})
	}
	req := drivers.CreateRequest{OpenPorts: x.ports(), DataPathPort: x.dataPathPort}
	var err error
	if req.AuthorizedKey, req.HostKey, err = x.keys(); err != nil {
		return err
	}
	if err := x.put(); err != nil {
		return err
	}
	if req.UserData, err = x.txn.ReadFile(userDataFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	ctx, cancel := within(ctx, x.m.Wait.Host, hostDeadline, "create the host")
	defer cancel()
	err = x.m.Step(ctx, "create the host", func(ctx context.Context) error { return x.drv.Create(ctx, req) })
	if err != nil {
		return fmt.Errorf("create host: %w", err)
	}
	return nil
}

// ports are what a firewall must let through besides SSH: the engine's first, then those that the
// nodes of a swarm reach each other at. The machine may join one at any time.
func (x *making) ports() []drivers.Port {
	ports := append([]drivers.Port{{Number: x.enginePort(), Protocol: "tcp"}}, swarmPorts(x.dataPathPort)...)
	if classicMaster(x.rec.HostOptions.SwarmOptions) {
		ports = append(ports, drivers.Port{Number: x.classicPort(), Protocol: "tcp"})
	}
	return ports
}

// swarmPorts are those that nodes of a swarm reach each other at; dataPath 0: the usual one.
func swarmPorts(dataPath int) []drivers.Port {
	return []drivers.Port{
		{Number: 2377, Protocol: "tcp", Peers: true},
		{Number: 7946, Protocol: "tcp", Peers: true},
		{Number: 7946, Protocol: "udp", Peers: true},
		{Number: cmp.Or(dataPath, swarmboot.DataPathPort), Protocol: "udp", Peers: true},
	}
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
