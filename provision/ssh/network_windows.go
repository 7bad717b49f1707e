package ssh

import (
	"syscall"

	"golang.org/x/sys/windows"
)

func isRefused(e syscall.Errno) bool { return e == windows.WSAECONNREFUSED }
