package hyperv

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/cloudimage"
	"github.com/hostsmith/machine/drivers/internal/localvm"
	"github.com/hostsmith/machine/drivers/internal/lockfile"
	"github.com/hostsmith/machine/drivers/internal/seed"
)

const mebi = 1 << 20

// Create implements drivers.Driver.
func (d *driver) Create(ctx context.Context, req drivers.CreateRequest) error {
	t, err := d.connect(ctx)
	if err != nil {
		return err
	}
	all, err := t.machines(ctx, nil)
	if err != nil {
		return err
	}
	st := &d.state.Value
	if _, found := all[st.ID]; st.Configured && !found { // somebody deleted it
		if err := d.Remove(ctx); err != nil {
			return err
		}
	}
	if !st.Configured {
		if err := d.make(ctx, t, req, all); err != nil {
			return err
		}
	}
	return d.run(ctx, t)
}

// make makes the virtual machine.
func (d *driver) make(ctx context.Context, t *tool, req drivers.CreateRequest, all map[string]vm) error {
	own, err := localvm.UserData(d.env, Name+"-userdata", d.cfg.UserData, req.UserData)
	if err != nil {
		return err
	}
	img, err := d.image()
	if err != nil {
		return err
	}
	if err := d.intend(); err != nil {
		return err
	}
	folder, err := d.folder(ctx)
	if err != nil {
		return err
	}
	if err := d.checkName(all, folder); err != nil {
		return err
	}
	if err := d.makeDisk(ctx, t, &img, req); err != nil {
		return err
	}
	return d.env.Step(ctx, "make virtual machine "+d.state.Value.Name, func(ctx context.Context) error {
		return d.locked(ctx, "creation", func(ctx context.Context) error {
			return d.assemble(ctx, t, folder, img, req, own)
		})
	})
}

// intend records what is going to be made.
func (d *driver) intend() error {
	st := &d.state.Value
	if st.Folder != "" {
		return nil
	}
	folder, err := filepath.Abs(filepath.Join(d.env.Dir, "hyperv"))
	if err != nil {
		return fmt.Errorf("find the machine's folder: %w", err)
	}
	mac, err := parseMAC(d.cfg.MAC)
	if err != nil {
		return fmt.Errorf("%w --%s-static-macaddress: %w", drivers.ErrOption, Name, err)
	}
	if mac == "" {
		mac = localvm.NewMAC("00155D")
	}
	*st = State{Name: d.env.Machine, Folder: folder, Generation: 2, User: d.cfg.SSHUser, MAC: mac, Subnet: d.cfg.NAT}
	if d.cfg.Boot2DockerURL != "" {
		st.Generation, st.User = 1, "docker"
	}
	return d.state.Save()
}

// folder makes the machine's folder and returns its name in Windows.
func (d *driver) folder(ctx context.Context) (string, error) {
	if err := os.MkdirAll(d.state.Value.Folder, 0o700); err != nil {
		return "", fmt.Errorf("make the machine's folder: %w", err)
	}
	return d.windowsPath(ctx, d.state.Value.Folder)
}

// below names a file in a folder of Windows.
func (d *driver) below(folder, name string) string {
	if d.world.os == "windows" || d.inLinux() {
		return strings.TrimSuffix(folder, `\`) + `\` + name
	}
	return filepath.Join(folder, name)
}

func (d *driver) diskFile() string { return filepath.Join(d.state.Value.Folder, diskName) }

// The files of a machine.
const (
	diskName = "disk.vhdx"
	seedName = "seed.iso"
)

// ours finds the virtual machine that was made in the machine's folder.
func (d *driver) ours(all map[string]vm, folder string) (vm, bool) {
	if v, found := all[d.state.Value.ID]; found {
		return v, true
	}
	for _, v := range all {
		if inFolder(v.Path, folder) {
			return v, true
		}
	}
	return vm{}, false
}

// checkName refuses a name that another virtual machine has. Hyper-V would bear two,
// but people tell them apart by it.
func (d *driver) checkName(all map[string]vm, folder string) error {
	own, found := d.ours(all, folder)
	for _, v := range all {
		if found && v.ID == own.ID || !strings.EqualFold(v.Name, d.env.Machine) {
			continue
		}
		return &drivers.HintError{
			Err:    fmt.Errorf("Hyper-V has a virtual machine %s already (%s, in %s): %w", v.Name, v.ID, v.Path, drivers.ErrConflict),
			Advice: "choose another name, or remove it in Hyper-V Manager or by Remove-VM",
		}
	}
	return nil
}

// locked does something while no other process changes what the store's machines
// share.
func (d *driver) locked(ctx context.Context, work string, fn func(context.Context) error) error {
	lock, err := lockfile.Acquire(ctx, filepath.Join(d.shared(), "hyperv.lock"), work+" of machine "+d.env.Machine, func(h lockfile.Holder) {
		d.env.Note(ctx, "waits for "+h.String()+", which changes something in Hyper-V")
	})
	if err != nil {
		return err
	}
	defer lock.Release()
	return fn(ctx)
}

// shared is a folder of the store's machines.
func (d *driver) shared() string {
	if d.env.Cache != "" {
		return d.env.Cache
	}
	return d.env.Dir
}

// assemble puts the virtual machine together, or what is missing of it.
func (d *driver) assemble(ctx context.Context, t *tool, folder string, img cloudimage.Image, req drivers.CreateRequest, own []byte) error {
	st := &d.state.Value
	all, err := t.machines(ctx, nil)
	if err != nil {
		return err
	}
	s, err := d.ensureSwitch(ctx, t)
	if err != nil {
		return err
	}
	if err := d.chooseAddress(all, folder); err != nil {
		return err
	}
	st.Switch = &lan{ID: s.ID, Name: s.Name}
	if err := d.state.Save(); err != nil {
		return err
	}
	if strings.EqualFold(s.ID, defaultSwitch) && slices.ContainsFunc(req.OpenPorts, func(p drivers.Port) bool { return p.Peers }) {
		d.env.Note(ctx, "the Default Switch gives other addresses after a restart of Windows, which a swarm does not survive: --hyperv-nat 192.168.144.0/24 gives lasting ones")
	}
	if err := d.register(ctx, t, all, folder); err != nil {
		return err
	}
	plan, err := d.plan(ctx, t, folder)
	if err != nil {
		return err
	}
	if st.ISO == "" {
		if err := d.writeSeed(ctx, t, img, req, own); err != nil {
			return err
		}
	}
	size, err := t.growDisk(ctx, plan.Disk, int64(d.cfg.DiskSize)*mebi)
	if err != nil {
		return fmt.Errorf("make the disk of %s larger: %w", st.Name, err)
	}
	if size > int64(d.cfg.DiskSize)*mebi {
		d.env.Note(ctx, fmt.Sprintf("the image's disk is larger than %d MiB, and stays so", d.cfg.DiskSize))
	}
	if err := t.configureMachine(ctx, plan); err != nil {
		return fmt.Errorf("make virtual machine %s: %w", st.Name, err)
	}
	st.Configured = true
	return d.state.Save()
}

// register makes the virtual machine unless Hyper-V has it.
func (d *driver) register(ctx context.Context, t *tool, all map[string]vm, folder string) error {
	st := &d.state.Value
	v, found := d.ours(all, folder)
	if found && st.ID == strings.ToLower(v.ID) {
		return nil
	}
	id := v.ID
	if !found {
		if err := errors.Join(d.checkName(all, folder), d.checkMAC(all)); err != nil {
			return err
		}
		var err error
		id, err = t.newMachine(ctx, newMachineArgs{
			Name: st.Name, Path: folder, Generation: st.Generation, Memory: int64(d.cfg.Memory) * mebi, Notes: d.marks(),
		})
		if err != nil {
			return fmt.Errorf("make virtual machine %s: %w", st.Name, err)
		}
	}
	st.ID = strings.ToLower(id)
	return d.state.Save()
}

// checkMAC refuses a MAC address that another virtual machine has.
func (d *driver) checkMAC(all map[string]vm) error {
	for _, v := range all {
		if v.hasMAC(d.state.Value.MAC) {
			return fmt.Errorf("MAC address %s: %w: virtual machine %s has it", localvm.Colons(d.state.Value.MAC), drivers.ErrConflict, v.Name)
		}
	}
	return nil
}

func (d *driver) marks() string {
	return localvm.Marks(localvm.MarkStore, d.env.StoreID, localvm.MarkName, d.env.Machine, localvm.MarkCreator, d.env.Creator, localvm.MarkIP, d.state.Value.Address)
}

// plan says all that the virtual machine has.
func (d *driver) plan(ctx context.Context, t *tool, folder string) (configureArgs, error) {
	st := &d.state.Value
	memory := int64(d.cfg.Memory) * mebi
	p := configureArgs{
		ID: st.ID, Generation: st.Generation, Notes: d.marks(), Processors: d.cfg.CPUs,
		Memory: memory, LeastMemory: min(memory, 512*mebi), Dynamic: !d.cfg.StaticMemory,
		cable: d.cable(), Disk: d.below(folder, diskName), DVD: d.below(folder, seedName), SecureBoot: !d.cfg.NoSecureBoot,
	}
	if p.Processors < 0 {
		host, err := t.probe(ctx)
		if err != nil {
			return p, err
		}
		p.Processors = max(host.Processors, 1)
	}
	if st.ISO != "" {
		path, err := d.windowsPath(ctx, st.ISO)
		if err != nil {
			return p, err
		}
		p.DVD, p.Dynamic, p.SecureBoot = path, false, false
	}
	return p, nil
}

func (d *driver) cable() cable {
	return cable{SwitchID: d.state.Value.Switch.ID, MAC: d.state.Value.MAC, VLAN: d.cfg.VLAN}
}

// writeSeed makes the disk that tells the guest who it is.
func (d *driver) writeSeed(ctx context.Context, t *tool, img cloudimage.Image, req drivers.CreateRequest, own []byte) error {
	st := &d.state.Value
	net := seed.Interface{MAC: localvm.Colons(st.MAC), DHCP: true}
	if st.Address != "" {
		subnet, err := parseSubnet(st.Subnet)
		if err != nil {
			return err
		}
		addr, err := netip.ParseAddr(st.Address)
		if err != nil {
			return fmt.Errorf("read the machine's address: %w", err)
		}
		servers, err := d.nameServers(ctx, t, subnet)
		if err != nil {
			return err
		}
		net = seed.Interface{
			MAC: localvm.Colons(st.MAC), Addresses: []netip.Prefix{netip.PrefixFrom(addr, subnet.Bits())},
			Gateway: gatewayOf(subnet), DNS: servers,
		}
	}
	kind := img.Seed
	if kind == "" {
		kind = seed.KindNoCloud
	}
	err := seed.Write(filepath.Join(st.Folder, seedName), kind, seed.Seed{
		Instance: st.ID, Hostname: d.env.Machine, User: st.User, Keys: []string{req.AuthorizedKey},
		HostKey: req.HostKey, UserData: own, Busybox: img.Busybox, Network: []seed.Interface{net},
	})
	if err != nil {
		return fmt.Errorf("make the seed disk: %w", err)
	}
	return nil
}
