package hyperv

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

const (
	startLimit = 5 * time.Minute
	offLimit   = 2 * time.Minute  // that the power is off after it was cut
	pressAgain = 10 * time.Second // a guest that boots does not hear yet
)

// look returns what Hyper-V knows of the machine.
func (d *driver) look(ctx context.Context, t *tool) (vm, error) {
	st := &d.state.Value
	if st.ID == "" {
		return vm{}, fmt.Errorf("virtual machine %s: %w", d.env.Machine, drivers.ErrNotFound)
	}
	all, err := t.machines(ctx, []string{st.ID})
	if err != nil {
		return vm{}, fmt.Errorf("virtual machine %s: %w", st.Name, err)
	}
	v, found := all[st.ID]
	if !found {
		return vm{}, fmt.Errorf("virtual machine %s (%s): %w", st.Name, st.ID, drivers.ErrNotFound)
	}
	return v, nil
}

// found returns Hyper-V and what it knows of the machine.
func (d *driver) found(ctx context.Context) (*tool, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if d.state.Value.ID == "" && !d.state.Value.Legacy {
		return nil, fmt.Errorf("virtual machine %s: %w", d.env.Machine, drivers.ErrNotFound)
	}
	t, err := d.connect(ctx)
	if err == nil {
		err = d.takeOver(ctx, t)
	}
	if err != nil {
		return nil, err
	}
	v, err := d.look(ctx, t)
	if err != nil {
		return nil, err
	}
	if v.Name != d.state.Value.Name {
		d.env.Note(ctx, fmt.Sprintf("the virtual machine of %s was renamed to %q in Hyper-V; it goes by its id %s", d.env.Machine, v.Name, v.ID))
	}
	return t, nil
}

// Start implements drivers.Driver.
func (d *driver) Start(ctx context.Context) error {
	t, err := d.found(ctx)
	if err != nil {
		return err
	}
	return d.run(ctx, t)
}

// run makes the virtual machine run unless it does.
func (d *driver) run(ctx context.Context, t *tool) error {
	bounded, cancel := wait.Within(ctx, startLimit, "start virtual machine "+d.state.Value.Name)
	defer cancel()
	v, err := d.settled(bounded, t)
	if err != nil {
		return err
	}
	if stateOf(v.State) == drivers.Running {
		return d.awaitAddress(ctx, t, v)
	}
	err = d.env.Step(bounded, "start virtual machine "+d.state.Value.Name, func(ctx context.Context) error {
		switch stateOf(v.State) {
		case drivers.Paused:
			return d.resume(ctx, t)
		case drivers.Saved:
			return d.boot(ctx, t)
		case drivers.Error:
			return &drivers.HintError{
				Err:    fmt.Errorf("start virtual machine %s: Hyper-V says %s (%s)", v.Name, v.State, v.Status),
				Advice: "its disk or its memory is out of reach: look at it in Hyper-V Manager",
			}
		}
		if err := d.prepare(ctx, t, v); err != nil {
			return err
		}
		return d.boot(ctx, t)
	})
	if err != nil {
		return err
	}
	return d.awaitAddress(ctx, t, v)
}

// settled returns the machine once it is not on its way to another state.
func (d *driver) settled(ctx context.Context, t *tool) (v vm, err error) {
	err = wait.Until(ctx, d.world.pace, "what Hyper-V does with "+d.state.Value.Name, func(ctx context.Context) (bool, error) {
		v, err = d.look(ctx, t)
		s := stateOf(v.State)
		return s != drivers.Starting && s != drivers.Stopping, err
	})
	return v, err
}

// instead tells whether a machine is in a state in spite of an error: somebody else
// may have done the same.
func (d *driver) instead(ctx context.Context, t *tool, want drivers.State) bool {
	v, err := d.look(ctx, t)
	return err == nil && stateOf(v.State) == want
}

func (d *driver) resume(ctx context.Context, t *tool) error {
	if err := t.do(ctx, opResume, d.state.Value.ID); err != nil && !d.instead(ctx, t, drivers.Running) {
		return fmt.Errorf("resume %s: %w", d.state.Value.Name, err)
	}
	return nil
}

func (d *driver) boot(ctx context.Context, t *tool) error {
	if err := t.do(ctx, opStart, d.state.Value.ID); err != nil && !d.instead(ctx, t, drivers.Running) {
		return fmt.Errorf("start virtual machine %s: %w", d.state.Value.Name, err)
	}
	return nil
}

// prepare sees to what may have changed since the last start: the switch may be gone,
// and the adapter may have been edited.
func (d *driver) prepare(ctx context.Context, t *tool, v vm) error {
	st := &d.state.Value
	var own *adapter
	for i := range v.Adapters {
		if strings.EqualFold(v.Adapters[i].MAC, st.MAC) || st.Legacy && i == 0 {
			own = &v.Adapters[i]
		}
	}
	switch {
	case st.Legacy && (own == nil || own.Switch == ""):
		return &drivers.HintError{
			Err:    fmt.Errorf("virtual machine %s of docker-machine is not connected to a switch", v.Name),
			Advice: "connect its network adapter in Hyper-V Manager, or by Connect-VMNetworkAdapter",
		}
	case own == nil:
		return &drivers.HintError{
			Err:    fmt.Errorf("virtual machine %s was edited by hand: it has no network adapter with the MAC address %s", v.Name, localvm.Colons(st.MAC)),
			Advice: "give its adapter this static MAC address in Hyper-V Manager, under advanced features, or make the machine anew",
		}
	case own.Switch != "" && st.Switch != nil && !strings.EqualFold(own.SwitchID, st.Switch.ID):
		d.env.Note(ctx, fmt.Sprintf("%s was put on the switch %q by hand, and stays there", v.Name, own.Switch))
		return nil
	case own.Switch != "":
		return nil
	}
	return d.locked(ctx, "start", func(ctx context.Context) error {
		s, err := d.ensureSwitch(ctx, t)
		if err != nil {
			return fmt.Errorf("virtual machine %s has lost its switch %q: %w", v.Name, st.Switch.Name, err)
		}
		st.Switch = &lan{ID: s.ID, Name: s.Name}
		if err := d.state.Save(); err != nil {
			return err
		}
		if err := t.connectMachine(ctx, st.ID, d.cable()); err != nil {
			return fmt.Errorf("connect %s to the switch %q: %w", v.Name, s.Name, err)
		}
		return nil
	})
}

// awaitAddress waits until it is known where a machine is that has its address by
// DHCP.
func (d *driver) awaitAddress(ctx context.Context, t *tool, v vm) error {
	st := &d.state.Value
	if st.Address != "" || v.address(st.MAC) != "" && stateOf(v.State) == drivers.Running {
		return nil
	}
	bounded, cancel := wait.Within(ctx, d.world.patience, "the address")
	defer cancel()
	return d.env.Step(bounded, "wait for the address of "+st.Name, func(bounded context.Context) error {
		err := wait.Until(bounded, d.world.pace, "an address", func(ctx context.Context) (bool, error) {
			v, err := d.look(ctx, t)
			if err == nil && stateOf(v.State) != drivers.Running {
				return false, fmt.Errorf("virtual machine %s is %s while its address is waited for", v.Name, v.State)
			}
			return v.address(st.MAC) != "", err
		})
		if err != nil && context.Cause(ctx) == nil && bounded.Err() != nil {
			return d.explainAddress(ctx, t, err)
		}
		return err
	})
}

// explainAddress says why a machine has no address that anybody knows.
func (d *driver) explainAddress(ctx context.Context, t *tool, err error) error {
	st := &d.state.Value
	kind := ""
	if n, nerr := t.networks(ctx); nerr == nil {
		for _, s := range n.Switches {
			if strings.EqualFold(s.ID, st.Switch.ID) {
				kind = s.Type
			}
		}
	}
	const guest = "; if the guest has one, it does not tell: install the package hyperv-daemons there (linux-cloud-tools-virtual on Ubuntu); look at it with vmconnect"
	advice := "does the network behind this External switch have a DHCP server, and does it serve this MAC address " + localvm.Colons(st.MAC) + "?" + guest
	switch {
	case strings.EqualFold(st.Switch.ID, defaultSwitch):
		advice = "the Default Switch gives addresses once Windows' service Internet Connection Sharing (SharedAccess) runs; a restart of Windows mends it often. " +
			"Or take --hyperv-nat 192.168.144.0/24" + guest
	case kind == "Internal" || kind == "Private":
		advice = "there is no DHCP on a switch of this kind unless somebody runs a server there: take --hyperv-nat 192.168.144.0/24, or leave --hyperv-virtual-switch out" + guest
	}
	return &drivers.HintError{
		Err:    fmt.Errorf("no address for %s on switch %q (%s): %w", st.Name, st.Switch.Name, kind, err),
		Advice: advice,
	}
}

// Stop implements drivers.Driver.
func (d *driver) Stop(ctx context.Context) error {
	t, err := d.found(ctx)
	if err != nil {
		return err
	}
	v, err := d.settled(ctx, t)
	if err != nil {
		return err
	}
	switch stateOf(v.State) {
	case drivers.Running:
	case drivers.Paused:
		if err := d.resume(ctx, t); err != nil { // a paused guest hears nothing
			return err
		}
	case drivers.Error:
		return d.cut(ctx, t)
	default:
		return nil
	}
	if d.cfg.Grace > 0 {
		why, err := d.shutDown(ctx, t)
		if err != nil || why == nil {
			return err
		}
		d.env.Note(ctx, fmt.Sprintf("%s did not shut down within %d s (%v): its power is cut", d.env.Machine, d.cfg.Grace, why))
	}
	return d.cut(ctx, t)
}

// shutDown asks the guest to shut down. why says why it did not in time.
func (d *driver) shutDown(ctx context.Context, t *tool) (why, err error) {
	grace, cancel := wait.Within(ctx, time.Duration(d.cfg.Grace)*time.Second, "the shutdown")
	defer cancel()
	var asked time.Time
	var refused error
	err = wait.Until(grace, d.world.pace, "the shutdown", func(ctx context.Context) (bool, error) {
		if time.Since(asked) > pressAgain {
			asked = time.Now()
			refused = t.do(ctx, opShutDown, d.state.Value.ID)
		}
		v, err := d.look(ctx, t)
		s := stateOf(v.State)
		return s != drivers.Running && s != drivers.Stopping, err
	})
	switch {
	case err == nil:
		return nil, nil
	case ctx.Err() == nil && grace.Err() != nil && refused != nil:
		return refused, nil
	case ctx.Err() == nil && grace.Err() != nil:
		return err, nil
	}
	return nil, err
}

// Kill implements drivers.Killer.
func (d *driver) Kill(ctx context.Context) error {
	t, err := d.found(ctx)
	if err != nil {
		return err
	}
	return d.cut(ctx, t)
}

// cut powers the virtual machine off unless it is.
func (d *driver) cut(ctx context.Context, t *tool) error {
	ctx, cancel := wait.Within(ctx, offLimit, "power off "+d.state.Value.Name)
	defer cancel()
	return wait.Until(ctx, d.world.pace, "the power to be off", func(ctx context.Context) (bool, error) {
		v, err := d.look(ctx, t)
		if err != nil || stateOf(v.State) == drivers.Stopped {
			return true, err
		}
		if err := t.do(ctx, opTurnOff, v.ID); err != nil && !d.instead(ctx, t, drivers.Stopped) {
			return false, fmt.Errorf("power off %s: %w", v.Name, err)
		}
		return false, nil
	})
}
