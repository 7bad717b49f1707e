package cli

import (
	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

func (a *app) swarmUpgradeCommand() *cli.Command {
	return &cli.Command{
		Name: "upgrade", Usage: "bring the engines of a whole swarm to another version, one node at a time", ArgsUsage: "[SWARM|NAME]",
		Description: "Workers first, then managers one by one, the leader last. A node is drained until its tasks run elsewhere, its\n" +
			"engine is upgraded, and once it is ready it is activated; the next one follows when services have all\n" +
			"their tasks. A service that has all its tasks on one node is spread before. Nodes that have the version, or\n" +
			"whose package source has nothing newer, are left alone, and nodes that were drained by hand stay so.\n" +
			"The first failure stops, and the same command continues, also after it was killed.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "engine-version", Aliases: []string{"version"}, Usage: "`VERSION` to bring the engines to, exact or a prefix such as 28.5; else what each machine is pinned to, or the newest"},
			&cli.IntFlag{Name: "parallel", Value: 1, Usage: "`NUMBER` of workers whose engines are upgraded at once; they are drained one after another"},
			&cli.DurationFlag{Name: "drain-timeout", Usage: "`TIME` that the tasks of a node may take to run elsewhere, such as 10m"},
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "allow a downgrade"},
			&cli.StringFlag{Name: "backup", Usage: "`FILE` that the swarm is backed up in first, as by swarm backup; a manager is drained for it"},
			&cli.BoolFlag{Name: "no-backup", Usage: "do not warn that no backup of the swarm is made first"},
			&cli.BoolFlag{Name: "abandon", Usage: "give up an upgrade that has not ended: activate what it drained; engines stay as they are"},
			dryRunFlag(), outputFlag(),
		}, recipientFlags()...),
		Action: a.swarmUpgrade,
	}
}

func (a *app) swarmUpgrade(c *cli.Context) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	switch {
	case c.NArg() > 1:
		return usagef("expected one swarm or machine name as an argument").hint("machine upgrade NAME... upgrades some machines only")
	case c.Int("parallel") < 1:
		return usagef("invalid number %d for --parallel", c.Int("parallel")).hint("give 1 or more")
	case c.Duration("drain-timeout") < 0:
		return usagef("invalid time %s for --drain-timeout", c.Duration("drain-timeout")).hint("give a number and a unit, such as 90s or 10m")
	case c.Bool("abandon") && (c.IsSet("engine-version") || c.IsSet("force")):
		return usagef("--abandon leaves engines as they are").hint("machine upgrade NAME --engine-version VERSION --force brings one back")
	}
	backup, err := a.backupBefore(c)
	if err != nil {
		return err
	}
	t := a.worker(c)
	if d := c.Duration("drain-timeout"); d > 0 {
		t.Wait.Drain = d
	}
	got, err := t.SwarmUpgrade(c.Context, lifecycle.SwarmUpgradeRequest{
		Swarm: c.Args().First(), Version: c.String("engine-version"), Force: c.Bool("force"), Parallel: c.Int("parallel"),
		Backup: backup, DryRun: c.Bool("dry-run"), Abandon: c.Bool("abandon"), NoBackup: c.Bool("no-backup"),
	})
	if err != nil {
		return err
	}
	if c.Bool("dry-run") {
		return a.printPlans(got.Plan, asJSON)
	}
	a.tool.progress.Close()
	if asJSON {
		return a.printJSON(got)
	}
	if len(got.Nodes) == 0 || a.globals.mode == "quiet" {
		return nil
	}
	rows := [][]string{{"MACHINE", "ROLE", "FROM", "TO"}}
	for _, n := range got.Nodes {
		to := n.To
		if to == n.From {
			to = "-"
		}
		rows = append(rows, []string{n.Machine, n.Role, n.From, to})
	}
	return a.printTable(rows)
}

// backupBefore is the backup that --backup asks for; nil: none.
func (a *app) backupBefore(c *cli.Context) (*lifecycle.BackupRequest, error) {
	keys, err := recipientsOf(c)
	if err != nil {
		return nil, err
	}
	req := &lifecycle.BackupRequest{File: c.String("backup"), Recipients: keys}
	switch {
	case req.File == "" && (len(keys) > 0 || c.String("passphrase-file") != ""):
		return nil, usagef("nothing is encrypted without --backup FILE")
	case req.File == "":
		return nil, nil //nolint:nilnil // as documented
	case c.Bool("no-backup") || c.Bool("abandon"):
		return nil, usagef("--backup contradicts --no-backup and --abandon")
	case req.File == "-":
		return nil, usagef("the backup before an upgrade is a file").hint("machine swarm backup - writes one to standard output")
	}
	if len(keys) == 0 || c.String("passphrase-file") != "" {
		req.Passphrase, err = a.passphrase(c, true)
	}
	return req, err
}
