package hyperv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/cloudimage"
	"github.com/hostsmith/machine/drivers/internal/localvm"
)

// formats are those that Windows turns into a disk by itself, as it is asked here.
func formats() []string { return []string{"vhdx", "vhd", "raw"} }

// foreignFormats are those that qemu-img can read.
func foreignFormats() []string { return []string{"qcow2", "vmdk", "vdi"} }

// image returns the image that the options name. Generation 2 boots by UEFI alone.
func (d *driver) image() (cloudimage.Image, error) {
	if d.cfg.Boot2DockerURL != "" {
		return cloudimage.Parse(d.cfg.Boot2DockerURL, d.cfg.ImageChecksum, d.world.arch, []string{"iso"})
	}
	every := slices.Concat(formats(), foreignFormats())
	if _, err := d.world.look("qemu-img"); err == nil {
		return cloudimage.For(d.env).Parse(d.cfg.Image, d.cfg.ImageChecksum, d.world.arch, every, "uefi")
	}
	img, err := cloudimage.For(d.env).Parse(d.cfg.Image, d.cfg.ImageChecksum, d.world.arch, formats(), "uefi")
	if err != nil {
		if other, oerr := cloudimage.For(d.env).Parse(d.cfg.Image, d.cfg.ImageChecksum, d.world.arch, every, "uefi"); oerr == nil {
			return img, needsQemuImg(d.cfg.Image, other.Format)
		}
	}
	return img, err
}

func needsQemuImg(image, format string) error {
	return &drivers.HintError{
		Err: fmt.Errorf("%w --%s-image: %s is a %s image, which Hyper-V cannot read, and qemu-img is not on PATH", drivers.ErrOption, Name, image, format),
		Advice: "install qemu-img: on Windows winget install SoftwareFreedomConservancy.QEMU and add its folder to PATH, in the Subsystem for Linux the package qemu-utils; " +
			"or take an image that needs none: debian-12, debian-13, flatcar, or one of yours as VHDX, VHD or raw",
	}
}

// makeDisk makes the machine's own disk unless it is there. img becomes what is known
// of the image.
func (d *driver) makeDisk(ctx context.Context, t *tool, img *cloudimage.Image, req drivers.CreateRequest) error {
	_, err := os.Stat(d.diskFile())
	if err == nil && d.cfg.Boot2DockerURL == "" {
		return nil
	}
	f, ferr := cloudimage.For(d.env).Get(ctx, *img, nil)
	if ferr != nil {
		return ferr
	}
	*img = f.Image
	if d.cfg.Boot2DockerURL != "" {
		if f.Format != "iso" {
			return fmt.Errorf("%w --%s-boot2docker-url: %s is no ISO image", drivers.ErrOption, Name, f.Path)
		}
		d.state.Value.ISO = f.Path
		if serr := d.state.Save(); serr != nil || err == nil {
			return serr
		}
		return d.blankDisk(ctx, t, req.AuthorizedKey)
	}
	base, err := d.base(ctx, t, f)
	if err != nil {
		return err
	}
	return d.env.Step(ctx, "copy the image", func(ctx context.Context) error { return localvm.CopyDisk(ctx, base.Path, d.diskFile()) })
}

// base returns the image as VHDX, which is made once and shared.
func (d *driver) base(ctx context.Context, t *tool, f cloudimage.File) (cloudimage.File, error) {
	cache := cloudimage.For(d.env)
	switch {
	case f.Format == "vhdx":
		return f, nil
	case f.Format == "iso":
		return f, fmt.Errorf("%w --%s-image: %s is an ISO image, not a disk", drivers.ErrOption, Name, d.cfg.Image)
	case slices.Contains(foreignFormats(), f.Format):
		qemu, err := d.world.look("qemu-img")
		if err != nil {
			return f, needsQemuImg(d.cfg.Image, f.Format)
		}
		f, err = cache.Derive(ctx, f, "raw", func(ctx context.Context, from, to string) error {
			_, err := d.world.run(ctx, qemu, "convert", "-O", "raw", from, to)
			return err
		})
		if err != nil {
			return f, err
		}
	}
	return cache.Derive(ctx, f, "vhdx", func(ctx context.Context, from, to string) error {
		if f.Format == "vhd" {
			return d.convert(ctx, t, from, to)
		}
		in, err := os.Open(from)
		if err != nil {
			return err
		}
		defer in.Close()
		info, err := in.Stat()
		if err != nil {
			return err
		}
		return d.convertRaw(ctx, t, in, info.Size(), to)
	})
}

// convert has Hyper-V make a VHDX of another disk.
func (d *driver) convert(ctx context.Context, t *tool, from, to string) error {
	source, err := d.windowsPath(ctx, from)
	if err != nil {
		return err
	}
	target, err := d.windowsPath(ctx, to)
	if err != nil {
		return err
	}
	return t.convertDisk(ctx, source, target)
}

// convertRaw makes a VHDX with what a raw image holds. Hyper-V makes a disk of a fixed
// size, which begins with its contents; these are written over, and Hyper-V converts
// the disk.
func (d *driver) convertRaw(ctx context.Context, t *tool, in io.Reader, size int64, to string) (err error) {
	fixed := strings.TrimSuffix(to, ".vhdx") + "-fixed.vhd"
	if err := os.Remove(fixed); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	defer func() {
		if rerr := os.Remove(fixed); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}()
	path, err := d.windowsPath(ctx, fixed)
	if err != nil {
		return err
	}
	whole := (size + mebi - 1) / mebi * mebi
	if err := t.newFixedDisk(ctx, path, max(whole, 4*mebi)); err != nil {
		return fmt.Errorf("make a disk of %d bytes: %w", whole, err)
	}
	out, err := os.OpenFile(fixed, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	err = localvm.CopyAll(ctx, out, in)
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", fixed, err)
	}
	return d.convert(ctx, t, fixed, to)
}

// blankDisk makes the disk of a boot2docker machine. It is small, as it grows later.
func (d *driver) blankDisk(ctx context.Context, t *tool, key string) error {
	var archive strings.Builder
	if err := localvm.WriteBoot2Docker(&archive, key); err != nil {
		return err
	}
	part := strings.TrimSuffix(d.diskFile(), ".vhdx") + "-new.vhdx"
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := d.convertRaw(ctx, t, strings.NewReader(archive.String()), 16*mebi, part); err != nil {
		return fmt.Errorf("make the disk: %w", err)
	}
	return os.Rename(part, d.diskFile())
}
