// Package batch answers many single questions by few joint ones: the state of
// n machines of one account is asked in one call.
package batch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Group joins the questions that come within a short time of each other. Its
// methods may be called concurrently. Fields are not changed after the first
// question.
type Group[K comparable, V any] struct {
	// Ask answers for several keys at once, no key twice. What it does not
	// return is absent.
	Ask func(ctx context.Context, keys []K) (map[K]V, error)

	Linger time.Duration // how long the first question waits for others; 0: 5 ms
	Max    int           // keys per call of Ask; 0: 100

	mu   sync.Mutex
	next *round[K, V] // gathers keys; nil: none does
}

// round is one call of Ask on its way.
type round[K comparable, V any] struct {
	keys    []K
	waiting int
	cancel  context.CancelCauseFunc
	full    chan struct{} // closed when no more keys fit
	done    chan struct{} // closed when answered
	answers map[K]V
	err     error
}

var errNobodyWaits = errors.New("nobody waits for the answer any more")

// Get returns the answer for key, and whether there is one. It returns early
// with the cause of ctx; the joint call ends when nobody waits for it any more.
func (g *Group[K, V]) Get(ctx context.Context, key K) (answer V, found bool, err error) {
	r := g.join(ctx, key)
	select {
	case <-r.done:
		answer, found = r.answers[key]
		return answer, found, r.err
	case <-ctx.Done():
		g.leave(r)
		return answer, false, context.Cause(ctx)
	}
}

// join adds key to the round that is gathering, or begins one.
func (g *Group[K, V]) join(ctx context.Context, key K) *round[K, V] {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.next
	if r == nil {
		r = &round[K, V]{full: make(chan struct{}), done: make(chan struct{})}
		g.next = r
		var own context.Context
		own, r.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
		go g.run(own, r)
	}
	r.waiting++
	known := false
	for _, k := range r.keys {
		known = known || k == key
	}
	if !known {
		r.keys = append(r.keys, key)
	}
	if limit := g.Max; len(r.keys) >= limit && limit > 0 || len(r.keys) >= 100 && limit <= 0 {
		g.next = nil
		close(r.full)
	}
	return r
}

// leave ends a round that nobody waits for.
func (g *Group[K, V]) leave(r *round[K, V]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.waiting--; r.waiting == 0 {
		if g.next == r {
			g.next = nil
		}
		r.cancel(errNobodyWaits)
	}
}

func (g *Group[K, V]) run(ctx context.Context, r *round[K, V]) {
	linger := g.Linger
	if linger <= 0 {
		linger = 5 * time.Millisecond
	}
	timer := time.NewTimer(linger)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.full:
	case <-ctx.Done():
	}
	g.mu.Lock()
	if g.next == r {
		g.next = nil
	}
	g.mu.Unlock()
	defer r.cancel(nil)
	defer close(r.done)
	r.answers, r.err = g.ask(ctx, r.keys)
}

// ask turns a panic of Ask into an error: the goroutine is not its caller's.
func (g *Group[K, V]) ask(ctx context.Context, keys []K) (answers map[K]V, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("ask for %d at once: %v", len(keys), p)
		}
	}()
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	return g.Ask(ctx, keys)
}
