package computer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/hostsmith/machine/e2e/sim"
)

// The ways to spoil a call that a process makes, beside sim.Fail and sim.Lose.
const (
	KillBefore sim.Mode = "kill-before" // the process that called is killed, nothing done
	KillAfter  sim.Mode = "kill-after"  // the process that called is killed when it is done
	DieBefore  sim.Mode = "die-before"  // the hypervisor's program dies, nothing done
	DieAfter   sim.Mode = "die-after"   // the hypervisor's program dies when it is done
)

// The ways in which a call ends without an answer.
var (
	ErrDied   = errors.New("the hypervisor's program dies")
	ErrKilled = errors.New("the process that called is killed")
)

// Broken is a call that failed by a fault.
type Broken struct{ sim.Fault }

// Error returns the hypervisor's words.
func (b *Broken) Error() string { return b.Text }

func broken(err error) error { return &Broken{sim.Fault{Text: err.Error()}} }

// Observe has hook called before and after each call, counted from 1 again. If it
// returns an error before the call, the call fails undone; after it, it fails done. A
// nil hook ends it.
func (h *Home[S]) Observe(hook func(n int, done bool) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hook, h.seen = hook, 0
}

func (h *Home[S]) next() (n int, hook func(n int, done bool) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen++
	if h.hook == nil {
		return h.seen, func(int, bool) error { return nil }
	}
	return h.seen, h.hook
}

// Call notes a call, which is written as line, and does it unless it is spoiled. A
// spoiled one ends with a Broken, ErrDied or ErrKilled.
func (h *Home[S]) Call(action string, line []byte, do func() error) error {
	n, hook := h.next()
	if err := errors.Join(h.note(line), hook(n, false)); err != nil {
		return broken(err)
	}
	f, err := h.meet(action)
	if err != nil {
		return broken(err)
	}
	switch f.Mode {
	case sim.Fail:
		return &Broken{f}
	case KillBefore:
		return ErrKilled
	case DieBefore:
		return ErrDied
	}
	if err := do(); err != nil {
		return err
	}
	if err := hook(n, true); err != nil {
		return broken(err)
	}
	switch f.Mode {
	case sim.Lose:
		return broken(errors.New("the answer was lost"))
	case KillAfter:
		return ErrKilled
	case DieAfter:
		return ErrDied
	}
	return nil
}

// Inject adds a fault. All are in a file, a JSON list, for who has no other way.
func (h *Home[S]) Inject(f sim.Fault) error {
	faults, err := h.faults()
	if err != nil {
		return err
	}
	return h.setFaults(append(faults, f))
}

// Clear takes all faults away.
func (h *Home[S]) Clear() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.killed = false
	return h.setFaults(nil)
}

// Killed tells whether a fault killed a process that called, since Clear.
func (h *Home[S]) Killed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.killed
}

func (h *Home[S]) faults() ([]sim.Fault, error) {
	text, err := os.ReadFile(h.path(".faults"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []sim.Fault
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("read the faults of %s: %w", h.Name, err)
	}
	return all, nil
}

func (h *Home[S]) setFaults(all []sim.Fault) error {
	if len(all) == 0 {
		if err := os.Remove(h.path(".faults")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return writeFile(h.path(".faults"), text)
}

// meet counts a call and returns the fault that it meets, if one does.
func (h *Home[S]) meet(action string) (sim.Fault, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all, err := h.faults()
	if err != nil || len(all) == 0 {
		return sim.Fault{}, err
	}
	for i := range all {
		f := &all[i]
		if f.Action != "" && f.Action != action {
			continue
		}
		if f.Nth--; f.Nth > 0 {
			continue
		}
		met := *f
		if f.Times--; met.Times == 0 || f.Times == 0 {
			all = slices.Delete(all, i, i+1)
		}
		h.killed = h.killed || met.Mode == KillBefore || met.Mode == KillAfter
		return met, h.setFaults(all)
	}
	return sim.Fault{}, h.setFaults(all)
}
