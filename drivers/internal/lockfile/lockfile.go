// Package lockfile lets one process at a time do something, by a lock that the
// kernel frees when its holder ends, in whatever way.
package lockfile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

const (
	minPoll = 2 * time.Millisecond
	maxPoll = 100 * time.Millisecond
	patient = 300 * time.Millisecond // before a wait is worth a word
)

// Holder is who holds a lock.
type Holder struct {
	PID  int    `json:"pid"`
	Work string `json:"work"` // what the lock is held for
}

func (h Holder) String() string {
	switch {
	case h.PID == 0:
		return "another process"
	case h.PID == os.Getpid():
		return "this process (" + h.Work + ")"
	}
	return fmt.Sprintf("process %d (%s)", h.PID, h.Work)
}

// Lock is a lock that is held.
type Lock struct {
	file   *flock.Flock
	holder string
}

// Acquire takes the lock that the file at path stands for, and makes the folder
// that it is in. It waits until the lock is free or ctx ends; waiting is told once
// who holds it, and may be nil. A lock excludes goroutines of one process as it
// does processes. work says what it is taken for.
//
// The file stays when the lock is released. What it protects may have been done
// by the holder before, so look again after Acquire.
func Acquire(ctx context.Context, path, work string, waiting func(Holder)) (*Lock, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of a lock: %w", err)
	}
	l := &Lock{file: flock.New(path), holder: path + ".holder"}
	start, told := time.Now(), waiting == nil
	for delay := minPoll; ; delay = min(2*delay, maxPoll) {
		ok, err := l.file.TryLock()
		if err != nil {
			return nil, fmt.Errorf("take lock: %w", err)
		}
		if ok {
			l.announce(work)
			return l, nil
		}
		if !told && time.Since(start) >= patient {
			waiting(l.heldBy())
			told = true
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for %s: %w", l.heldBy(), context.Cause(ctx))
		case <-time.After(delay):
		}
	}
}

// Try takes the lock if it is free; nil: it is not.
func Try(path, work string) (*Lock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of a lock: %w", err)
	}
	l := &Lock{file: flock.New(path), holder: path + ".holder"}
	ok, err := l.file.TryLock()
	if err != nil || !ok {
		return nil, err
	}
	l.announce(work)
	return l, nil
}

// Release gives the lock back.
func (l *Lock) Release() {
	_ = os.Remove(l.holder)
	_ = l.file.Unlock()
}

// announce tells others who holds the lock, in a file of its own: Windows lets
// nobody read a locked one. The lock holds without it.
func (l *Lock) announce(work string) {
	if data, err := json.Marshal(Holder{PID: os.Getpid(), Work: work}); err == nil {
		_ = os.WriteFile(l.holder, data, 0o600)
	}
}

func (l *Lock) heldBy() (h Holder) {
	data, err := os.ReadFile(l.holder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) || json.Unmarshal(data, &h) != nil {
		return Holder{}
	}
	return h
}
