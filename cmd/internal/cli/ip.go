package cli

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"golang.org/x/sync/errgroup"
)

func (a *app) ipCommand() *cli.Command {
	return &cli.Command{
		Name: "ip", Usage: "print the addresses of machines", ArgsUsage: "[NAME...]",
		Description: "Prints one address per line, in the order of the names.",
		Action: func(c *cli.Context) error {
			t := a.manager(c)
			names, err := machines(c, t)
			if err != nil {
				return err
			}
			ips := make([]string, len(names))
			errs := make([]error, len(names))
			var g errgroup.Group
			g.SetLimit(64)
			for i, name := range names {
				g.Go(func() error {
					ip, err := t.IP(lifecycle.OnMachine(c.Context, name), name)
					ips[i], errs[i] = ip, a.ipError(name, len(names), err)
					return nil
				})
			}
			_ = g.Wait() // the functions above return nil
			for i, ip := range ips {
				if errs[i] == nil {
					_, err = fmt.Fprintln(a.Stdout, ip)
					errs[i] = err
				}
			}
			return errors.Join(errs...)
		},
	}
}

// ipError says what was asked for, and of which machine if there are several.
func (a *app) ipError(name string, of int, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, lifecycle.ErrNotRunning) {
		err = &textError{"Host is not running", err}
	}
	if !a.legacy || !notLoaded(err) {
		err = fmt.Errorf("Error getting IP address: %w", err) //nolint:revive,staticcheck // docker-machine's words
	}
	if of > 1 {
		err = &lifecycle.MachineError{Machine: name, Err: err}
	}
	return err
}
