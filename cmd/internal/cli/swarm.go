package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

// swarmCommand has a file per subcommand, swarm_NAME.go.
func (a *app) swarmCommand() *cli.Command {
	return &cli.Command{
		Name: "swarm", Usage: "make machines into a swarm, and look after it",
		Subcommands: []*cli.Command{
			a.swarmCreateCommand(),
			a.swarmInitCommand(),
			a.swarmJoinCommand(),
			a.swarmLeaveCommand(),
			a.swarmListCommand(),
			a.swarmLsCommand(),
			a.swarmRecoverCommand(),
			a.swarmBackupCommand(),
			a.swarmRestoreCommand(),
			a.swarmStatusCommand(),
			a.swarmInspectCommand(),
			a.swarmGraphCommand(),
			a.swarmUICommand(),
			a.swarmTokenCommand(),
			a.swarmPromoteCommand(),
			a.swarmDemoteCommand(),
			a.swarmDrainCommand(),
			a.swarmActivateCommand(),
			a.swarmLabelCommand(),
			a.swarmRmNodeCommand(),
			a.swarmRotateTokensCommand(),
			a.swarmRotateCACommand(),
			a.swarmCertExpiryCommand(),
			a.swarmAutolockCommand(),
			a.swarmUnlockKeyCommand(),
			a.swarmUnlockCommand(),
			a.swarmExecCommand(),
			a.swarmUpgradeCommand(),
			a.swarmPruneCommand(),
			a.swarmLogsCommand(),
		},
	}
}

// nodeFlags are the options of swarm init and join; those of create are accepted too.
func nodeFlags() []cli.Flag {
	flags := append(swarmNodeFlags(""), classicFlags("")...)
	for _, f := range flags {
		alias := "swarm-" + f.Names()[0]
		switch f := f.(type) {
		case *cli.StringFlag:
			f.Aliases = append(f.Aliases, alias)
		case *cli.StringSliceFlag:
			f.Aliases = append(f.Aliases, alias)
		case *cli.IntFlag:
			f.Aliases = append(f.Aliases, alias)
		case *cli.DurationFlag:
			f.Aliases = append(f.Aliases, alias)
		case *cli.BoolFlag:
			f.Aliases = append(f.Aliases, alias)
		}
	}
	return flags
}

func preflightFlag() cli.Flag {
	return &cli.BoolFlag{Name: "no-preflight", Category: swarmCategory, Usage: "do not probe the network between the hosts first"}
}

// rotateTokensFlag has the join tokens replaced after each round of joins.
func rotateTokensFlag(prefix string) cli.Flag {
	return &cli.BoolFlag{Name: prefix + "rotate-tokens", Category: swarmCategory, Usage: "replace the swarm's join tokens once the machines have joined"}
}

type swarmCall func(context.Context, lifecycle.SwarmRequest) ([]lifecycle.Planned, error)

// swarmChange makes a request of the command line and prints the plan of a dry run.
func (a *app) swarmChange(c *cli.Context, o lifecycle.SwarmOptions, call func(*tool) swarmCall) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	if !c.Args().Present() {
		return usagef("no machine name specified").hint("%s NAME...", c.Command.HelpName)
	}
	plans, err := call(a.worker(c))(c.Context, lifecycle.SwarmRequest{
		Names: c.Args().Slice(), Options: o,
		Force: c.Bool("force"), RotateTokens: c.Bool("rotate-tokens"), NoPreflight: c.Bool("no-preflight"), DryRun: c.Bool("dry-run"),
	})
	if err != nil || !c.Bool("dry-run") {
		return err
	}
	return a.printPlans(plans, asJSON)
}

// printTable prints rows in columns, without blanks at the ends of lines.
func (a *app) printTable(rows [][]string) error {
	_, err := io.WriteString(a.Stdout, table(rows))
	return err
}

// table sets rows in columns, without blanks at the ends of lines.
func table(rows [][]string) string {
	var b, out strings.Builder
	w := tabwriter.NewWriter(&b, 5, 1, 3, ' ', 0)
	for _, r := range rows {
		_, _ = fmt.Fprintln(w, strings.Join(r, "\t")) // a strings.Builder takes everything
	}
	_ = w.Flush()
	for line := range strings.Lines(b.String()) {
		out.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return out.String()
}
