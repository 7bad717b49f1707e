package cli

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

func (a *app) sshConfigCommand() *cli.Command {
	return &cli.Command{
		Name: "ssh-config", Usage: "print an ssh configuration for machines", ArgsUsage: "NAME...",
		Description: "Prints a Host block for each machine, by its name and its address, with its key and known host key: for\n" +
			"~/.ssh/config, by which ssh, and docker clients that go through it, log in as " + a.name + " ssh does.\n\n" +
			"   " + a.name + " ssh-config NAME >> ~/.ssh/config",
		Action: func(c *cli.Context) error {
			t := a.manager(c)
			names, err := machines(c, t)
			if err != nil {
				return err
			}
			var b strings.Builder
			for _, name := range names {
				login, err := t.Login(c.Context, name)
				if err != nil {
					return err
				}
				block := hostBlock(login)
				b.WriteString(strings.Replace(block, "Host "+name+"\n", "Host "+name+" "+login.Target.Host+"\n", 1))
			}
			_, err = fmt.Fprint(a.Stdout, b.String())
			return err
		},
	}
}
