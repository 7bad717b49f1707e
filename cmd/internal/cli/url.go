package cli

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

func (a *app) urlCommand() *cli.Command {
	return &cli.Command{
		Name: "url", Usage: "print the URL of a machine's engine", ArgsUsage: "[NAME]",
		Action: func(c *cli.Context) error {
			t := a.manager(c)
			name, err := machine(c, t)
			if err != nil {
				return err
			}
			url, err := t.URL(c.Context, name)
			if errors.Is(err, lifecycle.ErrNotRunning) {
				return &textError{"Host is not running", err}
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.Stdout, url)
			return err
		},
	}
}
