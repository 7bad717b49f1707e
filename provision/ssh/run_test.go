package ssh_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/provision/ssh/sshtest"
)

func connect(t *testing.T, target ssh.Target) *ssh.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := ssh.DialReady(ctx, target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestRun(t *testing.T) {
	t.Parallel()
	c := connect(t, sshtest.New(t, sshtest.Options{}).Target())
	for _, test := range []struct {
		name, cmd, stdin string
		stdout           string
		code             int
		stderr           string
	}{
		{name: "output", cmd: "echo hello; echo no >&2", stdout: "hello\n"},
		{name: "input", cmd: "wc -c", stdin: strings.Repeat("x", 1<<20), stdout: "1048576\n"},
		{name: "no input is empty", cmd: "cat; echo end", stdout: "end\n"},
		{name: "input not read", cmd: "exit 0", stdin: strings.Repeat("x", 8<<20)},
		{name: "exit code", cmd: "echo why >&2; exit 3", code: 3, stderr: "why\n"},
		{name: "signal", cmd: "kill -TERM $$", code: 143},
		{name: "quoting", cmd: `printf '%s|' "a b" 'c"d' '$x'`, stdout: `a b|c"d|$x|`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var stdin io.Reader
			if test.stdin != "" {
				stdin = strings.NewReader(test.stdin)
			}
			var out bytes.Buffer
			err := c.Run(t.Context(), test.cmd, stdin, &out)
			var exit *ssh.ExitError
			switch {
			case test.code == 0 && err != nil:
				t.Fatal(err)
			case test.code != 0 && !errors.As(err, &exit):
				t.Fatalf("got %v, want an ExitError", err)
			case test.code != 0 && (exit.ExitCode() != test.code || exit.Stderr() != test.stderr || exit.Cmd != test.cmd):
				t.Fatalf("got %+v, want code %d and stderr %q", exit, test.code, test.stderr)
			}
			if out.String() != test.stdout {
				t.Errorf("got %q, want %q", out.String(), test.stdout)
			}
		})
	}
}
