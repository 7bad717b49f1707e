package provision

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// shells are what sh is on the distributions; those that are not installed are left out.
func shells(t testing.TB) [][]string {
	t.Helper()
	var found [][]string
	for _, words := range [][]string{{"dash"}, {"busybox", "sh"}, {"bash", "--posix"}, {"mksh"}, {"sh"}} {
		if _, err := exec.LookPath(words[0]); err == nil {
			found = append(found, words)
		}
	}
	if len(found) == 0 {
		t.Skip("no POSIX shell")
	}
	return found
}

// eachShell runs a test with each shell.
func eachShell(t *testing.T, fn func(t *testing.T, r shell)) {
	t.Parallel()
	for _, words := range shells(t) {
		t.Run(words[0], func(t *testing.T) {
			t.Parallel()
			fn(t, shell{words: words})
		})
	}
}

// shell is a Runner that gives scripts to a local shell without root rights.
type shell struct {
	words []string
	cut   int // bytes of the script that arrive; 0: all
	cmds  *[]string
	fakes string // folder of commands that stand for the host's
}

type exitError struct {
	code   int
	stderr string
}

func (e *exitError) Error() string  { return "exit status" }
func (e *exitError) ExitCode() int  { return e.code }
func (e *exitError) Stderr() string { return e.stderr }

func (s shell) Run(ctx context.Context, cmd string, stdin io.Reader, stdout io.Writer) error {
	if s.cmds != nil {
		*s.cmds = append(*s.cmds, cmd)
	}
	script, err := io.ReadAll(stdin)
	if err != nil {
		return err
	}
	if s.cut > 0 {
		script = script[:s.cut]
	}
	c := exec.CommandContext(ctx, s.words[0], s.words[1:]...)
	if s.fakes != "" {
		c.Env = append(os.Environ(), "PATH="+s.fakes+":"+os.Getenv("PATH"))
	}
	var stderr bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr, c.WaitDelay = bytes.NewReader(script), stdout, &stderr, 500*time.Millisecond
	err = c.Run()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return &exitError{exit.ExitCode(), stderr.String()}
	}
	return err
}

// run runs a script made of the package's functions and returns its output and exit code.
func (s shell) run(t *testing.T, script, stdin string) (string, int) {
	t.Helper()
	var out bytes.Buffer
	whole := wholeScript("MARK", engineScript+installScript+aptScript+packagesScript+runScript,
		"set -eu\n"+script+" <<'STDIN'\n"+stdin+"STDIN\n")
	err := s.Run(t.Context(), "", strings.NewReader(whole), &out)
	var exit *exitError
	switch {
	case errors.As(err, &exit):
		return out.String() + exit.stderr, exit.code
	case err != nil:
		t.Fatal(err)
	}
	return out.String(), 0
}

// fake makes commands that stand for the host's, from name to script.
func (s *shell) fake(t *testing.T, commands map[string]string) {
	t.Helper()
	s.fakes = t.TempDir()
	for name, script := range commands {
		if err := os.WriteFile(filepath.Join(s.fakes, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// journal is a StepFunc that remembers.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) step(ctx context.Context, name string, fn func(context.Context) error) error {
	j.add("> " + name)
	err := fn(ctx)
	if err != nil {
		j.add("! " + name)
	} else {
		j.add("< " + name)
	}
	return err
}

func (j *journal) add(s string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, s)
}

func (j *journal) String() string { return strings.Join(j.lines, "\n") }
