package lifecycle

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/store"
)

// TestRemovalEnds has a provider that answers nothing, with and without an ear for the end of its time.
func TestRemovalEnds(t *testing.T) {
	t.Parallel()
	t.Run("a provider that hangs", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, "m1")
		w.create(CreateRequest{Names: []string{"m1"}})
		w.setenv(fake.EnvDelay, "1h")
		m := w.manager()
		m.Wait.Remove = 50 * time.Millisecond
		_, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"m1"}})
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "remove the host: not done within 50ms") {
			t.Errorf("got %v", err)
		}
		if rec := w.record("m1"); rec.Phase != store.Removing || rec.Problem == nil {
			t.Errorf("record %+v", rec)
		}
		w.forced(t, m, "m1")
	})
	t.Run("one that does not heed its time", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, "m1")
		w.create(CreateRequest{Names: []string{"m1"}})
		m := w.manager()
		m.Wait.Remove = 50 * time.Millisecond
		hung, over := make(chan struct{}), make(chan struct{})
		w.hooks(nil, func(what string) error {
			if strings.HasPrefix(what, "provider") {
				<-hung
				defer close(over)
				w.hooks(nil, nil)
			}
			return nil
		})
		w.forced(t, m, "m1")
		// What it does later does not bring the machine back.
		close(hung)
		<-over
		if entries, err := os.ReadDir(filepath.Join(w.dir, "machines")); len(entries) > 0 || err != nil {
			t.Errorf("%v, %v", entries, err)
		}
	})
	t.Run("interrupted", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, "m1")
		w.create(CreateRequest{Names: []string{"m1"}})
		w.setenv(fake.EnvDelay, "1h")
		ctx, cancel := context.WithCancel(t.Context())
		w.hooks(func(step string) {
			if strings.Contains(step, "remove the host") {
				cancel()
			}
		}, nil)
		if _, err := w.manager().Remove(ctx, RemoveRequest{Names: []string{"m1"}, Force: true}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if rec := w.record("m1"); rec.Phase != store.Removing {
			t.Errorf("record %+v", rec)
		}
	})
}

// forced removes a machine by force, which must end, tell what is left, and leave no record.
func (w *world) forced(t *testing.T, m *Manager, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	removed, err := m.Remove(ctx, RemoveRequest{Names: []string{name}, Force: true})
	if err != nil || len(removed) != 1 || !w.noted("the provider did not release everything") {
		t.Errorf("by force: %v, %v, %q", removed, err, w.notes.text)
	}
	if _, err := m.Store.Get(name); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("%s: %v", name, err)
	}
}

// TestForcedRemovalOfEachPhase removes what a create left that was killed, whatever it had come to.
func TestForcedRemovalOfEachPhase(t *testing.T) {
	t.Parallel()
	killing{
		names: []string{"m1"},
		act: func(ctx context.Context, w *world) {
			_, _ = w.manager().Create(ctx, CreateRequest{Names: []string{"m1"}, Driver: fake.Name, Options: drivers.Values{"fake-secret": {"token"}}})
		},
		kinds: "put write provider ssh",
	}.each(t, func(t *testing.T, w *world) {
		m := w.manager()
		_, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"m1"}, Force: true})
		if err != nil && !errors.Is(err, store.ErrNotExist) {
			t.Errorf("rm -f: %v", err)
		}
		if _, all := w.made(); all > 0 {
			t.Errorf("%d resources are left", all)
		}
		for path := range w.files() {
			if strings.HasPrefix(path, "machines/") {
				t.Errorf("%s is left", path)
			}
		}
	})
}

func TestRemovalWaitsForAnotherCommand(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]struct {
		end   func(*store.Txn) error
		force bool
	}{
		"that ends":                      {(*store.Txn).Close, false},
		"that ends, by force":            {(*store.Txn).Close, true},
		"that removes it, too":           {func(txn *store.Txn) error { return errors.Join(txn.Delete(), txn.Close()) }, false},
		"that removes it, too, by force": {func(txn *store.Txn) error { return errors.Join(txn.Delete(), txn.Close()) }, true},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "m1")
			w.create(CreateRequest{Names: []string{"m1"}})
			m := w.manager()
			txn, err := m.Store.Lock(t.Context(), "m1", "machine create m1")
			if err != nil {
				t.Fatal(err)
			}
			m.Note = func(ctx context.Context, text string) {
				w.notes.add(ctx, text)
				if strings.HasPrefix(text, "waiting: another command is at work: machine create m1") {
					if err := test.end(txn); err != nil {
						t.Error(err)
					}
				}
			}
			removed, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"m1"}, Force: test.force})
			if err != nil || len(removed) != 1 || w.noted("removed the record only") {
				t.Errorf("%v, %v, %q", removed, err, w.notes.text)
			}
			if _, err := m.Store.Get("m1"); !errors.Is(err, store.ErrNotExist) {
				t.Errorf("m1: %v", err)
			}
			if locks, err := filepath.Glob(filepath.Join(w.dir, "locks", "machine-*")); len(locks) > 0 || err != nil {
				t.Errorf("left: %q, %v", locks, err)
			}
		})
	}
}

// TestForceDoesNotWaitForTheSwarm has another command hold the lock of a swarm: by force a member's removal ends all the
// same, and the machine stays as it was until the other one is done.
func TestForceDoesNotWaitForTheSwarm(t *testing.T) {
	t.Parallel()
	for what, prepare := range map[string]func(t *testing.T, w *world){
		"a member": func(*testing.T, *world) {},
		"one whose record cannot be read": func(t *testing.T, w *world) {
			if err := os.WriteFile(filepath.Join(w.dir, "machines", "w1", "config.json"), []byte("{"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "m1", "w1")
			w.swarm([]string{"m1"}, []string{"w1"})
			prepare(t, w)
			m := w.manager()
			m.Wait.Lock = 50 * time.Millisecond
			held, err := m.Store.LockCluster(t.Context(), "m1", "machine upgrade m1")
			if err != nil {
				t.Fatal(err)
			}
			removed, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"w1"}, Force: true})
			if len(removed) > 0 || !errors.Is(err, store.ErrLocked) || ReasonOf(err).Exit != ExitLocked || !strings.Contains(err.Error(), "machine upgrade m1") {
				t.Errorf("removed %v, %v", removed, err)
			}
			if c, err := m.Store.Cluster("m1"); err != nil || c.Members["w1"].NodeID == "" {
				t.Errorf("cluster %+v, %v", c, err)
			}
			if err := held.Close(); err != nil {
				t.Fatal(err)
			}
			removed, err = w.manager().Remove(t.Context(), RemoveRequest{Names: []string{"w1"}, Force: true})
			if len(removed) != 1 || err != nil {
				t.Errorf("afterwards: removed %v, %v", removed, err)
			}
		})
	}
}

// TestForceDoesNotWaitForAList has another command hold the lock of a classic swarm's list: it stays as it is.
func TestForceDoesNotWaitForAList(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1")
	w.classic(SwarmOptions{Name: "prod"}, "m1", "w1")
	m := w.manager()
	m.Wait.Remove = 50 * time.Millisecond
	held, err := m.Store.LockCluster(t.Context(), "prod", "machine swarm join w2")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Close() }()
	removed, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"w1"}, Force: true})
	if len(removed) != 1 || err != nil || !w.noted("a list of members still has the machine: another command is at work: machine swarm join w2") {
		t.Errorf("removed %v, %v, %q", removed, err, w.notes.text)
	}
	if got := w.hosts["m1"].members(prodList); !slices.Equal(got, []string{"m1", "w1"}) {
		t.Errorf("listed %q", got)
	}
}
