package docker

import (
	"context"
	"time"

	"github.com/hostsmith/machine/drivers/internal/wait"
)

// answerLate bounds how long a request that makes something is waited for
// after the caller has given up.
const answerLate = 15 * time.Second

// seeThrough returns a context for a request that makes something. It outlives
// the end of ctx for a while: an engine goes on with what it was asked for, so
// that who turns away does not learn what it made. The caller calls done.
func seeThrough(ctx context.Context) (through context.Context, done func()) {
	through, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	if ctx.Err() != nil { // nothing was asked for yet
		cancel(context.Cause(ctx))
	}
	stop := context.AfterFunc(ctx, func() {
		if wait.For(through, answerLate) == nil {
			cancel(context.Cause(ctx))
		}
	})
	return through, func() {
		stop()
		cancel(nil)
	}
}
