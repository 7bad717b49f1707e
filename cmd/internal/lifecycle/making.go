package lifecycle

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/provision"
	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

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
