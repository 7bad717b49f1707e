package virtualbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/cloudimage"
	"github.com/hostsmith/machine/drivers/internal/localvm"
)

// image returns the image that the options name. VirtualBox reads many formats; the
// first is the one that is best to have here. QCOW2 is quickest, but that old versions
// read it compressed, as it is published, is not sure.
func (d *driver) image(v version) (cloudimage.Image, error) {
	if d.cfg.Boot2DockerURL != "" {
		return cloudimage.Parse(d.cfg.Boot2DockerURL, d.cfg.ImageChecksum, d.world.arch, []string{"iso"})
	}
	formats := []string{"qcow2", "vmdk", "vdi", "vhd", "raw"}
	if !v.atLeast(7, 2, 0) {
		formats = []string{"raw", "vdi", "vmdk", "vhd", "qcow2"}
	}
	if f := d.wantFirmware(); f != "" {
		return cloudimage.For(d.env).Parse(d.cfg.Image, d.cfg.ImageChecksum, d.world.arch, formats, f)
	}
	return cloudimage.For(d.env).Parse(d.cfg.Image, d.cfg.ImageChecksum, d.world.arch, formats)
}

// wantFirmware returns what the machine boots with in the catalogue's words; empty:
// what the image says.
func (d *driver) wantFirmware() string {
	switch {
	case d.cfg.Firmware == "bios":
		return "bios"
	case d.cfg.Firmware == "uefi" || d.world.arch == "arm64":
		return "uefi"
	}
	return ""
}

// fetch returns the image's file.
func (d *driver) fetch(ctx context.Context, img cloudimage.Image) (cloudimage.File, error) {
	f, err := cloudimage.For(d.env).Get(ctx, img, nil)
	if err != nil {
		return f, err
	}
	if iso := d.cfg.Boot2DockerURL != ""; iso != (f.Format == "iso") {
		if iso {
			return f, fmt.Errorf("%w --%s-boot2docker-url: %s is no ISO image", drivers.ErrOption, Name, f.Path)
		}
		return f, fmt.Errorf("%w --%s-image: %s is an ISO image, not a disk", drivers.ErrOption, Name, d.cfg.Image)
	}
	return f, nil
}

// base returns the image as a VDI, which is made once and shared.
func (d *driver) base(ctx context.Context, t *tool, f cloudimage.File) (cloudimage.File, error) {
	if f.Format == "vdi" {
		return f, nil
	}
	return cloudimage.For(d.env).Derive(ctx, f, "vdi", func(ctx context.Context, from, to string) error {
		if f.Format == "raw" {
			return t.do(ctx, "convertfromraw", from, to, "--format", "VDI")
		}
		return d.locked(ctx, "conversion of an image", func(ctx context.Context) error { return d.convert(ctx, t, from, to) })
	})
}

// convert makes a VDI of another disk. VirtualBox registers both files on the way,
// and must forget them again. What it cannot read, qemu-img may.
func (d *driver) convert(ctx context.Context, t *tool, from, to string) error {
	if err := d.forgetBelow(ctx, t, d.env.Cache); err != nil { // of a conversion that did not come to its end
		return err
	}
	err := d.patient(ctx, func(ctx context.Context) error {
		return t.do(ctx, "clonemedium", "disk", from, to, "--format", "VDI")
	})
	if err == nil {
		if err = d.forget(ctx, t, "disk", from); err == nil {
			err = d.forget(ctx, t, "disk", to)
		}
		return err
	}
	if cause := context.Cause(ctx); cause != nil {
		return err
	}
	err = errors.Join(err, d.forget(ctx, t, "disk", to), d.forget(ctx, t, "disk", from))
	if qemu, lookErr := exec.LookPath("qemu-img"); lookErr == nil {
		if rerr := os.Remove(to); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			return errors.Join(err, rerr)
		}
		a, qerr := d.world.exec(ctx, qemu, []string{"convert", "-O", "vdi", from, to}, os.Environ())
		if qerr == nil && a.exit == 0 {
			return nil
		}
		return errors.Join(err, fmt.Errorf("convert %s by qemu-img: %s: %w", from, firstLine(a.stderr), errors.Join(qerr, errUnread)))
	}
	return &drivers.HintError{
		Err:    fmt.Errorf("convert %s: %w", from, err),
		Advice: "give an image in another format, such as raw or VMDK, or install qemu-img, which is tried when VirtualBox cannot read one",
	}
}

var errUnread = errors.New("image cannot be converted")

// forget closes a medium, so that VirtualBox does not know it any more. The file
// stays.
func (d *driver) forget(ctx context.Context, t *tool, kind, path string) error {
	err := d.patient(ctx, func(ctx context.Context) error { return t.do(ctx, "closemedium", kind, path) })
	switch {
	case err == nil, gone(err):
		return nil
	case strings.Contains(callText(err), "Could not open the medium"), strings.Contains(callText(err), "Could not get the storage format"):
		return nil // it is not known, and no medium
	}
	return fmt.Errorf("have VirtualBox forget %s: %w", path, err)
}

// forgetBelow closes all media in one of folders that no virtual machine has.
func (d *driver) forgetBelow(ctx context.Context, t *tool, folders ...string) error {
	for what, kind := range map[string]string{"hdds": "disk", "dvds": "dvd"} {
		media, err := t.list(ctx, what, "UUID")
		if err != nil {
			return err
		}
		for _, r := range media {
			for _, folder := range folders {
				if folder == "" || !below(r["Location"], folder) {
					continue
				}
				// By its UUID: the file may be gone.
				err := d.patient(ctx, func(ctx context.Context) error { return t.do(ctx, "closemedium", kind, r["UUID"]) })
				// What VirtualBox's server only remembers, it forgets at its own end: then
				// it takes the UUID for a path.
				forgotten := gone(err) || strings.Contains(callText(err), "is not fully qualified")
				if err != nil && !forgotten && callCode(err) != "VBOX_E_OBJECT_IN_USE" {
					return fmt.Errorf("have VirtualBox forget %s: %w", r["Location"], err)
				}
				break
			}
		}
	}
	return nil
}

// below tells whether path is in folder.
func below(path, folder string) bool {
	rel, err := filepath.Rel(folder, path)
	return err == nil && filepath.IsLocal(rel)
}

// blankDisk makes the disk of a boot2docker machine. It is small, as it grows later.
func blankDisk(ctx context.Context, t *tool, path, key string) error {
	raw, part := path+".raw", path+".new"
	if err := localvm.WriteFile(raw, func(out *os.File) error {
		if err := localvm.WriteBoot2Docker(out, key); err != nil {
			return err
		}
		return out.Truncate(16 << 20)
	}); err != nil {
		return fmt.Errorf("make the disk: %w", err)
	}
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := t.do(ctx, "convertfromraw", raw, part, "--format", "VDI"); err != nil {
		return fmt.Errorf("make the disk: %w", err)
	}
	return errors.Join(os.Rename(part, path), os.Remove(raw))
}
