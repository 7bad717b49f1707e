package cli

import (
	"github.com/urfave/cli/v2"
)

func (a *app) swarmTokenCommand() *cli.Command {
	return &cli.Command{
		Name: "token", Usage: "look after join tokens",
		Subcommands: []*cli.Command{{
			Name: "rotate", Usage: "replace the join tokens of a swarm", ArgsUsage: "[SWARM|NAME]",
			Description: "Nodes that are in the swarm stay in it. Tokens are fetched when they are needed and never printed.",
			Flags:       []cli.Flag{&cli.StringFlag{Name: "role", Usage: "`ROLE` whose token to replace: manager or worker (default: both)"}},
			Action:      a.swarmRotate,
		}},
	}
}

func (a *app) swarmRotate(c *cli.Context) error {
	role := c.String("role")
	switch role {
	case "", "manager", "worker":
	default:
		return usagef("--role %s: want manager or worker", role)
	}
	if c.NArg() > 1 {
		return usagef("expected one swarm or machine name as an argument")
	}
	return a.worker(c).SwarmRotateTokens(c.Context, c.Args().First(), role)
}
