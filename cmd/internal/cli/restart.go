package cli

import (
	"context"

	"github.com/urfave/cli/v2"
)

func (a *app) restartCommand() *cli.Command {
	return &cli.Command{
		Name: "restart", Usage: "restart machines", ArgsUsage: "[NAME...]",
		Description: "Restarts machines and waits until their engines answer. Members of one swarm are restarted one\nafter another.",
		Action: a.powerAction(func(t *tool) func(context.Context, []string) error { return t.Restart },
			`Machine "%s" was restarted.`, "Restarted machines may have new IP addresses. You may need to re-run the `"+a.name+" env` command."),
	}
}
