package cli

import (
	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

func (a *app) swarmAutolockCommand() *cli.Command {
	return &cli.Command{
		Name: "autolock", Usage: "have the managers of a swarm need a key when their engines start, or not", ArgsUsage: "on|off [SWARM|NAME]",
		Description: "With autolock on, what managers keep on their disks is of no use without the unlock key, and after each reboot a\n" +
			"manager waits until somebody gives it the key: " + a.name + " swarm unlock. The key goes where you say and is kept\n" +
			"nowhere else. Restarts of engines by provision, upgrade, regenerate-certs and restart need nobody: the managers\n" +
			"are unlocked again by the command.",
		Flags:  append(keySinkFlags(), dryRunFlag(), outputFlag()),
		Action: a.swarmAutolock,
	}
}

func (a *app) swarmAutolock(c *cli.Context) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	word := c.Args().First()
	if word != "on" && word != "off" || c.NArg() > 2 {
		return usagef("expected on or off, and at most one swarm or machine name as arguments")
	}
	req := lifecycle.AutolockRequest{Swarm: c.Args().Get(1), On: word == "on", DryRun: c.Bool("dry-run")}
	switch {
	case req.On:
		if req.Deliver, err = a.keySink(c, asJSON); err != nil {
			return err
		}
	case c.IsSet("key-file") || c.IsSet("key-command"):
		return usagef("autolock off has no key to hand out")
	}
	out, plans, err := a.worker(c).SwarmAutolock(c.Context, req)
	return a.changed(c, err, plans, asJSON, out)
}

func (a *app) swarmUnlockKeyCommand() *cli.Command {
	return &cli.Command{
		Name: "unlock-key", Usage: "hand out the unlock key of a swarm with autolock, or another one", ArgsUsage: "[SWARM|NAME]",
		Description: "Keep a former key for some time: a manager that was down when the key was rotated starts with it once more.",
		Flags: append(keySinkFlags(),
			&cli.BoolFlag{Name: "rotate", Usage: "have the managers make another key first"},
			dryRunFlag(), outputFlag()),
		Action: a.swarmUnlockKey,
	}
}

func (a *app) swarmUnlockKey(c *cli.Context) error {
	asJSON, swarm, err := swarmArgument(c)
	if err != nil {
		return err
	}
	deliver, err := a.keySink(c, asJSON)
	if err != nil {
		return err
	}
	out, plans, err := a.worker(c).SwarmUnlockKey(c.Context, lifecycle.UnlockKeyRequest{
		Swarm: swarm, Rotate: c.Bool("rotate"), DryRun: c.Bool("dry-run"), Deliver: deliver,
	})
	return a.changed(c, err, plans, asJSON, out)
}

func (a *app) swarmUnlockCommand() *cli.Command {
	return &cli.Command{
		Name: "unlock", Usage: "give locked managers of a swarm the unlock key", ArgsUsage: "[SWARM|NAME...]",
		Description: "Unlocks all locked managers of the swarm, or the machines named, at the same time. The key is read from --key-file or\n" +
			"from what --key-command prints; else it is asked for without showing it, or is a line of standard input.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "key-file", Usage: "`FILE` with the unlock key"},
			&cli.StringFlag{Name: "key-command", Usage: "shell `COMMAND` that prints the unlock key"},
			dryRunFlag(), outputFlag(),
		},
		Action: a.swarmUnlock,
	}
}

func (a *app) swarmUnlock(c *cli.Context) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	key, err := a.keySource(c)
	if err != nil {
		return err
	}
	out, plans, err := a.worker(c).SwarmUnlock(c.Context, lifecycle.UnlockRequest{Names: c.Args().Slice(), DryRun: c.Bool("dry-run"), Key: key})
	if err == nil && !asJSON && !c.Bool("dry-run") {
		a.say(nil, out.Machines, "Manager %s is unlocked.")
	}
	return a.changed(c, err, plans, asJSON, out)
}
