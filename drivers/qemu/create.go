package qemu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/cloudimage"
	"github.com/hostsmith/machine/drivers/internal/localvm"
	"github.com/hostsmith/machine/drivers/internal/seed"
)

// formats are those that a disk can be an overlay of, what is best first.
func formats() []string { return []string{"qcow2", "raw", "vmdk", "vdi", "vhdx", "vhd"} }

// enginePort is where the engine listens, unless the first of
// CreateRequest.OpenPorts says otherwise.
const enginePort = 2376

// Create implements drivers.Driver.
func (d *driver) Create(ctx context.Context, req drivers.CreateRequest) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	binary, err := d.binary()
	if err != nil {
		return err
	}
	st := &d.state.Value
	if st.UUID == "" {
		if err := d.begin(req); err != nil {
			return err
		}
	}
	if !st.Made {
		if err := d.make(ctx, req, binary); err != nil {
			return err
		}
		st.Made = true
		if err := d.state.Save(); err != nil {
			return err
		}
	}
	return d.run(ctx, binary)
}

// begin records who the machine will be.
func (d *driver) begin(req drivers.CreateRequest) error {
	d.state.Value = State{
		UUID: localvm.NewUUID(), Arch: d.guestArch(), User: d.cfg.SSHUser, EngineGuest: enginePort,
		NATMAC: mac(d.env.StoreID, d.env.Machine, "nat"), LANMAC: mac(d.env.StoreID, d.env.Machine, "lan"),
	}
	for _, p := range req.OpenPorts {
		if p.Protocol == "tcp" && !p.Peers {
			d.state.Value.EngineGuest = p.Number
			break
		}
	}
	return d.state.Save()
}

// make makes the machine's files. What is there already is complete, or made again.
func (d *driver) make(ctx context.Context, req drivers.CreateRequest, binary string) error {
	img, err := d.image()
	if err != nil {
		return err
	}
	if req.UserData, err = localvm.UserData(d.env, Name+"-userdata", d.cfg.UserData, req.UserData); err != nil {
		return err
	}
	if err := os.MkdirAll(d.env.Dir, 0o700); err != nil {
		return fmt.Errorf("make the machine's folder: %w", err)
	}
	if err := d.enter(ctx); err != nil {
		return err
	}
	if err := d.firmware(ctx, img, binary); err != nil {
		return err
	}
	d.tellNetwork(ctx, req)
	if err := seed.Write(d.path(seedFile), cmp.Or(img.Seed, seed.KindNoCloud), d.seed(req, img)); err != nil {
		return fmt.Errorf("write seed: %w", err)
	}
	if d.world.exists(d.path(diskFile)) {
		return nil // and based on what is recorded
	}
	file, err := cloudimage.For(d.env).Get(ctx, img, nil)
	if err != nil {
		return fmt.Errorf("get image %s: %w", img, err)
	}
	d.state.Value.Image = fromFolder(d.env.Dir, file.Path)
	if err := d.state.Save(); err != nil {
		return err
	}
	return d.env.Step(ctx, "make the disk", func(ctx context.Context) error { return d.makeDisk(ctx, binary, file) })
}

// fromFolder names a file as seen from a folder, so that both can be moved together. One
// that has no such name, as on another drive of Windows, keeps its own.
func fromFolder(dir, path string) string {
	rel, err := filepath.Rel(dir, path)
	if err != nil {
		return path
	}
	want, err := os.Stat(path)
	if err != nil {
		return path
	}
	seen, err := os.Stat(dir + string(filepath.Separator) + rel) // a link among the folders may lead elsewhere
	if err != nil || !os.SameFile(want, seen) {
		return path
	}
	return filepath.ToSlash(rel)
}

// image is the one that the machine is made from.
func (d *driver) image() (cloudimage.Image, error) {
	var firmware []string
	if d.cfg.Kernel == "" && d.cfg.Firmware != auto {
		firmware = []string{d.cfg.Firmware}
	}
	return cloudimage.For(d.env).Parse(d.cfg.Image, d.cfg.ImageChecksum, d.guestArch(), formats(), firmware...)
}

// firmware chooses what the machine boots with, and copies what it needs for it.
func (d *driver) firmware(ctx context.Context, img cloudimage.Image, binary string) error {
	st := &d.state.Value
	f, missing := findFlash(d.world.host, st.Arch, binary, d.world.exists)
	st.Firmware = chooseFirmware(d.cfg, st.Arch, img.Firmware, missing == nil)
	d.env.Log.DebugContext(ctx, "firmware", "kind", st.Firmware, "code", f.code)
	switch st.Firmware {
	case uefi:
		if missing != nil {
			return missing
		}
		st.Code = f.code
		return copyFile(f.vars, d.path(varsFile))
	case kernel:
		if err := copyFile(d.cfg.Kernel, d.path(kernelFile)); err != nil {
			return err
		}
		if st.Initrd = d.cfg.Initrd != ""; st.Initrd {
			return copyFile(d.cfg.Initrd, d.path(initrdFile))
		}
	}
	return nil
}

// copyFile makes a copy that can be written to.
func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copy %s: %w", filepath.Base(to), err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return nil
}

// tellNetwork says what cannot be expected of the network.
func (d *driver) tellNetwork(ctx context.Context, req drivers.CreateRequest) {
	if d.state.Value.LAN != "" || d.cfg.Network != netUser && d.cfg.Network != netNone {
		return
	}
	for _, p := range req.OpenPorts {
		if p.Peers {
			why := "with --qemu-network none"
			if d.cfg.Network == netUser {
				why = "of QEMU's own on " + d.world.host + ": --qemu-network tap joins one that is there"
			}
			d.env.Note(ctx, "there is no network between the machines "+why+"; a swarm can have this machine only")
			return
		}
	}
}

// seed is what the guest gets at birth.
func (d *driver) seed(req drivers.CreateRequest, img cloudimage.Image) seed.Seed {
	st := d.state.Value
	s := seed.Seed{
		Instance: st.UUID, Hostname: d.env.Machine, User: st.User, Keys: []string{req.AuthorizedKey}, HostKey: req.HostKey,
		UserData: req.UserData, Busybox: img.Busybox,
		Network: []seed.Interface{{MAC: st.NATMAC, DHCP: true}},
	}
	lan := seed.Interface{MAC: st.LANMAC, NoRoute: true}
	if p, err := netip.ParsePrefix(st.Address); err == nil {
		lan.Addresses = []netip.Prefix{p}
	} else {
		lan.DHCP = true
	}
	if st.LAN != "" || d.cfg.Network != netUser && d.cfg.Network != netNone {
		s.Network = append(s.Network, lan)
	}
	return s
}

// makeDisk makes the disk, an overlay of an image that stays as it is.
func (d *driver) makeDisk(ctx context.Context, binary string, img cloudimage.File) error {
	tool, err := d.imageTool(binary)
	if err != nil {
		return err
	}
	out, err := d.tool(ctx, "look at image "+img.String(), tool, "info", "--output=json", img.Path)
	if err != nil {
		return err
	}
	info, err := parseDiskInfo(out)
	if err != nil {
		return fmt.Errorf("look at image %s: %w", img, err)
	}
	size := max(info.Size, int64(d.cfg.DiskSize)<<20)
	made := d.path(diskFile + newSuffix)
	if err := os.Remove(made); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("make disk: %w", err)
	}
	if _, err := d.tool(ctx, "make disk", tool, "create", "-q", "-f", "qcow2", "-F", info.Format, "-b", d.state.Value.Image, made, strconv.FormatInt(size, 10)); err != nil {
		return err
	}
	if err := os.Rename(made, d.path(diskFile)); err != nil {
		return fmt.Errorf("make disk: %w", err)
	}
	return nil
}
