package cli

import (
	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

func (a *app) swarmActivateCommand() *cli.Command {
	return &cli.Command{
		Name: "activate", Usage: "let nodes take tasks again", ArgsUsage: "[NAME...]",
		Description: "Undoes drain, also that of an upgrade which did not end. Tasks that run elsewhere stay there.",
		Flags:       memberFlags(),
		Action: func(c *cli.Context) error {
			return a.swarmNodes(c, c.Args().Slice(), lifecycle.NodesRequest{Verb: lifecycle.Activate})
		},
	}
}
