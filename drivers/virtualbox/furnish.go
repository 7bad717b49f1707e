package virtualbox

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/cloudimage"
	"github.com/hostsmith/machine/drivers/internal/localvm"
	"github.com/hostsmith/machine/drivers/internal/seed"
)

// furnish gives the virtual machine all that it shall have. It may have some of it
// already.
func (d *driver) furnish(ctx context.Context, t *tool, p plan, file cloudimage.File, req drivers.CreateRequest, own []byte) error {
	change := func(args []string) error {
		if err := d.patient(ctx, func(ctx context.Context) error { return t.do(ctx, args...) }); err != nil {
			return fmt.Errorf("make virtual machine %s: %w", p.Name, err)
		}
		return nil
	}
	info, err := t.info(ctx, p.UUID)
	if err != nil {
		return err
	}
	old, rules := p.rules(info)
	for _, name := range old {
		if err := change([]string{"modifyvm", p.UUID, "--natpf1", "delete", name}); err != nil {
			return err
		}
	}
	if err := change(append(p.modify(), rules...)); err != nil {
		return err
	}
	if name, args := p.controller(); !hasValue(info, "storagecontrollername", name) {
		if err := change(args); err != nil {
			return err
		}
	}
	if err := change(p.attachDisk()); err != nil {
		return err
	}
	if err := d.grow(ctx, t, p); err != nil {
		return err
	}
	if p.ISO == "" {
		if err := d.writeSeed(p, file.Image, req, own); err != nil {
			return err
		}
	}
	if err := change(p.attachDVD()); err != nil {
		return err
	}
	if err := d.offer(ctx, t, p, info, change); err != nil {
		return err
	}
	if info, err = t.info(ctx, p.UUID); err != nil {
		return err
	}
	if wrong := d.edited(info); len(wrong) > 0 {
		return fmt.Errorf("make virtual machine %s: VirtualBox took all that was asked for, and yet %s", p.Name, strings.Join(wrong, ", "))
	}
	return nil
}

// grow makes the disk as large as it shall be. One that is larger stays.
func (d *driver) grow(ctx context.Context, t *tool, p plan) error {
	err := d.patient(ctx, func(ctx context.Context) error { return t.do(ctx, p.resize()...) })
	if strings.Contains(callText(err), "Shrinking is not") {
		d.env.Note(ctx, fmt.Sprintf("the image's disk is larger than %d MiB, and stays so", p.DiskSize))
		return nil
	}
	if err != nil {
		return fmt.Errorf("make the disk of %s larger: %w", p.Name, err)
	}
	return nil
}

// offer shares a folder, if one is asked for.
func (d *driver) offer(ctx context.Context, t *tool, p plan, info map[string]string, change func([]string) error) error {
	if p.ShareName == "" || hasValue(info, "SharedFolderNameMachineMapping", p.ShareName) {
		return nil
	}
	if err := change(p.share()); err != nil {
		return err
	}
	d.env.Note(ctx, fmt.Sprintf("the guest finds %s under the name %s: sudo mount -t vboxsf %s /mnt, if its kernel has the module vboxsf",
		p.ShareDir, p.ShareName, p.ShareName))
	return nil
}

// forward makes the rules by which ports of this computer lead to the guest.
func (d *driver) forward(ctx context.Context, t *tool, p plan, info map[string]string) error {
	old, rules := p.rules(info)
	var calls [][]string
	for _, name := range old {
		calls = append(calls, []string{"modifyvm", p.UUID, "--natpf1", "delete", name})
	}
	if len(rules) > 0 {
		calls = append(calls, append([]string{"modifyvm", p.UUID}, rules...))
	}
	for _, args := range calls {
		if err := d.patient(ctx, func(ctx context.Context) error { return t.do(ctx, args...) }); err != nil {
			return fmt.Errorf("forward a port to %s: %w", p.Name, err)
		}
	}
	return nil
}

// reforward is forward for a virtual machine that runs.
func (d *driver) reforward(ctx context.Context, t *tool) error {
	st := &d.state.Value
	info, err := t.info(ctx, st.UUID)
	if err != nil {
		return err
	}
	old, rules := plan{SSHPort: st.SSHPort, EnginePort: st.EnginePort}.rules(info)
	var changes [][]string
	for _, name := range old {
		changes = append(changes, []string{"delete", name})
	}
	for i := 1; i < len(rules); i += 2 {
		changes = append(changes, rules[i:i+1])
	}
	for _, change := range changes {
		if err := t.do(ctx, append([]string{"controlvm", st.UUID, "natpf1"}, change...)...); err != nil {
			return fmt.Errorf("forward a port to %s: %w", st.Name, err)
		}
	}
	return nil
}

// hasValue tells whether a numbered key has a value.
func hasValue(info map[string]string, prefix, value string) bool {
	for k, v := range info {
		if strings.HasPrefix(k, prefix) && v == value {
			return true
		}
	}
	return false
}

// writeSeed makes the disk that tells the guest who it is.
func (d *driver) writeSeed(p plan, img cloudimage.Image, req drivers.CreateRequest, own []byte) error {
	s := seed.Seed{
		Instance: p.UUID, Hostname: p.Machine, User: d.state.Value.User, Keys: []string{req.AuthorizedKey},
		HostKey: req.HostKey, UserData: own, Busybox: img.Busybox,
		Network: []seed.Interface{{MAC: localvm.Colons(p.NATMAC), DHCP: true}},
	}
	second := seed.Interface{MAC: localvm.Colons(p.MAC), DHCP: true, NoRoute: true}
	if p.Address != "" {
		cidr, err := netip.ParsePrefix(d.state.Value.CIDR)
		if err != nil {
			return err
		}
		addr, err := netip.ParseAddr(p.Address)
		if err != nil {
			return err
		}
		second = seed.Interface{MAC: localvm.Colons(p.MAC), Addresses: []netip.Prefix{netip.PrefixFrom(addr, cidr.Bits())}}
	}
	s.Network = append(s.Network, second)
	kind := img.Seed
	if kind == "" {
		kind = seed.KindNoCloud
	}
	if err := seed.Write(p.seed(), kind, s); err != nil {
		return fmt.Errorf("make the seed disk: %w", err)
	}
	return nil
}
