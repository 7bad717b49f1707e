package drivertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/hostsmith/machine/drivers"
)

func removalChecks() []check {
	vanish := ifHas(func(w World) bool { return w.Vanish != nil }, "Vanish")
	plant := ifHas(func(w World) bool { return w.Plant != nil && w.Foreign != nil }, "Plant and Foreign")
	spoil := ifHas(func(w World) bool { return len(w.Spoil) > 0 }, "Spoil")
	return []check{
		{"remove/never created", always, removeNeverCreated},
		{"remove/twice", always, removeTwice},
		{"remove/stopped", both(ifMade, ifPower), removeStopped},
		{"remove/vanished", both(ifMade, vanish), removeVanished},
		{"remove/spoiled options", spoil, removeSpoiled},
		{"remove/foreign", plant, removeForeign},
	}
}

func both(a, b func(Harness, World) string) func(Harness, World) string {
	return func(h Harness, w World) string {
		if why := a(h, w); why != "" {
			return why
		}
		return b(h, w)
	}
}

func removeNeverCreated(ctx context.Context, p *player) error {
	m, err := p.one()
	if err != nil {
		return err
	}
	return m.remove(ctx)
}

func removeTwice(ctx context.Context, p *player) error {
	m, _, err := p.created(ctx)
	if err != nil {
		return err
	}
	if err := m.remove(ctx); err != nil {
		return err
	}
	if err := m.gone(ctx); err != nil {
		return err
	}
	if err := m.remove(ctx); err != nil {
		return fmt.Errorf("again: %w", err)
	}
	if p.harness.Existing {
		return nil
	}
	if _, err := m.createRunning(ctx); err != nil {
		return fmt.Errorf("create after remove: %w", err)
	}
	if err := m.remove(ctx); err != nil {
		return fmt.Errorf("second life: %w", err)
	}
	return m.gone(ctx)
}

// gone returns an error unless nothing is left of the machine.
func (m *machine) gone(ctx context.Context) error {
	if m.player.harness.Existing {
		return nil
	}
	if err := m.world.empty(ctx); err != nil {
		return err
	}
	if _, err := m.status(ctx); !errors.Is(err, drivers.ErrNotFound) {
		return fmt.Errorf("status after remove: got %w, want ErrNotFound", asError(err))
	}
	if m.player.harness.NoPower {
		return nil
	}
	if err := m.start(ctx); !errors.Is(err, drivers.ErrNotFound) {
		return fmt.Errorf("start after remove: got %w, want ErrNotFound", asError(err))
	}
	return m.world.empty(ctx)
}

func removeStopped(ctx context.Context, p *player) error {
	m, _, err := p.created(ctx)
	if err != nil {
		return err
	}
	if err := m.stop(ctx); err != nil {
		return err
	}
	if err := m.remove(ctx); err != nil {
		return err
	}
	return m.gone(ctx)
}

// removeVanished demands that what somebody else deleted counts as removed,
// whichever resource it was, and that a gone host is told as such.
func removeVanished(ctx context.Context, p *player) error {
	for i, count := -1, 0; i < count; i++ { // -1: all of them
		m, kinds, err := p.created(ctx)
		if err != nil {
			return err
		}
		count = len(kinds)
		all, err := m.world.resources(ctx)
		if err != nil {
			return err
		}
		deleted := all
		if i >= 0 {
			deleted = all[i : i+1]
		}
		for _, r := range deleted {
			if err := m.world.Vanish(ctx, r); err != nil {
				return fmt.Errorf("harness: vanish %s: %w", r, err)
			}
		}
		if i < 0 {
			if _, err := m.status(ctx); !errors.Is(err, drivers.ErrNotFound) {
				return fmt.Errorf("status of a vanished host: got %w, want ErrNotFound", asError(err))
			}
		}
		if err := m.remove(ctx); err != nil {
			return fmt.Errorf("without %q: %w", deleted, err)
		}
		if err := m.gone(ctx); err != nil {
			return fmt.Errorf("without %q: %w", deleted, err)
		}
	}
	return nil
}

// removeSpoiled demands that removal needs the state alone.
func removeSpoiled(ctx context.Context, p *player) error {
	m, _, err := p.created(ctx)
	if err != nil {
		return err
	}
	object := map[string]any{}
	if err := json.Unmarshal(m.config, &object); err != nil {
		return fmt.Errorf("configuration is no JSON object: %w", err)
	}
	for field, value := range m.world.Spoil {
		if _, ok := object[field]; !ok {
			return fmt.Errorf("harness: configuration has no field %s", field)
		}
		object[field] = value
	}
	if m.config, err = json.Marshal(object); err != nil {
		return err
	}
	if err := m.remove(ctx); err != nil {
		return err
	}
	return m.gone(ctx)
}

// removeForeign demands that nothing of others is harmed, neither by a create
// that they may be in the way of, nor by removals.
func removeForeign(ctx context.Context, p *player) error {
	m, err := p.one()
	if err != nil {
		return err
	}
	if err := m.world.Plant(ctx, m.env.Machine); err != nil {
		return fmt.Errorf("harness: plant: %w", err)
	}
	before, err := m.world.foreign(ctx)
	if err != nil {
		return err
	}
	if len(before) == 0 {
		return errors.New("harness: planted nothing")
	}
	unharmed := func(after string) error {
		now, err := m.world.foreign(ctx)
		if err != nil || slices.Equal(before, now) {
			return err
		}
		return fmt.Errorf("%s: changed what is not ours from %q to %q", after, before, now)
	}
	if err := m.remove(ctx); err != nil {
		return err
	}
	if err := unharmed("remove before create"); err != nil {
		return err
	}
	if err := m.create(ctx); err != nil && !errors.Is(err, drivers.ErrConflict) {
		return fmt.Errorf("got %w, want success or ErrConflict", err)
	}
	if err := unharmed("create"); err != nil {
		return err
	}
	if err := m.remove(ctx); err != nil {
		return err
	}
	if err := unharmed("remove"); err != nil {
		return err
	}
	return m.world.empty(ctx)
}

func (w World) foreign(ctx context.Context) ([]string, error) {
	all, err := w.Foreign(ctx)
	if err != nil {
		return nil, fmt.Errorf("harness: list what is not ours: %w", err)
	}
	slices.Sort(all)
	return all, nil
}
