package drivertest

import (
	"context"
	"errors"
)

// The causes that the suite injects.
var (
	errStore     = errors.New("the suite refused to save")
	errProvider  = errors.New("the suite made the provider fail")
	errCancelled = errors.New("the suite cancelled the context")
	errHung      = errors.New("the driver did not return in time")
)

// fault is a way to disturb an act at its nth event. arm returns how to tell
// whether the event came; it is asked when the act has ended.
type fault struct {
	name string // the number of the event follows
	want error  // the act must fail with it; nil: it may bear the fault
	arm  func(m *machine, n int, cancel context.CancelCauseFunc) (came func() bool)
}

// saveFaults disturb at the nth save of the state.
func saveFaults() []fault {
	at := func(do func(k, n int, commit func(), cancel context.CancelCauseFunc) error) func(*machine, int, context.CancelCauseFunc) func() bool {
		return func(m *machine, n int, cancel context.CancelCauseFunc) func() bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.saves = 0
			m.onSave = func(k int, commit func()) error {
				if k < n {
					commit()
					return nil
				}
				return do(k, n, commit, cancel)
			}
			return func() bool {
				m.mu.Lock()
				defer m.mu.Unlock()
				return m.saves >= n
			}
		}
	}
	return []fault{
		{"refused from save", errStore, at(func(_, _ int, _ func(), _ context.CancelCauseFunc) error {
			return errStore
		})},
		{"killed before save", errKilled, at(func(_, _ int, _ func(), _ context.CancelCauseFunc) error {
			kill()
			return nil
		})},
		{"killed after save", errKilled, at(func(k, n int, commit func(), _ context.CancelCauseFunc) error {
			if k == n {
				commit()
			}
			kill()
			return nil
		})},
		{"cancelled at save", nil, at(func(_, _ int, commit func(), cancel context.CancelCauseFunc) error {
			commit()
			cancel(errCancelled)
			return nil
		})},
	}
}

// callFaults disturb at the nth call of the provider.
func callFaults() []fault {
	at := func(do func(k, n int, done bool, cancel context.CancelCauseFunc) error) func(*machine, int, context.CancelCauseFunc) func() bool {
		return func(m *machine, n int, cancel context.CancelCauseFunc) func() bool {
			came := make(chan struct{}, 1)
			m.world.Observe(func(k int, done bool) error {
				if k < n {
					return nil
				}
				select {
				case came <- struct{}{}:
				default:
				}
				return do(k, n, done, cancel)
			})
			return func() bool { return len(came) > 0 }
		}
	}
	return []fault{
		{"failed at call", nil, at(func(k, n int, done bool, _ context.CancelCauseFunc) error {
			if k == n && !done {
				return errProvider
			}
			return nil
		})},
		{"lost the result of call", nil, at(func(k, n int, done bool, _ context.CancelCauseFunc) error {
			if k == n && done {
				return errProvider
			}
			return nil
		})},
		{"failed from call", nil, at(func(_, _ int, done bool, _ context.CancelCauseFunc) error {
			if !done {
				return errProvider
			}
			return nil
		})},
		{"cancelled before call", nil, at(func(k, n int, done bool, cancel context.CancelCauseFunc) error {
			if k == n && !done {
				cancel(errCancelled)
			}
			return nil
		})},
		{"cancelled after call", nil, at(func(k, n int, done bool, cancel context.CancelCauseFunc) error {
			if k == n && done {
				cancel(errCancelled)
			}
			return nil
		})},
	}
}
