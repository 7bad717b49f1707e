package amazonec2

import (
	"context"
	"sync"
)

// memo keeps answers. Of concurrent askers of one key one asks and the others
// wait. Errors are not kept.
type memo[V any] struct {
	mu      sync.Mutex
	entries map[string]*entry[V]
}

type entry[V any] struct {
	turn  chan struct{} // held by who asks
	known bool
	value V
}

// lock waits for the turn at key. The caller gives it back with unlock.
func (m *memo[V]) lock(ctx context.Context, key string) (*entry[V], error) {
	m.mu.Lock()
	if m.entries == nil {
		m.entries = map[string]*entry[V]{}
	}
	e := m.entries[key]
	if e == nil {
		e = &entry[V]{turn: make(chan struct{}, 1)}
		m.entries[key] = e
	}
	m.mu.Unlock()
	select {
	case e.turn <- struct{}{}:
		return e, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (e *entry[V]) unlock() { <-e.turn }

// get returns the answer for key, from ask if it is not known.
func (m *memo[V]) get(ctx context.Context, key string, ask func(context.Context) (V, error)) (V, error) {
	e, err := m.lock(ctx, key)
	if err != nil {
		var zero V
		return zero, err
	}
	defer e.unlock()
	if e.known {
		return e.value, nil
	}
	value, err := ask(ctx)
	if err == nil {
		e.value, e.known = value, true
	}
	return value, err
}
