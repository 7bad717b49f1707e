//go:build unix

package qemu

import (
	"context"
	"os"
	"syscall"
	"time"
)

// detached has a process in a session of its own, which no terminal ends.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

func (system) is(pid int, uuid string, _ time.Time) bool { return hasUUID(commandLine(pid), uuid) }

func (system) all(ctx context.Context, uuid string) ([]int, error) {
	lines, err := commandLines(ctx)
	if err != nil {
		return nil, err
	}
	var pids []int
	for pid, args := range lines {
		if pid != os.Getpid() && hasUUID(args, uuid) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

func (system) gone(pid int, uuid string) bool {
	if hasEnded(pid) {
		return true
	}
	args := commandLine(pid)
	return len(args) > 0 && !hasUUID(args, uuid) // the number is another's now
}

// hasUUID tells whether a command line is that of a machine's QEMU.
func hasUUID(args []string, uuid string) bool {
	for i, arg := range args {
		if arg == "-uuid" && i+1 < len(args) {
			return args[i+1] == uuid
		}
	}
	return false
}
