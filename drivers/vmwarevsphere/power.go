package vmwarevsphere

import (
	"context"
	"fmt"
	"time"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// awaitAddress waits until VMware Tools tell an address.
func (d *driver) awaitAddress(ctx context.Context, c *center, vm reference) error {
	if d.cfg.ToolsTimeout == 0 {
		return nil
	}
	limit := time.Duration(d.cfg.ToolsTimeout) * time.Second
	bounded, cancel := wait.Within(ctx, limit, "the guest")
	defer cancel()
	name := d.state.Value.Name
	var reason error
	return d.env.Step(bounded, "wait for the address of "+name, func(bounded context.Context) error {
		err := wait.Until(bounded, d.pace, "the address", func(ctx context.Context) (bool, error) {
			all, err := c.look(ctx, []string{vm.Value})
			s, found := all[vm.Value]
			if err == nil && !found {
				err = fmt.Errorf("find virtual machine %s: %w", name, drivers.ErrNotFound)
			}
			if err != nil {
				return false, err
			}
			reason = d.silence(s)
			return reason == nil, nil
		})
		if err == nil || reason == nil || bounded.Err() == nil || context.Cause(ctx) != nil {
			return err
		}
		return &drivers.HintError{
			Err:    fmt.Errorf("wait for the address of %s: %w (within %v)", name, reason, limit),
			Advice: "look at its console in the vSphere Client: cloud images need open-vm-tools and cloud-init, the network a DHCP server or the machine --vmwarevsphere-ip; the same create goes on from here",
		}
	})
}

// power returns the power state.
func (c *center) power(ctx context.Context, vm reference) (types.VirtualMachinePowerState, error) {
	ctx, cancel := wait.Within(ctx, callLimit, "ask "+c.url.Host+" for the state of "+vm.Value)
	defer cancel()
	p, err := c.properties(ctx, vm, "runtime.powerState")
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return types.VirtualMachinePowerState(p.text("runtime.powerState")), err
}

// Start implements drivers.Driver.
func (d *driver) Start(ctx context.Context) error {
	c, vm, err := d.held(ctx)
	if err != nil {
		return err
	}
	return d.run(ctx, c, vm)
}

// Stop implements drivers.Driver.
func (d *driver) Stop(ctx context.Context) error {
	c, vm, err := d.held(ctx)
	if err != nil {
		return err
	}
	what := "shut down " + d.state.Value.Name
	state, err := c.power(ctx, vm)
	if err != nil {
		return c.explain(ctx, what, err)
	}
	if state != types.VirtualMachinePowerStatePoweredOn {
		return nil
	}
	if d.cfg.Grace == 0 {
		return d.cut(ctx, c, vm)
	}
	done, err := d.shutDown(ctx, c, vm)
	if fault.Is(err, &types.ToolsUnavailable{}) || fault.Is(err, &types.NotSupported{}) {
		d.env.Note(ctx, d.state.Value.Name+" runs no VMware Tools that could shut it down: its power is cut")
		return d.cut(ctx, c, vm)
	}
	if err != nil {
		return c.explain(ctx, what, err)
	}
	if done {
		return nil
	}
	d.env.Note(ctx, fmt.Sprintf("%s did not shut down within %d s: its power is cut", d.state.Value.Name, d.cfg.Grace))
	return d.cut(ctx, c, vm)
}

// shutDown asks the guest to shut down and tells whether it did in time.
func (d *driver) shutDown(ctx context.Context, c *center, vm reference) (done bool, err error) {
	grace, cancel := wait.Within(ctx, time.Duration(d.cfg.Grace)*time.Second, "the shutdown")
	defer cancel()
	err = c.shutdownGuest(grace, vm)
	switch {
	case err == nil:
		err = wait.Until(grace, d.pace, "the shutdown", func(ctx context.Context) (bool, error) {
			state, err := c.power(ctx, vm)
			return state == types.VirtualMachinePowerStatePoweredOff, err
		})
	case fault.Is(err, &types.InvalidPowerState{}):
		return true, nil
	}
	if err != nil && grace.Err() != nil && ctx.Err() == nil {
		return false, nil
	}
	return err == nil, err
}

// Kill implements drivers.Killer.
func (d *driver) Kill(ctx context.Context) error {
	c, vm, err := d.held(ctx)
	if err != nil {
		return err
	}
	return d.cut(ctx, c, vm)
}

// cut powers a virtual machine off unless it is.
func (d *driver) cut(ctx context.Context, c *center, vm reference) error {
	ctx, cancel := wait.Within(ctx, powerLimit, "power off "+vm.Value)
	defer cancel()
	what := "power off " + d.state.Value.Name
	state, err := c.power(ctx, vm)
	if err != nil || state != types.VirtualMachinePowerStatePoweredOn {
		return c.explain(ctx, what, err)
	}
	err = c.do(ctx, d.pace, what, func(ctx context.Context) (reference, error) { return c.powerOff(ctx, vm) })
	if fault.Is(err, &types.InvalidPowerState{}) {
		return nil
	}
	return c.explain(ctx, what, err)
}
