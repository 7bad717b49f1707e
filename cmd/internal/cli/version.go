package cli

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

func (a *app) versionCommand() *cli.Command {
	return &cli.Command{
		Name: "version", Usage: "print the version of this program, or of a machine's engine", ArgsUsage: "[NAME]",
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return a.printVersion()
			}
			t := a.manager(c)
			name, err := machine(c, t)
			if err != nil {
				return err
			}
			v, err := t.EngineVersion(c.Context, name)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.Stdout, v)
			return err
		},
	}
}

func (a *app) printVersion() error {
	_, err := fmt.Fprintf(a.Stdout, "%s version %s, build %s\n", a.name, a.Version, a.Commit)
	return err
}
