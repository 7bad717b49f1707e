package store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"time"
)

// Errors that callers decide on.
var (
	ErrNotExist = errors.New("machine does not exist")
	ErrExist    = errors.New("machine already exists")
	ErrLocked   = errors.New("another command is at work")
	ErrCorrupt  = errors.New("record cannot be read")
	ErrFuture   = errors.New("record was written by a newer version")
	ErrReadOnly = errors.New("store cannot be written")
	ErrFull     = errors.New("no space left for the store")
	ErrName     = errors.New("invalid name")
	ErrNoBackup = errors.New("there is no record of docker-machine to go back to")

	// ErrLocation is the error of a location that no shared store can be at.
	ErrLocation = errors.New("location of a shared store")
	// ErrRecipient is the error of what should be the public key of somebody who can read secrets.
	ErrRecipient = errors.New("not a public key of age or OpenSSH")

	// ErrUnreachable is the error of a shared store that does not answer.
	ErrUnreachable = errors.New("shared store does not answer")
	// ErrRefused is the error of a shared store that does not let the user in.
	ErrRefused = errors.New("shared store refuses the user")
	// ErrLockLost is the error of a write whose lock went to others, or could have: the
	// holder was not heard of for longer than its lease. Nothing was written.
	ErrLockLost = errors.New("lock was lost")
	// ErrSealed is the error of a file that is encrypted for others.
	ErrSealed = errors.New("encrypted for others")
	// ErrNoRecipients is the error of a secret that there is nobody to encrypt for.
	ErrNoRecipients = errors.New("shared store has no recipients")
	// ErrDiffers is the error of a copy to a store that has other things.
	ErrDiffers = errors.New("the stores differ")
	// ErrStays is the error of a copy of what only this computer can use.
	ErrStays = errors.New("machines of this computer")
	// ErrNoCluster is the error of a swarm that is not recorded.
	ErrNoCluster = errors.New("swarm is not recorded")

	// ErrClosed is the error of a transaction that is used after its Close.
	ErrClosed = errors.New("transaction is closed")
)

// HintError is an error that carries advice: the next thing to do, as a
// sentence or a command. The advice is no part of the message.
type HintError struct {
	Err    error
	Advice string
}

func (e *HintError) Error() string { return e.Err.Error() }
func (e *HintError) Unwrap() error { return e.Err }

// Hint returns the advice.
func (e *HintError) Hint() string { return e.Advice }

// UnreadError is the error of files of a shared store that cannot be read here, because they
// are encrypted for others or not what they should be. All else could be read.
type UnreadError struct {
	Files map[string]error // by path: machines/m1/key.pem
}

func (e *UnreadError) first() error { return e.Files[slices.Min(slices.Collect(maps.Keys(e.Files)))] }

// Error is that of the first file, and how many more there are.
func (e *UnreadError) Error() string {
	text := e.first().Error()
	if n := len(e.Files) - 1; n > 0 {
		text += fmt.Sprintf(", and %d more", n)
	}
	return text
}

// Unwrap returns all errors.
func (e *UnreadError) Unwrap() []error { return slices.Collect(maps.Values(e.Files)) }

// Hint is that of the first file.
func (e *UnreadError) Hint() string {
	var h interface{ Hint() string }
	if errors.As(e.first(), &h) {
		return h.Hint()
	}
	return ""
}

// below returns the error of files in a folder; nil if there is none.
func (e *UnreadError) below(dir string) error {
	some := &UnreadError{Files: map[string]error{}}
	for p, err := range e.Files {
		if path.Dir(p) == dir {
			some.Files[p] = err
		}
	}
	if len(some.Files) == 0 {
		return nil
	}
	return some
}

// Holder is the command that holds a lock.
type Holder struct {
	Command string    `json:"command"`
	PID     int       `json:"pid"`
	Host    string    `json:"host"`
	Since   time.Time `json:"since"`
	User    string    `json:"user,omitempty"` // of a shared store
}

// LockedError is ErrLocked with the command that holds the lock. Holder is zero
// if that command has not made itself known yet.
type LockedError struct {
	Holder Holder
	Cause  error // why waiting ended; nil if nobody waited
}

// Error says who holds the lock, and since when in local time.
func (e *LockedError) Error() string {
	text := ErrLocked.Error()
	if h := e.Holder; h.PID != 0 {
		text += ": " + h.Command + " (pid " + strconv.Itoa(h.PID)
		if host, err := os.Hostname(); h.User != "" {
			text += ", " + h.User + "@" + h.Host
		} else if err == nil && h.Host != host {
			text += " on " + h.Host
		}
		text += ") since " + clock(h.Since.Local(), time.Now())
	}
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Unwrap returns ErrLocked and the cause.
func (e *LockedError) Unwrap() []error {
	if e.Cause == nil {
		return []error{ErrLocked}
	}
	return []error{ErrLocked, e.Cause}
}

// Hint returns the advice.
func (e *LockedError) Hint() string {
	if e.Holder.PID == 0 {
		return "wait for the other command to end, then try again"
	}
	if h := e.Holder; h.User != "" {
		return fmt.Sprintf("wait for process %d of %s@%s to end, or ask for it; should that computer be gone, its lock goes by itself within a minute", h.PID, h.User, h.Host)
	}
	return fmt.Sprintf("wait for process %d to end, or end it, then try again", e.Holder.PID)
}

// clock leaves the date away where it says nothing.
func clock(t, now time.Time) string {
	if now.Sub(t).Abs() < 12*time.Hour {
		return t.Format(time.TimeOnly)
	}
	return t.Format(time.DateTime)
}

// writeError sorts what a file system answered to a write.
func writeError(op string, err error) error {
	switch {
	case err == nil:
		return nil
	case isFull(err):
		return &HintError{
			Err:    fmt.Errorf("%s: %w: %w", op, ErrFull, err),
			Advice: "free some space (or quota, or inodes) on the disk of the store, then try again; nothing recorded was lost",
		}
	case isReadOnly(err) || errors.Is(err, fs.ErrPermission):
		return &HintError{
			Err:    fmt.Errorf("%s: %w: %w", op, ErrReadOnly, err),
			Advice: "make the folder of the store writable for your user, or choose another with --storage-path or MACHINE_STORAGE_PATH",
		}
	default:
		return fmt.Errorf("%s: %w", op, err)
	}
}
