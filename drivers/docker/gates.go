package docker

import (
	"context"
	"sync"
)

// gates are locks by name whose waiting can be cancelled. They keep machines
// of one process from doing one thing twice; between processes the engine
// decides.
type gates struct {
	mu    sync.Mutex
	gates map[string]chan struct{}
}

// enter waits until nobody else is between enter and the returned function.
func (g *gates) enter(ctx context.Context, name string) (leave func(), err error) {
	g.mu.Lock()
	gate, ok := g.gates[name]
	if !ok {
		if g.gates == nil {
			g.gates = map[string]chan struct{}{}
		}
		gate = make(chan struct{}, 1)
		g.gates[name] = gate
	}
	g.mu.Unlock()
	select {
	case gate <- struct{}{}:
		return func() { <-gate }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
