package qemu

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
)

// TestProbe has the real QEMU run the guests that accelerators are tried out with.
func TestProbe(t *testing.T) {
	t.Parallel()
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			binary, err := exec.LookPath(program(arch, runtime.GOOS))
			if err != nil {
				t.Skip(err)
			}
			d := newBench(t, Factory(), "m1", t.TempDir(), drivers.Values{"qemu-arch": {arch}, "qemu-image": {"debian-12"}}).open()
			if v, err := d.judge(t.Context(), binary, "tcg"); err != nil || !v.Runs {
				t.Errorf("tcg: %+v, %v", v, err)
			}
			if arch != runtime.GOARCH {
				return
			}
			begin := time.Now()
			v, err := d.judge(t.Context(), binary, native(runtime.GOOS))
			if err != nil {
				t.Errorf("%s: %v", native(runtime.GOOS), err)
			}
			if !v.Runs && v.Why == "" {
				t.Error("no reason")
			}
			t.Logf("%s after %v: %+v", native(runtime.GOOS), time.Since(begin).Round(time.Millisecond), v)
			again, err := d.judge(t.Context(), binary, native(runtime.GOOS))
			if err != nil || again.Runs != v.Runs || !again.At.Equal(v.At) {
				t.Errorf("again: %+v, %v, want %+v", again, err, v)
			}
		})
	}
}

// TestProbeTellsApart shows that a guest that does not come to its end is not taken
// for one that runs.
func TestProbeTellsApart(t *testing.T) {
	t.Parallel()
	binary, err := exec.LookPath(program("amd64", runtime.GOOS))
	if err != nil {
		t.Skip(err)
	}
	file := filepath.Join(t.TempDir(), "guest")
	guest := make([]byte, 1440<<10)
	copy(guest, "\xeb\xfe") // it jumps to itself
	copy(guest[510:], "\x55\xaa")
	if err := os.WriteFile(file, guest, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := within(t.Context(), 2*time.Second, "the test")
	defer cancel()
	if a, err := execute(ctx, binary, plan{Arch: "amd64", Accel: "tcg"}.probeArgs(file)...); err == nil {
		t.Errorf("it ended: %+v", a)
	}
}

// TestBootSector sees to it that the boot sector is what its source says.
func TestBootSector(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"as", "objcopy"} {
		if _, err := exec.LookPath(tool); err != nil || runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
			t.Skip("no assembler for it")
		}
	}
	dir := t.TempDir()
	object, binary := filepath.Join(dir, "boot.o"), filepath.Join(dir, "boot.bin")
	for _, args := range [][]string{{"as", "-o", object, "probe/boot.s"}, {"objcopy", "-O", "binary", "-j", ".text", object, binary}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", args, err, out)
		}
	}
	made, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made, probeX86) {
		t.Error("probe/boot.bin is not what probe/boot.s makes")
	}
}
