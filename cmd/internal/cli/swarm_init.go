package cli

import (
	"github.com/urfave/cli/v2"
)

func (a *app) swarmInitCommand() *cli.Command {
	return &cli.Command{
		Name: "init", Usage: "start a swarm on machines that exist", ArgsUsage: "NAME...",
		Description: "The first machine initialises the swarm, the others join it as managers.\n" +
			"Firewalls that the driver made at the provider are opened for the swarm's ports; others have to admit them already.\n" +
			"With --classic or --discovery each becomes master and agent of a classic standalone swarm.",
		Flags:  append(nodeFlags(), preflightFlag(), rotateTokensFlag(""), dryRunFlag(), outputFlag()),
		Action: a.swarmInit,
	}
}

func (a *app) swarmInit(c *cli.Context) error {
	return a.swarmExisting(c, true, func(t *tool) swarmCall { return t.SwarmInit })
}
