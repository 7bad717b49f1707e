//go:build !windows

package ssh

import "syscall"

func isRefused(e syscall.Errno) bool { return e == syscall.ECONNREFUSED }
