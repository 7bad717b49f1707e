package cli

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

func (a *app) swarmRestoreCommand() *cli.Command {
	return &cli.Command{
		Name: "restore", Usage: "make a machine the manager of a swarm as a backup has it", ArgsUsage: "FILE NAME",
		Description: "Needs the backup's identity file or passphrase, and a machine that is in no swarm, with an engine of the same\n" +
			"version or a newer one; its address may be another one. The unlock key of a swarm with autolock is in the\n" +
			"backup. The machine becomes the only manager; other nodes join again with --join, or later. Interrupted, the\n" +
			"same command goes on. --check reads a backup to its end and shows what it is of; FILE - is standard input.",
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "check", Usage: "verify FILE and print what it says of itself; nothing is touched"},
			&cli.StringFlag{Name: "name", Usage: "`NAME` of the swarm in the store (default: the one it had)"},
			&cli.StringSliceFlag{Name: "join", Usage: "`NAME` of a machine that leaves what it is in by force and joins as what it was; may be repeated"},
			&cli.BoolFlag{Name: "prune-nodes", Usage: "remove nodes from the list that are not back"},
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "with an older engine than that of the backup"},
			dryRunFlag(), outputFlag(),
		}, identityFlags()...),
		Action: a.swarmRestore,
	}
}

func (a *app) swarmRestore(c *cli.Context) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	check := c.Bool("check")
	if want := map[bool]int{true: 1, false: 2}[check]; c.NArg() != want {
		return usagef("expected a file and a machine name").hint("%s FILE NAME, or %s --check FILE", c.Command.HelpName, c.Command.HelpName)
	}
	req := lifecycle.RestoreRequest{
		Machine: c.Args().Get(1), Swarm: c.String("name"), Force: c.Bool("force"),
		Prune: c.Bool("prune-nodes"), Join: c.StringSlice("join"), DryRun: c.Bool("dry-run"),
	}
	if req.Identity, err = identitiesOf(c.StringSlice("identity")); err != nil {
		return err
	}
	if req.Identity == "" {
		if req.Passphrase, err = a.passphrase(c, false); err != nil {
			return err
		}
	}
	if req.Open, err = a.backupSource(c.Args().First()); err != nil {
		return err
	}
	if check {
		return a.printBackup(c, req, asJSON)
	}
	plans, err := a.worker(c).SwarmRestore(c.Context, req)
	if err != nil || !req.DryRun {
		return err
	}
	return a.printPlans(plans, asJSON)
}

// backupSource opens a file as often as it is read; standard input is kept as it came, encrypted.
func (a *app) backupSource(path string) (func() (io.ReadCloser, error), error) {
	if path != "-" {
		return func() (io.ReadCloser, error) { return os.Open(path) }, nil
	}
	data, err := io.ReadAll(a.Stdin)
	if err != nil {
		return nil, fmt.Errorf("read backup: %w", err)
	}
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }, nil
}

func (a *app) printBackup(c *cli.Context, req lifecycle.RestoreRequest, asJSON bool) error {
	m, err := a.manager(c).SwarmCheckBackup(req)
	if err != nil {
		return err
	}
	a.tool.progress.Close()
	if asJSON {
		return a.printJSON(m)
	}
	needs := "no unlock key"
	if m.Autolock {
		needs = "the unlock key, which is in it"
	}
	rows := [][]string{
		{"Swarm", m.Swarm + " (" + m.ID + ")"},
		{"Taken", m.Taken.Format("2006-01-02 15:04:05 MST") + " by " + m.Program},
		{"Of", m.Machine + " (" + m.NodeID + ") at " + m.Advertise},
		{"Needs", "engine " + m.Engine + " or newer, " + needs},
		{"Data path port", strconv.Itoa(m.DataPathPort) + "/udp"},
	}
	if !m.CertExpires.IsZero() {
		rows = append(rows, []string{"Certificate", "until " + m.CertExpires.Format("2006-01-02 15:04:05 MST") + "; a restore renews it"})
	}
	for _, name := range slices.Sorted(maps.Keys(m.Members)) {
		rows = append(rows, []string{"Member", name + " (" + m.Members[name] + ")"})
	}
	return a.printTable(rows)
}
