//go:build !windows

package sshtest

import (
	"os"
	"syscall"
)

// hold keeps others from listening on a port of 127.0.0.1 while nothing listens there; nil if
// the system does not let us.
func hold(port int) *os.File {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil
	}
	syscall.CloseOnExec(fd)
	// Bound, but not listening: connections are refused.
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		_ = syscall.Close(fd)
		return nil
	}
	return os.NewFile(uintptr(fd), "port")
}
