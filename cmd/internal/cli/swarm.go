package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

func (a *app) swarmCommand() *cli.Command {
	dry := func(flags ...cli.Flag) []cli.Flag { return append(flags, dryRunFlag(), outputFlag()) }
	preflight := &cli.BoolFlag{Name: "no-preflight", Category: swarmCategory, Usage: "do not probe the network between the hosts first"}
	return &cli.Command{
		Name: "swarm", Usage: "make machines into a swarm, and look after it",
		Subcommands: []*cli.Command{
			{
				Name: "init", Usage: "start a swarm on machines that exist", ArgsUsage: "NAME...",
				Description: "The first machine initialises the swarm, the others join it as managers.\n" +
					"Providers' firewalls were opened when the machines were made: for the data path port 4789, or that of the swarm they were made for.",
				Flags:  dry(append(nodeFlags(), preflight)...),
				Action: a.swarmInit,
			},
			{
				Name: "join", Usage: "join machines that exist to a swarm", ArgsUsage: "NAME...",
				Flags: dry(append([]cli.Flag{
					&cli.BoolFlag{Name: "manager", Category: swarmCategory, Usage: "as managers; else as workers"},
				}, append(nodeFlags(), preflight)...)...),
				Action: a.swarmJoin,
			},
			{
				Name: "leave", Usage: "take machines out of their swarm", ArgsUsage: "NAME...",
				Description: "Drains and demotes the nodes first. What would cost the swarm its quorum is refused.",
				Flags:       dry(&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "despite the quorum, and although the node does not answer"}),
				Action:      a.swarmLeave,
			},
			{
				Name: "ls", Usage: "list the swarms of this store",
				Flags: []cli.Flag{outputFlag()}, Action: a.swarmLs,
			},
			{
				Name: "status", Usage: "ask a manager that answers for the state of a swarm", ArgsUsage: "[SWARM|NAME]",
				Flags: []cli.Flag{outputFlag()}, Action: a.swarmStatus,
			},
			{
				Name: "token", Usage: "look after join tokens",
				Subcommands: []*cli.Command{{
					Name: "rotate", Usage: "replace the join tokens of a swarm", ArgsUsage: "[SWARM|NAME]",
					Description: "Nodes that are in the swarm stay in it. Tokens are fetched when they are needed and never printed.",
					Flags:       []cli.Flag{&cli.StringFlag{Name: "role", Usage: "`ROLE` whose token to replace: manager or worker (default: both)"}},
					Action:      a.swarmRotate,
				}},
			},
		},
	}
}

// nodeFlags are the options of swarm init and join; those of create are accepted too.
func nodeFlags() []cli.Flag {
	flags := swarmNodeFlags("")
	for _, f := range flags {
		alias := "swarm-" + f.Names()[0]
		switch f := f.(type) {
		case *cli.StringFlag:
			f.Aliases = append(f.Aliases, alias)
		case *cli.StringSliceFlag:
			f.Aliases = append(f.Aliases, alias)
		case *cli.IntFlag:
			f.Aliases = append(f.Aliases, alias)
		}
	}
	return flags
}

func (a *app) swarmInit(c *cli.Context) error {
	o, _, err := swarmNodeOptions(c, "")
	if err != nil {
		return err
	}
	o.Master = true
	return a.swarmChange(c, o, func(t *tool) swarmCall { return t.SwarmInit })
}

func (a *app) swarmJoin(c *cli.Context) error {
	o, _, err := swarmNodeOptions(c, "")
	if err != nil {
		return err
	}
	if len(o.AddrPool) > 0 || o.SubnetSize > 0 {
		return usagef("address pools are given to swarm init, not to swarm join")
	}
	o.Master = c.Bool("manager")
	return a.swarmChange(c, o, func(t *tool) swarmCall { return t.SwarmJoin })
}

func (a *app) swarmLeave(c *cli.Context) error {
	return a.swarmChange(c, lifecycle.SwarmOptions{}, func(t *tool) swarmCall { return t.SwarmLeave })
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
		Force: c.Bool("force"), NoPreflight: c.Bool("no-preflight"), DryRun: c.Bool("dry-run"),
	})
	if err != nil || !c.Bool("dry-run") {
		return err
	}
	return a.printPlans(plans, asJSON)
}

func (a *app) swarmLs(c *cli.Context) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	swarms, err := a.manager(c).SwarmList()
	if err != nil {
		return err
	}
	if asJSON {
		if swarms == nil {
			swarms = []lifecycle.SwarmInfo{}
		}
		return a.printJSON(swarms)
	}
	rows := [][]string{{"NAME", "ID", "MANAGERS", "WORKERS"}}
	for _, s := range swarms {
		rows = append(rows, []string{s.Name, s.ID, strings.Join(s.Managers, ","), strings.Join(s.Workers, ",")})
	}
	return a.printTable(rows)
}

func (a *app) swarmStatus(c *cli.Context) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	if c.NArg() > 1 {
		return usagef("expected one swarm or machine name as an argument")
	}
	st, err := a.manager(c).SwarmStatus(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	a.tool.progress.Close()
	if asJSON {
		return a.printJSON(st)
	}
	fate := fmt.Sprintf("%d may be lost", st.CanLose)
	if st.CanLose < 0 {
		fate = "the quorum is lost"
	}
	_, err = fmt.Fprintf(a.Stdout, "Swarm %s (%s): %d managers, %d reachable, %d needed; %s\nData path port: %d/udp\n",
		st.Name, st.ID, st.Managers, st.Reachable, st.Needed, fate, st.DataPathPort)
	if err != nil {
		return err
	}
	rows := [][]string{{"MACHINE", "HOSTNAME", "ROLE", "STATE", "AVAILABILITY", "MANAGER", "ADDRESS", "ENGINE", "TASKS", "PROBLEM"}}
	for _, n := range st.Nodes {
		manager := n.Reachability
		if n.Leader {
			manager = "leader"
		}
		name := n.Machine
		if name == "" {
			name = "-"
		}
		rows = append(rows, []string{name, n.Hostname, n.Role, n.State, n.Availability, manager, n.Addr, n.Engine, strconv.Itoa(n.Tasks), n.Problem})
	}
	if err := a.printTable(rows); err != nil {
		return err
	}
	for _, p := range st.Problems {
		if _, err := fmt.Fprintln(a.Stdout, "Problem: "+p); err != nil {
			return err
		}
	}
	return nil
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

// printTable prints rows in columns, without blanks at the ends of lines.
func (a *app) printTable(rows [][]string) error {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 5, 1, 3, ' ', 0)
	for _, r := range rows {
		_, _ = fmt.Fprintln(w, strings.Join(r, "\t")) // a strings.Builder takes everything
	}
	_ = w.Flush()
	for line := range strings.Lines(b.String()) {
		if _, err := fmt.Fprintln(a.Stdout, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}
