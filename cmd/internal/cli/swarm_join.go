package cli

import (
	"github.com/urfave/cli/v2"
)

func (a *app) swarmJoinCommand() *cli.Command {
	manager := &cli.BoolFlag{Name: "manager", Category: swarmCategory, Usage: "as managers, or masters of a classic swarm; else as workers"}
	return &cli.Command{
		Name: "join", Usage: "join machines that exist to a swarm", ArgsUsage: "NAME...",
		Flags:  append([]cli.Flag{manager}, append(nodeFlags(), preflightFlag(), rotateTokensFlag(""), dryRunFlag(), outputFlag())...),
		Action: a.swarmJoin,
	}
}

func (a *app) swarmJoin(c *cli.Context) error {
	if len(c.StringSlice("default-addr-pool")) > 0 || c.Int("subnet-size") > 0 {
		return usagef("address pools are given to swarm init, not to swarm join")
	}
	if c.Duration("cert-expiry") > 0 {
		return usagef("the life of certificates is given to swarm init, not to swarm join").hint("%s swarm cert-expiry DURATION", a.name)
	}
	return a.swarmExisting(c, c.Bool("manager"), func(t *tool) swarmCall { return t.SwarmJoin })
}
