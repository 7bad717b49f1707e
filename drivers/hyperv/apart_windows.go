package hyperv

import "syscall"

// apart keeps Ctrl-C from PowerShell: an operation that was begun goes to its end, and
// this process decides what comes after it.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}
