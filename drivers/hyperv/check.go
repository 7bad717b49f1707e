package hyperv

import (
	"context"
	"fmt"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// Check implements drivers.Driver.
func (d *driver) Check(ctx context.Context) error {
	t, err := d.connect(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := wait.Within(ctx, askLimit, "check Hyper-V")
	defer cancel()
	if d.world.arch != "amd64" && d.cfg.Boot2DockerURL != "" {
		return fmt.Errorf("boot2docker on %s: %w: its ISO is for amd64", d.world.arch, drivers.ErrUnsupported)
	}
	if _, err := d.image(); err != nil {
		return err
	}
	if _, err := localvm.UserData(d.env, Name+"-userdata", d.cfg.UserData, nil); err != nil {
		return err
	}
	host, err := t.probe(ctx)
	if err != nil {
		return fmt.Errorf("ask what this computer can do: %w", err)
	}
	if err := d.checkHost(host); err != nil {
		return err
	}
	folder, err := d.windowsPath(ctx, d.env.Dir)
	if err != nil {
		return err
	}
	if _, err := d.windowsPath(ctx, d.shared()); err != nil {
		return err
	}
	all, err := t.machines(ctx, nil)
	if err != nil {
		return err
	}
	if err := d.checkName(all, d.below(folder, "hyperv")); err != nil {
		return err
	}
	return d.checkNetwork(ctx, t, host, all)
}

// checkHost refuses a computer on which no virtual machine would run.
func (d *driver) checkHost(host probe) error {
	switch {
	case !host.Module:
		return &drivers.HintError{
			Err:    fmt.Errorf("Hyper-V's PowerShell module is not installed (Windows %s): %w", host.Windows, drivers.ErrUnreachable),
			Advice: adviceModule,
		}
	case host.Service == "":
		return &drivers.HintError{
			Err:    fmt.Errorf("Hyper-V is not installed: there is no service vmms (Windows %s): %w", host.Windows, drivers.ErrUnreachable),
			Advice: adviceModule,
		}
	case host.Service != "Running":
		return &drivers.HintError{
			Err:    fmt.Errorf("Hyper-V's service vmms is %s: %w", host.Service, drivers.ErrUnreachable),
			Advice: adviceService,
		}
	case !host.Admin && !host.HyperVAdmin:
		return &drivers.HintError{
			Err:    fmt.Errorf("manage Hyper-V: %w: the user is no administrator and not in the group Hyper-V Administrators", drivers.ErrPermission),
			Advice: adviceAdmin,
		}
	case !host.Hypervisor:
		return &drivers.HintError{
			Err:    fmt.Errorf("the hypervisor is not running: %w", drivers.ErrUnsupported),
			Advice: adviceHypervisor,
		}
	}
	if have := host.Memory / mebi; have > 0 && int64(d.cfg.Memory) > have {
		return &drivers.OptionError{Option: Name + "-memory", Err: fmt.Errorf("%d MiB are more than this computer has, %d", d.cfg.Memory, have)}
	}
	if host.Processors > 0 && d.cfg.CPUs > host.Processors {
		return &drivers.OptionError{Option: Name + "-cpu-count", Err: fmt.Errorf("%d processors are more than this computer has, %d", d.cfg.CPUs, host.Processors)}
	}
	return nil
}

// checkNetwork refuses a switch that is not there, a range that is in the way of
// another, and an address or a MAC address that another machine has.
func (d *driver) checkNetwork(ctx context.Context, t *tool, host probe, all map[string]vm) error {
	if d.state.Value.Folder == "" && d.cfg.MAC != "" {
		mac, err := parseMAC(d.cfg.MAC)
		if err != nil {
			return err
		}
		for _, v := range all {
			if v.ID != d.state.Value.ID && v.hasMAC(mac) {
				return fmt.Errorf("MAC address %s: %w: virtual machine %s has it", localvm.Colons(mac), drivers.ErrConflict, v.Name)
			}
		}
	}
	n, err := t.networks(ctx)
	if err != nil {
		return err
	}
	if d.cfg.NAT == "" {
		_, err := d.chooseSwitch(n)
		return err
	}
	subnet, err := parseSubnet(d.cfg.NAT)
	if err != nil {
		return err
	}
	_, there, err := d.natSwitch(n, subnet)
	if err != nil {
		return err
	}
	if !there && !host.Admin {
		return &drivers.HintError{
			Err:    fmt.Errorf("make a network for --%s-nat %s: %w: that takes an administrator", Name, subnet, drivers.ErrPermission),
			Advice: "make the first machine on it as an administrator; after that the group Hyper-V Administrators suffices",
		}
	}
	probe := *d // chooses an address and forgets it
	state := *d.state
	state.Value.Subnet = d.cfg.NAT
	probe.state = &state
	return probe.chooseAddress(all, "")
}
