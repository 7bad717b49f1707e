package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

func (a *app) activeCommand() *cli.Command {
	return &cli.Command{
		Name: "active", Usage: "print the machine that DOCKER_HOST points at",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "timeout", Aliases: []string{"t"}, Value: 10, Usage: "`SECONDS` to wait for each machine"},
		},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usagef("Too many arguments given")
			}
			name, err := a.manager(c).Active(c.Context, a.Getenv("DOCKER_HOST"), seconds(c.Int("timeout")))
			var late *lifecycle.DeadlineError
			switch {
			case errors.As(err, &late):
				return &textError{"Error getting active host: timeout", err}
			case errors.Is(err, lifecycle.ErrNoActive):
				return &textError{"No active host found", err}
			case err != nil:
				return fmt.Errorf("Error getting active host: %w", err) //nolint:revive,staticcheck // docker-machine's words
			}
			_, err = fmt.Fprintln(a.Stdout, name)
			return err
		},
	}
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }
