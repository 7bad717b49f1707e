package drivertest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/hostsmith/machine/drivers"
)

func orphanChecks() []check {
	foreign := ifHas(func(w World) bool { return w.Plant != nil && w.Foreign != nil }, "Plant and Foreign")
	return []check{
		{"orphans/claimed", both(ifMade, ifOrphans), orphansClaimed},
		{"orphans/released", both(ifMade, ifOrphans), orphansReleased},
		{"orphans/foreign", both(foreign, ifOrphans), orphansForeign},
	}
}

func ifOrphans(_ Harness, w World) string {
	config, secrets, err := w.Factory.Configure(w.values())
	if err != nil {
		return ""
	}
	env := w.Env
	env.Log = slog.New(slog.DiscardHandler)
	d, err := w.Factory.Open(config, secrets, nil, nil, env)
	if err != nil {
		return ""
	}
	if _, ok := d.(drivers.Orphans); !ok {
		return "driver does not find what no record claims"
	}
	return ""
}

// orphans does something with the driver's power to find what it made.
func (m *machine) orphans(ctx context.Context, fn func(context.Context, drivers.Orphans) error) error {
	return m.act(ctx, "orphans", func(ctx context.Context, d drivers.Driver) error { return fn(ctx, d.(drivers.Orphans)) })
}

func (m *machine) tagged(ctx context.Context) (all []drivers.Resource, err error) {
	err = m.orphans(ctx, func(ctx context.Context, o drivers.Orphans) error {
		all, err = o.Tagged(ctx)
		return err
	})
	return all, err
}

// orphansClaimed demands that what machines have is found and claimed by them
// alone, and that nothing is found when they are gone.
func orphansClaimed(ctx context.Context, p *player) error {
	w := p.world()
	a, err := p.machine(w, "suite-a")
	if err != nil {
		return err
	}
	b, err := p.machine(w, "suite-b")
	if err != nil {
		return err
	}
	var place [2]string
	for i, m := range []*machine{a, b} {
		if _, err := m.createRunning(ctx); err != nil {
			return err
		}
		if err := m.orphans(ctx, func(ctx context.Context, o drivers.Orphans) (err error) {
			place[i], err = o.Place(ctx)
			return err
		}); err != nil {
			return fmt.Errorf("place: %w", err)
		}
	}
	if place[0] == "" || place[0] != place[1] {
		return fmt.Errorf("machines of the same options are at places %q and %q", place[0], place[1])
	}
	all, err := a.tagged(ctx)
	if err != nil {
		return err
	}
	of := map[string]int{}
	for _, r := range all {
		of[r.Machine]++
		if r.Kind == "" || r.ID == "" {
			return fmt.Errorf("found %+v, which has no kind or no id", r)
		}
		for _, m := range []*machine{a, b} {
			var claims bool
			if err := m.orphans(ctx, func(_ context.Context, o drivers.Orphans) error {
				claims = o.Claims(r)
				return nil
			}); err != nil {
				return err
			}
			if want := r.Machine == "" || r.Machine == m.env.Machine; claims != want {
				return fmt.Errorf("%s says %v to a claim on %+v", m.env.Machine, claims, r)
			}
		}
	}
	if of["suite-a"] == 0 || of["suite-b"] == 0 {
		return fmt.Errorf("found %+v, want resources of both machines", all)
	}
	for _, m := range []*machine{a, b} {
		if err := m.remove(ctx); err != nil {
			return err
		}
	}
	if all, err = a.tagged(ctx); err == nil && len(all) > 0 {
		err = fmt.Errorf("found %+v after the removal of all", all)
	}
	return err
}

// orphansReleased demands that a machine whose record was lost can be found and
// released by a driver that knows nothing but its options, also twice.
func orphansReleased(ctx context.Context, p *player) error {
	w := p.world()
	lost, err := p.machine(w, "suite-lost")
	if err != nil {
		return err
	}
	if _, err := lost.createRunning(ctx); err != nil {
		return err
	}
	m, err := p.machine(w, "suite-a")
	if err != nil {
		return err
	}
	all, err := m.tagged(ctx)
	if err != nil {
		return err
	}
	for _, r := range all {
		for _, again := range []string{"", " again"} {
			if err := m.orphans(ctx, func(ctx context.Context, o drivers.Orphans) error {
				if o.Claims(r) {
					return errors.New("a driver without state claims it")
				}
				return o.Release(ctx, r)
			}); err != nil {
				return fmt.Errorf("release %+v%s: %w", r, again, err)
			}
		}
	}
	if len(all) == 0 {
		return errors.New("found nothing")
	}
	return w.empty(ctx)
}

// orphansForeign demands that what is not ours is never found.
func orphansForeign(ctx context.Context, p *player) error {
	m, err := p.one()
	if err != nil {
		return err
	}
	if err := m.world.Plant(ctx, m.env.Machine); err != nil {
		return fmt.Errorf("harness: plant: %w", err)
	}
	all, err := m.tagged(ctx)
	if err == nil && len(all) > 0 {
		err = fmt.Errorf("found %+v, which is not ours", all)
	}
	return err
}
