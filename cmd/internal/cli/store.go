package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/store"
)

// storeCommand is about the store as a whole; docs/shared-store.md tells of those that a team shares.
func (a *app) storeCommand() *cli.Command {
	return &cli.Command{
		Name: "store", Usage: "copy a store, and say who can read the secrets of a shared one",
		Subcommands: []*cli.Command{
			a.storeCopyCommand(),
			a.storeRecipientsCommand(),
		},
	}
}

func (a *app) storeCopyCommand() *cli.Command {
	return &cli.Command{
		Name: "copy", Usage: "copy all machines, swarms and certificates to another store", ArgsUsage: "FROM TO",
		Description: "FROM and TO are folders, or etcd://HOST[,HOST]/PREFIX. FROM stays as it is. TO must be empty, or have nothing\n" +
			"but what FROM has: then an interrupted copy goes on. All is read again and compared at the end. Both carry the same\n" +
			"tag at providers: go on with TO alone, and keep FROM only as a backup.\n\n" +
			"Machines with a disk or the like in their folder live on this computer, and stop the copy unless --skip-local is given.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "dry-run", Usage: "show what would be copied"},
			&cli.BoolFlag{Name: "skip-local", Usage: "leave machines where they are that only this computer can use"},
			outputFlag(),
		},
		Action: a.storeCopy,
	}
}

func (a *app) storeCopy(c *cli.Context) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	if c.NArg() != 2 {
		return usagef("store copy takes two stores").hint("%s store copy FROM TO", a.name)
	}
	source := c.Args().Get(0)
	if _, err := os.Stat(source); errors.Is(err, fs.ErrNotExist) && !lifecycle.IsShared(source) {
		return usagef("%s: there is no such folder to copy from", source)
	}
	from, err := a.storeAt(c.Context, source)
	if err != nil {
		return err
	}
	to, err := a.storeAt(c.Context, c.Args().Get(1))
	if err != nil {
		return err
	}
	items, err := a.manager(c).CopyStore(c.Context, from, to, store.CopyRequest{
		Command: "store copy", SkipLocal: c.Bool("skip-local"), DryRun: c.Bool("dry-run"),
	})
	if errors.Is(err, store.ErrNoRecipients) {
		err = &drivers.HintError{Err: err, Advice: fmt.Sprintf("say whom its secrets are encrypted for, yourself first: %s -s %s store recipients add", a.name, quoted(c.Args().Get(1)))}
	}
	if asJSON {
		if items == nil {
			items = []store.CopyItem{}
		}
		return errors.Join(a.printJSON(items), err)
	}
	if err != nil {
		return err
	}
	rows := [][]string{{"FILE", "SIZE", "ACTION"}}
	n := map[string]int{}
	for _, item := range items {
		rows = append(rows, []string{item.Path, strconv.Itoa(item.Size), item.Action})
		n[item.Action]++
	}
	if c.Bool("dry-run") {
		return a.printTable(rows)
	}
	_, err = fmt.Fprintf(a.Stdout, "%d files copied, %d were there already, %d stay; all verified\n", n[store.CopyNew], n[store.CopySame], n[store.CopyStay])
	return err
}

func (a *app) storeRecipientsCommand() *cli.Command {
	return &cli.Command{
		Name: "recipients", Usage: "who can read the secrets of a shared store",
		Subcommands: []*cli.Command{
			{
				Name: "ls", Usage: "list whom secrets are encrypted for", ArgsUsage: " ",
				Flags: []cli.Flag{outputFlag()},
				Action: a.recipients(func(_ *cli.Context, s *lifecycle.SharedStore) (lifecycle.Recipients, error) {
					return s.Recipients()
				}),
			},
			{
				Name: "add", Usage: "encrypt all secrets for these too; without a key, for you", ArgsUsage: "[KEY...]",
				Description: "KEY is a public key: age1... of age-keygen, or \"ssh-ed25519 AAAA...\"; a name may follow in the same word:\n" +
					"\"age1... ann\". Without one it is yours; if you have no identity, one is made. Given again, it ends a change that did not end.",
				Flags: []cli.Flag{outputFlag()},
				Action: a.recipients(func(c *cli.Context, s *lifecycle.SharedStore) (lifecycle.Recipients, error) {
					return s.AddRecipients(c.Context, "store recipients add", a.userName(), c.Args().Slice())
				}),
			},
			{
				Name: "rm", Usage: "encrypt all secrets again, no longer for these", ArgsUsage: "KEY|NAME...",
				Description: "What they have read before they still know: renew keys and certificates that matter.",
				Flags:       []cli.Flag{outputFlag()},
				Action: a.recipients(func(c *cli.Context, s *lifecycle.SharedStore) (lifecycle.Recipients, error) {
					if !c.Args().Present() {
						return lifecycle.Recipients{}, usagef("name whom to leave out").hint("%s store recipients ls", a.name)
					}
					return s.RemoveRecipients(c.Context, "store recipients rm", c.Args().Slice())
				}),
			},
		},
	}
}

// recipients does something about them, and shows them.
func (a *app) recipients(do func(*cli.Context, *lifecycle.SharedStore) (lifecycle.Recipients, error)) cli.ActionFunc {
	return func(c *cli.Context) error {
		asJSON, err := jsonOutput(c)
		if err != nil {
			return err
		}
		if a.shared == nil {
			return fmt.Errorf("%w: %s", lifecycle.ErrNotShared, a.globals.root)
		}
		all, err := do(c, a.shared)
		if err != nil {
			return err
		}
		if asJSON {
			return a.printJSON(all)
		}
		if all.Rewritten > 0 {
			_, _ = fmt.Fprintf(a.Stderr, "%d secrets were encrypted again\n", all.Rewritten)
		}
		if all.Pending {
			_, _ = fmt.Fprintf(a.Stderr, "A change did not end: some secrets are encrypted for others than these. To end it: %s store recipients add\n", a.name)
		}
		rows := [][]string{{"NAME", "KEY"}}
		for _, r := range all.Recipients {
			rows = append(rows, []string{r.Name, r.Key})
		}
		return a.printTable(rows)
	}
}
