package cli

import (
	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

func (a *app) swarmDemoteCommand() *cli.Command {
	return &cli.Command{
		Name: "demote", Usage: "make managers workers", ArgsUsage: "[NAME...]",
		Description: "All are judged together before the first is demoted: what would cost the swarm its quorum is refused. Managers that do\n" +
			"not answer go first, the leader last, after another manager has taken over.",
		Flags: memberFlags(),
		Action: func(c *cli.Context) error {
			return a.swarmNodes(c, c.Args().Slice(), lifecycle.NodesRequest{Verb: lifecycle.Demote})
		},
	}
}
