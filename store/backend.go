package store

import (
	"context"
	"time"
)

// Backend is where the files of a store are: a folder of this computer, or a place that
// several computers share, of which a folder of this computer is a copy. Paths are
// relative to the folder and have slashes: id, certs/ca.pem, machines/m1/config.json.
type Backend interface {
	// Dir returns the folder, absolute; it need not exist.
	Dir() string

	// Refresh brings what the folder has below path up to date, unless that was done
	// less than age ago. What is below "machines" is all machines. It returns why the
	// folder may be out of date; an *UnreadError if that is so of single files alone, which
	// the folder then lacks.
	Refresh(path string, age time.Duration) error

	// Acquire takes the lock called key. If wait is false and another command holds it,
	// or if ctx ends before the lock is free, the error is a *LockedError. A lock
	// excludes goroutines of one process as it does processes.
	Acquire(ctx context.Context, key, command string, wait bool) (Lock, error)
}

// Sealer is a Backend that encrypts secrets.
type Sealer interface {
	// CanSeal returns why no secret can be written; the error wraps ErrNoRecipients if there
	// is nobody to encrypt for.
	CanSeal() error
}

// Lock is a lock that is held, and the right to write the files that it covers. A write
// is done as a whole or not at all, and is durable when it returns.
type Lock interface {
	// Replace makes data the content of a file, and the folders above it.
	Replace(path string, data []byte) error

	// ReplaceAll makes several files of the folder dir what they are to be, as near to at once
	// as can be had: what can fail is done before the first of them changes. Elsewhere they
	// change in one step. In a folder they take their names one after the other, in this
	// order and at once after each other: a reader of two of them, or a kill, can still come
	// between.
	ReplaceAll(dir string, files ...File) error

	// Remove removes a file; absent is no error.
	Remove(path string) error

	// Found makes the folder dir, which must not exist, with the files in it, in one step
	// for readers.
	Found(dir string, files map[string][]byte) error

	// RemoveAll removes the folder dir, and what is in it: first what is not in last, so
	// that these files are there until the whole goes. Absent is no error.
	RemoveAll(dir string, last ...string) error

	// Sweep removes what killed writers left of a file; of all files of a folder if file
	// is empty.
	Sweep(dir, file string)

	// Release gives the lock back. With gone, nothing is left that the lock protects.
	Release(gone bool)
}

// File is a file of a folder of the store, named within that folder.
type File struct {
	Name string
	Data []byte
}

// recent is how old an answer may be where one that is much used did not change since
// the record was read.
const recent = 2 * time.Second
