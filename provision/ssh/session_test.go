package ssh_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/provision/ssh/sshtest"
)

func TestSession(t *testing.T) {
	t.Parallel()
	c := connect(t, sshtest.New(t, sshtest.Options{}).Target())
	for _, test := range []struct {
		name           string
		session        ssh.Session
		stdout, stderr string
		code           int
	}{
		{name: "command", session: ssh.Session{Command: "echo out; echo err >&2; exit 7"}, stdout: "out\n", stderr: "err\n", code: 7},
		{name: "input and its end", session: ssh.Session{Command: "cat", Stdin: strings.NewReader("abc")}, stdout: "abc"},
		{name: "login shell", session: ssh.Session{Stdin: strings.NewReader("echo $HOME >/dev/null; exit 4\n")}, code: 4},
		{name: "killed", session: ssh.Session{Command: "kill -KILL $$"}, code: 137},
		{name: "ended", session: ssh.Session{Command: "kill -TERM $$"}, code: 143},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var out, errs bytes.Buffer
			test.session.Stdout, test.session.Stderr = &out, &errs
			code, err := c.Session(t.Context(), test.session)
			if err != nil || code != test.code || out.String() != test.stdout || errs.String() != test.stderr {
				t.Errorf("got %d, %v, %q, %q", code, err, out.String(), errs.String())
			}
		})
	}
}

// A person's terminal gives no end of file when the remote shell ends.
func TestSessionEndsWhileInputIsOpen(t *testing.T) {
	t.Parallel()
	c := connect(t, sshtest.New(t, sshtest.Options{}).Target())
	in, feed := io.Pipe()
	defer feed.Close()
	began := time.Now()
	code, err := c.Session(within(t, 20*time.Second), ssh.Session{Command: "exit 5", Stdin: in})
	if code != 5 || err != nil {
		t.Errorf("got %d, %v", code, err)
	}
	if took := time.Since(began); took > soon {
		t.Errorf("took %s", took)
	}
}

func TestSessionSignals(t *testing.T) {
	t.Parallel()
	server := sshtest.New(t, sshtest.Options{})
	c := connect(t, server.Target())
	signals := make(chan os.Signal, 1)
	var out lockedBuffer
	type result struct {
		code int
		err  error
	}
	done := make(chan result, 1)
	go func() {
		code, err := c.Session(t.Context(), ssh.Session{
			Command: "trap 'echo caught; exit 6' INT; echo up; while :; do sleep 0.05; done", Stdout: &out, Signals: signals,
		})
		done <- result{code, err}
	}()
	eventually(t, "the command runs", func() bool { return out.String() == "up\n" })
	signals <- os.Interrupt
	if got := <-done; got.code != 6 || got.err != nil || out.String() != "up\ncaught\n" {
		t.Errorf("got %+v, %q", got, out.String())
	}
	if got := server.Signals(); len(got) != 1 || got[0] != "INT" {
		t.Errorf("got signals %q", got)
	}
}

func TestSessionErrors(t *testing.T) {
	t.Parallel()
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		c := connect(t, sshtest.New(t, sshtest.Options{}).Target())
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("interrupted")
		timer := time.AfterFunc(100*time.Millisecond, func() { cancel(why) })
		defer timer.Stop()
		if _, err := c.Session(ctx, ssh.Session{Command: "sleep 60"}); !errors.Is(err, why) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("lost", func(t *testing.T) {
		t.Parallel()
		server := sshtest.New(t, sshtest.Options{})
		c := connect(t, server.Target())
		timer := time.AfterFunc(100*time.Millisecond, server.DropAll)
		defer timer.Stop()
		if _, err := c.Session(t.Context(), ssh.Session{Command: "sleep 60"}); !errors.Is(err, ssh.ErrLost) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a terminal that is none", func(t *testing.T) {
		t.Parallel()
		server := sshtest.New(t, sshtest.Options{})
		c := connect(t, server.Target())
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		code, err := c.Session(t.Context(), ssh.Session{Command: "exit 3", TTY: true, Term: f})
		if code != 3 || err != nil {
			t.Errorf("got %d, %v", code, err)
		}
		if got := server.Sizes(); len(got) != 1 || got[0] != (sshtest.Size{Width: 80, Height: 24}) {
			t.Errorf("got sizes %v", got)
		}
	})
}
