package azure

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// patience is how long a shutdown in good order may take.
const patience = 5 * time.Minute

var errPatience = errors.New("the host did not shut down in 5 min")

// Start implements drivers.Driver.
func (d *driver) Start(ctx context.Context) error {
	a, v, err := d.now(ctx)
	if err != nil {
		return err
	}
	if err := d.start(ctx, a, v); err != nil {
		return err
	}
	before := d.state.Value
	if err := d.addresses(ctx, a); err != nil || d.state.Value == before {
		return err
	}
	return d.state.Save()
}

// now returns what the machine does now, asked for by itself.
func (d *driver) now(ctx context.Context) (*account, view, error) {
	v, err := d.view(ctx)
	if err != nil {
		return nil, view{}, err
	}
	a, err := d.account(ctx)
	if err == nil && d.state.Value.Legacy != "" {
		_, another, lerr := d.legacyVM(ctx, a)
		if err = lerr; another {
			err = fmt.Errorf("virtual machine %s of docker-machine, whose name another one has: %w", d.name(), drivers.ErrNotFound)
		}
	}
	return a, v, err
}

func (d *driver) start(ctx context.Context, a *account, v view) error {
	if v.power == "running" || v.power == "starting" {
		return nil
	}
	ctx, cancel := wait.Within(ctx, powerLimit, "the start")
	defer cancel()
	_, err := run(ctx, a, "start virtual machine "+d.name(), func(ctx context.Context) (*runtime.Poller[armcompute.VirtualMachinesClientStartResponse], error) {
		return a.vms.BeginStart(ctx, d.group(), d.name(), nil)
	})
	return err
}

// Stop implements drivers.Driver.
func (d *driver) Stop(ctx context.Context) error {
	a, v, err := d.now(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := wait.Within(ctx, powerLimit, "the stop")
	defer cancel()
	if v.power != "stopped" && v.power != "deallocated" && v.power != "deallocating" {
		if err := d.shutDown(ctx, a); err != nil {
			return err
		}
	}
	if d.cfg.KeepBilled || v.power == "deallocated" {
		return nil
	}
	_, err = run(ctx, a, "deallocate virtual machine "+d.name(), func(ctx context.Context) (*runtime.Poller[armcompute.VirtualMachinesClientDeallocateResponse], error) {
		return a.vms.BeginDeallocate(ctx, d.group(), d.name(), nil)
	})
	return err
}

// shutDown shuts the host down in good order, and by force when that takes too long.
func (d *driver) shutDown(ctx context.Context, a *account) error {
	bounded, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
	defer cancel()
	err := d.powerOff(bounded, a, false)
	if errors.Is(err, errPatience) {
		d.env.Log.InfoContext(ctx, "azure: host is powered off", "why", errPatience)
		return d.powerOff(ctx, a, true)
	}
	return err
}

func (d *driver) powerOff(ctx context.Context, a *account, hard bool) error {
	_, err := run(ctx, a, "power off virtual machine "+d.name(), func(ctx context.Context) (*runtime.Poller[armcompute.VirtualMachinesClientPowerOffResponse], error) {
		return a.vms.BeginPowerOff(ctx, d.group(), d.name(), &armcompute.VirtualMachinesClientBeginPowerOffOptions{SkipShutdown: &hard})
	})
	return err
}

// Kill implements drivers.Killer. The machine stays allocated, and billed, until it is stopped.
func (d *driver) Kill(ctx context.Context) error {
	a, v, err := d.now(ctx)
	if err != nil || v.state() == drivers.Stopped {
		return err
	}
	ctx, cancel := wait.Within(ctx, powerLimit, "the power off")
	defer cancel()
	return d.powerOff(ctx, a, true)
}

// Restart implements drivers.Restarter.
func (d *driver) Restart(ctx context.Context) error {
	a, v, err := d.now(ctx)
	if err != nil {
		return err
	}
	if v.power != "running" {
		return d.Start(ctx)
	}
	ctx, cancel := wait.Within(ctx, powerLimit, "the restart")
	defer cancel()
	_, err = run(ctx, a, "restart virtual machine "+d.name(), func(ctx context.Context) (*runtime.Poller[armcompute.VirtualMachinesClientRestartResponse], error) {
		return a.vms.BeginRestart(ctx, d.group(), d.name(), nil)
	})
	return err
}
