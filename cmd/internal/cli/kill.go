package cli

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

func (a *app) killCommand() *cli.Command {
	return &cli.Command{
		Name: "kill", Usage: "stop machines at once, like pulling the plug", ArgsUsage: "[NAME...]",
		Action: a.powerAction(a.killer,
			`Machine "%s" was killed.`, ""),
	}
}

// killer kills machines. One that is stopped already is as it should be; docker-machine called that an error.
func (a *app) killer(t *tool) func(context.Context, []string) error {
	return func(ctx context.Context, names []string) error {
		var errs []error
		for _, err := range flatten(t.Kill(ctx, names)) {
			if a.legacy || !errors.Is(err, lifecycle.ErrAlready) {
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	}
}
