package cli

import (
	"context"

	"github.com/urfave/cli/v2"
)

func (a *app) killCommand() *cli.Command {
	return &cli.Command{
		Name: "kill", Usage: "stop machines at once, like pulling the plug", ArgsUsage: "[NAME...]",
		Action: a.powerAction(func(t *tool) func(context.Context, []string) error { return t.Kill },
			`Machine "%s" was killed.`, ""),
	}
}
