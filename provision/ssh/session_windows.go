package ssh

import (
	"io"
	"os"
	"syscall"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/sys/windows"
)

func isResize(os.Signal) bool { return false }

// signalName is the protocol's name of a signal.
func signalName(sig os.Signal) (gossh.Signal, bool) {
	switch sig {
	case os.Interrupt:
		return gossh.SIGINT, true
	case syscall.SIGTERM:
		return gossh.SIGTERM, true
	case syscall.SIGHUP:
		return gossh.SIGHUP, true
	}
	return "", false
}

// rawOutput lets the console interpret the escape sequences that the remote terminal draws with.
func rawOutput(w io.Writer) (restore func()) {
	f, ok := w.(*os.File)
	if !ok {
		return func() {}
	}
	h := windows.Handle(f.Fd())
	var before uint32
	if err := windows.GetConsoleMode(h, &before); err != nil {
		return func() {} // not a console
	}
	_ = windows.SetConsoleMode(h, before|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING)
	return func() { _ = windows.SetConsoleMode(h, before) }
}
