// Package memo keeps answers of a provider, so that of many who need the same one
// asks for it.
package memo

import (
	"context"
	"sync"
)

// Answers are answers by their key. Of concurrent askers of one key one asks and
// the others wait for it. Errors are not kept. The zero value is ready to use.
type Answers[V any] struct {
	mu      sync.Mutex
	answers map[string]*Answer[V]
}

// Answer is what is known under a key. Only who has its turn touches it.
type Answer[V any] struct {
	Value V
	Known bool // Value is an answer

	turn chan struct{} // holds one while somebody has it
}

// Turn waits until nobody else has the answer of a key. Done gives it back.
func (m *Answers[V]) Turn(ctx context.Context, key string) (*Answer[V], error) {
	m.mu.Lock()
	if m.answers == nil {
		m.answers = map[string]*Answer[V]{}
	}
	a := m.answers[key]
	if a == nil {
		a = &Answer[V]{turn: make(chan struct{}, 1)}
		m.answers[key] = a
	}
	m.mu.Unlock()
	select {
	case a.turn <- struct{}{}:
		return a, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Done ends the turn.
func (a *Answer[V]) Done() { <-a.turn }

// Get returns the answer of a key, from ask if it is not known.
func (m *Answers[V]) Get(ctx context.Context, key string, ask func(context.Context) (V, error)) (V, error) {
	var none V
	a, err := m.Turn(ctx, key)
	if err != nil {
		return none, err
	}
	defer a.Done()
	if ctx.Err() != nil {
		return none, context.Cause(ctx)
	}
	if a.Known {
		return a.Value, nil
	}
	value, err := ask(ctx)
	if err == nil {
		a.Value, a.Known = value, true
	}
	return value, err
}

// Forget has the next one ask again. What is just being asked is not kept.
func (m *Answers[V]) Forget(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.answers, key)
}
