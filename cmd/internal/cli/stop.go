package cli

import (
	"context"

	"github.com/urfave/cli/v2"
)

func (a *app) stopCommand() *cli.Command {
	return &cli.Command{
		Name: "stop", Usage: "stop machines in good order", ArgsUsage: "[NAME...]",
		Action: a.powerAction(func(t *tool) func(context.Context, []string) error { return t.Stop },
			`Machine "%s" was stopped.`, ""),
	}
}
