package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/store"
)

// death ends a command at its n-th event, as kill -9 does: nothing is written, called or done on
// a host from then on.
type death struct {
	mu    sync.Mutex
	from  string // events count from the first that begins with it
	at    int
	n     int
	dead  bool
	where string
	end   context.CancelCauseFunc // of the command: it does not go on trying either
}

func (d *death) event(what string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return errKilled
	}
	if d.n == 0 && !strings.HasPrefix(what, d.from) {
		return nil
	}
	if d.n++; d.n == d.at {
		d.dead, d.where = true, what
		d.end(errKilled)
		return errKilled
	}
	return nil
}

// killing is an act that is killed at each of its events, each time in a world of its own.
type killing struct {
	names  []string
	before func(w *world) // may be nil
	act    func(ctx context.Context, w *world)
	from   string // the first event that counts begins so
	kinds  string // of events that must be among them
}

// kill runs the act and kills it at event n; where is empty if it came to its end before.
func (k killing) kill(w *world, n int) (where string) {
	ctx, end := context.WithCancelCause(w.t.Context())
	defer end(nil)
	d := &death{at: n, from: k.from, end: end}
	w.hooks(nil, d.event)
	k.act(ctx, w)
	w.hooks(nil, nil)
	for _, h := range w.hosts {
		h.sshd.DropAll()
	}
	return d.where
}

// each has after look at what there is after each kill.
func (k killing) each(t *testing.T, after func(t *testing.T, w *world)) {
	const atOnce, most = 4, 400
	stride := 1
	if testing.Short() {
		stride = 5
	}
	var mu sync.Mutex
	seen, over := map[string]bool{}, most // the first event that there was none of
	var wg sync.WaitGroup
	for first := range atOnce {
		wg.Go(func() {
			for n := 1 + first*stride; n < most; n += atOnce * stride {
				where := ""
				t.Run(fmt.Sprintf("event %d", n), func(t *testing.T) {
					w := newWorld(t, k.names...)
					if k.before != nil {
						k.before(w)
					}
					defer func() {
						if t.Failed() {
							t.Logf("killed at event %d: %s", n, where)
						}
					}()
					where = k.kill(w, n)
					after(t, w)
				})
				mu.Lock()
				if where == "" {
					over = min(over, n)
				}
				word, _, _ := strings.Cut(where, " ")
				seen[word] = true
				stop := n+atOnce*stride > over // one that is behind the others still has events to look at
				mu.Unlock()
				if stop {
					return
				}
			}
		})
	}
	wg.Wait()
	if over == most {
		t.Errorf("not over after %d events", most)
	}
	for kind := range strings.FieldsSeq(k.kinds) {
		if !seen[kind] && !testing.Short() {
			t.Errorf("nothing was killed at %q: the test no longer covers what it says", kind)
		}
	}
}

func TestKilledCreate(t *testing.T) {
	t.Parallel()
	req := CreateRequest{
		Names: []string{"m1"}, Driver: fake.Name, UserData: []byte("#cloud-config\n"),
		Options: drivers.Values{"fake-secret": {"token"}},
	}
	k := killing{
		names: req.Names,
		act:   func(ctx context.Context, w *world) { _, _ = w.manager().Create(ctx, req) },
		kinds: "put write provider ssh before after",
	}
	k.each(t, func(t *testing.T, w *world) {
		rec, err := w.manager().Store.Get("m1")
		if err != nil && !errors.Is(err, store.ErrNotExist) {
			t.Errorf("the record does not load: %v", err)
		}
		if rec.Phase == store.Ready {
			return
		}
		got, err := w.manager().Create(t.Context(), req)
		if err != nil {
			t.Fatalf("create again: %v", err)
		}
		if hosts, all := w.made(); hosts != 1 || all != 2 {
			t.Errorf("%d hosts, %d resources", hosts, all)
		}
		rec = w.record("m1")
		if rec.Phase != store.Ready || rec.Problem != nil || rec.SSH.HostKey == "" || got[0].URL == "" {
			t.Errorf("record %+v, result %+v", rec, got)
		}
		if err := w.answers("m1"); err != nil {
			t.Errorf("engine: %v", err)
		}
		files := w.files()
		if files["machines/m1/secrets.json"] == "" || files["machines/m1/user-data"] == "" {
			t.Error("secrets or user data are missing")
		}
		if n := strings.Count(files["machines/m1/known_hosts"], "\n"); n != 1 {
			t.Errorf("%d known host keys", n)
		}
		w.removes(t, "m1")
	})
}

func TestKilledCreateIsRemoved(t *testing.T) {
	t.Parallel()
	req := CreateRequest{Names: []string{"m1"}, Driver: fake.Name, Options: drivers.Values{"fake-seed-host-key": {"true"}}}
	k := killing{
		names: req.Names,
		act:   func(ctx context.Context, w *world) { _, _ = w.manager().Create(ctx, req) },
		kinds: "put write provider ssh before after",
	}
	k.each(t, func(t *testing.T, w *world) { w.removes(t, "m1") })
}

// removes demands that rm leaves nothing of machines at the provider and in the store.
func (w *world) removes(t *testing.T, names ...string) {
	t.Helper()
	_, err := w.manager().Remove(t.Context(), RemoveRequest{Names: names})
	if err != nil && !errors.Is(err, store.ErrNotExist) {
		t.Fatalf("rm: %v", err)
	}
	if _, all := w.made(); all != 0 {
		t.Errorf("%d resources are left", all)
	}
	for path := range w.files() {
		if strings.HasPrefix(path, "machines/") || strings.HasPrefix(path, "swarms/") {
			t.Errorf("left %s", path)
		}
	}
}

func TestKilledRemove(t *testing.T) {
	t.Parallel()
	k := killing{
		names:  []string{"m1"},
		before: func(w *world) { w.create(CreateRequest{Names: []string{"m1"}}) },
		act: func(ctx context.Context, w *world) {
			_, _ = w.manager().Remove(ctx, RemoveRequest{Names: []string{"m1"}})
		},
		kinds: "put provider delete",
	}
	k.each(t, func(t *testing.T, w *world) { w.removes(t, "m1") })
}

// TestSeededHostKeySurvivesAKill kills between the writes that tell of a host key which was seeded.
func TestSeededHostKeySurvivesAKill(t *testing.T) {
	t.Parallel()
	req := CreateRequest{Names: []string{"m1"}, Driver: fake.Name, Options: drivers.Values{"fake-seed-host-key": {"true"}}}
	for _, after := range []int{0, 1, 2} {
		w := newWorld(t, "m1")
		left := -1
		w.hooks(nil, func(what string) error {
			if what == "write known_hosts" {
				left = after
			}
			if left == 0 {
				return errKilled
			}
			left--
			return nil
		})
		if _, err := w.manager().Create(t.Context(), req); err == nil {
			t.Fatalf("got %v", err)
		}
		w.hooks(nil, nil)
		w.create(req)
		if got := w.record("m1").SSH.HostKey; got != "seeded" {
			t.Errorf("killed %d writes after: host key is %q", after, got)
		}
	}
}

// TestInterruptedAtEachStep ends the context at each step of create, as Ctrl-C does.
func TestInterruptedAtEachStep(t *testing.T) {
	t.Parallel()
	req := CreateRequest{Names: []string{"m1"}, Driver: fake.Name, Swarm: SwarmOptions{Master: true}}
	for n := 1; ; n++ {
		w := newWorld(t, "m1")
		ctx, cancel := context.WithCancel(t.Context())
		at, where := 0, ""
		w.hooks(func(step string) {
			if at++; at == n {
				where = step
				cancel()
			}
		}, nil)
		got, err := w.manager().Create(ctx, req)
		cancel()
		if where == "" {
			if n < 11 {
				t.Errorf("only %d steps", n)
			}
			break
		}
		if !errors.Is(err, context.Canceled) || got[0].ReasonID != "INTERRUPTED" {
			t.Errorf("%s: got %+v, %v", where, got, err)
		}
		rec, err := w.manager().Store.Get("m1")
		switch {
		case errors.Is(err, store.ErrNotExist) && where == "m1: check":
		case err != nil:
			t.Errorf("%s: %v", where, err)
		case rec.Phase == store.Ready || rec.Problem == nil || rec.Problem.Reason != "INTERRUPTED":
			t.Errorf("%s: phase %s, problem %+v", where, rec.Phase, rec.Problem)
		}
		w.hooks(nil, nil)
		w.create(req)
		if n%2 == 0 {
			w.removes(t, "m1")
		}
	}
}
