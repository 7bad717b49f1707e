package store

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// openFile opens a file that may be replaced at this moment.
func openFile(path string) (file *os.File, err error) {
	err = patiently(200*time.Millisecond, func() error {
		file, err = os.Open(path)
		return err
	})
	return file, err
}

// rename replaces a file. Windows refuses that while a reader has the old file
// open, which takes microseconds here; indexers and scanners take longer.
func rename(from, to string) error {
	return patiently(2*time.Second, func() error { return os.Rename(from, to) })
}

// patiently repeats what Windows refuses because of what another process does with
// the file. It answers with the same code where access is denied for good.
func patiently(patience time.Duration, do func() error) error {
	deadline := time.Now().Add(patience)
	for delay := time.Millisecond; ; delay *= 2 {
		err := do()
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
