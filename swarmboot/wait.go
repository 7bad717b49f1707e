package swarmboot

import (
	"context"
	"errors"
	"time"
)

// patience is how long a wait puts up with an engine that only fails, such as one
// that restarts or whose managers elect a leader. Elections take up to 20 seconds.
const patience = 30 * time.Second

// poll calls fn, with growing pauses, until it is done or ctx ends, whose cause is
// returned then. An error of fn ends it when it is permanent, or when fn did
// nothing but fail for as long as patience lasts.
func poll(ctx context.Context, fn func(context.Context) (done bool, err error)) error {
	gap := 50 * time.Millisecond
	lastGood := time.Now()
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		done, err := fn(ctx)
		switch {
		case done:
			return nil
		case err == nil:
			lastGood = time.Now()
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case permanent(err) || time.Since(lastGood) > patience:
			return err
		}
		timer := time.NewTimer(gap)
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		}
		gap = min(gap*3/2, time.Second)
	}
}

// permanent reports whether asking again cannot help: the engine understood and refused.
// What it says while it elects or while others write comes as 4xx in some releases.
func permanent(err error) bool {
	var f interface{ final() bool }
	if errors.As(err, &f) {
		return f.final()
	}
	s := status(err)
	return s >= 400 && s < 500 && s != 408 && s != 429 && !noLeader(err) && !outOfSequence(err)
}
