package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// UnlockRequest asks to open locked managers.
type UnlockRequest struct {
	Names  []string // a swarm, or machines of one; empty: the only swarm
	DryRun bool
	Key    func(ctx context.Context, swarm string) (UnlockKey, error) // asked only if one is locked; required
}

// Unlocked is what became of locked managers.
type Unlocked struct {
	Swarm    string   `json:"swarm"`
	Machines []string `json:"machines"` // that were locked and are not any more
}

// SwarmUnlock gives the key to all locked managers of a swarm, or to those named, at the same time: where most are locked,
// none has a leader before the others are open too.
func (m *Manager) SwarmUnlock(ctx context.Context, req UnlockRequest) (Unlocked, []Planned, error) {
	c, names, err := m.unlockable(req.Names)
	if err != nil {
		return Unlocked{}, nil, err
	}
	out := Unlocked{Swarm: c.Name, Machines: []string{}}
	locked, err := m.lockedOf(ctx, names)
	if err != nil {
		return out, nil, err
	}
	if req.DryRun {
		planned := []Planned{}
		for _, name := range locked {
			planned = append(planned, Planned{Machine: name, Steps: []string{"unlock the manager"}})
		}
		return out, planned, nil
	}
	if len(locked) == 0 {
		m.Note(ctx, "no manager that answers is locked")
		return out, nil, nil
	}
	key, err := req.Key(ctx, c.Name)
	if err != nil {
		return out, nil, err
	}
	var mu sync.Mutex
	err = m.each(ctx, locked, func(ctx context.Context, name string) error {
		err := m.unlockOne(ctx, name, key)
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			out.Machines = append(out.Machines, name)
		}
		return err
	})
	slices.Sort(out.Machines)
	return out, nil, err
}

// unlockable returns the swarm that names are about, and its members that are meant.
func (m *Manager) unlockable(names []string) (store.Cluster, []string, error) {
	first := ""
	if len(names) > 0 {
		first = names[0]
	}
	c, err := m.findCluster(first)
	if err != nil {
		return c, nil, err
	}
	if len(names) == 0 || len(names) == 1 && names[0] == c.Name {
		return c, slices.Sorted(maps.Keys(c.Members)), nil
	}
	for _, name := range names {
		if _, ok := c.Members[name]; !ok {
			return c, nil, fmt.Errorf("%w: %q is not a machine of swarm %q", ErrUsage, name, c.Name)
		}
	}
	return c, names, nil
}

// lockedOf asks the engines of machines, and returns those that wait for a key.
func (m *Manager) lockedOf(ctx context.Context, names []string) ([]string, error) {
	engines := map[string]swarmboot.Engine{}
	for _, name := range names {
		x, err := m.view(name)
		if err != nil {
			return nil, nameError(name, len(names), err)
		}
		eng, err := x.engine(ctx, nil)
		if err != nil {
			m.Note(OnMachine(ctx, name), "does not answer: "+err.Error())
			continue
		}
		defer eng.close()
		engines[name] = eng
	}
	var locked []string
	seen := inspectAll(ctx, engines)
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		switch s := seen[name]; {
		case s.Locked():
			locked = append(locked, name)
		case !s.Reachable:
			m.Note(OnMachine(ctx, name), "does not answer: "+s.Err)
		}
	}
	return locked, nil
}

func (m *Manager) unlockOne(ctx context.Context, name string, key UnlockKey) error {
	x, err := m.view(name)
	if err != nil {
		return err
	}
	eng, err := x.engine(ctx, nil)
	if err != nil {
		return err
	}
	defer eng.close()
	return x.unlock(ctx, eng, key)
}

func (x *machine) unlock(ctx context.Context, eng *engine, key UnlockKey) error {
	ctx, cancel := x.within(ctx, x.m.Wait.Swarm, unlockDeadline, "wait for the unlocked manager")
	defer cancel()
	return x.m.Step(ctx, "unlock the manager", func(ctx context.Context) error { return swarmboot.Unlock(ctx, eng, key) })
}

// keepKey fetches the unlock key of a manager whose engine is about to restart, if its swarm has one, and returns what
// opens it again: see reopen. The key is in memory for that long, and nowhere else. Who may restart engines may ask
// managers for the key, so nobody learns anything by it.
func (x *machine) keepKey(ctx context.Context) (reopen func(context.Context) error) {
	if x.rec.Swarm.Role != string(swarmboot.Manager) {
		return func(context.Context) error { return nil }
	}
	key, err := x.heldKey(ctx)
	if err != nil {
		x.m.Log.Info("unlock key not known", "machine", x.rec.Name, "err", err)
	}
	return func(ctx context.Context) error { return x.reopen(ctx, key) }
}

// heldKey asks the machine's own engine for the key, else another manager; empty: the swarm does not lock.
func (x *machine) heldKey(ctx context.Context) (UnlockKey, error) {
	ctx, cancel := within(ctx, 0, versionDeadline, "ask for the unlock key")
	defer cancel()
	if eng, err := x.engine(ctx, nil); err == nil {
		defer eng.close()
		if swarmboot.Inspect(ctx, eng).Control {
			if key, err := swarmboot.UnlockKeyOf(ctx, eng); err == nil {
				return key, nil
			}
		}
	}
	c, err := x.m.Store.Cluster(x.rec.Swarm.Name)
	if err != nil {
		return "", err
	}
	eng, _, err := x.m.aManager(ctx, c, "", x.rec.Name)
	if err != nil {
		return "", err
	}
	defer eng.close()
	return swarmboot.UnlockKeyOf(ctx, eng)
}

// reopen unlocks the manager if it waits for its key. Without the key that is an error that says what to do.
func (x *machine) reopen(ctx context.Context, key UnlockKey) error {
	eng, err := x.engine(ctx, nil)
	if err != nil {
		return err
	}
	defer eng.close()
	switch seen := swarmboot.Inspect(ctx, eng); {
	case !seen.Locked():
		return nil
	case key == "":
		return x.lockedError()
	}
	return x.unlock(ctx, eng, key)
}

// lockedError is a machine that waits for the unlock key of its swarm.
func (x *machine) lockedError() error {
	return &swarmboot.HintError{
		Err:    fmt.Errorf("%w: %s runs and waits for the unlock key", swarmboot.ErrLocked, x.rec.Name),
		Advice: "machine swarm unlock " + x.rec.Name,
	}
}

// waitsForKey returns lockedError if the machine is a manager that waits for its key.
func (x *machine) waitsForKey(ctx context.Context) error {
	if x.rec.Swarm.Role != string(swarmboot.Manager) {
		return nil
	}
	ctx, cancel := within(ctx, 0, versionDeadline, "ask whether the manager is locked")
	defer cancel()
	err := x.reopen(ctx, "")
	if errors.Is(err, swarmboot.ErrLocked) {
		return err
	}
	return nil // what else is wrong is found by those who need the engine
}
