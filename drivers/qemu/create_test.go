package qemu

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
)

func TestCreateStatus(t *testing.T) {
	t.Parallel()
	h := newFakeHost()
	b := fakeBench(t, h, nil)
	b.must("create", b.create())
	got := b.is(drivers.Running)
	want := drivers.Status{State: drivers.Running, Host: "127.0.0.1", Peer: "192.168.86.11", User: "machine", SSHPort: 40001, EnginePort: 40002}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	args := strings.Join(h.only(t).args, " ")
	for _, part := range []string{"-accel kvm", "hostfwd=tcp:127.0.0.1:40001-:22,hostfwd=tcp:127.0.0.1:40002-:2376", "file=efivars.fd", "mcast=239.192."} {
		if !strings.Contains(args, part) {
			t.Errorf("%s is not in %s", part, args)
		}
	}
	disk, err := os.ReadFile(b.open().path(diskFile))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(disk), "create -q -f qcow2 -F qcow2 -b ../") || !strings.HasSuffix(string(disk), " 20971520000") {
		t.Errorf("disk was made by %s", disk)
	}
	images := b.open().Images()
	if len(images) != 1 || !isFile(images[0]) {
		t.Errorf("images in use are %q", images)
	}
	if data, err := b.open().Console(t.Context()); err != nil || string(data) != "Linux version 6.1\n" {
		t.Errorf("console is %q, %v", data, err)
	}
	for _, file := range []string{seedFile, varsFile} {
		if info, err := os.Stat(b.open().path(file)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
}

// TestImageOfDisk keeps the record of what the disk is based on, also when create goes
// on with another image under the same name.
func TestImageOfDisk(t *testing.T) {
	t.Parallel()
	h := newFakeHost()
	image := testImage(t)
	b := fakeBench(t, h, drivers.Values{"qemu-image": {image}})
	b.must("create", b.create())
	before := b.open().Images()
	d := b.open()
	d.state.Value.Made = false
	b.must("save", d.state.Save())
	changed := make([]byte, 1024)
	copy(changed, "QFI\xfb\x00\x00\x00\x03")
	b.must("change the image", os.WriteFile(image, changed, 0o600))
	b.must("create again", b.create())
	if after := b.open().Images(); !slices.Equal(before, after) {
		t.Errorf("images were %q, are %q", before, after)
	}
}

// TestEnginePortOfRequest forwards the port that the engine will have.
func TestEnginePortOfRequest(t *testing.T) {
	t.Parallel()
	h := newFakeHost()
	b := fakeBench(t, h, nil)
	b.req.OpenPorts = []drivers.Port{{Number: 7946, Protocol: "tcp", Peers: true}, {Number: 4789, Protocol: "udp"}, {Number: 2390, Protocol: "tcp"}}
	b.must("create", b.create())
	if args := strings.Join(h.only(t).args, " "); !strings.Contains(args, "-:2390") {
		t.Errorf("2390 is not in %s", args)
	}
}

// TestDirectKernel boots copies, so that the machine does not depend on where they were.
func TestDirectKernel(t *testing.T) {
	t.Parallel()
	h := newFakeHost()
	dir := t.TempDir()
	k, i := filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "initrd.img")
	for path, text := range map[string]string{k: "kernel", i: "initrd"} {
		if err := os.WriteFile(path, []byte(text), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	b := fakeBench(t, h, drivers.Values{"qemu-kernel": {k}, "qemu-initrd": {i}})
	b.must("check", b.open().Check(t.Context()))
	b.must("create", b.create())
	args := h.only(t).args
	if after(args, "-kernel") != kernelFile || after(args, "-initrd") != initrdFile {
		t.Errorf("args are %q", args)
	}
	if data, err := os.ReadFile(b.open().path(kernelFile)); err != nil || string(data) != "kernel" {
		t.Errorf("copy is %q, %v", data, err)
	}
}

// TestUserData has the file of the option reach the guest. A second one is refused.
func TestUserData(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "user-data")
	b := fakeBench(t, newFakeHost(), drivers.Values{"qemu-userdata": {file}})
	wrong := new(drivers.OptionError)
	if err := b.open().Check(t.Context()); !errors.As(err, &wrong) || wrong.Option != "qemu-userdata" {
		t.Errorf("without the file: got %v", err)
	}
	if err := os.WriteFile(file, []byte("#cloud-config\nwrite_files: [{path: /etc/of-the-owner, content: here}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.must("check", b.open().Check(t.Context()))
	given := b.req.UserData
	b.req.UserData = []byte("#cloud-config\n")
	if err := b.create(); !errors.As(err, &wrong) {
		t.Errorf("given twice: got %v", err)
	}
	b.req.UserData = given
	b.must("create", b.create())
	if data, err := os.ReadFile(b.open().path(seedFile)); err != nil || !strings.Contains(string(data), "/etc/of-the-owner") {
		t.Errorf("the seed has no word of it (%v)", err)
	}
}

// TestMovedStore has the real qemu-img find the image of a disk after the folder of
// the store was moved.
func TestMovedStore(t *testing.T) {
	t.Parallel()
	qemu, err := exec.LookPath("qemu-img")
	if err != nil {
		t.Skip(err)
	}
	root := t.TempDir()
	before, after := filepath.Join(root, "before, and more"), filepath.Join(root, "after")
	image := filepath.Join(root, "image.qcow2")
	if out, err := exec.CommandContext(t.Context(), qemu, "create", "-q", "-f", "qcow2", image, "1M").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	h := newFakeHost()
	w := h.world()
	w.run = execute
	w.look = func(name string) (string, error) {
		if filepath.Base(name) == "qemu-img" {
			return qemu, nil
		}
		return h.world().look(name)
	}
	b := newBench(t, factory(w), "m1", filepath.Join(before, "cache"), drivers.Values{"qemu-image": {image}, "qemu-accel": {"tcg"}})
	b.env.Dir = filepath.Join(before, "machines", "m1")
	b.must("create", b.create())
	b.must("kill", b.open().Kill(t.Context()))
	if strings.Contains(string(b.state), before) {
		t.Errorf("the record has a path of the store: %s", b.state)
	}
	b.must("move the store", os.Rename(before, after))
	b.env.Cache, b.env.Dir = filepath.Join(after, "cache"), filepath.Join(after, "machines", "m1")
	if images := b.open().Images(); len(images) != 1 || !isFile(images[0]) || !strings.HasPrefix(images[0], b.env.Cache) {
		t.Errorf("images in use are %q", images)
	}
	disk := b.open().path(diskFile)
	if out, err := exec.CommandContext(t.Context(), qemu, "info", "--backing-chain", disk).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	b.must("remove", b.open().Remove(t.Context()))
}
