package plugin

import "syscall"

// apart has a plugin end when this process does, however it ends, and not be interrupted with it: what it does for us
// ends in good order.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
