//go:build !linux

package store

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"testing"
)

func inOwnMounts(*exec.Cmd) bool { return false }

func playFullDisk(context.Context, string) error { return errSkip }

func playReadOnly(context.Context, string) error { return errSkip }

// whereModesApply returns a folder in which modes of files stop the test.
func whereModesApply(t *testing.T) string {
	t.Helper()
	if runtime.GOOS == "windows" || os.Geteuid() == 0 {
		t.Skip("modes do not stop this user")
	}
	return t.TempDir()
}
