package qemu

import (
	"context"
	"fmt"
)

// Image implements drivers.Imager. What the disk is based on goes into the file too, and
// all of it is compressed, as published images are.
func (d *driver) Image(ctx context.Context, to string) error {
	now, err := d.look(ctx)
	switch {
	case err != nil:
		return err
	case now.status != "" || now.pid != 0:
		return fmt.Errorf("make an image of machine %s: it is not stopped", d.env.Machine)
	case !now.disk:
		return d.absent("make an image of")
	}
	binary, err := d.binary()
	if err != nil {
		return err
	}
	tool, err := d.imageTool(binary)
	if err != nil {
		return err
	}
	_, err = d.tool(ctx, "make an image of machine "+d.env.Machine, tool, "convert", "-q", "-c", "-f", "qcow2", "-O", "qcow2", d.path(diskFile), to)
	return err
}
