package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

// imageTable is what image ls prints when it is told nothing.
const imageTable = `table {{.Name}}\t{{.Arch}}\t{{.Format}}\t{{.Firmware}}\t{{.Size}}\t{{.Cached}}\t{{.Machines}}`

func (a *app) imageCommand(withFlags bool) *cli.Command {
	return &cli.Command{
		Name: "image", Usage: "look after the disk images of local virtual machines",
		Subcommands: []*cli.Command{
			{
				Name: "ls", Usage: "list the images that are known by name, and those in the cache", ArgsUsage: " ",
				Description: "The cache is a folder of the store. Images come into it when a machine is created of them, or with\n" +
					a.name + " image pull.\n\n" +
					"Templates: --format '{{.Name}}' prints a line per image, 'table {{.Name}}\\t{{.Size}}' a table with\n" +
					"headings. Fields: Name Summary Arch Format Firmware Size Cached Used Machines ID Sum Path URL.",
				Flags: []cli.Flag{
					&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "names only"},
					&cli.BoolFlag{Name: "cached", Usage: "only what is in the cache"},
					&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: "Go `TEMPLATE`, or json"},
					outputFlag(),
				},
				Action: a.imageLs,
			},
			{
				Name: "pull", Usage: "bring images into the cache", ArgsUsage: "NAME|URL|PATH...",
				Description: "Downloads what is not there yet, or is not what its publisher has now, and prints where it is. An image\n" +
					"is verified by its publisher's checksums, or by the one that is given. A download that was stopped goes on\n" +
					"where it stopped. What is in the cache serves when there is no network.",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "arch", Usage: "`ARCH` of the image: amd64 or arm64 (default: this computer's)"},
					&cli.StringFlag{Name: "format", Usage: "`FORMAT` of the image, if it is published in several: qcow2, raw, vmdk or vhdx"},
					&cli.StringFlag{Name: "checksum", Usage: "`CHECKSUM` of the file that is downloaded, sha256:HEX or sha512:HEX, or the URL of a file of checksums, or none"},
					outputFlag(),
				},
				Action: a.imagePull,
			},
			{
				Name: "rm", Usage: "remove images from the cache", ArgsUsage: "NAME|ID...",
				Description: "Images that disks of machines are based on stay.",
				Flags: []cli.Flag{
					&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "all images that no machine uses, and what is left of downloads"},
				},
				Action: a.imageRm,
			},
			a.imageBakeCommand(withFlags),
		},
	}
}

// imageRow is an image as a template shows it.
type imageRow struct {
	Name, Summary, Arch, Format, Firmware, Size, Cached, Used, Machines, ID, Sum, Path, URL string
}

func imageHeadings() map[string]string {
	return map[string]string{
		"Name": "NAME", "Summary": "SUMMARY", "Arch": "ARCH", "Format": "FORMAT", "Firmware": "FIRMWARE", "Size": "SIZE", "Cached": "CACHED",
		"Used": "USED", "Machines": "MACHINES", "ID": "ID", "Sum": "SUM", "Path": "PATH", "URL": "URL",
	}
}

func imageRows(all []lifecycle.Image) []imageRow {
	rows := make([]imageRow, len(all))
	for i, img := range all {
		rows[i] = imageRow{
			Name: img.Name, Summary: img.Summary, Arch: img.Arch, Format: img.Format, Firmware: strings.Join(img.Firmware, ","),
			Cached: yesNo(img.Cached), Machines: strings.Join(img.Machines, ","), ID: img.ID(), Sum: img.Sum, Path: img.Path, URL: img.URL,
		}
		if img.Cached {
			rows[i].Size = units.HumanSize(float64(img.Size))
			rows[i].Used = img.Used.Local().Format(time.DateTime)
		}
	}
	return rows
}

func (a *app) imageLs(c *cli.Context) error {
	if c.Args().Present() {
		return usagef("image ls takes no arguments: %s", c.Args().First())
	}
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	format := c.String("format")
	switch format {
	case "json":
		asJSON = true
	case "":
		format = imageTable
	}
	tmpl, table, err := parseRowFormat(format)
	if err != nil {
		return err
	}
	all, err := a.manager(c).Images(c.Context)
	if err != nil {
		return err
	}
	if c.Bool("cached") {
		all = slices.DeleteFunc(all, func(i lifecycle.Image) bool { return !i.Cached })
	}
	names := make([]string, len(all))
	for i, img := range all {
		names[i] = img.Name
	}
	names = slices.Compact(names)
	switch {
	case asJSON && c.Bool("quiet"):
		return a.printJSON(names)
	case c.Bool("quiet"):
		for _, name := range names {
			if _, err := fmt.Fprintln(a.Stdout, name); err != nil {
				return err
			}
		}
		return nil
	case asJSON:
		if all == nil {
			all = []lifecycle.Image{}
		}
		return a.printJSON(all)
	}
	return writeRows(a.Stdout, imageRows(all), imageHeadings(), tmpl, table)
}

func (a *app) imagePull(c *cli.Context) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	if !c.Args().Present() {
		return usagef("no image specified").hint("%s image ls lists those that are known by name", a.name)
	}
	if c.NArg() > 1 && c.String("checksum") != "" {
		return usagef("--checksum is that of one image")
	}
	switch c.String("arch") {
	case "", "amd64", "arm64":
	default:
		return usagef("--arch %s: want amd64 or arm64", c.String("arch"))
	}
	t := a.worker(c)
	pulled := []lifecycle.Image{}
	for _, image := range c.Args().Slice() {
		img, err := t.PullImage(c.Context, lifecycle.ImageRequest{
			Image: image, Checksum: c.String("checksum"), Arch: c.String("arch"), Format: c.String("format"),
		})
		if err != nil {
			return err
		}
		pulled = append(pulled, img)
	}
	t.progress.Close() // results stand below the progress
	if asJSON {
		return a.printJSON(pulled)
	}
	for _, img := range pulled {
		if _, err := fmt.Fprintln(a.Stdout, img.Path); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) imageRm(c *cli.Context) error {
	names, all := c.Args().Slice(), c.Bool("all")
	switch {
	case all && len(names) > 0:
		return usagef("--all takes no names: %s", names[0])
	case !all && len(names) == 0:
		return usagef("no image specified").hint("%s NAME..., or --all for those that no machine uses", c.Command.HelpName)
	}
	t := a.worker(c)
	removed, err := t.RemoveImages(c.Context, names)
	lines := make([]string, len(removed))
	for i, img := range removed {
		lines[i] = strings.TrimSpace(img.Name + " " + img.ID())
	}
	a.say(nil, lines, "Successfully removed %s")
	if all && a.globals.mode != "quiet" && len(removed) == 0 && err == nil {
		_, _ = fmt.Fprintln(a.Stderr, "There is nothing to remove.")
	}
	return err
}

// imageNames are those that complete a command line.
func (a *app) imageNames(cached bool) []string {
	return lifecycle.ImageNames(a.store(), cached)
}
