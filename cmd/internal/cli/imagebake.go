package cli

import (
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/drivers"
)

func (a *app) imageBakeCommand(withFlags bool) *cli.Command {
	c := &cli.Command{
		Name: "bake", Usage: "make an image with an engine in it", ArgsUsage: "NAME",
		Description: "Makes a machine, with what --userdata installs and with an engine, takes out of it what is its own (keys,\n" +
			"certificates, settings, names, what was fetched to install packages), keeps its disk as image NAME, and removes it.\n" +
			"Machines that are created of the image need not install the engine. A bake that did not finish is continued\n" +
			"by the same command, or undone by " + a.name + " rm of the machine, which is called bake-NAME.\n\n" +
			"   " + a.name + " image bake -d qemu --image debian-12 --engine-version 28.5.2 debian-12-docker-28.5\n" +
			"   " + a.name + " create -d qemu --qemu-image debian-12-docker-28.5 m1\n\n" +
			"The options of a driver: " + a.name + " image bake -d DRIVER --help",
		Action: a.imageBake,
	}
	if withFlags {
		c.Flags = append([]cli.Flag{
			&cli.StringFlag{Name: "driver", Aliases: []string{"d"}, Usage: "`DRIVER` to make the machine with [$MACHINE_DRIVER]"},
			&cli.StringFlag{Name: "image", Usage: "`IMAGE` to begin with, a name, a URL or a path; the same as the driver's own option"},
			&cli.StringFlag{Name: "userdata", Usage: "`FILE` with cloud-init user data for the machine, which may install more"},
			outputFlag(),
		}, engineFlags()...)
		c.Flags = append(c.Flags, driverFlags(a.table(), c.Flags)...)
	}
	return c
}

func (a *app) imageBake(c *cli.Context) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	if c.NArg() != 1 {
		return usagef("image bake takes one name, that of the new image").hint("%s [OPTIONS] NAME", c.Command.HelpName)
	}
	t := a.worker(c)
	req := lifecycle.BakeRequest{Image: c.Args().First()}
	if req.Create, err = a.createRequest(c); err != nil {
		return err
	}
	if req.Create.Driver == "" {
		return usagef("no driver specified").hint("%s -d DRIVER NAME, with one that makes virtual machines on this computer", c.Command.HelpName)
	}
	req.Create.Driver = realName(a.catalog(), req.Create.Driver)
	if req.Create.Options, err = a.driverValues(c.Context, req.Create.Driver); err != nil {
		return err
	}
	if image := c.String("image"); image != "" {
		if err := a.takeImage(req.Create.Driver, image, req.Create.Options); err != nil {
			return err
		}
	}
	img, err := t.BakeImage(c.Context, req)
	t.progress.Close()
	if err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(img)
	}
	_, err = fmt.Fprintln(a.Stdout, img.Path)
	return err
}

// takeImage makes an image the value of the driver's option for it.
func (a *app) takeImage(driver, image string, values drivers.Values) error {
	f, err := a.catalog().Lookup(driver)
	if err != nil {
		return err
	}
	option := f.Name() + "-image"
	if !slices.ContainsFunc(f.Options(), func(o drivers.Option) bool { return o.Name == option }) {
		return usagef("--image: driver %s boots no images", driver)
	}
	if given := values[option]; len(a.inv.values(a.inv.flags, option)) > 0 && given[len(given)-1] != image {
		return usagef("--image %s and --%s %s are two images", image, option, given[len(given)-1])
	}
	values[option] = []string{image}
	return nil
}
