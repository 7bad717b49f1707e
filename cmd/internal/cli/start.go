package cli

import (
	"context"

	"github.com/urfave/cli/v2"
)

func (a *app) startCommand() *cli.Command {
	return &cli.Command{
		Name: "start", Usage: "start machines", ArgsUsage: "[NAME...]",
		Description: "Starts stopped machines and waits until their engines answer. A server certificate is issued\n" +
			"again where the machine's address has changed.",
		Action: a.powerAction(func(t *tool) func(context.Context, []string) error { return t.Start },
			`Machine "%s" was started.`, a.movedHint()),
	}
}
