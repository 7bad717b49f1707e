package cli

import (
	"fmt"
	"strconv"

	"github.com/urfave/cli/v2"
)

func (a *app) swarmStatusCommand() *cli.Command {
	return &cli.Command{
		Name: "status", Usage: "ask a manager that answers for the state of a swarm", ArgsUsage: "[SWARM|NAME]",
		Flags: []cli.Flag{outputFlag()}, Action: a.swarmStatus,
	}
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
