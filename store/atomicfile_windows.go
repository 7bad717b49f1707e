package store

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// rename replaces a file. Windows refuses that while a reader has the old file
// open, which takes microseconds here; indexers and scanners take longer.
func rename(from, to string) error {
	const patience = 2 * time.Second
	deadline := time.Now().Add(patience)
	for delay := time.Millisecond; ; delay *= 2 {
		err := os.Rename(from, to)
		if !errors.Is(err, windows.ERROR_ACCESS_DENIED) && !errors.Is(err, windows.ERROR_SHARING_VIOLATION) {
			return err
		}
		if time.Now().Add(delay).After(deadline) {
			return err
		}
		<-time.After(delay)
	}
}

// syncDir does nothing: Windows has no fsync of a folder, NTFS journals renames.
func syncDir(string) error { return nil }
