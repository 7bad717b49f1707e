package batch

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestJoins(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var calls [][]int
	g := &Group[int, int]{Linger: time.Second, Max: 10, Ask: func(_ context.Context, keys []int) (map[int]int, error) {
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, slices.Clone(keys))
		answers := map[int]int{}
		for _, k := range keys {
			if k != 7 {
				answers[k] = k * k
			}
		}
		return answers, nil
	}}
	var wg sync.WaitGroup
	for i := range 25 {
		wg.Go(func() {
			k := i % 20 // some twice
			v, found, err := g.Get(t.Context(), k)
			if err != nil || found != (k != 7) || found && v != k*k {
				t.Errorf("Get(%d): got %d, %v, %v", k, v, found, err)
			}
		})
	}
	wg.Wait()
	if len(calls) > 5 {
		t.Errorf("%d calls for 25 questions, want a few", len(calls))
	}
	for _, keys := range calls {
		slices.Sort(keys)
		if len(keys) > 10 || len(slices.Compact(keys)) != len(keys) {
			t.Errorf("asked for %d at once, want 10 different ones at most", keys)
		}
	}
}

func TestErrorReachesAll(t *testing.T) {
	t.Parallel()
	want := errors.New("no")
	g := &Group[int, int]{Ask: func(context.Context, []int) (map[int]int, error) { return nil, want }}
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			if _, _, err := g.Get(t.Context(), i); !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
		})
	}
	wg.Wait()
}

func TestPanicIsAnError(t *testing.T) {
	t.Parallel()
	g := &Group[int, int]{Ask: func(context.Context, []int) (map[int]int, error) { panic("x") }}
	if _, _, err := g.Get(t.Context(), 1); err == nil {
		t.Error("got no error")
	}
}

// One caller that leaves must not spoil the answer of the others; when all have
// left the joint call ends.
func TestLeaving(t *testing.T) {
	t.Parallel()
	asked, ended := make(chan struct{}), make(chan error, 1)
	g := &Group[int, int]{Linger: time.Minute, Max: 2, Ask: func(ctx context.Context, _ []int) (map[int]int, error) {
		close(asked)
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return nil, ctx.Err()
	}}
	first, leaveFirst := context.WithCancel(t.Context())
	second, leaveSecond := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _, _, _ = g.Get(first, 1) })
	wg.Go(func() { _, _, _ = g.Get(second, 2) })
	<-asked
	leaveFirst()
	select {
	case err := <-ended:
		t.Errorf("the joint call ended with its first caller: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	leaveSecond()
	if err := <-ended; !errors.Is(err, errNobodyWaits) {
		t.Errorf("got %v, want %v", err, errNobodyWaits)
	}
	wg.Wait()
}

// A round that everybody left takes no more questions.
func TestAfterLeaving(t *testing.T) {
	t.Parallel()
	g := &Group[int, int]{Linger: time.Hour, Max: 1, Ask: func(_ context.Context, keys []int) (map[int]int, error) {
		return map[int]int{keys[0]: 1}, nil
	}}
	gone, leave := context.WithCancel(t.Context())
	leave()
	g.Max = 2
	if _, _, err := g.Get(gone, 1); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want canceled", err)
	}
	g.Max = 1
	if v, found, err := g.Get(t.Context(), 2); v != 1 || !found || err != nil {
		t.Errorf("got %d, %v, %v", v, found, err)
	}
}
