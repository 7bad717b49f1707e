package wait

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestUntil(t *testing.T) {
	t.Parallel()
	asked := 0
	err := Until(t.Context(), Pace{First: time.Microsecond, Most: time.Millisecond}, "x", func(context.Context) (bool, error) {
		asked++
		return asked == 5, nil
	})
	if err != nil || asked != 5 {
		t.Errorf("asked %d times, %v", asked, err)
	}
	no := errors.New("no")
	err = Until(t.Context(), Pace{}, "x", func(context.Context) (bool, error) { return false, no })
	if !errors.Is(err, no) {
		t.Errorf("got %v, want the question's error at once", err)
	}
}

func TestUntilEnds(t *testing.T) {
	t.Parallel()
	late := errors.New("too late")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 5*time.Millisecond, late)
	defer cancel()
	err := Until(ctx, Pace{First: time.Hour}, "the moon", func(context.Context) (bool, error) { return false, nil })
	if !errors.Is(err, late) || !strings.Contains(err.Error(), "wait for the moon") {
		t.Errorf("got %v", err)
	}
}

func TestWithinSaysWhatTookTooLong(t *testing.T) {
	t.Parallel()
	ctx, cancel := Within(t.Context(), time.Millisecond, "the boot")
	defer cancel()
	err := Until(ctx, Pace{First: time.Hour}, "an address", func(context.Context) (bool, error) { return false, nil })
	var late *LateError
	if !errors.As(err, &late) || late.What != "the boot" || err.Error() != "wait for an address: the boot took longer than 1ms" {
		t.Errorf("got %v", err)
	}
}

func TestFor(t *testing.T) {
	t.Parallel()
	if err := For(t.Context(), time.Microsecond); err != nil {
		t.Errorf("got %v", err)
	}
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(enough)
	for _, d := range []time.Duration{-time.Second, 0, time.Hour} {
		if err := For(ctx, d); !errors.Is(err, enough) {
			t.Errorf("%v: got %v, want the cause of the context's end", d, err)
		}
	}
}
