package cli

import (
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

func (a *app) swarmCertExpiryCommand() *cli.Command {
	return &cli.Command{
		Name: "cert-expiry", Usage: "set how long certificates of a swarm's nodes are good for", ArgsUsage: "DURATION [SWARM|NAME]",
		Description: "DURATION is such as 2160h, the 90 days that a swarm has by itself, and 1h at least. Nodes renew their certificates by\n" +
			"themselves, after half of their life at the earliest, while they run. A node that is switched off for longer than\n" +
			"what is left of its certificate does not come back by itself: a lab that rests for months wants a long life. A short\n" +
			"life limits for how long a stolen certificate is of use. Nodes keep the certificates that they have; swarm rotate-ca\n" +
			"renews all at once.",
		Flags:  []cli.Flag{dryRunFlag(), outputFlag()},
		Action: a.swarmCertExpiry,
	}
}

func (a *app) swarmCertExpiry(c *cli.Context) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	if c.NArg() < 1 || c.NArg() > 2 {
		return usagef("expected a duration and at most one swarm or machine name as arguments")
	}
	expiry, err := time.ParseDuration(c.Args().First())
	if err != nil || expiry < time.Hour {
		return usagef("%s is no duration of an hour or more, such as 2160h", c.Args().First())
	}
	name, plans, err := a.worker(c).SwarmCertExpiry(c.Context, lifecycle.CertExpiryRequest{Swarm: c.Args().Get(1), Expiry: expiry, DryRun: c.Bool("dry-run")})
	return a.changed(c, err, plans, asJSON, struct {
		Swarm  string `json:"swarm"`
		Expiry string `json:"certExpiry"`
	}{name, expiry.String()})
}
