package cli

import (
	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/cluster"
	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

func (a *app) downCommand() *cli.Command {
	return &cli.Command{
		Name: "down", Usage: "remove all machines of a cluster file's project", ArgsUsage: " ",
		Description: "Removes the project's stacks, its workers and its managers: what up recorded as the project's, whatever the\n" +
			"file says now. Where all members of a swarm go, its quorum is no obstacle. With -p no file is read.",
		Flags:  append(fileFlags(), yesFlag(), dryRunFlag(), parallelFlag(), outputFlag()),
		Action: a.down,
	}
}

func (a *app) down(c *cli.Context) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	if c.Args().Present() {
		return usagef("down takes no names: it removes all of a project").hint("to remove some: %s rm NAME", a.name)
	}
	if c.String("file") == "-" && !c.Bool("y") && !c.Bool("dry-run") {
		return usagef("with the file on standard input nobody can be asked").hint("give -y, or --dry-run first")
	}
	project := c.String("project")
	if project == "" || c.String("file") != "" {
		spec, err := a.clusterFile(c)
		if err != nil {
			return err
		}
		project = spec.Name
	}
	t := a.worker(c)
	req := lifecycle.DownRequest{Project: project}
	if c.Bool("dry-run") {
		steps, err := t.Down(c.Context, req)
		if err != nil {
			return err
		}
		return a.printSteps(steps, asJSON)
	}
	req.Agree = func(steps cluster.Steps) (bool, error) {
		return a.agree(c, steps, "Remove all this? (y/n): ", asJSON)
	}
	_, err = t.Down(c.Context, req)
	return err
}
