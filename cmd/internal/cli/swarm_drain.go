package cli

import (
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

func (a *app) swarmDrainCommand() *cli.Command {
	return &cli.Command{
		Name: "drain", Usage: "have nodes run nothing, and wait until their tasks run elsewhere", ArgsUsage: "[NAME...]",
		Description: "A node after another. A task that has no other place to go, or does not end, is named with what the swarm says of it,\n" +
			"and the command fails; the node stays drained. With --pause nodes keep their tasks and take no new ones.",
		Flags: memberFlags(
			&cli.DurationFlag{Name: "wait", Usage: "`DURATION` to wait for the tasks of each node (default: 2m, or --timeout)"},
			&cli.BoolFlag{Name: "no-wait", Usage: "do not wait for the tasks"},
			&cli.BoolFlag{Name: "pause", Usage: "no new tasks; those that run stay"},
		),
		Action: a.swarmDrain,
	}
}

func (a *app) swarmDrain(c *cli.Context) error {
	req := lifecycle.NodesRequest{Verb: lifecycle.Drain, Wait: c.Duration("wait"), NoWait: c.Bool("no-wait")}
	switch {
	case c.IsSet("wait") && req.Wait < time.Second:
		return usagef("--wait %s: want a second or more, or --no-wait", req.Wait)
	case c.IsSet("wait") && req.NoWait:
		return usagef("--wait does not go with --no-wait")
	case c.Bool("pause") && (c.IsSet("wait") || req.NoWait):
		return usagef("--pause waits for nothing")
	case c.Bool("pause"):
		req.Verb = lifecycle.Pause
	}
	return a.swarmNodes(c, c.Args().Slice(), req)
}
