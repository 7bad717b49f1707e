package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/drivers/plugin"
)

func (a *app) pluginCommand() *cli.Command {
	return &cli.Command{
		Name: "plugin", Usage: "use the drivers of this program in docker-machine and others of its kind",
		Subcommands: []*cli.Command{
			{
				Name: "list", Aliases: []string{"ls"}, Usage: "list driver plugins: those that this program can be, and those on PATH", ArgsUsage: " ",
				Flags:  []cli.Flag{outputFlag()},
				Action: a.pluginList,
			},
			{
				Name: "link", Usage: "make links to this program by which others find its drivers", ArgsUsage: "DIR [DRIVER...]",
				Description: "Makes a link docker-machine-driver-NAME for each driver in a folder, which is to be on the PATH of the\n" +
					"program that uses them. docker-machine looks for no plugin of the drivers that it has itself, so these get a\n" +
					"second name: docker-machine create -d machine-amazonec2 takes ours. What is there already stays, unless it\n" +
					"is such a link, or --force is given.",
				Flags: []cli.Flag{
					&cli.BoolFlag{Name: "force", Usage: "replace files of these names"},
					&cli.BoolFlag{Name: "dry-run", Usage: "only print what would be made"},
					outputFlag(),
				},
				Action: a.pluginLink,
			},
			{
				Name: "serve", Usage: "serve a driver to the program that started this one", ArgsUsage: "DRIVER",
				Description: "What the links of " + a.name + " plugin link do. It is of no use to a person: the program that started it tells by\n" +
					"MACHINE_PLUGIN_TOKEN in the environment that it speaks docker-machine's plugin protocol.",
				Action: func(c *cli.Context) error {
					if c.NArg() != 1 {
						return usagef("expected one driver").hint("%s plugin serve DRIVER", a.name)
					}
					return a.servePlugin(c.Context, c.Args().First(), a.Getenv(plugin.NameVariable))
				},
			},
		},
	}
}

// pluginRow is a plugin as plugin list shows it.
type pluginRow struct {
	Driver  string `json:"driver"`            // that -d names
	Plugin  string `json:"plugin"`            // the program's name
	Path    string `json:"path,omitempty"`    // on PATH; empty: it is not
	Own     bool   `json:"own"`               // it is this program
	Summary string `json:"summary,omitempty"` // of a driver of this program
}

func (a *app) pluginList(c *cli.Context) error {
	if c.Args().Present() {
		return usagef("plugin list takes no arguments: %s", c.Args().First())
	}
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	rows := a.plugins()
	if asJSON {
		return a.printJSON(rows)
	}
	cells := [][]string{{"DRIVER", "PLUGIN", "PATH", "SUMMARY"}}
	for _, r := range rows {
		cells = append(cells, []string{r.Driver, r.Plugin, r.Path, r.Summary})
	}
	return a.printTable(cells)
}

// plugins are what this program can be, in the order of the drivers, and then what else is on PATH.
func (a *app) plugins() []pluginRow {
	found := a.pluginsOnPath()
	rows := []pluginRow{}
	for _, f := range a.Drivers {
		for _, name := range pluginNames(f) {
			row := pluginRow{Driver: name, Plugin: plugin.ProgramPrefix + name, Own: true, Summary: f.Summary()}
			for i, other := range found {
				if other.Driver == name {
					row.Path, row.Own = other.Path, other.Own
					found = append(found[:i:i], found[i+1:]...)
					break
				}
			}
			if !row.Own {
				row.Summary = ""
			}
			rows = append(rows, row)
		}
	}
	return append(rows, found...)
}

// link is a link of plugin link.
type link struct {
	Path   string `json:"path"`
	Target string `json:"target"`
	Done   string `json:"done"` // made, replaced or kept
}

func (a *app) pluginLink(c *cli.Context) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	if !c.Args().Present() {
		return usagef("no folder given").hint("%s plugin link DIR: one that is on PATH", a.name)
	}
	table := a.Drivers
	if chosen := c.Args().Tail(); len(chosen) > 0 {
		table = nil
		for _, name := range chosen {
			f, err := a.Drivers.Lookup(name)
			if err != nil {
				return err
			}
			table = append(table, f)
		}
	}
	target, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	links, err := linkPlugins(table, linkPlan{dir: c.Args().First(), target: target, force: c.Bool("force"), dryRun: c.Bool("dry-run")})
	if asJSON {
		return errors.Join(a.printJSON(links), err)
	}
	for _, l := range links {
		if _, perr := fmt.Fprintf(a.Stdout, "%s %s\n", l.Done, l.Path); perr != nil {
			return perr
		}
	}
	return err
}
