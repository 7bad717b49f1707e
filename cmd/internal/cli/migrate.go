package cli

import (
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/cmd/internal/ui"
)

func (a *app) migrateCommand() *cli.Command {
	return &cli.Command{
		Name: "migrate", Usage: "make records of docker-machine ours, and back", ArgsUsage: "[NAME...]",
		Description: "Nobody needs it: records of docker-machine and rancher-machine are read as they are, and the first command\n" +
			"that changes a machine writes its record anew. This does so for all machines, or for those that are named,\n" +
			"at once: what was recorded becomes config.json.bak beside it, and the provider's secrets go to a file of\n" +
			"their own. Hosts, keys and certificates stay as they are.\n\n" +
			"With --undo the records of before are put back, byte for byte, and docker-machine goes on with them. What\n" +
			"was changed since, such as options of the engine or credentials, is not in them. The backups hold the\n" +
			"provider's secrets as docker-machine's records did; " + a.name + " credentials --forget removes them too.\n\n" +
			"With --check nothing is changed, and the exit code is 1 if there is something to do.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "check", Usage: "only say what would be done; exit code 1 if that is anything"},
			&cli.BoolFlag{Name: "undo", Usage: "put back what docker-machine recorded"},
			&cli.StringFlag{Name: "to-backup", Usage: "first copy the store, disks apart, to the folder `DIR`, which must not exist"},
			outputFlag(),
		},
		Action: a.migrate,
	}
}

func (a *app) migrate(c *cli.Context) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	req := lifecycle.MigrateRequest{Names: c.Args().Slice(), Check: c.Bool("check"), Undo: c.Bool("undo"), Copy: c.String("to-backup")}
	if req.Check && req.Copy != "" {
		return usagef("--check changes nothing, so it does not go with --to-backup")
	}
	t := a.worker(c)
	done, err := t.Migrate(c.Context, req)
	t.progress.Close()
	var perr error
	switch {
	case asJSON && done == nil:
		perr = a.printJSON([]lifecycle.Migrated{})
	case asJSON:
		perr = a.printJSON(done)
	case req.Check || a.globals.mode != ui.Quiet:
		perr = a.printMigrated(done)
	}
	if perr != nil {
		return perr
	}
	return err
}

func (a *app) printMigrated(done []lifecycle.Migrated) error {
	if len(done) == 0 {
		return nil
	}
	rows := [][]string{{"MACHINE", "VERSION", "DRIVER", "ACTION", "DONE", "NOTES"}}
	for _, d := range done {
		version := strconv.Itoa(d.Version)
		if d.Version < 0 {
			version = "?"
		}
		notes := d.Error
		switch {
		case notes != "":
		case d.Without != "":
			notes = "without " + d.Without
		default:
			notes = d.Note
		}
		rows = append(rows, []string{d.Machine, version, d.Driver, d.Action, yesNo(d.Done), notes})
	}
	return a.printTable(rows)
}
