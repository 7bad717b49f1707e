package cli

import (
	"fmt"
	"path/filepath"

	"github.com/urfave/cli/v2"
)

func (a *app) configCommand() *cli.Command {
	return &cli.Command{
		Name: "config", Usage: "print the docker client's options for a machine", ArgsUsage: "[NAME]",
		Description: "Prints options that a shell's eval gives to docker, after the engine has answered over TLS:\n\n" +
			"   eval docker $(" + a.name + " config NAME) info",
		Flags: []cli.Flag{swarmEndpointFlag()},
		Action: func(c *cli.Context) error {
			t := a.manager(c)
			name, err := machine(c, t)
			if err != nil {
				return err
			}
			ep, err := t.Endpoint(c.Context, name, c.Bool("swarm"))
			if err != nil {
				return a.connecting("Error running connection boilerplate", name, err)
			}
			if ep.TLS {
				_, err = fmt.Fprintf(a.Stdout, "--tlsverify\n--tlscacert=%q\n--tlscert=%q\n--tlskey=%q\n",
					filepath.Join(ep.CertPath, "ca.pem"), filepath.Join(ep.CertPath, "cert.pem"), filepath.Join(ep.CertPath, "key.pem"))
				if err != nil {
					return err
				}
			}
			_, err = fmt.Fprintf(a.Stdout, "-H=%s\n", ep.URL)
			return err
		},
	}
}

func swarmEndpointFlag() cli.Flag {
	return &cli.BoolFlag{Name: "swarm", Usage: "a manager that answers; NAME is a machine or a swarm"}
}
