//go:build !windows

package store

import (
	"errors"
	"os"
	"syscall"
)

func openFile(path string) (*os.File, error) { return os.Open(path) }

func rename(from, to string) error { return os.Rename(from, to) }

// syncDir makes renames and removals in a folder durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	err = dir.Sync()
	// Some network and FUSE file systems know no fsync of a folder; there is
	// nothing more to do on them.
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil
	}
	return err
}
