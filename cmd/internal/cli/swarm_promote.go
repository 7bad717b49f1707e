package cli

import (
	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

func (a *app) swarmPromoteCommand() *cli.Command {
	return &cli.Command{
		Name: "promote", Usage: "make workers managers", ArgsUsage: "[NAME...]",
		Description: "One after another, each once the managers count it. An even number of managers bears no more losses than one less;\nthat is warned of.",
		Flags:       memberFlags(),
		Action: func(c *cli.Context) error {
			return a.swarmNodes(c, c.Args().Slice(), lifecycle.NodesRequest{Verb: lifecycle.Promote})
		},
	}
}
