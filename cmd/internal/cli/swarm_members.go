package cli

import (
	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

// memberFlags are the options of commands about members of swarms.
func memberFlags(more ...cli.Flag) []cli.Flag {
	filter := &cli.StringSliceFlag{
		Name:  "filter",
		Usage: "`KEY=VALUE` that members must match, as in ls, or role=manager, role=worker, node.label=KEY=VALUE; may be repeated",
	}
	return append(append([]cli.Flag{filter}, more...), dryRunFlag(), outputFlag())
}

// memberNames returns the members that a command is about: those named, or those that match its filters.
func (a *app) memberNames(c *cli.Context, names []string) ([]string, error) {
	filters := c.StringSlice("filter")
	switch {
	case len(names) > 0 && len(filters) > 0:
		return nil, usagef("machine names do not go with --filter")
	case len(names) == 0 && len(filters) == 0:
		return nil, usagef("no machine name specified").hint("%s NAME..., or --filter KEY=VALUE", c.Command.HelpName)
	case len(names) > 0:
		return names, nil
	}
	t := a.worker(c)
	names, err := t.MatchMembers(c.Context, filters)
	if err == nil && len(names) == 0 {
		t.Note(c.Context, "no member of a swarm matches")
	}
	return names, err
}

// swarmNodes changes members, and prints what is, or with --dry-run would be, done.
func (a *app) swarmNodes(c *cli.Context, names []string, req lifecycle.NodesRequest) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	if req.Names, err = a.memberNames(c, names); err != nil {
		return err
	}
	req.DryRun = c.Bool("dry-run")
	plans := []lifecycle.Planned{}
	if len(req.Names) > 0 {
		done, err := a.worker(c).SwarmNodes(c.Context, req)
		if err != nil {
			return err
		}
		plans = append(plans, done...)
	}
	return a.printChanges(c, plans, asJSON)
}

// printChanges prints what a dry run would do, and what was done only to programs.
func (a *app) printChanges(c *cli.Context, plans []lifecycle.Planned, asJSON bool) error {
	if !asJSON && !c.Bool("dry-run") {
		return nil
	}
	if !asJSON && len(plans) == 0 {
		plans = []lifecycle.Planned{{}}
	}
	return a.printPlans(plans, asJSON)
}
