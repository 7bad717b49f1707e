package qemu

import (
	"context"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// detached has a process without a console, which none ends.
func detached() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{HideWindow: true, CreationFlags: windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP}
}

// startWithin is how long QEMU takes at most from its start to its record of the pid.
const startWithin = time.Minute

func (system) is(pid int, _ string, written time.Time) bool {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if err != nil {
		return false
	}
	defer func() { _ = windows.CloseHandle(h) }()
	return isQEMU(h, written)
}

// isQEMU tells whether a process is a QEMU that runs and began when the pid was written.
func isQEMU(h windows.Handle, written time.Time) bool {
	var code uint32
	if err := windows.GetExitCodeProcess(h, &code); err != nil || code != uint32(windows.STATUS_PENDING) {
		return false
	}
	name := make([]uint16, windows.MAX_LONG_PATH)
	n := uint32(len(name))
	if err := windows.QueryFullProcessImageName(h, 0, &name[0], &n); err != nil {
		return false
	}
	if !strings.HasPrefix(strings.ToLower(filepath.Base(windows.UTF16ToString(name[:n]))), "qemu") {
		return false
	}
	var begun, end, inKernel, inUser windows.Filetime
	if err := windows.GetProcessTimes(h, &begun, &end, &inKernel, &inUser); err != nil {
		return false
	}
	age := written.Sub(time.Unix(0, begun.Nanoseconds()))
	return age > -time.Second && age < startWithin
}

// all finds none: nobody is told the command lines of others. A file of the machine
// that is in use cannot be deleted, so a process that is missed is not lost.
func (system) all(context.Context, string) ([]int, error) { return nil, nil }

func (system) gone(pid int, _ string) bool {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if err != nil {
		return true
	}
	defer func() { _ = windows.CloseHandle(h) }()
	var code uint32
	return windows.GetExitCodeProcess(h, &code) != nil || code != uint32(windows.STATUS_PENDING)
}

// bootID is when this computer started, to the ten minutes.
func bootID() string {
	return time.Now().Add(-windows.DurationSinceBoot()).Round(10 * time.Minute).UTC().Format(time.RFC3339)
}

// memoryStatus is MEMORYSTATUSEX.
type memoryStatus struct {
	length, load                                                    uint32
	totalPhys, availPhys, totalPage, availPage, totalVirtual, avail uint64
	availExtended                                                   uint64
}

// hostMemory is in MiB; 0: unknown.
func hostMemory() int {
	m := memoryStatus{}
	m.length = uint32(unsafe.Sizeof(m))
	proc := windows.NewLazySystemDLL("kernel32.dll").NewProc("GlobalMemoryStatusEx")
	if ok, _, _ := proc.Call(uintptr(unsafe.Pointer(&m))); ok == 0 {
		return 0
	}
	return int(m.totalPhys >> 20)
}
