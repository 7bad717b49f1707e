package virtualbox

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/cloudimage"
	"github.com/hostsmith/machine/drivers/internal/localvm"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// Create implements drivers.Driver.
func (d *driver) Create(ctx context.Context, req drivers.CreateRequest) error {
	t, v, err := d.connect(ctx)
	if err != nil {
		return err
	}
	all, err := t.vms(ctx)
	if err != nil {
		return err
	}
	st := &d.state.Value
	known, found := all[st.UUID]
	if found && known.Lost {
		return lost(known)
	}
	if st.Configured && !found { // somebody deleted it
		if err := d.Remove(ctx); err != nil {
			return err
		}
	}
	if st.Configured {
		return d.run(ctx, t, v)
	}
	if err := d.make(ctx, t, v, req, all); err != nil {
		return err
	}
	return d.start(ctx, t, func(ctx context.Context) error { return d.boot(ctx, t) }, true)
}

// make makes the virtual machine.
func (d *driver) make(ctx context.Context, t *tool, v version, req drivers.CreateRequest, all map[string]vm) error {
	own, err := localvm.UserData(d.env, Name+"-userdata", d.cfg.UserData, req.UserData)
	if err != nil {
		return err
	}
	if err := d.checkName(all); err != nil {
		return err
	}
	img, err := d.image(v)
	if err != nil {
		return err
	}
	if err := d.intend(); err != nil {
		return err
	}
	file := cloudimage.File{Image: img}
	if _, err := os.Stat(plan{Folder: d.state.Value.Folder}.disk()); err != nil || d.cfg.Boot2DockerURL != "" {
		if file, err = d.fetch(ctx, img); err != nil {
			return err
		}
	}
	p, err := d.plan(ctx, t, v, file)
	if err != nil {
		return err
	}
	if err := d.makeDisk(ctx, t, p, file, req); err != nil {
		return err
	}
	return d.env.Step(ctx, "make virtual machine "+p.Name, func(ctx context.Context) error {
		ctx, cancel := wait.Within(ctx, configLimit, "make virtual machine "+p.Name)
		defer cancel()
		return d.locked(ctx, "creation", func(ctx context.Context) error {
			all, err := d.register(ctx, t, p)
			if err != nil {
				return err
			}
			if err := d.connectNetwork(ctx, t, &p, all); err != nil {
				return err
			}
			if err := d.furnish(ctx, t, p, file, req, own); err != nil {
				return err
			}
			d.state.Value.Configured = true
			return d.state.Save()
		})
	})
}

// intend records what is going to be made.
func (d *driver) intend() error {
	st := &d.state.Value
	if st.UUID != "" {
		return nil
	}
	folder, err := filepath.Abs(filepath.Join(d.env.Dir, "virtualbox"))
	if err != nil {
		return fmt.Errorf("find the machine's folder: %w", err)
	}
	home := d.ownHome()
	*st = State{
		Home: home, UUID: localvm.NewUUID(), Disk: localvm.NewUUID(), Name: d.env.Machine, Folder: folder, Arch: d.world.arch,
		User: d.cfg.SSHUser, NATMAC: localvm.NewMAC("080027"), MAC: localvm.NewMAC("080027"), CIDR: d.cfg.HostOnlyCIDR,
		DHCP: d.cfg.dhcp(), Forwarded: d.cfg.Access == accessForwarded,
	}
	if d.cfg.Boot2DockerURL != "" {
		st.User = "docker"
	}
	return d.state.Save()
}

// plan says what the virtual machine is made from, but for its network.
func (d *driver) plan(ctx context.Context, t *tool, v version, file cloudimage.File) (plan, error) {
	st := &d.state.Value
	p := plan{
		UUID: st.UUID, Disk: st.Disk, Name: st.Name, Folder: st.Folder, Arch: st.Arch, Version: v,
		Store: d.env.StoreID, Machine: d.env.Machine, Creator: d.env.Creator,
		CPUs: d.cfg.CPUs, Memory: d.cfg.Memory, DiskSize: d.cfg.DiskSize,
		Firmware: d.firmware(file.Image), Graphics: d.cfg.Graphics,
		NATMAC: st.NATMAC, MAC: st.MAC, NATType: d.cfg.NATNICType, HostOnlyType: d.cfg.HostOnlyNICType, Promisc: d.cfg.HostOnlyPromisc,
		HostDNSResolver: d.cfg.HostDNSResolver, NoDNSProxy: d.cfg.NoDNSProxy,
	}
	var err error
	if p.ShareDir, p.ShareName, err = d.cfg.share(); err != nil {
		return p, err
	}
	if p.Graphics == "" {
		p.Graphics = map[bool]string{false: "vmsvga", true: "qemuramfb"}[p.arm()]
	}
	if p.CPUs < 0 {
		if p.CPUs, err = t.processors(ctx); err != nil {
			return p, err
		}
	}
	if d.cfg.Boot2DockerURL != "" {
		p.ISO, p.Firmware = file.Path, "bios"
		st.ISO = file.Path // saved before it is attached
	}
	return p, nil
}

// firmware returns what the image boots with, in VirtualBox's words.
func (d *driver) firmware(img cloudimage.Image) string {
	switch {
	case d.wantFirmware() == "uefi":
		return "efi"
	case d.wantFirmware() == "" && len(img.Firmware) > 0 && !slices.Contains(img.Firmware, "bios"):
		return "efi"
	}
	return "bios"
}

// makeDisk makes the machine's own disk unless it is there.
func (d *driver) makeDisk(ctx context.Context, t *tool, p plan, file cloudimage.File, req drivers.CreateRequest) error {
	if err := os.MkdirAll(p.Folder, 0o700); err != nil {
		return fmt.Errorf("make the machine's folder: %w", err)
	}
	if _, err := os.Stat(p.disk()); err == nil {
		return nil
	}
	if p.ISO != "" {
		return blankDisk(ctx, t, p.disk(), req.AuthorizedKey)
	}
	base, err := d.base(ctx, t, file)
	if err != nil {
		return err
	}
	return d.env.Step(ctx, "copy the image", func(ctx context.Context) error { return localvm.CopyDisk(ctx, base.Path, p.disk()) })
}

// checkName refuses a name that another virtual machine has. VirtualBox would bear
// two, but people tell them apart by it.
func (d *driver) checkName(all map[string]vm) error {
	for _, v := range all {
		if v.Name == d.env.Machine && v.UUID != d.state.Value.UUID {
			return &drivers.HintError{
				Err:    fmt.Errorf("VirtualBox has a virtual machine %s already, of %s: %w", v.Name, v.Config, drivers.ErrConflict),
				Advice: "choose another name, or remove it: VBoxManage unregistervm " + v.UUID + " --delete",
			}
		}
	}
	return nil
}

// register makes the virtual machine known to VirtualBox unless it is. It returns
// those that were known before.
func (d *driver) register(ctx context.Context, t *tool, p plan) (map[string]vm, error) {
	all, err := t.vms(ctx)
	if err != nil {
		return nil, err
	}
	if _, found := all[p.UUID]; found {
		return all, nil
	}
	if err := d.checkName(all); err != nil {
		return nil, err
	}
	// Settings that were written and not registered would be in the way.
	if err := os.RemoveAll(filepath.Join(p.Folder, p.Name)); err != nil {
		return nil, fmt.Errorf("remove unfinished settings: %w", err)
	}
	if err := t.do(ctx, "setextradata", "global", d.markMachine(p.UUID), p.Machine); err != nil {
		return nil, err
	}
	if err := t.do(ctx, p.create()...); err != nil {
		return nil, fmt.Errorf("register virtual machine %s: %w", p.Name, err)
	}
	return all, nil
}

// connectNetwork finds or makes the host-only network, and what the machine has
// there. It completes the plan.
func (d *driver) connectNetwork(ctx context.Context, t *tool, p *plan, all map[string]vm) error {
	st := &d.state.Value
	cidr, err := netip.ParsePrefix(st.CIDR)
	if err != nil {
		return fmt.Errorf("read the host-only network %q: %w", st.CIDR, err)
	}
	n, err := d.ensureNetwork(ctx, t, p.Version, cidr)
	if err != nil {
		return err
	}
	st.Network = &n
	if st.DHCP && !d.cfg.HostOnlyNoDHCP && !n.Net {
		if err := d.ensureDHCP(ctx, t, n, cidr); err != nil {
			return err
		}
	}
	if !st.DHCP {
		addr, err := d.chooseAddress(ctx, t, n, cidr, all)
		if err != nil {
			return err
		}
		st.Address = addr.String()
	}
	if err := d.choosePorts(all); err != nil {
		return err
	}
	p.Network, p.SSHPort, p.EnginePort = n, st.SSHPort, st.EnginePort
	if !st.DHCP {
		p.Address = st.Address
	}
	return d.state.Save()
}

// choosePorts finds ports of this computer for the ways to the guest, unless those
// from before are free. Others' rules count also while they do not run.
func (d *driver) choosePorts(all map[string]vm) error {
	st := &d.state.Value
	taken := map[int]bool{}
	for _, v := range all {
		for _, port := range v.Ports {
			taken[port] = taken[port] || v.UUID != st.UUID
		}
	}
	choose := func(old int) (int, error) {
		if old != 0 && !taken[old] && d.world.free(old) {
			taken[old] = true
			return old, nil
		}
		for range 100 {
			port, err := d.world.pick()
			if err != nil {
				return 0, err
			}
			if !taken[port] {
				taken[port] = true
				return port, nil
			}
		}
		return 0, fmt.Errorf("find a free port on 127.0.0.1: %w", drivers.ErrQuota)
	}
	var err error
	if st.SSHPort, err = choose(st.SSHPort); err != nil || !st.Forwarded {
		return err
	}
	st.EnginePort, err = choose(st.EnginePort)
	return err
}
