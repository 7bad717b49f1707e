package cli

import (
	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

func (a *app) swarmLeaveCommand() *cli.Command {
	return &cli.Command{
		Name: "leave", Usage: "take machines out of their swarm", ArgsUsage: "[NAME...]",
		Description: "Drains and demotes the nodes first. All are judged together before the first leaves: what would cost the swarm its\n" +
			"quorum is refused.",
		Flags:  memberFlags(&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "despite the quorum, and although the node does not answer"}),
		Action: a.swarmLeave,
	}
}

func (a *app) swarmLeave(c *cli.Context) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	names, err := a.memberNames(c, c.Args().Slice())
	if err != nil {
		return err
	}
	plans := []lifecycle.Planned{}
	if len(names) > 0 {
		done, err := a.worker(c).SwarmLeave(c.Context, lifecycle.SwarmRequest{Names: names, Force: c.Bool("force"), DryRun: c.Bool("dry-run")})
		if err != nil {
			return err
		}
		plans = append(plans, done...)
	}
	return a.printChanges(c, plans, asJSON)
}
