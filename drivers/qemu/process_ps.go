//go:build unix && !linux

package qemu

import (
	"context"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// commandLine returns a process's, as ps tells it; nil: there is none. An argument
// with spaces comes in pieces, which the UUID has none of.
func commandLine(pid int) []string {
	out, err := exec.Command("ps", "-ww", "-o", "stat=,command=", "-p", strconv.Itoa(pid)).Output() //nolint:noctx // returns at once
	if err != nil {
		return nil
	}
	return living(strings.Fields(string(out)))
}

// living returns the command line after a state, unless it is that of a dead process.
func living(fields []string) []string {
	if len(fields) < 2 || strings.HasPrefix(fields[0], "Z") {
		return nil
	}
	return fields[1:]
}

// hasEnded tells whether a process is no more.
func hasEnded(pid int) bool { return commandLine(pid) == nil }

func commandLines(ctx context.Context) (map[int][]string, error) {
	out, err := exec.CommandContext(ctx, "ps", "-axww", "-o", "pid=,stat=,command=").Output()
	if err != nil {
		return nil, err
	}
	all := map[int][]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		if pid, err := strconv.Atoi(fields[0]); err == nil {
			all[pid] = living(fields[1:])
		}
	}
	return all, nil
}

func sysctl(name string) string {
	out, err := exec.Command("sysctl", "-n", name).Output() //nolint:noctx // returns at once
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// bootID is when this computer started, as it says itself: "{ sec = 1, usec = 2 } ...".
func bootID() string {
	fields := strings.FieldsFunc(sysctl("kern.boottime"), func(r rune) bool { return r < '0' || r > '9' })
	if len(fields) == 0 {
		return ""
	}
	sec, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return ""
	}
	return time.Unix(sec, 0).UTC().Format(time.RFC3339)
}

// hostMemory is in MiB; 0: unknown.
func hostMemory() int {
	n, err := strconv.ParseUint(sysctl("hw.memsize"), 10, 64)
	if err != nil {
		return 0
	}
	return int(n >> 20)
}
