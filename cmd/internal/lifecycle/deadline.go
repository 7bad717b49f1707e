package lifecycle

import (
	"context"
	"fmt"
	"time"

	"github.com/hostsmith/machine/drivers"
)

// within bounds a phase; the context's cause says what was waited for.
func within(ctx context.Context, limit, otherwise time.Duration, what string) (context.Context, context.CancelFunc) {
	if limit <= 0 {
		limit = otherwise
	}
	return context.WithTimeoutCause(ctx, limit, &DeadlineError{What: what, Limit: limit})
}

// emulation is how many times as long a host may take for all it does that is emulated.
const emulation = 4

// slowness is how many times as long as usual the machine may take.
func (x *machine) slowness() int {
	if e, ok := x.drv.(drivers.Emulator); ok && e.Emulated() {
		return emulation
	}
	return 1
}

// within bounds a phase of the machine's; a limit that is given holds as it is.
func (x *machine) within(ctx context.Context, limit, otherwise time.Duration, what string) (context.Context, context.CancelFunc) {
	return within(ctx, limit, otherwise*time.Duration(x.slowness()), what)
}

// DeadlineError is a phase that did not end in its time.
type DeadlineError struct {
	What  string
	Limit time.Duration
}

func (e *DeadlineError) Error() string {
	return fmt.Sprintf("%s: not done within %s", e.What, e.Limit)
}

// Timeout tells net.Error's users that it is one.
func (e *DeadlineError) Timeout() bool { return true }

// Is makes a DeadlineError a context.DeadlineExceeded.
func (e *DeadlineError) Is(target error) bool { return target == context.DeadlineExceeded }

// poll calls fn until it is done, fails for good, or ctx ends. Between calls it waits
// 100 ms at first and 2 s at most. fn returns done, or an error that will not heal.
func poll(ctx context.Context, fn func(context.Context) (done bool, err error)) error {
	wait := 100 * time.Millisecond
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		}
		if done, err := fn(ctx); done || err != nil {
			return err
		}
		timer.Reset(wait)
		wait = min(wait*3/2, 2*time.Second)
	}
}
