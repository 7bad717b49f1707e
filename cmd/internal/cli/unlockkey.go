package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/cmd/internal/ui"
)

// keySinkFlags say where an unlock key goes.
func keySinkFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "key-file", Usage: "new `FILE` to write the unlock key to, for its owner alone"},
		&cli.StringFlag{Name: "key-command", Usage: "shell `COMMAND` that gets the unlock key on its standard input"},
	}
}

// keySink is where an unlock key goes: a new file, a command, or else a terminal, once. That it can go there is found out
// before there is a key, as far as that can be.
func (a *app) keySink(c *cli.Context, asJSON bool) (func(context.Context, string, lifecycle.UnlockKey) error, error) {
	file, command := c.String("key-file"), c.String("key-command")
	switch {
	case file != "" && command != "":
		return nil, usagef("--key-file and --key-command do not go together")
	case file != "":
		if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
			if err == nil {
				err = usagef("--key-file %s: there is such a file, and it is not overwritten", file)
			}
			return nil, err
		}
		return func(_ context.Context, _ string, key lifecycle.UnlockKey) error { return writeKey(file, key) }, nil
	case command != "":
		return func(ctx context.Context, _ string, key lifecycle.UnlockKey) error {
			cmd := shellCommand(ctx, command)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(string(key)+"\n"), a.Stderr, a.Stderr
			a.tool.progress.Close()
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("--key-command: %w", err)
			}
			return nil
		}, nil
	case c.Bool("dry-run"):
		return nil, nil
	case asJSON || !ui.NewTerminal(a.Stdout, a.Getenv).Is():
		return nil, usagef("it is not said where the unlock key is to go").hint("--key-file FILE, or --key-command COMMAND; without, a terminal shows it once")
	}
	return func(_ context.Context, swarm string, key lifecycle.UnlockKey) error {
		a.tool.progress.Close()
		_, err := fmt.Fprintf(a.Stdout, "The unlock key of swarm %s, which is kept nowhere else:\n\n    %s\n\n", swarm, string(key))
		return err
	}, nil
}

// writeKey makes a file that its owner alone may read, and leaves none that is half written.
func writeKey(file string, key lifecycle.UnlockKey) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(string(key) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(file))
	}
	return nil
}

// keySource is where an unlock key comes from: a file, a command, or else a person or a line of standard input.
func (a *app) keySource(c *cli.Context) (func(context.Context, string) (lifecycle.UnlockKey, error), error) {
	file, command := c.String("key-file"), c.String("key-command")
	if file != "" && command != "" {
		return nil, usagef("--key-file and --key-command do not go together")
	}
	return func(ctx context.Context, swarm string) (lifecycle.UnlockKey, error) {
		var text string
		var err error
		switch {
		case file != "":
			text, err = readKey(file)
		case command != "":
			text, err = a.commandKey(ctx, command)
		default:
			text, err = ui.Secret(ctx, a.Stdin, a.Stderr, "Unlock key of swarm "+swarm+": ")
			if errors.Is(err, io.EOF) {
				err = nil
			}
		}
		if err != nil {
			return "", err
		}
		if text = strings.TrimSpace(text); text == "" {
			return "", usagef("no unlock key was given").hint("type it when asked, have it as a line of standard input, or give --key-file FILE or --key-command COMMAND")
		}
		return lifecycle.UnlockKey(text), nil
	}, nil
}

// longestKey is more than any unlock key has: another file, given by mistake, is not read to its end.
const longestKey = 4096

func readKey(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, longestKey))
	return string(data), err
}

func (a *app) commandKey(ctx context.Context, command string) (string, error) {
	var out bytes.Buffer
	cmd := shellCommand(ctx, command)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.Stdin, &out, a.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("--key-command: %w", err)
	}
	return out.String(), nil
}

// shellCommand is a line for this computer's shell.
func shellCommand(ctx context.Context, line string) *exec.Cmd {
	if runtime.GOOS == "windows" {
		return exec.CommandContext(ctx, "cmd", "/C", line)
	}
	return exec.CommandContext(ctx, "sh", "-c", line)
}
