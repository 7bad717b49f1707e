package virtualbox

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

const (
	startLimit = 5 * time.Minute
	offLimit   = 2 * time.Minute // that the power is off after it was cut
	leaseLimit = 3 * time.Minute
	pressAgain = 10 * time.Second // a guest that boots does not hear the power button
)

// found returns VBoxManage and what it knows of the machine.
func (d *driver) found(ctx context.Context) (*tool, version, map[string]string, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, version{}, nil, err
	}
	st := &d.state.Value
	if st.UUID == "" && !st.Legacy {
		return nil, version{}, nil, fmt.Errorf("virtual machine %s: %w", d.env.Machine, drivers.ErrNotFound)
	}
	t, v, err := d.connect(ctx)
	if err == nil {
		err = d.takeOver(ctx, t)
	}
	if err != nil {
		return nil, v, nil, err
	}
	info, err := t.info(ctx, st.UUID)
	if err != nil {
		return nil, v, nil, fmt.Errorf("virtual machine %s: %w", st.Name, err)
	}
	if name := info["name"]; name != st.Name {
		d.env.Note(ctx, fmt.Sprintf("the virtual machine of %s was renamed to %q in VirtualBox; it goes by its UUID %s", d.env.Machine, name, st.UUID))
	}
	return t, v, info, nil
}

// Start implements drivers.Driver.
func (d *driver) Start(ctx context.Context) error {
	t, v, _, err := d.found(ctx)
	if err != nil {
		return err
	}
	return d.run(ctx, t, v)
}

// run makes the virtual machine run unless it does.
func (d *driver) run(ctx context.Context, t *tool, v version) error {
	bounded, cancel := wait.Within(ctx, startLimit, "what VirtualBox does with "+d.state.Value.Name)
	defer cancel()
	state, err := d.settled(bounded, t)
	if err != nil {
		return err
	}
	switch state {
	case drivers.Running:
		return d.learnAddress(ctx, t, false)
	case drivers.Paused:
		return d.start(ctx, t, func(ctx context.Context) error { return d.resume(ctx, t) }, false)
	case drivers.Saved:
		return d.start(ctx, t, func(ctx context.Context) error { return d.restore(ctx, t) }, false)
	}
	return d.start(ctx, t, func(ctx context.Context) error {
		if err := d.prepare(ctx, t, v); err != nil {
			return err
		}
		return d.boot(ctx, t)
	}, true)
}

// start does what makes the virtual machine run, and waits for its address.
func (d *driver) start(ctx context.Context, t *tool, do func(context.Context) error, boots bool) error {
	bounded, cancel := wait.Within(ctx, startLimit, "start virtual machine "+d.state.Value.Name)
	defer cancel()
	err := d.env.Step(bounded, "start virtual machine "+d.state.Value.Name, func(ctx context.Context) error {
		return d.locked(ctx, "start", do)
	})
	if err != nil {
		return err
	}
	return d.learnAddress(ctx, t, boots)
}

// stateNow returns what the machine does.
func (d *driver) stateNow(ctx context.Context, t *tool) (drivers.State, error) {
	info, err := t.info(ctx, d.state.Value.UUID)
	if err != nil {
		return drivers.None, fmt.Errorf("virtual machine %s: %w", d.state.Value.Name, err)
	}
	return stateOf(info["VMState"]), nil
}

// settled returns what the machine does once it is not on its way to something else.
func (d *driver) settled(ctx context.Context, t *tool) (state drivers.State, err error) {
	err = wait.Until(ctx, d.world.pace, "what VirtualBox does with "+d.state.Value.Name, func(ctx context.Context) (bool, error) {
		state, err = d.stateNow(ctx, t)
		return state != drivers.Starting && state != drivers.Stopping, err
	})
	return state, err
}

func (d *driver) resume(ctx context.Context, t *tool) error {
	err := t.do(ctx, "controlvm", d.state.Value.UUID, "resume")
	if err != nil {
		if now, serr := d.stateNow(ctx, t); serr == nil && now == drivers.Running {
			return nil
		}
		return fmt.Errorf("resume %s: %w", d.state.Value.Name, err)
	}
	return nil
}

// prepare sees to what may have changed on this computer since the last start: a
// host-only interface loses its address at a reboot, and a port may be taken.
func (d *driver) prepare(ctx context.Context, t *tool, v version) error {
	st := &d.state.Value
	info, err := t.info(ctx, st.UUID)
	if err != nil {
		return err
	}
	if wrong := d.edited(info); len(wrong) > 0 {
		return &drivers.HintError{
			Err: fmt.Errorf("virtual machine %s was edited by hand: %s", st.Name, strings.Join(wrong, ", ")),
			Advice: fmt.Sprintf("undo it in VirtualBox's settings, or by VBoxManage modifyvm %s --nic1 nat %s; or make the machine anew",
				st.UUID, strings.Join(attach(*st.Network), " ")),
		}
	}
	cidr, err := netip.ParsePrefix(st.CIDR)
	if err != nil {
		return fmt.Errorf("read the host-only network %q: %w", st.CIDR, err)
	}
	n, err := d.ensureNetwork(ctx, t, v, cidr)
	if err != nil {
		return err
	}
	if st.DHCP && !d.cfg.HostOnlyNoDHCP && !n.Net {
		if err := d.ensureDHCP(ctx, t, n, cidr); err != nil {
			return err
		}
	}
	if n.Name != st.Network.Name || n.Net != st.Network.Net {
		err := d.patient(ctx, func(ctx context.Context) error {
			return t.do(ctx, append([]string{"modifyvm", st.UUID}, attach(n)...)...)
		})
		if err != nil {
			return fmt.Errorf("put %s on host-only network %s: %w", st.Name, n.Name, err)
		}
	}
	all, err := t.vms(ctx)
	if err != nil {
		return err
	}
	before := *st
	st.Network = &network{Name: n.Name, ID: n.ID, Net: n.Net}
	if err := d.choosePorts(all); err != nil {
		return err
	}
	if before.SSHPort != st.SSHPort || before.EnginePort != st.EnginePort || *before.Network != *st.Network {
		if err := d.state.Save(); err != nil {
			return err
		}
	}
	return d.forward(ctx, t, plan{UUID: st.UUID, Name: st.Name, SSHPort: st.SSHPort, EnginePort: st.EnginePort}, info)
}

// edited says what of a virtual machine is not as it was made, such that it cannot
// be reached or has lost its data.
func (d *driver) edited(info map[string]string) []string {
	st := &d.state.Value
	var wrong []string
	if info["nic1"] != "nat" {
		wrong = append(wrong, fmt.Sprintf("adapter 1 is %q instead of nat", info["nic1"]))
	}
	if kind := info["nic2"]; kind != "hostonly" && kind != "hostonlynetwork" {
		wrong = append(wrong, fmt.Sprintf("adapter 2 is %q instead of on the host-only network", kind))
	} else if info["macaddress2"] != st.MAC {
		wrong = append(wrong, fmt.Sprintf("adapter 2 has the MAC address %s instead of %s", info["macaddress2"], st.MAC))
	}
	if name, _ := (plan{Arch: st.Arch}).controller(); !st.Legacy && !d.hasDisk(info, name) {
		wrong = append(wrong, fmt.Sprintf("its disk %s is not at port 0 of %s", filepath.Join(st.Folder, "disk.vdi"), name))
	}
	return wrong
}

// hasDisk tells whether the disk is where it was attached. After a snapshot it is
// another one, based on ours.
func (d *driver) hasDisk(info map[string]string, controller string) bool {
	if id := info[controller+"-ImageUUID-0-0"]; id == d.state.Value.Disk {
		return true
	}
	path := info[controller+"-0-0"]
	return info["CurrentSnapshotUUID"] != "" && below(path, d.state.Value.Folder)
}

// boot starts the virtual machine. Somebody else may do so at the same time.
func (d *driver) boot(ctx context.Context, t *tool) error {
	st := &d.state.Value
	err := d.patient(ctx, func(ctx context.Context) error {
		err := t.do(ctx, "startvm", st.UUID, "--type", d.cfg.UIType)
		if busy(err) {
			if now, serr := d.settled(ctx, t); serr == nil && now == drivers.Running {
				return nil
			}
		}
		return err
	})
	if err != nil {
		return d.explainStart(ctx, t, err)
	}
	return nil
}

// restore has a saved virtual machine go on. Ports that others have taken meanwhile are
// replaced once it runs: before, its settings cannot be changed.
func (d *driver) restore(ctx context.Context, t *tool) error {
	all, err := t.vms(ctx)
	if err != nil {
		return err
	}
	st := &d.state.Value
	before := *st
	if err := d.choosePorts(all); err != nil {
		return err
	}
	if err := d.boot(ctx, t); err != nil || before.SSHPort == st.SSHPort && before.EnginePort == st.EnginePort {
		return err
	}
	if err := d.state.Save(); err != nil {
		return err
	}
	return d.reforward(ctx, t)
}

func (d *driver) explainStart(ctx context.Context, t *tool, err error) error {
	err = fmt.Errorf("start virtual machine %s: %w", d.state.Value.Name, err)
	if strings.Contains(err.Error(), "terminated unexpectedly during startup") {
		return &drivers.HintError{Err: err, Advice: "look into " + filepath.Join(d.state.Value.Folder, d.state.Value.Name, "Logs") + "; " + adviceKernel}
	}
	return err
}

// learnAddress waits for the address that a DHCP server gives to the machine. One
// that was booted may have got another one.
func (d *driver) learnAddress(ctx context.Context, t *tool, booted bool) error {
	st := &d.state.Value
	if !st.DHCP || st.Address != "" && !booted {
		return nil
	}
	bounded, cancel := wait.Within(ctx, leaseLimit, "the DHCP server")
	defer cancel()
	return d.env.Step(bounded, "wait for the address of "+st.Name, func(bounded context.Context) error {
		var address string
		err := wait.Until(bounded, d.world.pace, "a DHCP lease for "+localvm.Colons(st.MAC), func(ctx context.Context) (bool, error) {
			address = d.lease(ctx, t)
			return address != "", nil
		})
		if err != nil && context.Cause(ctx) == nil {
			return &drivers.HintError{
				Err:    fmt.Errorf("no address for %s on %s: %w", st.Name, st.Network.Name, err),
				Advice: "look at its console, and at VBoxManage list dhcpservers; without --virtualbox-ip dhcp machines have static addresses",
			}
		}
		if err != nil || address == st.Address {
			return err
		}
		st.Address = address
		return d.state.Save()
	})
}

// Stop implements drivers.Driver.
func (d *driver) Stop(ctx context.Context) error {
	t, _, _, err := d.found(ctx)
	if err != nil {
		return err
	}
	state, err := d.settled(ctx, t)
	if err != nil {
		return err
	}
	switch state {
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
		if off, err := d.shutDown(ctx, t); err != nil || off {
			return err
		}
		d.env.Note(ctx, fmt.Sprintf("%s did not shut down within %d s: its power is cut", d.env.Machine, d.cfg.Grace))
	}
	return d.cut(ctx, t)
}

// shutDown presses the power button and tells whether the guest went down in time.
func (d *driver) shutDown(ctx context.Context, t *tool) (off bool, err error) {
	grace, cancel := wait.Within(ctx, time.Duration(d.cfg.Grace)*time.Second, "the shutdown")
	defer cancel()
	var pressed time.Time
	err = wait.Until(grace, d.world.pace, "the shutdown", func(ctx context.Context) (bool, error) {
		if time.Since(pressed) > pressAgain {
			pressed = time.Now()
			if err := t.do(ctx, "controlvm", d.state.Value.UUID, "acpipowerbutton"); err != nil && !notRunning(err) {
				return false, fmt.Errorf("shut down %s: %w", d.state.Value.Name, err)
			}
		}
		state, err := d.stateNow(ctx, t)
		return state != drivers.Running && state != drivers.Stopping, err
	})
	if err != nil && ctx.Err() == nil && grace.Err() != nil {
		return false, nil
	}
	return err == nil, err
}

// Kill implements drivers.Killer.
func (d *driver) Kill(ctx context.Context) error {
	t, _, _, err := d.found(ctx)
	if err != nil {
		return err
	}
	return d.cut(ctx, t)
}

// cut powers the virtual machine off unless it is.
func (d *driver) cut(ctx context.Context, t *tool) error {
	return d.cutByID(ctx, t, d.state.Value.UUID)
}

func (d *driver) cutByID(ctx context.Context, t *tool, uuid string) error {
	ctx, cancel := wait.Within(ctx, offLimit, "power off "+uuid)
	defer cancel()
	return wait.Until(ctx, d.world.pace, "the power to be off", func(ctx context.Context) (bool, error) {
		info, err := t.info(ctx, uuid)
		if errors.Is(err, errLost) { // one that runs is not
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("power off %s: %w", uuid, err)
		}
		switch stateOf(info["VMState"]) {
		case drivers.Stopped:
			return true, nil
		case drivers.Saved:
			err = t.do(ctx, "discardstate", uuid)
		case drivers.Starting, drivers.Stopping:
			return false, nil
		default:
			err = t.do(ctx, "controlvm", uuid, "poweroff")
		}
		if err != nil && !notRunning(err) && !errors.Is(err, drivers.ErrInUse) {
			return false, fmt.Errorf("power off %s: %w", uuid, err)
		}
		return false, nil
	})
}
