package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/cmd/internal/ui"
)

func (a *app) exportCommand() *cli.Command {
	return &cli.Command{
		Name: "export", Usage: "write machines into a file that another store can import", ArgsUsage: "NAME...",
		Description: "Records, SSH keys, known host keys, certificates and the drivers' secrets go to standard output, encrypted\n" +
			"with age: for recipients, or with a passphrase that is asked for. The store stays as it is.\n\n" +
			"   " + a.name + " export m1 m2 > bundle\n" +
			"   " + a.name + " export --plain m1 | ssh other " + a.name + " import -\n\n" +
			"Virtual machines and containers of this computer cannot travel; --reference takes along how to reach a host.",
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "all", Usage: "all machines"},
			&cli.StringSliceFlag{Name: "filter", Usage: "`KEY=VALUE` that machines must match, as in ls; may be repeated"},
			&cli.StringFlag{Name: "file", Usage: "`FILE` to write instead of standard output, readable for its owner alone"},
			&cli.BoolFlag{Name: "plain", Usage: "do not encrypt: whoever reads the file can use the machines"},
			&cli.BoolFlag{Name: "with-ca", Usage: "the certificate authority and its key too, for a store that has none"},
			&cli.BoolFlag{Name: "with-swarms", Usage: "records of swarms too of which other members stay"},
			&cli.BoolFlag{Name: "without-secrets", Usage: "leave out what the drivers need to get at their providers"},
			&cli.BoolFlag{Name: "reference", Usage: "only how to reach the hosts, as machines of the driver generic"},
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "overwrite the file of --file"},
			dryRunFlag(), outputFlag(),
		}, recipientFlags()...),
		Action: a.export,
	}
}

func (a *app) export(c *cli.Context) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	t := a.manager(c)
	req := lifecycle.ExportRequest{
		File: c.String("file"), Out: a.Stdout, Plain: c.Bool("plain"), Force: c.Bool("force"), DryRun: c.Bool("dry-run"),
		WithCA: c.Bool("with-ca"), WithSwarms: c.Bool("with-swarms"), WithoutSecrets: c.Bool("without-secrets"), Reference: c.Bool("reference"),
	}
	if req.Names, err = exported(c, t); err != nil {
		return err
	}
	if req.File == "" {
		req.File = "-"
	}
	if req.File == "-" && !req.DryRun && ui.NewTerminal(a.Stdout, a.Getenv).Is() {
		return usagef("a bundle is not for a terminal").hint("send standard output to a file or a program, or give --file FILE")
	}
	judge := func(req lifecycle.ExportRequest) error {
		req.DryRun = true
		_, err := t.Export(c.Context, req)
		return err
	}
	if err := a.exportKeys(c, &req, judge); err != nil {
		return err
	}
	res, err := t.Export(c.Context, req)
	if err != nil {
		return err
	}
	if req.Plain && !req.DryRun {
		t.Note(c.Context, "the bundle is not encrypted: whoever reads it can use the machines")
	}
	t.progress.Close()
	switch {
	case req.DryRun && asJSON, asJSON && req.File != "-":
		return a.printJSON(res)
	case req.DryRun:
		return a.printExported(res)
	case req.File == "-":
		return nil // standard output has the bundle
	}
	_, err = fmt.Fprintf(a.Stdout, "Exported %s to %s (%s, SHA-256 %s)\n", strings.Join(req.Names, ", "), res.File, units.HumanSize(float64(res.Bytes)), res.SHA256)
	return err
}

// exported are the machines that are named, or chosen otherwise.
func exported(c *cli.Context, t *tool) ([]string, error) {
	filters := c.StringSlice("filter")
	chosen := c.Bool("all") || len(filters) > 0
	switch {
	case chosen && c.Args().Present():
		return nil, usagef("machine names do not go with --all and --filter")
	case !chosen && !c.Args().Present():
		return nil, usagef("no machines given").hint("%s NAME..., or --all", c.Command.HelpName)
	case !chosen:
		return c.Args().Slice(), nil
	}
	names, err := t.Match(c.Context, filters)
	if err == nil && len(names) == 0 {
		err = usagef("no machine matches")
	}
	return names, err
}

// exportKeys finds out who is to read the bundle; judge tells what is wrong with the request otherwise.
func (a *app) exportKeys(c *cli.Context, req *lifecycle.ExportRequest, judge func(lifecycle.ExportRequest) error) (err error) {
	if req.Recipients, err = recipientsOf(c); err != nil {
		return err
	}
	keys := len(req.Recipients) > 0 || c.String("passphrase-file") != ""
	switch {
	case req.Plain && keys:
		return usagef("--plain does not go with a recipient or a passphrase")
	case req.Plain, req.DryRun:
		return nil
	case len(req.Recipients) > 0 && c.String("passphrase-file") == "":
		return nil
	case !keys:
		if err := judge(*req); err != nil { // before somebody types
			return err
		}
	}
	req.Passphrase, err = a.passphrase(c, true)
	return err
}

func (a *app) printExported(res lifecycle.Exported) error {
	rows := [][]string{{"NAME", "DRIVER", "ENGINE", "SWARM", "SECRETS"}}
	for _, m := range res.Machines {
		driver, secrets := m.Driver, "no"
		if m.Reference != "" {
			driver += " (was " + m.Reference + ")"
		}
		if m.Secrets {
			secrets = "yes"
		}
		rows = append(rows, []string{m.Name, driver, m.Engine, m.Swarm, secrets})
	}
	if err := a.printTable(rows); err != nil {
		return err
	}
	for _, s := range res.Swarms {
		if _, err := fmt.Fprintf(a.Stdout, "with the record of swarm %s\n", s); err != nil {
			return err
		}
	}
	if res.CA {
		_, err := fmt.Fprintln(a.Stdout, "with the certificate authority and its key")
		return err
	}
	return nil
}

// identitiesOf is the text of identity files.
func identitiesOf(paths []string) (string, error) {
	var text strings.Builder
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return "", usagef("--identity %s: there is no such file", path)
		}
		if err != nil {
			return "", fmt.Errorf("read identity: %w", err)
		}
		text.Write(data)
		text.WriteString("\n")
	}
	return text.String(), nil
}
