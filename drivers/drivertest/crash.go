package drivertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/hostsmith/machine/drivers"
)

func crashChecks() []check {
	observe := ifHas(func(w World) bool { return w.Observe != nil }, "Observe")
	return []check{
		{"crash/create at save", ifMade, crashes(creation(), saveFaults())},
		{"crash/remove at save", ifMade, crashes(removal(), saveFaults())},
		{"crash/create at call", both(ifMade, observe), crashes(creation(), callFaults())},
		{"crash/remove at call", both(ifMade, observe), crashes(removal(), callFaults())},
		{"crash/over and over", ifMade, crashOverAndOver},
	}
}

// scene is an act that is disturbed, and what goes before and after it.
type scene struct {
	before func(context.Context, *machine) error
	act    func(context.Context, *machine) error
	holds  func(context.Context, *machine) error // what must be true if act says that it succeeded
	after  []way                                 // what must be possible if it does not
}

// way is a way on after a crash.
type way struct {
	name string
	do   func(ctx context.Context, m *machine, kinds []string) error
}

func creation() scene {
	return scene{
		before: func(context.Context, *machine) error { return nil },
		act:    func(ctx context.Context, m *machine) error { return m.create(ctx) },
		holds:  func(ctx context.Context, m *machine) error { return m.becomes(ctx, drivers.Running) },
		after:  []way{{"create", completes}, {"remove", releases}},
	}
}

func removal() scene {
	return scene{
		before: func(ctx context.Context, m *machine) error {
			_, err := m.createRunning(ctx)
			return err
		},
		act:   func(ctx context.Context, m *machine) error { return m.remove(ctx) },
		holds: func(ctx context.Context, m *machine) error { return m.world.empty(ctx) },
		after: []way{{"remove", releases}},
	}
}

// completes demands that create makes what is missing, and nothing twice.
func completes(ctx context.Context, m *machine, kinds []string) error {
	if _, err := m.createRunning(ctx); err != nil {
		return err
	}
	if err := m.world.same(ctx, kinds); err != nil {
		return err
	}
	return releases(ctx, m, kinds)
}

// releases demands that remove leaves nothing behind.
func releases(ctx context.Context, m *machine, _ []string) error {
	if err := m.remove(ctx); err != nil {
		return err
	}
	return m.gone(ctx)
}

// crashes disturbs an act at its first event, its second and so on until it has
// no more, by each fault, and goes on in each way in a world of its own.
func crashes(s scene, faults []fault) func(context.Context, *player) error {
	return func(ctx context.Context, p *player) error {
		kinds, err := p.kinds(ctx)
		if err != nil {
			return err
		}
		for _, f := range faults {
			for n, came := 1, true; came; n++ {
				for _, way := range s.after {
					m, err := p.one()
					if err != nil {
						return err
					}
					if err := s.before(ctx, m); err != nil {
						return err
					}
					if came, err = m.disturb(ctx, s, f, n); err != nil {
						return fmt.Errorf("%s %d: %w", f.name, n, err)
					}
					if n == 1 && !came {
						return fmt.Errorf("%s %d: the driver never comes there", f.name, n)
					}
					if err := way.do(ctx, m, kinds); err != nil {
						return fmt.Errorf("%s %d, then %s: %w", f.name, n, way.name, err)
					}
				}
			}
		}
		return nil
	}
}

// kinds returns the kinds of resources that an undisturbed create makes.
func (p *player) kinds(ctx context.Context) ([]string, error) {
	m, kinds, err := p.created(ctx)
	if err != nil {
		return nil, err
	}
	return kinds, releases(ctx, m, nil)
}

// crashOverAndOver interrupts the creates of one machine many times before it
// lets one through, and then its removes. The faults are the same on every run.
func crashOverAndOver(ctx context.Context, p *player) error {
	kinds, err := p.kinds(ctx)
	if err != nil {
		return err
	}
	for seed := range uint64(4) {
		random := rand.New(rand.NewPCG(seed, seed))
		m, err := p.one()
		if err != nil {
			return err
		}
		faults := saveFaults()
		if m.world.Observe != nil {
			faults = append(faults, callFaults()...)
		}
		storm := func(s scene) error {
			for range 8 {
				f, n := faults[random.IntN(len(faults))], 1+random.IntN(4)
				if _, err := m.disturb(ctx, s, f, n); err != nil {
					return fmt.Errorf("seed %d: %s %d: %w", seed, f.name, n, err)
				}
			}
			return nil
		}
		if err := storm(creation()); err != nil {
			return err
		}
		if _, err := m.createRunning(ctx); err != nil {
			return fmt.Errorf("seed %d: then create: %w", seed, err)
		}
		if err := m.world.same(ctx, kinds); err != nil {
			return fmt.Errorf("seed %d: then create: %w", seed, err)
		}
		if err := storm(removal()); err != nil {
			return err
		}
		if err := releases(ctx, m, nil); err != nil {
			return fmt.Errorf("seed %d: then remove: %w", seed, err)
		}
	}
	return nil
}

// disturb does the act of a scene under a fault and reports whether the fault
// came. The error tells what the driver did wrong, not what the fault did.
func (m *machine) disturb(ctx context.Context, s scene, f fault, n int) (came bool, err error) {
	bounded, stop := context.WithTimeoutCause(ctx, m.player.harness.timeout(), errHung)
	defer stop()
	bounded, cancel := context.WithCancelCause(bounded)
	defer cancel(nil)
	reached := f.arm(m, n, cancel)
	result := s.act(bounded, m)
	came = reached()
	cancelled := errors.Is(context.Cause(bounded), errCancelled)
	m.calm()
	switch {
	case errors.Is(result, errHung):
		return came, result
	case came && f.want != nil && !errors.Is(result, f.want):
		return came, fmt.Errorf("got %w, want %w", asError(result), f.want)
	case cancelled && result != nil && !errors.Is(result, errCancelled):
		return came, fmt.Errorf("got %w, want the context's cause", result)
	case result == nil:
		return came, s.holds(ctx, m)
	case !came:
		return came, fmt.Errorf("undisturbed: %w", result)
	}
	return came, nil
}

// calm ends all faults.
func (m *machine) calm() {
	m.mu.Lock()
	m.onSave = nil
	m.mu.Unlock()
	if m.world.Observe != nil {
		m.world.Observe(nil)
	}
}
