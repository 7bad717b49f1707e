package qemu

import (
	"context"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// commandLine returns a process's; nil: there is none, or it has ended.
func commandLine(pid int) []string {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil || len(data) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
}

// hasEnded tells whether a process is no more. One that is ending loses its command
// line first. Its files and sockets go with the last of its threads; then it is a
// zombie until its parent looks.
func hasEnded(pid int) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	state, threads := parseStat(string(data))
	return (state == "Z" || state == "X") && threads <= 1
}

// parseStat reads what proc(5) calls /proc/pid/stat. The name, which is in
// parentheses, may have anything in it.
func parseStat(stat string) (state string, threads int) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	const stateField, threadsField = 0, 17
	if len(fields) <= threadsField {
		return "", 0
	}
	threads, _ = strconv.Atoi(fields[threadsField])
	return fields[stateField], threads
}

func commandLines(context.Context) (map[int][]string, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	all := map[int][]string{}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			all[pid] = commandLine(pid)
		}
	}
	return all, nil
}

func bootID() string {
	data, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(data))
}

// hostMemory is in MiB; 0: unknown.
func hostMemory() int {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0
	}
	return int(uint64(info.Totalram) * uint64(info.Unit) >> 20)
}
