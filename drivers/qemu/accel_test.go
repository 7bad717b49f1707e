package qemu

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
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
	ctx, cancel := wait.Within(t.Context(), 2*time.Second, "the test")
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

// TestAccelerator tries an accelerator out once, and says why it is not used.
func TestAccelerator(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		probe  answer
		values drivers.Values
		want   string
		note   string
	}{
		"runs":         {probe: answer{exit: probeExit}, want: "kvm"},
		"says why":     {probe: answer{exit: 134, stderr: "qemu-system-x86_64: error: failed to set MSR 0x10a to 0x69\nqemu-system-x86_64: ../../target/i386/kvm/kvm.c:3183: kvm_buf_set_msrs: Assertion `ret == cpu->kvm_msr_buf->nmsrs' failed.\n"}, want: "tcg", note: "kvm runs no guest here: failed to set MSR 0x10a to 0x69; the machine is emulated (tcg), which is slow"},
		"says nothing": {probe: answer{exit: 1}, want: "tcg", note: "kvm runs no guest here: QEMU ended with code 1; the machine is emulated (tcg), which is slow"},
		"asked for":    {probe: answer{exit: 1}, values: drivers.Values{"qemu-accel": {"kvm"}}, want: "kvm"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newFakeHost()
			h.probe = c.probe
			tries := 0
			w := h.world()
			run := w.run
			w.run = func(ctx context.Context, path string, args ...string) (answer, error) {
				if slices.Contains(args, "-no-reboot") {
					tries++
				}
				return run(ctx, path, args...)
			}
			b := fakeBench(t, h, c.values)
			b.factory = factory(w)
			b.must("create", b.create())
			if got := after(h.only(t).args, "-accel"); got != c.want {
				t.Errorf("accelerator is %s, want %s", got, c.want)
			}
			if c.note != "" && !slices.Contains(b.notes, c.note) {
				t.Errorf("notes are %q", b.notes)
			}
			b.must("kill", b.open().Kill(t.Context()))
			b.must("start", b.open().Start(t.Context()))
			if told := len(b.notes); told > 1 {
				t.Errorf("notes are %q", b.notes)
			}
			if want := map[bool]int{true: 1}[c.values == nil]; tries != want {
				t.Errorf("tried out %d times, want %d", tries, want)
			}
		})
	}
}

// TestVerdicts believes what was seen since this computer was started.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "accel.json")
	if err := os.WriteFile(path, []byte(`{"boot":"a","of":{"kvm x":{"runs":true}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if v := readVerdicts(path, "a"); !v.Of["kvm x"].Runs {
		t.Errorf("got %v", v)
	}
	for _, boot := range []string{"b", ""} {
		if v := readVerdicts(path, boot); len(v.Of) != 0 {
			t.Errorf("after another start: %v", v)
		}
	}
}
