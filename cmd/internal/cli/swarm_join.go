package cli

import (
	"github.com/urfave/cli/v2"
)

func (a *app) swarmJoinCommand() *cli.Command {
	manager := &cli.BoolFlag{Name: "manager", Category: swarmCategory, Usage: "as managers; else as workers"}
	return &cli.Command{
		Name: "join", Usage: "join machines that exist to a swarm", ArgsUsage: "NAME...",
		Flags:  append([]cli.Flag{manager}, append(nodeFlags(), preflightFlag(), rotateTokensFlag(""), dryRunFlag(), outputFlag())...),
		Action: a.swarmJoin,
	}
}

func (a *app) swarmJoin(c *cli.Context) error {
	o, _, err := swarmNodeOptions(c, "")
	if err != nil {
		return err
	}
	if len(o.AddrPool) > 0 || o.SubnetSize > 0 {
		return usagef("address pools are given to swarm init, not to swarm join")
	}
	if o.CertExpiry > 0 {
		return usagef("the life of certificates is given to swarm init, not to swarm join").hint("%s swarm cert-expiry DURATION", a.name)
	}
	o.Master = c.Bool("manager")
	return a.swarmChange(c, o, func(t *tool) swarmCall { return t.SwarmJoin })
}
