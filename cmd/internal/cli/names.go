package cli

import (
	"errors"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

// defaultMachine is what a command is about when it is told nothing.
const defaultMachine = "default"

// machines returns the machines that a command is about: those named, or the one called default.
func machines(c *cli.Context, t *tool) ([]string, error) {
	if c.Args().Present() {
		return c.Args().Slice(), nil
	}
	return theDefault(c, t)
}

// theDefault returns the machine called default, alone.
func theDefault(c *cli.Context, t *tool) ([]string, error) {
	names, err := t.Names()
	if err != nil {
		return nil, err
	}
	if !slices.Contains(names, defaultMachine) {
		return nil, usagef("No machine name(s) specified and no %q machine exists", defaultMachine).
			hint("name a machine: %s NAME", c.Command.HelpName)
	}
	return []string{defaultMachine}, nil
}

// machine returns the one machine that a command is about.
func machine(c *cli.Context, t *tool) (string, error) {
	names, err := machines(c, t)
	if err != nil {
		return "", err
	}
	if len(names) > 1 {
		return "", usagef("Expected one machine name as an argument")
	}
	return names[0], nil
}

// failed returns the machines that err is about: all of names if it is about more than some, or kept all of them from being begun.
func failed(err error, names []string) map[string]bool {
	out := map[string]bool{}
	for _, e := range flatten(err) {
		var named *lifecycle.MachineError
		if errors.As(e, &named) && !errors.Is(e, lifecycle.ErrNotBegun) {
			out[named.Machine] = true
			continue
		}
		for _, name := range names {
			out[name] = true
		}
	}
	return out
}

// say prints a line of result for each machine that err is not about.
func (a *app) say(err error, names []string, format string) {
	if a.globals.mode == "quiet" {
		return
	}
	bad := failed(err, names)
	for _, name := range names {
		if !bad[name] {
			a.tool.progress.Close() // results stand below the progress
			_, _ = fmt.Fprintf(a.Stdout, format+"\n", name)
		}
	}
}
