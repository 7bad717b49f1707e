package qemu

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hostsmith/machine/drivers/internal/lockfile"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// probeX86 is a boot sector, see probe/boot.s.
//
//go:embed probe/boot.bin
var probeX86 []byte

// probeExit is what QEMU ends with when the boot sector has run.
const probeExit = 33

// probeLimit is how long a guest may take that has nothing to do. Firmware and
// boot sector take a quarter of a second where hardware runs them, and no more
// where tcg does.
const probeLimit = 6 * time.Second

// doubt is how long it is believed that an accelerator does not run guests.
const doubt = time.Hour

// verdict is what was seen of an accelerator.
type verdict struct {
	Runs bool      `json:"runs"`
	Why  string    `json:"why,omitempty"` // it does not
	At   time.Time `json:"at"`
}

// verdicts are those since this computer was started.
type verdicts struct {
	Boot string             `json:"boot"`
	Of   map[string]verdict `json:"of"`
}

// accelerator is the one to use. A device that opens says little: some run no
// guest, and say nothing. So one that was not asked for by name has to show it.
func (d *driver) accelerator(ctx context.Context, binary string) (string, error) {
	arch := d.guestArch()
	tell := func(text string) {
		if d.state.Value.Accel != "tcg" { // once is enough
			d.env.Note(ctx, text)
		}
	}
	switch best := native(d.world.host); {
	case d.cfg.Accel != auto:
		return d.cfg.Accel, nil
	case best == "tcg":
		return best, nil
	case arch != d.world.arch:
		tell(fmt.Sprintf("guests for %s are emulated on this computer (tcg), which is slow", arch))
		return "tcg", nil
	default:
		v, err := d.judge(ctx, binary, best)
		if err != nil {
			return "", err
		}
		if !v.Runs {
			tell(fmt.Sprintf("%s runs no guest here: %s; the machine is emulated (tcg), which is slow", best, v.Why))
			return "tcg", nil
		}
		return best, nil
	}
}

// judge returns what is known of an accelerator, which it tries out first if need be.
func (d *driver) judge(ctx context.Context, binary, accel string) (verdict, error) {
	if accel == "kvm" && !d.world.exists("/dev/kvm") {
		return verdict{Why: "there is no /dev/kvm"}, nil
	}
	lock, err := lockfile.Acquire(ctx, d.shared("accel.lock"), "try out "+accel, nil)
	if err != nil {
		return verdict{}, fmt.Errorf("try out %s: %w", accel, err)
	}
	defer lock.Release()
	path, boot, key := d.shared("accel.json"), d.world.boot(), d.accelKey(binary, accel)
	known := readVerdicts(path, boot)
	if v, ok := known.Of[key]; ok && (v.Runs || time.Since(v.At) < doubt) {
		return v, nil
	}
	var v verdict
	err = d.env.Step(ctx, "try out "+accel, func(ctx context.Context) (err error) {
		v, err = d.try(ctx, binary, accel)
		return err
	})
	if err != nil {
		return verdict{}, err
	}
	v.At = time.Now().UTC()
	known.Of[key] = v
	d.env.Log.DebugContext(ctx, "accelerator", "accel", accel, "runs", v.Runs, "why", v.Why)
	if data, err := json.Marshal(known); err == nil && boot != "" {
		_ = replace(path, data) // it can be tried out again
	}
	return v, nil
}

// accelKey is what a verdict is about. Another QEMU or another model of processor
// may be another matter.
func (d *driver) accelKey(binary, accel string) string {
	p := plan{Arch: d.guestArch(), Accel: accel, CPU: d.cfg.CPU, Machine: d.cfg.Machine}
	key := strings.Join([]string{accel, p.cpu(), p.machine(), binary}, " ")
	if info, err := os.Stat(binary); err == nil {
		key += " " + info.ModTime().UTC().Format(time.RFC3339)
	}
	return key
}

func readVerdicts(path, boot string) verdicts {
	known := verdicts{}
	data, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(data, &known) != nil || known.Boot != boot || known.Of == nil {
		return verdicts{Boot: boot, Of: map[string]verdict{}}
	}
	return known
}

// try has an accelerator run a guest that does what a kernel does first.
func (d *driver) try(ctx context.Context, binary, accel string) (verdict, error) {
	dir, err := os.MkdirTemp(d.shared(""), "try")
	if err != nil {
		return verdict{}, fmt.Errorf("try out %s: %w", accel, err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	p := plan{Arch: d.guestArch(), Accel: accel, CPU: d.cfg.CPU, Machine: d.cfg.Machine}
	guest, exit := p.probe()
	file := filepath.Join(dir, "guest")
	if err := os.WriteFile(file, guest, 0o600); err != nil {
		return verdict{}, fmt.Errorf("try out %s: %w", accel, err)
	}
	limited, cancel := wait.Within(ctx, probeLimit, "a guest that has nothing to do")
	defer cancel()
	a, err := d.world.run(limited, binary, p.probeArgs(file)...)
	var late *wait.LateError
	switch {
	case ctx.Err() != nil:
		return verdict{}, context.Cause(ctx)
	case errors.As(err, &late):
		return verdict{Why: err.Error()}, nil
	case err != nil:
		return verdict{}, fmt.Errorf("try out %s: %w", accel, err)
	case a.exit == exit:
		return verdict{Runs: true}, nil
	}
	why := words(a.stderr)
	if why == "" {
		why = fmt.Sprintf("QEMU ended with code %d", a.exit)
	}
	return verdict{Why: why}, nil
}

// probe is a guest, and what QEMU ends with when it has run.
func (p plan) probe() (guest []byte, exit int) {
	if p.Arch == "arm64" {
		// SYSTEM_OFF of PSCI: movz w0, 8; movk w0, 0x8400, lsl 16; hvc 0; b .
		return []byte{0x00, 0x01, 0x80, 0x52, 0x00, 0x80, 0xb0, 0x72, 0x02, 0x00, 0x00, 0xd4, 0x00, 0x00, 0x00, 0x14}, 0
	}
	const floppy = 1440 << 10 // from less the firmware does not boot
	return append(probeX86[:len(probeX86):len(probeX86)], make([]byte, floppy-len(probeX86))...), probeExit
}

func (p plan) probeArgs(file string) []string {
	args := []string{
		"-no-user-config", "-nodefaults", "-display", "none", "-no-reboot",
		"-machine", p.machine(), "-accel", p.Accel, "-cpu", p.cpu(), "-m", "64",
	}
	if p.Arch == "arm64" {
		return append(args, "-kernel", file)
	}
	return append(args,
		"-drive", "if=none,id=disk,format=raw,readonly=on,file="+escape(file), "-device", "virtio-blk-pci,drive=disk",
		"-device", "isa-debug-exit,iobase=0xf4,iosize=1")
}
