package hyperv

import (
	"cmp"
	"context"
	"fmt"

	"github.com/hostsmith/machine/drivers"
)

const sshPort = 22

// Status implements drivers.Driver.
func (d *driver) Status(ctx context.Context) (drivers.Status, error) {
	st := &d.state.Value
	if err := context.Cause(ctx); err != nil {
		return drivers.Status{}, err
	}
	if st.ID == "" && !st.Legacy {
		return drivers.Status{}, fmt.Errorf("virtual machine %s: %w", d.env.Machine, drivers.ErrNotFound)
	}
	path, err := d.locate()
	if err != nil {
		return drivers.Status{}, err
	}
	key, err := d.key(ctx)
	if err != nil {
		return drivers.Status{}, err
	}
	v, found, err := d.shells.at(path, d).states.Get(ctx, key)
	switch {
	case err != nil:
		return drivers.Status{}, err
	case !found:
		return drivers.Status{}, fmt.Errorf("virtual machine %s (%s): %w", st.Name, st.ID, drivers.ErrNotFound)
	}
	s := drivers.Status{State: stateOf(v.State), User: st.User}
	if s.State == drivers.Running {
		s.Host, s.SSHPort = cmp.Or(st.Address, v.address(st.MAC)), sshPort
	}
	return s, nil
}
