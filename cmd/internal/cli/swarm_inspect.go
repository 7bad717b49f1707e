package cli

import (
	"text/template"

	"github.com/urfave/cli/v2"
)

func (a *app) swarmInspectCommand() *cli.Command {
	return &cli.Command{
		Name: "inspect", Usage: "print all that is known of a swarm", ArgsUsage: "[SWARM|NAME]",
		Description: "Prints, as JSON or through a Go template, what a manager says of the swarm (Cluster), its nodes (Nodes) and services (Services), " +
			"and our record of it (Record). Join tokens, the unlock key and the key of the authority are left out. Templates have the functions json and prettyjson. " +
			"When no manager answers, the record is printed and the exit code is 1.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: "Go `TEMPLATE` to print instead of JSON"},
		},
		Action: a.swarmInspect,
	}
}

func (a *app) swarmInspect(c *cli.Context) error {
	name, err := aSwarm(c)
	if err != nil {
		return err
	}
	var tmpl *template.Template
	if format := c.String("format"); format != "" {
		if tmpl, err = template.New("").Funcs(jsonFuncs()).Parse(format); err != nil {
			return usagef("template parsing error: %v", err)
		}
	}
	data, err := a.manager(c).SwarmInspect(c.Context, name)
	if data == nil {
		return err
	}
	out, perr := inspection(data, tmpl)
	if perr == nil {
		_, perr = a.Stdout.Write(out)
	}
	if perr != nil {
		return perr
	}
	return err
}
