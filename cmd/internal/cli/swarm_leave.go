package cli

import (
	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

func (a *app) swarmLeaveCommand() *cli.Command {
	return &cli.Command{
		Name: "leave", Usage: "take machines out of their swarm", ArgsUsage: "NAME...",
		Description: "Drains and demotes the nodes first. What would cost the swarm its quorum is refused.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "despite the quorum, and although the node does not answer"},
			dryRunFlag(), outputFlag(),
		},
		Action: a.swarmLeave,
	}
}

func (a *app) swarmLeave(c *cli.Context) error {
	return a.swarmChange(c, lifecycle.SwarmOptions{}, func(t *tool) swarmCall { return t.SwarmLeave })
}
