package cli

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

func (a *app) swarmCreateCommand() *cli.Command {
	return &cli.Command{
		Name: "create", Usage: "print the discovery URL of a new classic swarm",
		Description: "As docker run swarm create did, with an id of its own at the end. No service stands behind it: machine keeps the\n" +
			"list of members on the masters.\n\n" +
			"   " + a.name + " create --swarm --swarm-master --swarm-discovery $(" + a.name + " swarm create) NAME",
		Flags: []cli.Flag{outputFlag()},
		Action: func(c *cli.Context) error {
			asJSON, err := jsonOutput(c)
			if err != nil {
				return err
			}
			if c.Args().Present() {
				return usagef("expected no argument")
			}
			id, discovery, err := a.manager(c).ClassicCreate()
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(struct {
					ID        string `json:"id"`
					Discovery string `json:"discovery"`
				}{id, discovery})
			}
			_, err = fmt.Fprintln(a.Stdout, discovery)
			return err
		},
	}
}
