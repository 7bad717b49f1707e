package ui

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/hostsmith/machine/provision/ssh/sshtest"
)

// shows tells whether a terminal shows what is typed.
func shows(t *testing.T, fd int) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

func TestSecretOfATerminalIsNotShown(t *testing.T) {
	t.Parallel()
	master, terminal := sshtest.Terminal(t)
	fd := int(terminal.Fd())
	if !term.IsTerminal(fd) || !shows(t, fd) {
		t.Fatal("It is no terminal that shows what is typed")
	}
	seen := bufio.NewReader(master)
	type answer struct {
		secret string
		err    error
	}
	got := make(chan answer, 1)
	go func() {
		secret, err := Secret(t.Context(), terminal, terminal, "Password: ")
		got <- answer{secret, err}
	}()
	if text, err := seen.ReadString(' '); err != nil || text != "Password: " {
		t.Fatalf("Asked %q, %v", text, err)
	}
	for shows(t, fd) {
		time.Sleep(time.Millisecond)
	}
	if _, err := master.WriteString("hunter2\n"); err != nil {
		t.Fatal(err)
	}
	if a := <-got; a.secret != "hunter2" || a.err != nil {
		t.Errorf("Got %+v", a)
	}
	if text, err := seen.ReadString('\n'); err != nil || strings.Contains(text, "hunter2") || !shows(t, fd) {
		t.Errorf("Shown %q, %v", text, err)
	}
}

func TestSecretThatIsNotTyped(t *testing.T) {
	t.Parallel()
	master, terminal := sshtest.Terminal(t)
	fd := int(terminal.Fd())
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := Secret(ctx, terminal, io.Discard, "Password: ")
		done <- err
	}()
	for shows(t, fd) {
		time.Sleep(time.Millisecond)
	}
	signal := errors.New("signal")
	cancel(signal)
	if err := <-done; !errors.Is(err, signal) || !shows(t, fd) {
		t.Errorf("Got %v; it shows what is typed: %v", err, shows(t, fd))
	}
	// Who still reads puts the terminal back in the end, which must not be another by then.
	state, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	state.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, state); err != nil {
		t.Fatal(err)
	}
	if _, err := master.WriteString("\n"); err != nil {
		t.Fatal(err)
	}
	for !shows(t, fd) {
		time.Sleep(time.Millisecond)
	}
}

func TestSecretOfALine(t *testing.T) {
	t.Parallel()
	in := strings.NewReader("one\r\ntwo\n")
	var out bytes.Buffer
	for _, want := range []string{"one", "two"} {
		if got, err := Secret(t.Context(), in, &out, "? "); got != want || err != nil || out.Len() > 0 {
			t.Errorf("Got %q, %v, printed %q", got, err, out.String())
		}
	}
	if _, err := Secret(t.Context(), in, &out, "? "); !errors.Is(err, io.EOF) {
		t.Errorf("Got %v", err)
	}
}
