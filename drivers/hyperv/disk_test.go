package hyperv

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm/vmtest"
	"github.com/hostsmith/machine/e2e/sim/hypervsim"
)

// TestConversions demands that a machine's disk holds what the image does, from
// whatever it is.
func TestConversions(t *testing.T) {
	t.Parallel()
	head := append(bytes.Repeat([]byte{0, 0xfa}, 255), 0x55, 0xaa)
	raw := append(bytes.Clone(head), make([]byte, 1<<20-512)...)
	qcow2 := append([]byte("QFI\xfb\x00\x00\x00\x03"), make([]byte, 1<<20)...)
	for name, c := range map[string]struct {
		file  func(b *bench, path string) error
		tools bool
		head  []byte
		ops   string
	}{
		"raw": {func(_ *bench, path string) error { return os.WriteFile(path, raw, 0o600) }, false, head, "newFixedDisk convertDisk"},
		"vhdx": {func(_ *bench, path string) error {
			return hypervsim.WriteDisk(path, hypervsim.Disk{Bytes: 1 << 30, Head: head})
		}, false, head, ""},
		"vhd": {func(b *bench, path string) error {
			fixed := strings.TrimSuffix(path, filepath.Ext(path)) + ".vhd"
			if err := b.by("newFixedDisk", `{"path":"`+fixed+`","bytes":4194304}`, nil); err != nil {
				return err
			}
			f, err := os.OpenFile(fixed, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.Write(head)
			return errors.Join(err, f.Close(), os.Rename(fixed, path))
		}, false, head, "convertDisk"},
		"qcow2": {func(_ *bench, path string) error { return os.WriteFile(path, qcow2, 0o600) }, true, head, "newFixedDisk convertDisk"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, hypervsim.Config{})
			image := filepath.Join(t.TempDir(), "image."+name)
			if err := c.file(b, image); err != nil {
				t.Fatal(err)
			}
			if c.tools {
				b.world.look = func(program string) (string, error) { return "/bin/" + program, nil }
				b.world.run = func(_ context.Context, program string, args ...string) (string, error) {
					if program != "/bin/qemu-img" || strings.Join(args[:3], " ") != "convert -O raw" {
						return "", errors.New(program + strings.Join(args, " "))
					}
					return "", os.WriteFile(args[4], raw, 0o600)
				}
			}
			done := len(b.changes())
			m := b.machine("m1", b.with("image", image))
			m.Create()
			disk := must(hypervsim.ReadDisk(filepath.Join(saved(m).Folder, diskName)))
			if !bytes.HasPrefix(disk.Head, c.head) || disk.Bytes != 20000<<20 {
				t.Errorf("the disk has %d bytes and begins with %q", disk.Bytes, disk.Head[:min(len(disk.Head), 20)])
			}
			var ops []string
			for _, q := range b.changes()[done:] {
				if strings.HasSuffix(q.Op, "Disk") && q.Op != "growDisk" {
					ops = append(ops, q.Op)
				}
			}
			if got := strings.Join(ops, " "); got != c.ops {
				t.Errorf("did %q, want %q", got, c.ops)
			}
			b.machine("m2", b.with("image", image)).Create() // which converts nothing
			for _, q := range b.changes()[done:] {
				if q.Op == "convertDisk" || q.Op == "newFixedDisk" {
					ops = append(ops, q.Op)
				}
			}
			if len(ops) != 2*len(strings.Fields(c.ops)) {
				t.Errorf("converted again: %q", ops)
			}
			if left, _ := filepath.Glob(filepath.Join(b.cache, "images", "files", "*", "*fixed*")); len(left) > 0 {
				t.Errorf("left %v", left)
			}
		})
	}
}

// TestImages is about what the catalogue has for Hyper-V.
func TestImages(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	image := func(name string) (string, error) {
		img, err := b.machine("m1", b.with("image", name)).Open().image()
		return img.Format, err
	}
	for name, want := range map[string]string{"debian-12": "raw", "debian-13": "raw", "flatcar": "vhdx"} {
		if got, err := image(name); err != nil || got != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	_, err := image("ubuntu-24.04")
	vmtest.Refused(t, err, drivers.ErrOption, "ubuntu-24.04 is a qcow2 image, which Hyper-V cannot read", "install qemu-img")
	_, err = image("debian-1")
	vmtest.Refused(t, err, drivers.ErrOption, "debian-1", "")
	b.world.look = func(program string) (string, error) { return program, nil }
	for _, name := range []string{"ubuntu-24.04", "rocky-9", "alpine-3.24"} {
		if got, err := image(name); err != nil || got != "qcow2" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	own := filepath.Join(t.TempDir(), "own.img")
	vmtest.Write(t, own, "QFI\xfb\x00\x00\x00\x03"+strings.Repeat("\x00", 1<<20), 0o600)
	b.world.look = func(string) (string, error) { return "", os.ErrNotExist }
	m := b.machine("m1", b.with("image", own))
	vmtest.Refused(t, m.Open().Create(t.Context(), vmtest.Request()), drivers.ErrOption, "qemu-img is not on PATH", "winget")
}

func TestBoot2Docker(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	iso := filepath.Join(t.TempDir(), "boot2docker.iso")
	vmtest.Write(t, iso, strings.Repeat("\x00", 32769)+"CD001\x01"+strings.Repeat("\x00", 8192), 0o600)
	m := b.machine("m1", b.with("boot2docker-url", iso))
	d := m.Open()
	if d.SeedsHostKey() || d.TakesUserData() {
		t.Error("boot2docker reads no seed")
	}
	m.Create()
	st := saved(m)
	disk := must(hypervsim.ReadDisk(filepath.Join(st.Folder, diskName)))
	if !bytes.HasPrefix(disk.Head, []byte("boot2docker, please format-me")) || !bytes.Contains(disk.Head, []byte("ssh-ed25519 AAAA")) {
		t.Errorf("the disk begins with %q", disk.Head[:100])
	}
	if st.Generation != 1 || m.Status().User != "docker" || len(m.Open().Images()) != 1 {
		t.Errorf("%+v, %+v", st, m.Status())
	}
	m.Remove()
	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}
