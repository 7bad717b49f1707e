package cli

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/cmd/internal/ui"
)

func (a *app) gcCommand(withFlags bool) *cli.Command {
	c := &cli.Command{
		Name: "gc", Usage: "find what is left at providers, and remove it", ArgsUsage: " ",
		Description: "Lists what carries the tag of this store at the providers and belongs to no machine of it: what rm could\n" +
			"not know of. With --yes it is removed. The places of all machines are looked at; with --driver also the one\n" +
			"that the driver's options name; they are shown by " + a.name + " gc -d DRIVER --help. What another command is at work\n" +
			"on is left alone.\n\n" +
			"Of a store that was copied each copy has the same tag, and what was made from the one is left over to the\n" +
			"other: use gc on the one that is in use only, and look at the list before --yes.",
		Action: a.gc,
	}
	if withFlags {
		c.Flags = []cli.Flag{
			&cli.StringFlag{Name: "driver", Aliases: []string{"d"}, Usage: "`DRIVER` whose options name a place to look at"},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "remove what is found"},
			outputFlag(),
		}
		c.Flags = append(c.Flags, driverFlags(a.table(), c.Flags)...)
	}
	return c
}

func (a *app) gc(c *cli.Context) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	if c.Args().Present() {
		return usagef("gc takes no arguments: %s", c.Args().First()).hint("to remove a machine: %s rm %s", a.name, c.Args().First())
	}
	req := lifecycle.GCRequest{Driver: c.String("driver"), Remove: c.Bool("yes")}
	if req.Driver != "" {
		if req.Options, err = a.driverValues(c.Context, req.Driver); err != nil {
			return err
		}
	} else if f := a.anyDriverOption(); f != "" {
		return usagef("--%s is an option of a driver", f).hint("name it with --driver")
	}
	t := a.worker(c)
	orphans, err := t.CollectGarbage(c.Context, req)
	t.progress.Close()
	if perr := a.printOrphans(orphans, asJSON); perr != nil {
		return perr
	}
	if len(orphans) > 0 && !req.Remove && a.globals.mode != ui.Quiet && a.globals.mode != ui.JSON {
		_, _ = fmt.Fprintf(a.Stderr, "Nothing was removed. To remove it: %s\n", a.gcAgain())
	}
	return err
}

func (a *app) printOrphans(orphans []lifecycle.Orphan, asJSON bool) error {
	if asJSON {
		if orphans == nil {
			orphans = []lifecycle.Orphan{}
		}
		return a.printJSON(orphans)
	}
	if len(orphans) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(a.Stdout, 5, 1, 3, ' ', 0)
	removing := slices.ContainsFunc(orphans, func(o lifecycle.Orphan) bool { return o.Removed || o.Error != "" })
	head := "KIND\tID\tNAME\tMACHINE\tCOSTS\tPLACE"
	if removing {
		head += "\tREMOVED"
	}
	_, _ = fmt.Fprintln(w, head)
	for _, o := range orphans {
		machine := o.Machine
		if machine == "" {
			machine = "(shared)"
		}
		row := []string{o.Kind, o.ID, o.Name, machine, yesNo(o.Costs), o.Place}
		if removing {
			row = append(row, yesNo(o.Removed))
		}
		_, _ = fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// anyDriverOption returns a driver's option that was given, if there is one.
func (a *app) anyDriverOption() string {
	for _, d := range a.table() {
		for _, o := range d.Options() {
			if len(a.inv.values(a.inv.flags, o.Name)) > 0 {
				return o.Name
			}
		}
	}
	return ""
}

// gcAgain is the command that removes what this one has listed. A secret is not repeated.
func (a *app) gcAgain() string {
	secret := map[string]bool{}
	for _, d := range a.Drivers {
		for _, o := range d.Options() {
			for _, name := range append([]string{o.Name}, o.Aliases...) {
				secret[name] = secret[name] || o.Secret
			}
		}
	}
	words := []string{a.name, "gc"}
	for _, f := range a.inv.flags {
		name, _, _ := strings.Cut(strings.TrimPrefix(f, "--"), "=")
		switch {
		case name == "output" || name == "yes":
		case secret[name]:
			words = append(words, "--"+name+"=...")
		default:
			words = append(words, quoted(f))
		}
	}
	return strings.Join(append(words, "--yes"), " ")
}

// quoted is a word as a shell reads it.
func quoted(word string) string {
	if strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+:,./@%") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
