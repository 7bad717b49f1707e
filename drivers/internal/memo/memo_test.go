package memo

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

func TestGetAsksOnce(t *testing.T) {
	t.Parallel()
	var m Answers[int]
	var asked atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			got, err := m.Get(t.Context(), "x", func(context.Context) (int, error) { return int(asked.Add(1)), nil })
			if got != 1 || err != nil {
				t.Errorf("got %d, %v, want the first answer", got, err)
			}
		})
	}
	all.Wait()
	if got, _ := m.Get(t.Context(), "y", func(context.Context) (int, error) { return 7, nil }); got != 7 {
		t.Errorf("another key has answer %d, want one of its own", got)
	}
}

func TestGetKeepsNoErrors(t *testing.T) {
	t.Parallel()
	var m Answers[string]
	no := errors.New("no")
	if _, err := m.Get(t.Context(), "x", func(context.Context) (string, error) { return "half", no }); !errors.Is(err, no) {
		t.Errorf("got %v, want the question's error", err)
	}
	if got, err := m.Get(t.Context(), "x", func(context.Context) (string, error) { return "whole", nil }); got != "whole" || err != nil {
		t.Errorf("got %q, %v after an error", got, err)
	}
}

func TestGetWaitsOnlyAsLongAsItMay(t *testing.T) {
	t.Parallel()
	var m Answers[int]
	turn, err := m.Turn(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(enough)
	never := func(context.Context) (int, error) { t.Error("asked"); return 0, nil }
	if _, err := m.Get(ctx, "x", never); !errors.Is(err, enough) {
		t.Errorf("got %v while another has the turn", err)
	}
	turn.Value, turn.Known = 3, true
	turn.Done()
	for range 50 { // which of turn and end comes first is chance
		if _, err := m.Get(ctx, "x", never); !errors.Is(err, enough) {
			t.Fatalf("got %v from a context that has ended", err)
		}
	}
	if got, err := m.Get(t.Context(), "x", never); got != 3 || err != nil {
		t.Errorf("got %d, %v, want what was put there", got, err)
	}
}

func TestForget(t *testing.T) {
	t.Parallel()
	var m Answers[int]
	m.Forget("x")
	got, err := m.Get(t.Context(), "x", func(context.Context) (int, error) {
		m.Forget("x") // it was changed while it was asked for
		return 1, nil
	})
	if got != 1 || err != nil {
		t.Errorf("got %d, %v", got, err)
	}
	if got, _ := m.Get(t.Context(), "x", func(context.Context) (int, error) { return 2, nil }); got != 2 {
		t.Errorf("got %d, want what was asked after it was forgotten", got)
	}
}
