package cli

import (
	"slices"

	"github.com/urfave/cli/v2"
)

func (a *app) swarmExecCommand() *cli.Command {
	return &cli.Command{
		Name: "exec", Usage: "run a command on the nodes of a swarm", ArgsUsage: "ROLE -- CMD [ARG...]",
		Description: "ROLE is manager, worker, leader or all. The swarm is asked who is what; when no manager answers, the records tell, and\n" +
			"that is said. Otherwise as exec: each line of output begins with the machine's name, and the exit status is the\n" +
			"highest of all machines; 255 stands for no connection.",
		Flags:  []cli.Flag{swarmFlag(), parallelFlag(), outputFlag()},
		Action: a.swarmExec,
	}
}

// swarmFlag says which swarm a command is about whose arguments are something else.
func swarmFlag() cli.Flag {
	return &cli.StringFlag{Name: "swarm", Usage: "`NAME` of the swarm, or of a machine in it (default: the only one)"}
}

// swarmRoles are the words for nodes of a swarm.
func swarmRoles() []string { return []string{"manager", "worker", "leader", "all"} }

func (a *app) swarmExec(c *cli.Context) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	args, rest := c.Args().Slice(), a.inv.rest
	switch {
	case rest < 0 || rest == len(args):
		return usagef("no command given").hint("put it after --: %s ROLE -- CMD", c.Command.HelpName)
	case rest != 1:
		return usagef("expected one role").hint("%s ROLE -- CMD, where ROLE is manager, worker, leader or all", c.Command.HelpName)
	case !slices.Contains(swarmRoles(), args[0]):
		return usagef("role %s: want manager, worker, leader or all", args[0])
	}
	t := a.manager(c)
	names, err := t.SwarmMachines(c.Context, c.String("swarm"), args[0])
	if err != nil {
		return err
	}
	return a.execAll(c, t, names, args[1:], asJSON)
}
