package cli

import (
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

func (a *app) swarmLsCommand() *cli.Command {
	return &cli.Command{
		Name: "ls", Usage: "list the swarms of this store",
		Flags: []cli.Flag{outputFlag()}, Action: a.swarmLs,
	}
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
	rows := [][]string{{"NAME", "KIND", "ID", "MANAGERS", "WORKERS"}}
	for _, s := range swarms {
		rows = append(rows, []string{s.Name, s.Kind, s.ID, strings.Join(s.Managers, ","), strings.Join(s.Workers, ",")})
	}
	return a.printTable(rows)
}
