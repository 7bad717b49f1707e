package drivertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
)

// player plays the lifecycle's part in one check.
type player struct {
	t       testing.TB
	harness Harness

	mu      sync.Mutex
	secrets map[string]bool // values that must be seen nowhere
	leak    error           // the first time that one was
}

// machine is what a store would hold of a machine. Its driver is opened anew
// for each act, as each command does.
type machine struct {
	player  *player
	world   World
	env     drivers.Env
	config  json.RawMessage
	secrets json.RawMessage

	mu     sync.Mutex
	state  json.RawMessage
	saves  int
	onSave func(n int, commit func()) error // nil: commit
	log    bytes.Buffer
}

// world returns a fresh provider.
func (p *player) world() World { return p.harness.New(p.t) }

// machine configures a machine in w.
func (p *player) machine(w World, name string) (*machine, error) {
	values := w.values()
	for _, o := range w.Factory.Options() {
		for _, given := range values[o.Name] {
			if o.Secret && given != "" {
				p.mu.Lock()
				p.secrets[given] = true
				p.mu.Unlock()
			}
		}
	}
	config, secrets, err := w.Factory.Configure(values)
	if err != nil {
		return nil, fmt.Errorf("configure from the harness's values: %w", err)
	}
	m := &machine{player: p, world: w, env: w.Env, config: config, secrets: secrets}
	m.env.Machine = name
	if m.env.StoreID == "" {
		m.env.StoreID = "drivertest"
	}
	if m.env.Creator == "" {
		m.env.Creator = "drivertest"
	}
	if m.env.Dir == "" {
		m.env.Dir = p.t.TempDir()
	}
	m.env.Log = slog.New(slog.NewTextHandler(lockedWriter{m}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	m.look("configure", nil)
	return m, nil
}

// one returns a machine in a world of its own.
func (p *player) one() (*machine, error) { return p.machine(p.world(), "suite-a") }

type lockedWriter struct{ m *machine }

func (w lockedWriter) Write(b []byte) (int, error) {
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	return w.m.log.Write(b)
}

// look notes whether a secret can be seen after an act where it must not be,
// which is also in what the act returned.
func (m *machine) look(what string, returned error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.player.mu.Lock()
	defer m.player.mu.Unlock()
	for secret := range m.player.secrets {
		seen := map[string]string{"configuration": string(m.config), "state": string(m.state), "log": m.log.String(), "error": fmt.Sprint(returned)}
		for where, text := range seen {
			if strings.Contains(text, secret) && m.player.leak == nil {
				m.player.leak = fmt.Errorf("%s: the %s holds a secret", what, where)
			}
		}
	}
}

func (m *machine) open() (drivers.Driver, error) {
	m.mu.Lock()
	state := slices.Clone(m.state)
	m.mu.Unlock()
	d, err := m.world.Factory.Open(m.config, m.secrets, state, m.save, m.env)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	return d, nil
}

func (m *machine) save(state json.RawMessage) error {
	commit := func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.state = slices.Clone(state)
	}
	m.mu.Lock()
	m.saves++
	n, onSave := m.saves, m.onSave
	m.mu.Unlock()
	if onSave == nil {
		commit()
		return nil
	}
	return onSave(n, commit)
}

// errKilled says that an act ended as a process does by kill -9.
var errKilled = errors.New("killed")

// act opens the driver and does one thing with it, in a goroutine that may die.
func (m *machine) act(ctx context.Context, what string, fn func(context.Context, drivers.Driver) error) error {
	d, err := m.open()
	if err != nil {
		return err
	}
	err = errKilled
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = fn(ctx, d)
	}()
	<-done
	m.look(what, err)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// kill ends the running act without running any more of the driver but its
// deferred functions, which a crash would not run either but which hold locks
// that a crash would release.
func kill() { runtime.Goexit() }

func (m *machine) check(ctx context.Context) error {
	return m.act(ctx, "check", func(ctx context.Context, d drivers.Driver) error { return d.Check(ctx) })
}

func (m *machine) create(ctx context.Context) error {
	return m.act(ctx, "create", func(ctx context.Context, d drivers.Driver) error { return d.Create(ctx, m.world.Request) })
}

func (m *machine) start(ctx context.Context) error {
	return m.act(ctx, "start", func(ctx context.Context, d drivers.Driver) error { return d.Start(ctx) })
}

func (m *machine) stop(ctx context.Context) error {
	return m.act(ctx, "stop", func(ctx context.Context, d drivers.Driver) error { return d.Stop(ctx) })
}

func (m *machine) remove(ctx context.Context) error {
	return m.act(ctx, "remove", func(ctx context.Context, d drivers.Driver) error { return d.Remove(ctx) })
}

func (m *machine) status(ctx context.Context) (s drivers.Status, err error) {
	err = m.act(ctx, "status", func(ctx context.Context, d drivers.Driver) error {
		s, err = d.Status(ctx)
		return err
	})
	return s, err
}

// becomes waits until the machine is in a state.
func (m *machine) becomes(ctx context.Context, want drivers.State) error {
	timeout := m.player.harness.timeout()
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("not %s within %v", want, timeout))
	defer cancel()
	wait := time.Millisecond
	for {
		s, err := m.status(ctx)
		if err != nil {
			return err
		}
		if s.State == want {
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("state is %s: %w", s.State, context.Cause(ctx))
		case <-timer.C:
		}
		wait = min(2*wait, 500*time.Millisecond)
	}
}

// values returns a copy of the options that is not nil.
func (w World) values() drivers.Values {
	values := drivers.Values{}
	maps.Copy(values, w.Values)
	return values
}

// resources returns what is ours at the provider, sorted.
func (w World) resources(ctx context.Context) ([]string, error) {
	if w.Resources == nil {
		return nil, nil
	}
	all, err := w.Resources(ctx)
	if err != nil {
		return nil, fmt.Errorf("harness: list resources: %w", err)
	}
	slices.Sort(all)
	return all, nil
}

// kinds returns the kinds of what is ours, sorted, each as often as it is there.
func (w World) kinds(ctx context.Context) ([]string, error) {
	all, err := w.resources(ctx)
	for i, r := range all {
		all[i], _, _ = strings.Cut(r, "/")
	}
	slices.Sort(all)
	return all, err
}

// empty returns an error if anything of ours is left.
func (w World) empty(ctx context.Context) error {
	all, err := w.resources(ctx)
	if err != nil || len(all) == 0 {
		return err
	}
	return fmt.Errorf("left behind: %s", strings.Join(all, ", "))
}

// still returns an error if what is ours is not what it was before.
func (w World) still(ctx context.Context, before []string) error {
	now, err := w.resources(ctx)
	if err != nil || slices.Equal(before, now) {
		return err
	}
	return fmt.Errorf("changed what is at the provider from %q to %q", before, now)
}

// same returns an error if what is ours is not of these kinds.
func (w World) same(ctx context.Context, want []string) error {
	got, err := w.kinds(ctx)
	if err != nil || slices.Equal(got, want) {
		return err
	}
	return fmt.Errorf("provider has [%s], want [%s]", strings.Join(got, " "), strings.Join(want, " "))
}
