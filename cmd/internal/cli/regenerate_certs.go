package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/cmd/internal/ui"
	"github.com/hostsmith/machine/drivers"
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
				if errors.Is(err, io.EOF) {
					return a.unanswered(err)
				}
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

// unanswered is the error of a question that there was nobody to answer; to docker-machine's callers it is EOF alone.
func (a *app) unanswered(eof error) error {
	err := &drivers.HintError{Err: fmt.Errorf("%w: %w", lifecycle.ErrDeclined, eof), Advice: "answer y when asked, or give -f"}
	if a.legacy {
		return &textError{eof.Error(), err}
	}
	return err
}
