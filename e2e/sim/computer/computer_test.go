package computer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/host"
)

type counter struct{ N int }

func newHome(t *testing.T) *Home[counter] {
	t.Helper()
	h := &Home[counter]{Dir: t.TempDir(), Name: "test", Read: func(context.Context, *counter) error { return nil }}
	if err := h.Make(); err != nil {
		t.Fatal(err)
	}
	return h
}

// count does a call that counts.
func (h *Home[S]) count(t *testing.T, action string, add func(*S)) error {
	t.Helper()
	return h.Call(action, []byte(`"`+action+`"`), func() error {
		return h.With(t.Context(), func(s *S) error { add(s); return nil })
	})
}

// TestFaults demands of each fault that it comes when it should, as often as it
// should, and that what is done before and after it is done.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault sim.Fault
		want  string // an outcome a call
		done  int
	}{
		"none":        {sim.Fault{Action: "other", Nth: 1, Mode: sim.Fail}, "....", 4},
		"second":      {sim.Fault{Action: "a", Nth: 2, Mode: sim.Fail}, ".b..", 3},
		"any":         {sim.Fault{Nth: 1, Mode: sim.Lose}, "b...", 4},
		"twice":       {sim.Fault{Nth: 2, Times: 2, Mode: sim.Fail}, ".bb.", 2},
		"for ever":    {sim.Fault{Nth: 3, Times: -1, Mode: sim.Fail}, "..bb", 2},
		"kill before": {sim.Fault{Nth: 1, Mode: KillBefore}, "k...", 3},
		"kill after":  {sim.Fault{Nth: 1, Mode: KillAfter}, "k...", 4},
		"die before":  {sim.Fault{Nth: 1, Mode: DieBefore}, "d...", 3},
		"die after":   {sim.Fault{Nth: 4, Mode: DieAfter}, "...d", 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHome(t)
			if err := h.Inject(c.fault); err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for range 4 {
				err := h.count(t, "a", func(s *counter) { s.N++ })
				var b *Broken
				switch {
				case errors.As(err, &b):
					got.WriteString("b")
				case errors.Is(err, ErrKilled):
					got.WriteString("k")
				case errors.Is(err, ErrDied):
					got.WriteString("d")
				case err == nil:
					got.WriteString(".")
				default:
					t.Fatal(err)
				}
			}
			if got.String() != c.want || h.Killed() != strings.Contains(c.want, "k") {
				t.Errorf("Got %s, killed %v, want %s", got.String(), h.Killed(), c.want)
			}
			err := h.With(t.Context(), func(s *counter) error {
				if s.N != c.done {
					t.Errorf("Done %d times, want %d", s.N, c.done)
				}
				return nil
			})
			if calls, cerr := Calls[string](h); err != nil || cerr != nil || len(calls) != 4 {
				t.Errorf("calls %q, %v, %v", calls, err, cerr)
			}
			if err := h.Clear(); err != nil || h.Killed() {
				t.Errorf("after Clear: %v", err)
			}
			if err := h.count(t, "a", func(*counter) {}); err != nil {
				t.Errorf("after Clear: %v", err)
			}
		})
	}
}

func TestObserve(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	var seen []string
	h.Observe(func(n int, done bool) error {
		seen = append(seen, fmt.Sprint(n, done))
		if n == 1 && !done || n == 2 && done {
			return errors.New("no")
		}
		return nil
	})
	done := 0
	for range 2 {
		if err := h.count(t, "a", func(*counter) { done++ }); err == nil || err.Error() != "no" {
			t.Errorf("got %v", err)
		}
	}
	h.Observe(nil)
	if err := h.count(t, "a", func(*counter) {}); err != nil || done != 1 || strings.Join(seen, ",") != "1 false,2 false,2 true" {
		t.Errorf("seen %q, done %d, %v", seen, done, err)
	}
}

// TestHosts takes a machine through its life, and demands that without hosts nothing
// is asked of them.
func TestHosts(t *testing.T) {
	t.Parallel()
	launched, memory := false, host.NewMemory()
	g := Guest{Hostname: "m", Address: netip.MustParseAddr("10.77.0.20")}
	if err := (Hosts{}).Boot(t.Context(), "x", &launched, g); err != nil || launched {
		t.Errorf("nobody boots: %v, %v", launched, err)
	}
	h := Hosts{memory}
	is := func(want bool) {
		t.Helper()
		if down, err := h.Down(t.Context(), "x", launched); err != nil || down == want {
			t.Errorf("runs: %v, %v, want %v", !down, err, want)
		}
	}
	for range 2 {
		if err := h.Boot(t.Context(), "x", &launched, g); err != nil || !launched {
			t.Fatal(err)
		}
		is(true)
		if err := h.Cut(t.Context(), "x", launched); err != nil {
			t.Fatal(err)
		}
		is(false)
	}
	if s, _ := memory.Spec("x"); s.Private != g.Address || s.Hostname != "m" {
		t.Errorf("launched with %+v", s)
	}
	if err := h.Drop(t.Context(), "x", launched); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Down(t.Context(), "x", launched); err == nil {
		t.Error("a machine that is gone has a state")
	}
}

func TestAddress(t *testing.T) {
	t.Parallel()
	lower, upper := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	taken := map[string]bool{}
	for _, want := range []string{"10.0.0.1", "10.0.0.2", "invalid IP"} {
		a := Address(lower, upper, taken)
		if taken[a.String()] = true; a.String() != want {
			t.Errorf("got %s, want %s", a, want)
		}
	}
}

// TestClose waits for what was begun before, while others begin more.
func TestClose(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	var others sync.WaitGroup
	for range 100 {
		var ended atomic.Bool
		others.Go(func() { h.Go(func() { time.Sleep(2 * time.Millisecond) }) })
		time.Sleep(time.Millisecond) // mostly it has begun: then this waits for what another began
		h.Close()
		h.Go(func() {
			time.Sleep(time.Millisecond)
			ended.Store(true)
		})
		h.Close()
		if !ended.Load() {
			t.Fatal("what was begun has not ended")
		}
	}
	others.Wait()
	h.Close()
}
