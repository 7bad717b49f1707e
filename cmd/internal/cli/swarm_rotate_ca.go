package cli

import (
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

func (a *app) swarmRotateCACommand() *cli.Command {
	return &cli.Command{
		Name: "rotate-ca", Usage: "replace the authority that signs the certificates of a swarm's nodes", ArgsUsage: "[SWARM|NAME]",
		Description: "The managers make a new authority, or take over the one given, and have each node fetch a certificate of it. The\n" +
			"command waits until every node has one and trusts the new authority alone. A node that is down holds that up: bring\n" +
			"it back or take it out of the swarm. Services go on meanwhile. The join tokens change with it.\n\n" +
			"A command that was ended before is gone on with by the same command; nothing is rotated twice.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "ca-cert", Usage: "`FILE` with the certificate of the authority to take over, PEM (default: a new one)"},
			&cli.StringFlag{Name: "ca-key", Usage: "`FILE` with its private key, PEM"},
			certExpiryFlag("cert-expiry", "`DURATION` that certificates of nodes are good for from now on, such as 2160h, 1h at least (default: as it is)"),
			dryRunFlag(), outputFlag(),
		},
		Action: a.swarmRotateCA,
	}
}

func (a *app) swarmRotateCA(c *cli.Context) error {
	asJSON, swarm, err := swarmArgument(c)
	if err != nil {
		return err
	}
	req := lifecycle.RotateCARequest{Swarm: swarm, Expiry: c.Duration("cert-expiry"), DryRun: c.Bool("dry-run")}
	if err := checkCertExpiry(c, "cert-expiry"); err != nil {
		return err
	}
	certFile, keyFile := c.String("ca-cert"), c.String("ca-key")
	if (certFile == "") != (keyFile == "") {
		return usagef("--ca-cert and --ca-key belong together")
	}
	if certFile != "" {
		cert, err := os.ReadFile(certFile)
		if err != nil {
			return err
		}
		key, err := os.ReadFile(keyFile)
		if err != nil {
			return err
		}
		req.Cert, req.Key = string(cert), lifecycle.SigningKey(key)
	}
	out, plans, err := a.worker(c).SwarmRotateCA(c.Context, req)
	return a.changed(c, err, plans, asJSON, out)
}

func certExpiryFlag(name, usage string) cli.Flag {
	return &cli.DurationFlag{Name: name, Category: swarmCategory, Usage: usage}
}

// checkCertExpiry refuses what engines would refuse.
func checkCertExpiry(c *cli.Context, name string) error {
	if d := c.Duration(name); c.IsSet(name) && d < time.Hour {
		return usagef("--%s %s: engines want an hour at least", name, d)
	}
	return nil
}
