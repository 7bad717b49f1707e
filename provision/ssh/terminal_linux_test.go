package ssh_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/provision/ssh/sshtest"
)

func resize(t *testing.T, master *os.File, width, height uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: width, Row: height}); err != nil {
		t.Fatal(err)
	}
}

func flags(t *testing.T, terminal *os.File) unix.Termios {
	t.Helper()
	got, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *got
}

func TestTerminal(t *testing.T) {
	t.Parallel()
	server := sshtest.New(t, sshtest.Options{})
	c := connect(t, server.Target())
	master, terminal := sshtest.Terminal(t)
	resize(t, master, 101, 37)
	before := flags(t, terminal)
	signals := make(chan os.Signal, 1)
	done := make(chan error, 1)
	go func() {
		code, err := c.Session(t.Context(), ssh.Session{
			Command: "read x; exit 9", TTY: true, Stdin: terminal, Stdout: terminal, Term: terminal, Signals: signals,
		})
		if code != 9 && err == nil {
			err = fmt.Errorf("exit code %d", code)
		}
		done <- err
	}()
	sizes := func(n int) func() bool { return func() bool { return len(server.Sizes()) >= n } }
	eventually(t, "a terminal is asked for", sizes(1))
	if during := flags(t, terminal); during.Lflag&(unix.ECHO|unix.ICANON|unix.ISIG) != 0 {
		t.Errorf("not in raw mode: %x", during.Lflag)
	}
	resize(t, master, 50, 20)
	eventually(t, "a resize without a signal is told", sizes(2))
	resize(t, master, 60, 21)
	signals <- unix.SIGWINCH
	eventually(t, "a resize with a signal is told", sizes(3))
	// Nothing changed, so nothing is told.
	signals <- unix.SIGWINCH
	timer := time.NewTimer(300 * time.Millisecond)
	<-timer.C
	fmt.Fprint(master, "\n")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	want := []sshtest.Size{{Width: 101, Height: 37}, {Width: 50, Height: 20}, {Width: 60, Height: 21}}
	if got := server.Sizes(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got sizes %v, want %v", got, want)
	}
	if got := server.Signals(); len(got) != 0 {
		t.Errorf("got signals %q", got)
	}
	if after := flags(t, terminal); after != before {
		t.Errorf("terminal is left in %+v, was in %+v", after, before)
	}
	if !term.IsTerminal(int(terminal.Fd())) {
		t.Error("terminal was closed")
	}
}
