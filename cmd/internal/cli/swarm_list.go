package cli

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

func (a *app) swarmListCommand() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "list the members of a classic swarm", ArgsUsage: "URL|SWARM|NAME",
		Description: "Prints address and port of each, as docker run swarm list did: of nodes://, of token://HOST/PATH/TOKEN and of the\n" +
			"lists that machine keeps, which are read on a master. Key-value stores are asked by the image of classic Swarm.",
		Flags: []cli.Flag{outputFlag()},
		Action: func(c *cli.Context) error {
			asJSON, err := jsonOutput(c)
			if err != nil {
				return err
			}
			if c.NArg() != 1 {
				return usagef("expected a discovery URL, a swarm or a machine name as an argument")
			}
			members, err := a.manager(c).ClassicMembers(c.Context, c.Args().First())
			if err != nil {
				return err
			}
			a.tool.progress.Close()
			if asJSON {
				if members == nil {
					members = []string{}
				}
				return a.printJSON(members)
			}
			for _, m := range members {
				if _, err := fmt.Fprintln(a.Stdout, m); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
