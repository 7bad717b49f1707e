package cli

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

func (a *app) provisionCommand() *cli.Command {
	return &cli.Command{
		Name: "provision", Usage: "install and secure the engines of machines again", ArgsUsage: "[NAME...]",
		Description: "Brings the hosts to what their records ask for. Where nothing changed, nothing happens.\n\n" + drainHelp,
		Flags:       []cli.Flag{drainFlag(), dryRunFlag(), outputFlag()},
		Action: func(c *cli.Context) error {
			asJSON, err := jsonOutput(c)
			if err != nil {
				return err
			}
			t := a.worker(c)
			names, err := machines(c, t)
			if err != nil {
				return err
			}
			if !c.Bool("dry-run") {
				return t.Provision(c.Context, lifecycle.ProvisionRequest{Names: names, Drain: c.Bool("drain")})
			}
			plans, err := t.PlanProvision(c.Context, names)
			if err != nil {
				return err
			}
			return a.printPlans(plans, asJSON)
		},
	}
}

// drainHelp is of commands that may restart engines.
const drainHelp = "Members of one swarm go one after another, workers first, each once the one before is ready again. A\n" +
	"restart of the engine ends the tasks of its node, and the swarm starts others for them. --drain has the\n" +
	"swarm do so before, in good order; the tasks stay where they are when the node is active again."

func drainFlag() cli.Flag {
	return &cli.BoolFlag{Name: "drain", Usage: "drain members of swarms before their engines restart, and activate them again after"}
}

func dryRunFlag() cli.Flag {
	return &cli.BoolFlag{Name: "dry-run", Usage: "print what would be done and do nothing; the scripts too with --output json"}
}

// printPlans prints what a command without --dry-run would do.
func (a *app) printPlans(plans []lifecycle.Planned, asJSON bool) error {
	a.tool.progress.Close()
	if asJSON {
		return a.printJSON(plans)
	}
	var b strings.Builder
	for _, p := range plans {
		if p.Machine != "" {
			fmt.Fprintf(&b, "%s:\n", p.Machine)
		}
		for i, s := range p.Steps {
			fmt.Fprintf(&b, "  %d. %s\n", i+1, s)
		}
		if len(p.Steps) == 0 {
			b.WriteString("  nothing to do\n")
		}
		for _, w := range p.Warnings {
			fmt.Fprintf(&b, "  warning: %s\n", w)
		}
	}
	_, err := fmt.Fprint(a.Stdout, b.String())
	return err
}
