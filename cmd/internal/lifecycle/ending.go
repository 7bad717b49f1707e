package lifecycle

import (
	"context"
	"errors"
	"sync"
	"time"
)

// endLimit bounds what a command does after its work.
const endLimit = 3 * time.Second

// endings are what drivers want done when the command ends.
type endings struct {
	mu  sync.Mutex
	all []func(context.Context)
}

func (e *endings) add(fn func(context.Context)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, fn)
}

// Close ends what drivers hold open for as long as a command lasts, such as
// sessions at a provider. It takes a few seconds at most, also when ctx is over.
func (m *Manager) Close(ctx context.Context) {
	m.endings.mu.Lock()
	all := m.endings.all
	m.endings.all = nil
	m.endings.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), endLimit, errors.New("the command ends"))
	defer cancel()
	var wg sync.WaitGroup
	for _, fn := range all {
		wg.Go(func() { fn(ctx) })
	}
	wg.Wait()
}
