package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/cmd/internal/ui"
	"github.com/hostsmith/machine/provision/ssh"
)

func (a *app) sshCommand() *cli.Command {
	return &cli.Command{
		Name: "ssh", Usage: "log in on a machine, or run a command there", ArgsUsage: "[NAME] [ARG...]",
		Description: "What follows the name is passed on to OpenSSH's ssh: a command, and before it ssh's own options\n" +
			"such as -L 8080:localhost:80 or -N. With --native-ssh, or where there is no ssh on PATH, of the\n" +
			"options only -t and -T are understood. The exit status is the remote command's; 255 if there was no connection.",
		Action: a.ssh,
	}
}

func (a *app) ssh(c *cli.Context) error {
	t := a.manager(c)
	words := c.Args().Slice()
	var name string
	if len(words) > 0 && a.inv.rest != 0 {
		name, words = words[0], words[1:]
	} else {
		names, err := theDefault(c, t)
		if err != nil {
			return err
		}
		name = names[0]
	}
	ctx := lifecycle.OnMachine(c.Context, name)
	login, err := t.Login(ctx, name)
	if errors.Is(err, lifecycle.ErrNotRunning) {
		return &textError{fmt.Sprintf("Error: Cannot run SSH command: Host %q is not running", name), err}
	}
	if err != nil {
		return err
	}
	t.progress.Close()
	if path, err := exec.LookPath("ssh"); err == nil && !a.globals.nativeSSH {
		args := append(ssh.Args(login.Target), destination(login.Target))
		return a.spawn(ctx, path, append(args, words...))
	}
	return a.nativeSSH(ctx, t, name, words)
}

// destination is where OpenSSH's programs connect to.
func destination(t ssh.Target) string {
	if t.User == "" {
		return t.Host
	}
	return t.User + "@" + t.Host
}

// nativeSSH runs a session over the connection that this program speaks itself.
func (a *app) nativeSSH(ctx context.Context, t *tool, name string, words []string) error {
	command, tty, err := nativeCommand(words)
	if err != nil {
		return err
	}
	stdin := ui.NewTerminal(a.Stdin, a.Getenv)
	client, err := t.Dial(ctx, name)
	if err != nil {
		return err
	}
	defer client.Close() //nolint:errcheck // the session has ended
	s := ssh.Session{Command: command, Stdin: a.Stdin, Stdout: a.Stdout, Stderr: a.Stderr}
	switch tty {
	case ttyForced:
		s.TTY = true
	case ttyAuto:
		s.TTY = stdin.Is() && command == ""
	}
	if s.TTY {
		s.Term = stdin.File()
	}
	code, err := client.Session(ctx, s)
	if err != nil {
		return err
	}
	return exited(code)
}

type ttyWish int

const (
	ttyAuto ttyWish = iota
	ttyForced
	ttyNever
)

// nativeCommand reads the words after the machine's name as ssh would: options, then a command
// that is joined by blanks for the remote shell.
func nativeCommand(words []string) (command string, tty ttyWish, err error) {
	for len(words) > 0 && isOption(words[0]) {
		word := words[0]
		words = words[1:]
		switch word {
		case "--":
			return strings.Join(words, " "), tty, nil
		case "-t", "-tt":
			tty = ttyForced
		case "-T":
			tty = ttyNever
		default:
			return "", tty, usagef("ssh option %s needs OpenSSH's ssh", word).
				hint("install the OpenSSH client and leave --native-ssh out")
		}
	}
	return strings.Join(words, " "), tty, nil
}

// exited is the error of a command that ended with code; nil for 0.
func exited(code int) error {
	if code == 0 {
		return nil
	}
	return &remoteExit{code}
}

// spawn runs a program of this computer with our streams and returns its exit code as an error.
func (a *app) spawn(ctx context.Context, path string, args []string) error {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = a.Stdin, a.Stdout, a.Stderr, a.Environ
	// A terminal sends its signals to the program too; this is for signals sent to us alone.
	cmd.Cancel = func() error {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			return cmd.Process.Kill()
		}
		return nil
	}
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exited(exitCodeOf(exit))
	}
	return err
}

// exitCodeOf is 128+n for a program that ended by signal n.
func exitCodeOf(exit *exec.ExitError) int {
	if st, ok := exit.Sys().(syscall.WaitStatus); ok && st.Signaled() {
		return 128 + int(st.Signal())
	}
	return exit.ExitCode()
}

// needs finds a program of this computer that a feature is made of.
func needs(program, feature string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return "", &toolError{fmt.Errorf("You must have a copy of the %s binary locally to use the %s: %w", program, feature, err), program} //nolint:revive,staticcheck // docker-machine's words
	}
	return path, nil
}

// toolError is a program of this computer that is missing.
type toolError struct {
	error
	program string
}

func (e *toolError) Unwrap() error { return e.error }
func (e *toolError) Hint() string  { return "install " + e.program + " and put it on PATH" }

var _ io.Writer = (*prefixer)(nil)
