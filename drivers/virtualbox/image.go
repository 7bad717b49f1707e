package virtualbox

import (
	"context"
	"fmt"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm"
)

var _ drivers.Imager = (*driver)(nil)

// Image implements drivers.Imager. The disk is a VDI that needs no other file, but for
// snapshots that somebody made by hand: what was written since them is not in it.
func (d *driver) Image(ctx context.Context, to string) error {
	st, err := d.Status(ctx)
	switch {
	case err != nil:
		return err
	case d.cfg.Boot2DockerURL != "", d.state.Value.Legacy:
		return fmt.Errorf("make an image of machine %s: %w: it boots from an ISO image", d.env.Machine, drivers.ErrUnsupported)
	case st.State != drivers.Stopped:
		return fmt.Errorf("make an image of machine %s: it is not stopped", d.env.Machine)
	}
	return localvm.CopyDisk(ctx, plan{Folder: d.state.Value.Folder}.disk(), to)
}
