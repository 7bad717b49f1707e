// Package wait waits for states of a provider.
package wait

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Pace says how often a state is asked for. The time between two questions
// grows from First to Most, with a fifth of jitter.
type Pace struct {
	First time.Duration // 0: 1 s
	Most  time.Duration // 0: 10 s
}

// Until asks until done, an error, or the end of ctx. The error at the end of ctx
// wraps its cause and says what was waited for.
func Until(ctx context.Context, p Pace, what string, ask func(context.Context) (done bool, err error)) error {
	pause, most := p.First, p.Most
	if pause <= 0 {
		pause = time.Second
	}
	if most <= 0 {
		most = 10 * time.Second
	}
	for {
		done, err := ask(ctx)
		if done || err != nil {
			return err
		}
		if err := For(ctx, pause-pause/10+rand.N(pause/5+1)); err != nil {
			return fmt.Errorf("wait for %s: %w", what, err)
		}
		pause = min(pause*3/2+1, max(most, p.First))
	}
}

// For waits for some time. It returns the cause of the end of ctx if that has come.
func For(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	return context.Cause(ctx)
}

// Within bounds a phase of the work. What ends it is a LateError.
func Within(ctx context.Context, limit time.Duration, what string) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, limit, &LateError{What: what, Limit: limit})
}

// LateError says which phase took too long.
type LateError struct {
	What  string
	Limit time.Duration
}

func (e *LateError) Error() string { return e.What + " took longer than " + e.Limit.String() }
