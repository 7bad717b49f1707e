package cli

import (
	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

func (a *app) upgradeCommand() *cli.Command {
	return &cli.Command{
		Name: "upgrade", Usage: "bring the engines of machines to another version", ArgsUsage: "[NAME...]",
		Description: "Upgrades to --engine-version, else to the version the machine is pinned to, else to the newest of its\n" +
			"package source. A member of a swarm is drained before and activated again after; members of one swarm\n" +
			"go one after another, workers first, the leader last. The first failure stops, and the same command\n" +
			"continues.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "engine-version", Aliases: []string{"version"}, Usage: "`VERSION` to bring the engines to, exact or a prefix such as 28.5"},
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "allow a downgrade"},
		},
		Action: func(c *cli.Context) error {
			t := a.worker(c)
			names, err := machines(c, t)
			if err != nil {
				return err
			}
			return t.Upgrade(c.Context, lifecycle.UpgradeRequest{
				Names: names, Version: c.String("engine-version"), Force: c.Bool("force"), Start: a.legacy,
			})
		},
	}
}
