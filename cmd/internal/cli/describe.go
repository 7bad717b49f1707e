package cli

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/cluster"
)

func (a *app) describeCommand() *cli.Command {
	return &cli.Command{
		Name: "describe", Usage: "print the cluster file of machines that exist", ArgsUsage: "[SWARM|NAME...]",
		Description: "Prints what " + a.name + " up would make the machines from: groups, drivers and their options, engines, the swarm,\n" +
			"roles and labels as they are now. " + a.name + " up --check says of it that nothing differs. Secrets, user data and\n" +
			"the compose files of stacks are not kept and so not printed.",
		Flags: []cli.Flag{outputFlag()},
		Action: func(c *cli.Context) error {
			asJSON, err := jsonOutput(c)
			if err != nil {
				return err
			}
			return a.describe(c.Context, a.manager(c), c.Args().Slice(), asJSON)
		},
	}
}

func (a *app) describe(ctx context.Context, t *tool, names []string, asJSON bool) error {
	spec, remarks, err := t.Describe(ctx, names)
	if err != nil {
		return err
	}
	if asJSON {
		v, err := cluster.Value(spec)
		if err != nil {
			return err
		}
		return a.printJSON(v)
	}
	text, err := cluster.Write(spec, remarks...)
	if err != nil {
		return err
	}
	_, err = a.Stdout.Write(text)
	return err
}
