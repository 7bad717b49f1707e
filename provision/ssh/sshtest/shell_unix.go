//go:build !windows

package sshtest

import (
	"os/exec"
	"syscall"
)

// ownGroup lets signals reach all that the command started.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

func signals() map[string]syscall.Signal {
	return map[string]syscall.Signal{
		"ABRT": syscall.SIGABRT, "ALRM": syscall.SIGALRM, "HUP": syscall.SIGHUP, "INT": syscall.SIGINT,
		"KILL": syscall.SIGKILL, "PIPE": syscall.SIGPIPE, "QUIT": syscall.SIGQUIT, "TERM": syscall.SIGTERM,
		"USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2,
	}
}

func signalGroup(cmd *exec.Cmd, name string) {
	if sig, ok := signals()[name]; ok {
		_ = syscall.Kill(-cmd.Process.Pid, sig)
	}
}

func deathSignal(e *exec.ExitError) string {
	status, ok := e.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return ""
	}
	for name, sig := range signals() {
		if sig == status.Signal() {
			return name
		}
	}
	return "KILL"
}
