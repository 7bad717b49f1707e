package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/cmd/internal/ui"
)

func (a *app) swarmRecoverCommand() *cli.Command {
	return &cli.Command{
		Name: "recover", Usage: "bring a swarm back that has lost its quorum, or whose certificates have expired", ArgsUsage: "[SWARM|NAME]",
		Description: "Asks every manager that is left how far its log of the swarm's changes goes, and goes on with the newest:\n" +
			"services, networks, configs and secrets are those that this manager knows. Managers that do not answer are\n" +
			"taken out of the swarm for good; other managers, and workers that do not come back by themselves, leave and\n" +
			"join again as what they were. It shows what is lost and asks before it begins; interrupted, the same command\n" +
			"goes on. In a swarm that has its quorum, only machines whose certificate has expired join again.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "via", Usage: "go on with manager `NAME`, whatever its log"},
			&cli.StringSliceFlag{Name: "promote", Usage: "make worker `NAME` a manager in place of one that is lost, once the swarm is back; may be repeated"},
			unlockKeyFlag(),
			yesFlag(),
			dryRunFlag(), outputFlag(),
		},
		Action: a.swarmRecover,
	}
}

func unlockKeyFlag() cli.Flag {
	return &cli.StringFlag{Name: "unlock-key", Usage: "of a swarm with autolock; its only value " + asked + " has it typed, or read from standard input"}
}

func (a *app) swarmRecover(c *cli.Context) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	if c.NArg() > 1 {
		return usagef("expected one swarm or machine name as an argument")
	}
	req := lifecycle.RecoverRequest{Name: c.Args().First(), Via: c.String("via"), Promote: c.StringSlice("promote"), DryRun: c.Bool("dry-run")}
	if req.UnlockKey, err = a.unlockKey(c); err != nil {
		return err
	}
	if !c.Bool("y") {
		req.Confirm = a.confirmRecovery
	}
	t := a.worker(c)
	plans, err := t.SwarmRecover(c.Context, req)
	if err != nil || !req.DryRun {
		return err
	}
	return a.printPlans(plans, asJSON)
}

// unlockKey reads the unlock key of a swarm, which is no word of the command line.
func (a *app) unlockKey(c *cli.Context) (string, error) {
	switch c.String("unlock-key") {
	case "":
		return "", nil
	case asked:
	default:
		return "", usagef("the unlock key is no word of the command line").hint("give --unlock-key %s and type it when asked, or have it as a line of standard input", asked)
	}
	key, err := ui.Secret(c.Context, a.Stdin, a.Stderr, "Unlock key: ")
	if errors.Is(err, io.EOF) || err == nil && strings.TrimSpace(key) == "" {
		return "", usagef("--unlock-key %s: nothing was read", asked)
	}
	return strings.TrimSpace(key), err
}

func (a *app) confirmRecovery(ctx context.Context, plan []lifecycle.Planned, lost []string) (bool, error) {
	var b strings.Builder
	b.WriteString("About to do:\n")
	for _, p := range plan {
		for _, s := range p.Steps {
			fmt.Fprintf(&b, "  %s: %s\n", p.Machine, s)
		}
	}
	if len(lost) > 0 {
		b.WriteString("What is lost, and what to know:\n")
	}
	for _, l := range lost {
		fmt.Fprintf(&b, "  - %s\n", l)
	}
	if _, err := io.WriteString(a.Stderr, b.String()); err != nil {
		return false, err
	}
	err := a.confirmed(ctx, "Go on? (y/n): ")
	return err == nil, err
}
