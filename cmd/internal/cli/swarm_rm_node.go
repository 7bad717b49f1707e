package cli

import (
	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

func (a *app) swarmRmNodeCommand() *cli.Command {
	return &cli.Command{
		Name: "rm-node", Usage: "take nodes that are gone off a swarm's list", ArgsUsage: "NODE...",
		Description: "NODE is a machine, a node's id or a unique beginning of it, or a hostname. Managers are demoted first; what would cost\n" +
			"the swarm its quorum is refused. A node that is ready leaves in good order by swarm leave; --force removes it all the same.",
		Flags: []cli.Flag{
			swarmFlag(),
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "also nodes that are ready"},
			dryRunFlag(), outputFlag(),
		},
		Action: a.swarmRmNode,
	}
}

func (a *app) swarmRmNode(c *cli.Context) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	if !c.Args().Present() {
		return usagef("no node specified").hint("%s NODE...", c.Command.HelpName)
	}
	plans, err := a.worker(c).SwarmStrike(c.Context, lifecycle.StrikeRequest{
		Swarm: c.String("swarm"), Nodes: c.Args().Slice(), Force: c.Bool("force"), DryRun: c.Bool("dry-run"),
	})
	if err != nil {
		return err
	}
	return a.printChanges(c, plans, asJSON)
}
