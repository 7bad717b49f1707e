//go:build !windows

package ssh

import (
	"io"
	"os"
	"syscall"

	gossh "golang.org/x/crypto/ssh"
)

func isResize(sig os.Signal) bool { return sig == syscall.SIGWINCH }

// signalName is the protocol's name of a signal.
func signalName(sig os.Signal) (gossh.Signal, bool) {
	switch sig {
	case syscall.SIGABRT:
		return gossh.SIGABRT, true
	case syscall.SIGALRM:
		return gossh.SIGALRM, true
	case syscall.SIGHUP:
		return gossh.SIGHUP, true
	case syscall.SIGINT:
		return gossh.SIGINT, true
	case syscall.SIGQUIT:
		return gossh.SIGQUIT, true
	case syscall.SIGTERM:
		return gossh.SIGTERM, true
	case syscall.SIGUSR1:
		return gossh.SIGUSR1, true
	case syscall.SIGUSR2:
		return gossh.SIGUSR2, true
	}
	return "", false
}

// rawOutput prepares the output for what the remote terminal draws.
func rawOutput(io.Writer) (restore func()) { return func() {} }
