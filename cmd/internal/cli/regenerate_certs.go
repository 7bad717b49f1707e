package cli

import (
	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/cmd/internal/ui"
)

func (a *app) regenerateCertsCommand() *cli.Command {
	return &cli.Command{
		Name: "regenerate-certs", Usage: "renew the TLS certificates of machines", ArgsUsage: "[NAME...]",
		Description: "Issues new server certificates and has the engines use them. --client-certs renews the client\n" +
			"certificate, which all machines share; without a name it does only that. --rotate-ca replaces\n" +
			"the authority of all machines; both are trusted during the change, and each engine restarts twice.\n\n" + drainHelp,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "do not ask"},
			&cli.BoolFlag{Name: "client-certs", Usage: "renew the client certificate too"},
			&cli.BoolFlag{Name: "rotate-ca", Usage: "replace the certificate authority"},
			drainFlag(),
		},
		Action: func(c *cli.Context) error {
			if !c.Bool("force") {
				yes, err := ui.Confirm(c.Context, a.Stdin, a.Stderr, "Regenerate TLS machine certs?  Warning: this is irreversible. (y/n): ")
				if err != nil || !yes {
					return err
				}
			}
			t := a.worker(c)
			names := c.Args().Slice()
			if !c.Bool("rotate-ca") && (!c.Bool("client-certs") || len(names) > 0) {
				var err error
				if names, err = machines(c, t); err != nil {
					return err
				}
			}
			return t.RegenerateCerts(c.Context, lifecycle.CertsRequest{
				Names: names, ClientCerts: c.Bool("client-certs"), RotateCA: c.Bool("rotate-ca"), Drain: c.Bool("drain"),
			})
		},
	}
}
