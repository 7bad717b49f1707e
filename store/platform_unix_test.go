//go:build !windows

package store

import (
	"os"
	"syscall"
)

// identity changes when a file is replaced by another of the same content.
func identity(info os.FileInfo) any {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return nil
}

func errFull() error { return &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC} }
