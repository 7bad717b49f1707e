package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/agefile"
	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

func (a *app) importCommand() *cli.Command {
	return &cli.Command{
		Name: "import", Usage: "take in the machines of a file that export wrote", ArgsUsage: "FILE",
		Description: "All of the file is judged first; then each machine comes as a whole or not at all. A name that the store has is\n" +
			"refused. Interrupted, the same command goes on. FILE - is standard input. Engines go on trusting the authority of\n" +
			"the store that they come from, which gave a client certificate along; regenerate-certs takes them over.",
		Flags: append([]cli.Flag{
			&cli.StringSliceFlag{Name: "as", Usage: "`NAME` of the only machine here, or OLD=NEW; may be repeated"},
			dryRunFlag(), outputFlag(),
		}, identityFlags()...),
		Action: a.importBundle,
	}
}

func (a *app) importBundle(c *cli.Context) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	if c.NArg() != 1 {
		return usagef("expected one file").hint("%s FILE, or - for standard input", c.Command.HelpName)
	}
	path := c.Args().First()
	req := lifecycle.ImportRequest{DryRun: c.Bool("dry-run"), Rename: map[string]string{}}
	for _, word := range c.StringSlice("as") {
		old, name, both := strings.Cut(word, "=")
		switch {
		case both && old != "" && name != "":
			req.Rename[old] = name
		case !both && word != "" && req.As == "":
			req.As = word
		default:
			return usagef("--as %q: expected NAME, once, or OLD=NEW", word)
		}
	}
	if req.As != "" && len(req.Rename) > 0 {
		return usagef("--as NAME does not go with --as OLD=NEW")
	}
	if req.Keys, err = a.importKeys(c, path == "-"); err != nil {
		return err
	}
	in, err := a.bundleSource(path)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // it was read
	req.In = in
	t := a.worker(c)
	results, err := t.Import(c.Context, req)
	t.progress.Close()
	if len(results) > 0 {
		if perr := a.printImported(results, asJSON); err == nil {
			err = perr
		}
	}
	return err
}

func (a *app) bundleSource(path string) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(a.Stdin), nil
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("%s: there is no such file", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read bundle: %w", err)
	}
	return file, nil
}

// importKeys returns what a bundle is read with, once it is known what it takes.
func (a *app) importKeys(c *cli.Context, piped bool) (func(agefile.Kind) (agefile.Identities, error), error) {
	text, err := identitiesOf(c.StringSlice("identity"))
	if err != nil {
		return nil, err
	}
	file := c.String("passphrase-file")
	if piped && file == asked {
		return nil, usagef("standard input cannot have the bundle and the passphrase").hint("--passphrase-file FILE")
	}
	return func(kind agefile.Kind) (agefile.Identities, error) {
		switch {
		case kind == agefile.Identity && text == "":
			return agefile.Identities{}, usagef("the bundle is encrypted for recipients").hint("--identity FILE names the key of one of them")
		case kind == agefile.Identity:
			return agefile.Identities{Text: text}, nil
		case piped && file == "":
			return agefile.Identities{}, usagef("the bundle is encrypted with a passphrase, and comes by standard input").hint("--passphrase-file FILE, or import it from a file")
		}
		passphrase, err := a.passphrase(c, false)
		return agefile.Identities{Passphrase: passphrase}, err
	}, nil
}

func (a *app) printImported(results []lifecycle.Imported, asJSON bool) error {
	if asJSON {
		return a.printJSON(results)
	}
	rows := [][]string{{"NAME", "DRIVER", "URL", "ENGINE", "SWARM", "STATE"}}
	for _, r := range results {
		name := r.Name
		if r.From != r.Name {
			name += " (was " + r.From + ")"
		}
		rows = append(rows, []string{name, r.Driver, r.URL, r.Engine, r.Swarm, r.State})
	}
	return a.printTable(rows)
}
