package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/hostsmith/machine/provision"
)

// engineWatch follows an engine that does not answer yet by what its host says of it.
type engineWatch struct {
	host  provision.Runner
	limit time.Duration // for an engine that is not being started
	asked time.Time
	alive time.Time // when it was last being started
	pause time.Duration
}

// errEngineFailed is an engine that its host has given up.
var errEngineFailed = errors.New("its host says that it has failed")

func (x *machine) watchEngine(host provision.Runner) *engineWatch {
	now := time.Now()
	limit := cmp.Or(x.m.Wait.Engine, engineDeadline*time.Duration(x.slowness()))
	return &engineWatch{host: host, limit: limit, asked: now, alive: now, pause: min(limit/4, 3*time.Second)}
}

// hopeless returns why it is of no use to wait for the engine any longer; nil: it may still come.
func (w *engineWatch) hopeless(ctx context.Context) error {
	if time.Since(w.asked) >= w.pause {
		asking, cancel := within(ctx, 0, versionDeadline, "ask the host for its engine's state")
		state := provision.StateOf(asking, w.host)
		cancel()
		w.asked = time.Now()
		switch state {
		case provision.EngineStarting:
			w.alive = w.asked
		case provision.EngineFailed:
			return errEngineFailed
		}
	}
	if time.Since(w.alive) >= w.limit {
		return &DeadlineError{What: "wait for the engine", Limit: w.limit}
	}
	return nil
}
