package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// binary returns the path of QEMU.
func (d *driver) binary() (string, error) {
	arch, host := d.guestArch(), d.world.host
	names := []string{d.cfg.Binary}
	if d.cfg.Binary == "" {
		names = []string{program(arch, host)}
		if host == "linux" && arch == d.world.arch {
			names = append(names, "/usr/libexec/qemu-kvm") // of RHEL and its kin
		}
	}
	for _, name := range names {
		if path, err := d.world.look(name); err == nil {
			return filepath.Abs(path)
		}
	}
	return "", &drivers.HintError{
		Err:    fmt.Errorf("%w: QEMU is not installed: there is no %s", drivers.ErrUnsupported, names[0]),
		Advice: "install it: " + qemuPackage(host, arch) + "; or name it with --qemu-binary",
	}
}

// imageTool returns the path of qemu-img: that which is beside QEMU, or the usual one.
func (d *driver) imageTool(binary string) (string, error) {
	name := "qemu-img"
	if d.world.host == "windows" {
		name += ".exe"
	}
	if path, err := d.world.look(filepath.Join(filepath.Dir(binary), name)); err == nil {
		return path, nil
	}
	path, err := d.world.look(name)
	if err != nil {
		return "", &drivers.HintError{
			Err:    fmt.Errorf("%w: there is no %s, which makes disks", drivers.ErrUnsupported, name),
			Advice: "install it: " + imgPackage(d.world.host),
		}
	}
	return path, nil
}

func qemuPackage(host, arch string) string {
	switch host {
	case "darwin":
		return "brew install qemu"
	case "windows":
		return "winget install SoftwareFreedomConservancy.QEMU"
	}
	if arch == "arm64" {
		return "sudo apt-get install qemu-system-arm qemu-efi-aarch64 qemu-utils, on Fedora sudo dnf install qemu-system-aarch64 qemu-img"
	}
	return "sudo apt-get install qemu-system-x86 qemu-utils, on Fedora sudo dnf install qemu-system-x86 qemu-img"
}

func imgPackage(host string) string {
	if host == "linux" {
		return "sudo apt-get install qemu-utils, on Fedora sudo dnf install qemu-img"
	}
	return qemuPackage(host, "")
}

var versionWord = regexp.MustCompile(`version (\d+)\.(\d+)`)

// earliest is the first QEMU that knows all that is asked of it: on Windows that
// is Unix sockets.
func earliest(host string) (major, minor int) {
	if host == "windows" {
		return 7, 2
	}
	return 4, 2
}

// checkVersion returns why this QEMU cannot be used.
func (d *driver) checkVersion(ctx context.Context, binary string) error {
	ctx, cancel := wait.Within(ctx, 30*time.Second, "the answer of "+binary)
	defer cancel()
	out, err := d.tool(ctx, "ask QEMU for its version", binary, "--version")
	if err != nil {
		return err
	}
	m := versionWord.FindStringSubmatch(out)
	if m == nil || !strings.Contains(out, "QEMU") {
		return fmt.Errorf("%w: %s is no QEMU: it says %.60q", drivers.ErrOption, binary, strings.TrimSpace(out))
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	minMajor, minMinor := earliest(d.world.host)
	if major < minMajor || major == minMajor && minor < minMinor {
		return fmt.Errorf("%w: %s is QEMU %d.%d, and %d.%d is needed", drivers.ErrUnsupported, binary, major, minor, minMajor, minMinor)
	}
	return nil
}

// tool runs a program and returns what it printed. what says what for.
func (d *driver) tool(ctx context.Context, what, path string, args ...string) (string, error) {
	if err := context.Cause(ctx); err != nil {
		return "", err
	}
	begin := time.Now()
	a, err := d.world.run(ctx, path, args...)
	d.env.Log.DebugContext(ctx, "run", "path", path, "args", args, "exit", a.exit, "took", time.Since(begin).Round(time.Millisecond),
		"stdout", a.stdout, "stderr", a.stderr, "error", err)
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, ended(ctx, err))
	}
	if a.exit != 0 {
		return "", said(what, a.stderr)
	}
	return a.stdout, nil
}

// diskInfo is what qemu-img tells of a disk.
type diskInfo struct {
	Format string `json:"format"`
	Size   int64  `json:"virtual-size"`
}

func parseDiskInfo(out string) (diskInfo, error) {
	var info diskInfo
	if err := json.Unmarshal([]byte(out), &info); err != nil {
		return diskInfo{}, fmt.Errorf("not what qemu-img says: %w", err)
	}
	if info.Size <= 0 || info.Format == "" {
		return diskInfo{}, errors.New("not what qemu-img says: no size or no format")
	}
	return info, nil
}
