package lifecycle

import (
	"context"
	"errors"
	"fmt"

	"github.com/hostsmith/machine/swarmboot"
)

// classicExisting makes machines that exist members of a classic swarm. What is asked for is recorded before anything
// is done on a host, so that the same command, or machine provision, goes on after an end at any point.
func (m *Manager) classicExisting(ctx context.Context, req SwarmRequest, o SwarmOptions) (planned []Planned, err error) {
	if err := m.exist(req.Names); err != nil {
		return nil, err
	}
	if err := m.checkClassic(&o, req.Names); err != nil {
		return nil, err
	}
	var xs []*machine
	defer func() {
		for _, x := range xs {
			err = errors.Join(err, x.close())
		}
	}()
	for _, name := range req.Names {
		x, err := m.lock(ctx, name)
		if err != nil {
			return nil, nameError(name, len(req.Names), err)
		}
		xs = append(xs, x)
		if err := x.mayBeClassic(o); err != nil {
			return nil, nameError(name, len(req.Names), err)
		}
	}
	for _, x := range xs {
		ctx := OnMachine(ctx, x.rec.Name)
		p, err := x.planClassic(ctx, o)
		if err != nil {
			return nil, nameError(x.rec.Name, len(xs), x.advise(err))
		}
		planned = append(planned, p)
	}
	if req.DryRun {
		return planned, nil
	}
	for _, x := range xs {
		if err := x.becomeClassic(OnMachine(ctx, x.rec.Name), o); err != nil {
			return nil, nameError(x.rec.Name, len(xs), x.advise(x.fail(err)))
		}
	}
	m.warnMasters(ctx, o.Discovery)
	return nil, nil
}

// joinClassic is classicExisting for a swarm that exists, unless a discovery URL leads to it.
func (m *Manager) joinClassic(ctx context.Context, req SwarmRequest, o SwarmOptions) ([]Planned, error) {
	switch _, known := m.findClassic(o.Name); {
	case o.Discovery != "":
	case o.Name == "":
		s, err := m.onlyOwn()
		if err != nil {
			return nil, err
		}
		o.Discovery = s.discovery
	case !known:
		return nil, fmt.Errorf("%w: there is no classic swarm %q", ErrNoSwarm, o.Name)
	}
	return m.classicExisting(ctx, req, o)
}

// mayBeClassic returns why a machine cannot become a member of a swarm.
func (x *machine) mayBeClassic(o SwarmOptions) error {
	if err := x.takesClassic(); err != nil {
		return err
	}
	if x.rec.Swarm.Name != "" {
		return fmt.Errorf("join %q: %w: it is in swarm %q", x.rec.Name, swarmboot.ErrForeign, x.rec.Swarm.Name)
	}
	if now := x.rec.HostOptions.SwarmOptions; isClassic(now) && now.Discovery != o.Discovery {
		return fmt.Errorf("join %q: %w: it is in classic swarm %q", x.rec.Name, swarmboot.ErrForeign, x.m.classicName(x.rec))
	}
	if classicMaster(x.rec.HostOptions.SwarmOptions) && !o.Master {
		return fmt.Errorf("%w: %q is a master of classic swarm %q and stays one until it leaves", ErrUsage, x.rec.Name, x.m.classicName(x.rec))
	}
	return nil
}

// planClassic asks the engine, before anything is recorded, and tells what would be done.
func (x *machine) planClassic(ctx context.Context, o SwarmOptions) (Planned, error) {
	p := Planned{Machine: x.rec.Name}
	then := *x
	then.rec.HostOptions.SwarmOptions = o
	f, err := then.fit(ctx, nil, then.classicWish())
	if err != nil {
		return p, err
	}
	defer f.eng.close()
	p.Steps = append(then.classicSteps(), f.lines()...)
	return p, nil
}

// classicSteps tells what comes before the containers.
func (x *machine) classicSteps() []string {
	o := x.rec.HostOptions.SwarmOptions
	var steps []string
	if a, err := x.m.readAuthority(); err == nil && classicMaster(o) && !x.covers(a) {
		steps = append(steps, "issue a server certificate that is good for a client too, and restart the engine")
	}
	if file, ok := swarmboot.OwnList(o.Discovery); ok {
		steps = append(steps, "write the list of members "+file+" on the masters")
	}
	return steps
}

func (x *machine) becomeClassic(ctx context.Context, o SwarmOptions) error {
	x.rec.HostOptions.SwarmOptions = o
	if err := x.put(); err != nil {
		return err
	}
	if classicMaster(o) {
		x.m.Note(ctx, fmt.Sprintf("clients reach the manager at port %d: a provider's firewall must let it through", x.classicPort()))
	}
	a, err := x.m.ensureAuthority(ctx)
	if err != nil {
		return err
	}
	return x.reprovisionWith(ctx, a, refit{})
}

// classicWords tells in words what create does about the swarm.
func (x *machine) classicWords() []string {
	o := x.rec.HostOptions.SwarmOptions
	var steps []string
	if file, ok := swarmboot.OwnList(o.Discovery); ok {
		steps = append(steps, "write the list of members "+file+" on the masters")
	}
	containers := func(name, how string) {
		steps = append(steps, fmt.Sprintf("have container %s of image %s %s", name, o.Image, how))
	}
	if classicMaster(o) {
		containers(swarmboot.ClassicMaster, fmt.Sprintf("manage the swarm at port %d with strategy %s", x.classicPort(), o.Strategy))
	}
	if classicAgent(o) {
		containers(swarmboot.ClassicAgent, "join the swarm")
	}
	return steps
}
