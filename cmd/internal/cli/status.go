package cli

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

func (a *app) statusCommand() *cli.Command {
	return &cli.Command{
		Name: "status", Usage: "print the state of a machine", ArgsUsage: "[NAME]",
		Description: "Prints one word: Running, Paused, Saved, Stopped, Stopping, Starting, Error or Timeout.",
		Action: func(c *cli.Context) error {
			t := a.manager(c)
			name, err := machine(c, t)
			if err != nil {
				return err
			}
			state, err := t.Status(c.Context, name)
			if err != nil && a.legacy && (!notLoaded(err) || errors.Is(err, lifecycle.ErrDriverless)) {
				err = fmt.Errorf("error getting state for host %s: %w", name, err)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.Stdout, state)
			return err
		},
	}
}
