package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/cmd/internal/ui"
)

func (a *app) swarmBackupCommand() *cli.Command {
	return &cli.Command{
		Name: "backup", Usage: "copy the data of a swarm into an encrypted file", ArgsUsage: "FILE [SWARM|NAME]",
		Description: "Stops the engine of a manager that does not lead, copies its data of the swarm, and starts it again, also if the\n" +
			"copy fails or this command is killed. What would cost the swarm its quorum is refused. Services, configs,\n" +
			"secrets and networks are in the file, and the unlock key of a swarm with autolock; volumes and images are not.\n" +
			"The file is encrypted with age, for recipients or with a passphrase; FILE - is standard output.",
		Flags: append(recipientFlags(),
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "overwrite FILE, and stop a manager although the quorum is lost meanwhile"},
			dryRunFlag(), outputFlag(),
		),
		Action: a.swarmBackup,
	}
}

func recipientFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "recipient", Usage: "age or SSH public `KEY` (age1... or \"ssh-ed25519 ...\") of who can read it; may be repeated"},
		&cli.StringFlag{Name: "recipients-file", Usage: "`FILE` with such keys, one a line, such as an SSH public key file"},
		passphraseFlag(),
	}
}

func identityFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "identity", Aliases: []string{"i"}, Usage: "identity `FILE`: of age (AGE-SECRET-KEY-1...) or an SSH private key; may be repeated"},
		passphraseFlag(),
	}
}

func passphraseFlag() cli.Flag {
	return &cli.StringFlag{Name: "passphrase-file", Usage: "`FILE` with a passphrase on its first line; " + asked + " for standard input"}
}

func (a *app) swarmBackup(c *cli.Context) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	if c.NArg() < 1 || c.NArg() > 2 {
		return usagef("expected a file, and one swarm or machine name at most").hint("%s FILE [SWARM|NAME]", c.Command.HelpName)
	}
	req := lifecycle.BackupRequest{File: c.Args().First(), Name: c.Args().Get(1), Out: a.Stdout, Force: c.Bool("force"), DryRun: c.Bool("dry-run")}
	if req.Recipients, err = recipientsOf(c); err != nil {
		return err
	}
	if len(req.Recipients) == 0 || c.String("passphrase-file") != "" {
		if req.Passphrase, err = a.passphrase(c, true); err != nil {
			return err
		}
	}
	t := a.worker(c)
	res, plans, err := t.SwarmBackup(c.Context, req)
	switch {
	case err != nil:
		return err
	case req.DryRun:
		return a.printPlans(plans, asJSON)
	case req.File == "-":
		return nil // standard output has the backup
	}
	t.progress.Close()
	if asJSON {
		return a.printJSON(res)
	}
	_, err = fmt.Fprintf(a.Stdout, "Swarm %s is backed up in %s (%s, SHA-256 %s)\n", res.Swarm, res.File, units.HumanSize(float64(res.Bytes)), res.SHA256)
	return err
}

// recipientsOf are the public keys given.
func recipientsOf(c *cli.Context) ([]string, error) {
	keys := c.StringSlice("recipient")
	path := c.String("recipients-file")
	if path == "" {
		return keys, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("--recipients-file %s: there is no such file", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read recipients: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			keys = append(keys, line)
		}
	}
	return keys, nil
}

// passphrase reads the passphrase from its file, else from who types it, twice if it is a new one.
func (a *app) passphrase(c *cli.Context, isNew bool) (string, error) {
	switch path := c.String("passphrase-file"); path {
	case asked:
		return a.typed(c, "Passphrase: ")
	case "":
		first, err := a.typed(c, "Passphrase: ")
		if err != nil || !isNew {
			return first, err
		}
		again, err := a.typed(c, "Passphrase again: ")
		if err == nil && again != first {
			err = usagef("the passphrases differ")
		}
		return first, err
	default:
		file, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return "", usagef("--passphrase-file %s: there is no such file", path)
		}
		if err != nil {
			return "", fmt.Errorf("read passphrase: %w", err)
		}
		defer file.Close() //nolint:errcheck // it was read
		line, err := bufio.NewReader(file).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read passphrase: %w", err)
		}
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			return "", usagef("%s has no passphrase on its first line", path)
		}
		return line, nil
	}
}

func (a *app) typed(c *cli.Context, question string) (string, error) {
	other := ""
	if lookup(c.Command.Flags, "recipient") != nil {
		other = "; or --recipient KEY instead"
	}
	secret, err := ui.Secret(c.Context, a.Stdin, a.Stderr, question)
	if errors.Is(err, io.EOF) || err == nil && secret == "" {
		return "", usagef("no passphrase was given").hint("give --passphrase-file FILE, or type a passphrase when asked%s", other)
	}
	return secret, err
}
