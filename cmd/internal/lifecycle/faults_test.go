package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/store"
)

// TestFullStore has a store that is full from the n-th write on. Unlike a command that is killed, this one
// goes on to tell of it; once there is room, the same create ends well.
func TestFullStore(t *testing.T) {
	t.Parallel()
	req := CreateRequest{Names: []string{"m1"}, Driver: fake.Name, Swarm: SwarmOptions{Master: true}}
	for n := 1; ; n++ {
		w := newWorld(t, "m1")
		var mu sync.Mutex
		writes, where := 0, ""
		w.hooks(nil, func(what string) error {
			word, _, _ := strings.Cut(what, " ")
			if !slices.Contains([]string{"put", "write", "remove", "delete"}, word) {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			if writes++; writes < n {
				return nil
			}
			if where == "" {
				where = what
			}
			return fmt.Errorf("%s: %w", what, store.ErrFull)
		})
		got, err := w.manager().Create(t.Context(), req)
		w.hooks(nil, nil)
		if where == "" {
			if n < 25 {
				t.Errorf("only %d writes", n)
			}
			break
		}
		if !errors.Is(err, store.ErrFull) || got[0].ReasonID != "STORE_FULL" {
			t.Errorf("%s: got %+v, %v", where, got, err)
		}
		w.create(req)
		if st := w.status("m1"); len(st.Nodes) != 1 || len(st.Problems) != 0 {
			t.Errorf("%s: status %+v", where, st)
		}
		if hosts, _ := w.made(); hosts != 1 {
			t.Errorf("%s: %d hosts", where, hosts)
		}
	}
}

// TestInterruptedCommands ends the context at each step of commands on machines that exist. They say so,
// and the same command, given again, comes to its end.
func TestInterruptedCommands(t *testing.T) {
	t.Parallel()
	for what, do := range map[string]func(ctx context.Context, w *world) error{
		"rm": func(ctx context.Context, w *world) error {
			_, err := w.manager().Remove(ctx, RemoveRequest{Names: []string{"w1"}})
			return err
		},
		"restart": func(ctx context.Context, w *world) error { return w.manager().Restart(ctx, []string{"w1"}) },
		"upgrade": func(ctx context.Context, w *world) error {
			return w.manager().Upgrade(ctx, UpgradeRequest{Names: []string{"w1"}, Version: "29.0.1"})
		},
		"rotate": func(ctx context.Context, w *world) error {
			return w.manager().RegenerateCerts(ctx, CertsRequest{RotateCA: true})
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			stride := 1
			switch {
			case testing.Short() || what == "rotate":
				stride = 8 // TestKilledRotation is thorough
			case what == "upgrade":
				stride = 2
			}
			for n, over := 1, false; !over; n += stride {
				w := newWorld(t, "m1", "w1")
				w.swarm([]string{"m1"}, []string{"w1"})
				ctx, cancel := context.WithCancel(t.Context())
				var mu sync.Mutex
				at, where := 0, ""
				w.hooks(func(step string) {
					mu.Lock()
					defer mu.Unlock()
					if at++; at == n {
						where = step
						cancel()
					}
				}, nil)
				err := do(ctx, w)
				cancel()
				w.hooks(nil, nil)
				if over = where == ""; over {
					if err != nil || n < 4 {
						t.Errorf("uninterrupted, with %d steps: %v", n-1, err)
					}
					continue
				}
				if !errors.Is(err, context.Canceled) || ReasonOf(err).Exit != ExitInterrupted {
					t.Errorf("%s: %v", where, err)
				}
				if _, err := w.manager().Store.List(); err != nil {
					t.Errorf("%s: %v", where, err)
				}
				if err := do(t.Context(), w); err != nil && !errors.Is(err, store.ErrNotExist) {
					t.Errorf("%s, again: %v", where, err)
				}
				if st := w.status("m1"); len(st.Problems) > 0 || what != "rm" && len(st.Nodes) != 2 || what == "rm" && len(st.Nodes) != 1 {
					t.Errorf("%s, again: %+v", where, st)
				}
				for _, name := range []string{"m1", "w1"} {
					if rec, err := w.manager().Store.Get(name); err == nil && (rec.Problem != nil || rec.Phase != store.Ready) {
						t.Errorf("%s, again: %s is %s, problem %+v", where, name, rec.Phase, rec.Problem)
					}
				}
			}
		})
	}
}

// TestCommandsAtOnce has several commands create machines of one store and swarm at the same time.
func TestCommandsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1", "w2", "w3", "w4", "w5")
	w.swarm([]string{"m1"}, nil)
	var wg sync.WaitGroup
	names := []string{"w1", "w2", "w3", "w4", "w5"}
	errs := make([]error, len(names))
	for i, name := range names {
		wg.Go(func() {
			_, errs[i] = w.manager().Create(t.Context(), CreateRequest{Names: []string{name}, Driver: fake.Name, Swarm: SwarmOptions{IsSwarm: true}})
		})
	}
	// One name is asked for twice: one of the two is told that the other is at it, or was.
	twice := make([]error, 2)
	for i := range twice {
		wg.Go(func() {
			_, twice[i] = w.manager().Create(t.Context(), CreateRequest{Names: []string{"u1"}, Driver: "url", Options: map[string][]string{"url": {"tcp://192.0.2.1:2376"}}})
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if (twice[0] == nil) == (twice[1] == nil) || !errors.Is(errors.Join(twice...), store.ErrLocked) && !errors.Is(errors.Join(twice...), store.ErrExist) {
		t.Errorf("one name, two commands: %v", twice)
	}
	c, err := w.manager().Store.Cluster("m1")
	if err != nil || len(c.Members) != 6 {
		t.Errorf("recorded %+v, %v", c.Members, err)
	}
	if st := w.status(""); len(st.Nodes) != 6 || len(st.Problems) != 0 {
		t.Errorf("status %+v", st)
	}
}
