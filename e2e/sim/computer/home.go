// Package computer has what simulated hypervisors have in common: their state is
// on disk, so that each call may come from a process of its own; calls are counted
// and spoiled; and guests read the seed that they are given.
package computer

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/gofrs/flock"

	"github.com/hostsmith/machine/e2e/sim"
)

// Home is the folder of a hypervisor whose state is an S. Its files are NAME.json,
// NAME.lock, NAME.calls and NAME.faults.
type Home[S any] struct {
	Dir  string
	Name string
	Read func(ctx context.Context, s *S) error // completes what was read, nil at first

	mu     sync.Mutex
	hook   func(n int, done bool) error
	seen   int
	killed bool
	deaf   map[string]bool
	going  int           // what was begun by Go and has not ended
	idle   chan struct{} // closed once nothing is going on any more
}

func (h *Home[S]) path(suffix string) string { return filepath.Join(h.Dir, h.Name+suffix) }

// Socket is where other processes find the one that has a hypervisor's hosts.
func Socket(dir, name string) string { return filepath.Join(dir, name+".sock") }

// Accept has do answer who comes through l, until it is closed. It must not wait.
func Accept(l net.Listener, do func(net.Conn)) error {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		do(conn)
	}
}

// Sorted sorts a ledger by kind and id.
func Sorted(all []sim.Resource) []sim.Resource {
	slices.SortFunc(all, func(a, b sim.Resource) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID)) })
	return all
}

// Make makes the folder unless it exists.
func (h *Home[S]) Make() error {
	if err := os.MkdirAll(h.Dir, 0o700); err != nil {
		return fmt.Errorf("make the folder of %s: %w", h.Name, err)
	}
	return nil
}

// Go does something that may take longer than the call that began it.
func (h *Home[S]) Go(do func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.going == 0 {
		h.idle = make(chan struct{})
	}
	h.going++
	go func() {
		defer h.ended()
		do()
	}()
}

func (h *Home[S]) ended() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.going--; h.going == 0 {
		close(h.idle)
	}
}

// Close waits for the end of all that is going on. Others may begin more meanwhile.
func (h *Home[S]) Close() {
	h.mu.Lock()
	going, idle := h.going, h.idle
	h.mu.Unlock()
	if going > 0 {
		<-idle
	}
}

// Deafen has the guest of a machine ignore that it is told to shut down.
func (h *Home[S]) Deafen(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.deaf == nil {
		h.deaf = map[string]bool{}
	}
	h.deaf[id] = true
}

// Deaf tells whether a guest ignores that it is told to shut down.
func (h *Home[S]) Deaf(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.deaf[id]
}

// With does something with the state while nobody else does.
func (h *Home[S]) With(ctx context.Context, do func(*S) error) error {
	lock := flock.New(h.path(".lock"))
	if err := lock.Lock(); err != nil {
		return fmt.Errorf("lock %s: %w", h.Name, err)
	}
	defer lock.Close()
	s := new(S)
	text, err := os.ReadFile(h.path(".json"))
	if err == nil {
		err = json.Unmarshal(text, s)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the state of %s: %w", h.Name, err)
	}
	if err := h.Read(ctx, s); err != nil {
		return err
	}
	if err := do(s); err != nil {
		return err
	}
	now, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return fmt.Errorf("write the state of %s: %w", h.Name, err)
	}
	if bytes.Equal(now, text) {
		return nil
	}
	return writeFile(h.path(".json"), now)
}

// writeFile writes a file that is whole whenever it exists.
func writeFile(path string, text []byte) error {
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Calls returns the calls since the beginning, in their order.
func Calls[C, S any](h *Home[S]) ([]C, error) {
	text, err := os.ReadFile(h.path(".calls"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []C
	for line := range bytes.Lines(text) {
		var c C
		if err := json.Unmarshal(line, &c); err != nil {
			return nil, fmt.Errorf("read the calls of %s: %w", h.Name, err)
		}
		all = append(all, c)
	}
	return all, nil
}

// note adds a call, a line of JSON, to those that were made.
func (h *Home[S]) note(line []byte) error {
	f, err := os.OpenFile(h.path(".calls"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(bytes.TrimSpace(line), '\n'))
	return errors.Join(err, f.Close())
}

// UUID returns an id that is the same for the same history.
func UUID(serial *int) string {
	*serial++
	return fmt.Sprintf("51300000-0000-4000-8000-%012x", *serial)
}
