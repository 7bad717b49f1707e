package drivertest

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/hostsmith/machine/drivers"
)

func lifeChecks() []check {
	return []check{
		{"status/never created", ifMade, statusNeverCreated},
		{"create/runs", always, createRuns},
		{"create/again", always, createAgain},
		{"create/concurrently", ifMade, createConcurrently},
		{"power/idempotent", ifPower, powerIdempotent},
		{"power/unsupported", ifNoPower, powerUnsupported},
		{"context/ended", always, contextEnded},
	}
}

func ifNoPower(h Harness, _ World) string {
	if !h.NoPower {
		return "hosts can be started and stopped"
	}
	return ""
}

func statusNeverCreated(ctx context.Context, p *player) error {
	m, err := p.one()
	if err != nil {
		return err
	}
	if _, err := m.status(ctx); !errors.Is(err, drivers.ErrNotFound) {
		return fmt.Errorf("got %w, want ErrNotFound", asError(err))
	}
	return nil
}

// created returns a machine that runs, and the kinds of its resources.
func (p *player) created(ctx context.Context) (*machine, []string, error) {
	m, err := p.one()
	if err != nil {
		return nil, nil, err
	}
	kinds, err := m.createRunning(ctx)
	return m, kinds, err
}

func (m *machine) createRunning(ctx context.Context) (kinds []string, err error) {
	if err := m.create(ctx); err != nil {
		return nil, err
	}
	if err := m.becomes(ctx, drivers.Running); err != nil {
		return nil, err
	}
	return m.world.kinds(ctx)
}

func createRuns(ctx context.Context, p *player) error {
	m, kinds, err := p.created(ctx)
	if err != nil {
		return err
	}
	if len(kinds) == 0 && !p.harness.Existing {
		return errors.New("create made nothing that the harness can see")
	}
	s, err := m.status(ctx)
	if err != nil {
		return err
	}
	d, err := m.open()
	if err != nil {
		return err
	}
	if u, ok := d.(drivers.Unmanaged); ok {
		if u.EngineURL() == "" {
			return errors.New("no URL of the engine")
		}
		return nil
	}
	if s.Host == "" {
		return errors.New("a running host has no address")
	}
	if s.User == "" || s.SSHPort < 1 || s.SSHPort > 65535 {
		return fmt.Errorf("cannot log in as %q at port %d", s.User, s.SSHPort)
	}
	return nil
}

func createAgain(ctx context.Context, p *player) error {
	m, _, err := p.created(ctx)
	if err != nil {
		return err
	}
	before, err := m.world.resources(ctx)
	if err != nil {
		return err
	}
	if _, err := m.createRunning(ctx); err != nil {
		return fmt.Errorf("again: %w", err)
	}
	return m.world.still(ctx, before)
}

// createConcurrently demands that machines do not get into each other's way,
// also about what they share.
func createConcurrently(ctx context.Context, p *player) error {
	w := p.world()
	var all []*machine
	for _, name := range []string{"suite-a", "suite-b", "suite-c"} {
		m, err := p.machine(w, name)
		if err != nil {
			return err
		}
		all = append(all, m)
	}
	each := func(fn func(context.Context, *machine) error) error {
		g, ctx := errgroup.WithContext(ctx)
		for _, m := range all {
			g.Go(func() error {
				if err := fn(ctx, m); err != nil {
					return fmt.Errorf("%s: %w", m.env.Machine, err)
				}
				return nil
			})
		}
		return g.Wait()
	}
	if err := each(func(ctx context.Context, m *machine) error {
		_, err := m.createRunning(ctx)
		return err
	}); err != nil {
		return err
	}
	if err := all[0].remove(ctx); err != nil {
		return err
	}
	for _, m := range all[1:] {
		if err := m.becomes(ctx, drivers.Running); err != nil {
			return fmt.Errorf("%s after the removal of another: %w", m.env.Machine, err)
		}
	}
	if err := each(func(ctx context.Context, m *machine) error { return m.remove(ctx) }); err != nil {
		return err
	}
	return w.empty(ctx)
}

func powerIdempotent(ctx context.Context, p *player) error {
	m, _, err := p.created(ctx)
	if err != nil {
		return err
	}
	before, err := m.world.resources(ctx)
	if err != nil {
		return err
	}
	type act struct {
		name string
		do   func(context.Context) error
		want drivers.State
	}
	acts := []act{
		{"start while running", m.start, drivers.Running},
		{"stop", m.stop, drivers.Stopped},
		{"stop while stopped", m.stop, drivers.Stopped},
		{"start", m.start, drivers.Running},
	}
	d, err := m.open()
	if err != nil {
		return err
	}
	if _, ok := d.(drivers.Restarter); ok {
		restart := func(ctx context.Context) error {
			return m.act(ctx, "restart", func(ctx context.Context, d drivers.Driver) error { return d.(drivers.Restarter).Restart(ctx) })
		}
		acts = append(acts, act{"restart", restart, drivers.Running})
	}
	if _, ok := d.(drivers.Killer); ok {
		kill := func(ctx context.Context) error {
			return m.act(ctx, "kill", func(ctx context.Context, d drivers.Driver) error { return d.(drivers.Killer).Kill(ctx) })
		}
		acts = append(acts, act{"kill", kill, drivers.Stopped}, act{"kill while stopped", kill, drivers.Stopped})
	}
	acts = append(acts, act{"create while stopped", m.create, drivers.Running})
	if _, ok := d.(drivers.PortOpener); ok {
		open := func(ctx context.Context) error {
			return m.act(ctx, "open ports", func(ctx context.Context, d drivers.Driver) error {
				return d.(drivers.PortOpener).OpenPorts(ctx, []drivers.Port{{Number: 7789, Protocol: "udp", Peers: true}})
			})
		}
		acts = append(acts, act{"open ports", open, drivers.Running}, act{"open ports again", open, drivers.Running})
	}
	for _, a := range acts {
		if err := a.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		if err := m.becomes(ctx, a.want); err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
	}
	return m.world.still(ctx, before)
}

func powerUnsupported(ctx context.Context, p *player) error {
	m, _, err := p.created(ctx)
	if err != nil {
		return err
	}
	for name, do := range map[string]func(context.Context) error{"start": m.start, "stop": m.stop} {
		if err := do(ctx); !errors.Is(err, drivers.ErrUnsupported) {
			return fmt.Errorf("%s: got %w, want ErrUnsupported", name, asError(err))
		}
	}
	return nil
}

// contextEnded demands that nothing begins when ctx has ended, and that its
// cause comes back.
func contextEnded(ctx context.Context, p *player) error {
	cause := errors.New("the suite ended the context")
	ended, cancel := context.WithCancelCause(ctx)
	cancel(cause)

	m, err := p.one()
	if err != nil {
		return err
	}
	if err := m.create(ended); !errors.Is(err, cause) {
		return fmt.Errorf("create: got %w, want the context's cause", asError(err))
	}
	if err := m.world.empty(ctx); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	if _, err := m.createRunning(ctx); err != nil {
		return err
	}
	before, err := m.world.resources(ctx)
	if err != nil {
		return err
	}
	for name, do := range map[string]func(context.Context) error{
		"check": m.check, "create": m.create, "start": m.start, "stop": m.stop, "remove": m.remove,
		"status": func(ctx context.Context) error { _, err := m.status(ctx); return err },
	} {
		err := do(ended)
		if p.harness.NoPower && errors.Is(err, drivers.ErrUnsupported) {
			continue
		}
		if !errors.Is(err, cause) {
			return fmt.Errorf("%s: got %w, want the context's cause", name, asError(err))
		}
	}
	if err := m.world.still(ctx, before); err != nil {
		return err
	}
	return m.becomes(ctx, drivers.Running)
}
