package cli

import (
	"io"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/swarmview"
	"github.com/hostsmith/machine/cmd/internal/ui"
)

func (a *app) swarmGraphCommand() *cli.Command {
	return &cli.Command{
		Name: "graph", Usage: "draw a swarm: nodes, roles, services and tasks", ArgsUsage: "[SWARM|NAME]",
		Description: "In the terminal, or with --output svg as one picture for a browser: machine swarm graph --output svg > swarm.svg. " +
			"Exit codes are those of swarm status.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "text", Usage: "`FORM` of the result on stdout: text, svg or json"},
		},
		Action: a.swarmGraph,
	}
}

func (a *app) swarmGraph(c *cli.Context) error {
	name, err := aSwarm(c)
	if err != nil {
		return err
	}
	form := c.String("output")
	switch form {
	case "text", "svg", "json":
	default:
		return usagef("--output %s: want text, svg or json", form)
	}
	view, err := a.manager(c).WatchSwarm(name).Look(c.Context)
	if view.Name == "" || c.Context.Err() != nil {
		return err
	}
	a.tool.progress.Close()
	var perr error
	switch form {
	case "svg":
		_, perr = a.Stdout.Write(swarmview.SVG(view))
	case "json":
		perr = a.printJSON(view)
	default:
		terminal := ui.NewTerminal(a.Stdout, a.Getenv)
		_, perr = io.WriteString(a.Stdout, swarmview.Text(view, swarmview.Style{Color: terminal.Color(), ASCII: terminal.ASCII()}))
	}
	if perr != nil {
		return perr
	}
	return err
}
