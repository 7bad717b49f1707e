package store

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/gofrs/flock"
)

const (
	// grace is how long a command that does not wait gives the holder to make
	// itself known, or to finish leaving.
	grace   = 100 * time.Millisecond
	minPoll = 2 * time.Millisecond
	maxPoll = 50 * time.Millisecond
)

// lock is a lock that is held. The kernel frees it when the process ends, in
// whatever way. Who holds it stands in a file of its own: Windows lets nobody read
// a locked one.
type lock struct {
	file   *flock.Flock
	holder string // path of the file that names the holder
}

// acquire takes the lock called key, whose files are in dir, as Backend says it.
func acquire(ctx context.Context, dir, key, command string, wait bool) (*lock, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if err := makeDir(dir); err != nil {
		return nil, writeError("make the folder of locks", err)
	}
	path := filepath.Join(dir, key+".lock")
	l := &lock{holder: filepath.Join(dir, key+".json")}
	start := time.Now()
	for delay := minPoll; ; delay = min(2*delay, maxPoll) {
		file, err := tryLock(path)
		if err != nil {
			return nil, writeError("open lock", err)
		}
		if file != nil {
			l.file = file
			if err := l.announce(command); err != nil {
				l.release(false)
				return nil, err
			}
			return l, nil
		}
		holder := readHolder(l.holder)
		if !wait && (holder.PID != 0 || time.Since(start) > grace) {
			return nil, &LockedError{Holder: holder}
		}
		select {
		case <-ctx.Done():
			return nil, &LockedError{Holder: holder, Cause: context.Cause(ctx)}
		case <-time.After(delay):
		}
	}
}

// tryLock returns nil if the lock is not to be had now.
func tryLock(path string) (*flock.Flock, error) {
	file := flock.New(path)
	ok, err := file.TryLock()
	if err != nil || !ok {
		return nil, err
	}
	// The holder before may have removed the file between our opening and locking
	// it. Then the lock is one that nobody else will meet.
	if ok, err := inPlace(file); err != nil || !ok {
		_ = file.Unlock()
		return nil, err
	}
	return file, nil
}

// inPlace tells whether a locked file is the one that others find at its path.
func inPlace(file *flock.Flock) (bool, error) {
	held, err := file.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Stat(file.Path())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(held, there), err
}

// announce tells others who holds the lock. On a full disk the lock holds all the
// same, unnamed: removing things must work there.
func (l *lock) announce(command string) error {
	host, _ := os.Hostname()
	data, err := json.Marshal(Holder{Command: command, PID: os.Getpid(), Host: host, Since: time.Now().Truncate(time.Second)})
	if err != nil {
		return err
	}
	if err := os.WriteFile(l.holder, data, 0o600); err != nil && !isFull(err) {
		return writeError("name the holder of the lock", err)
	}
	return nil
}

// readHolder returns zero if the holder is not known, or not yet.
func readHolder(path string) Holder {
	var h Holder
	data, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(data, &h) != nil {
		return Holder{}
	}
	return h
}

// release gives the lock back. With remove, nothing is left that the lock protects
// and its file goes too.
func (l *lock) release(remove bool) {
	_ = os.Remove(l.holder)
	if remove {
		_ = os.Remove(l.file.Path()) // while it is held; see tryLock
	}
	_ = l.file.Unlock()
	if remove && runtime.GOOS == "windows" {
		_ = os.Remove(l.file.Path()) // refused if another process has opened it
	}
}
