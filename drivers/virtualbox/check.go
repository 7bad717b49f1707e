package virtualbox

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// maxProcessors is what -1 processors are at most.
const maxProcessors = 32

// Check implements drivers.Driver.
func (d *driver) Check(ctx context.Context) error {
	t, v, err := d.connect(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := wait.Within(ctx, askLimit, "check VirtualBox")
	defer cancel()
	if err := d.checkArch(v); err != nil {
		return err
	}
	if err := d.checkHost(ctx, t); err != nil {
		return err
	}
	if _, err := d.image(v); err != nil {
		return err
	}
	if _, err := localvm.UserData(d.env, Name+"-userdata", d.cfg.UserData, nil); err != nil {
		return err
	}
	if dir, _, err := d.cfg.share(); err != nil {
		return err
	} else if dir != "" && !isDir(dir) {
		return &drivers.OptionError{Option: Name + "-share-folder", Err: fmt.Errorf("%s is no folder", dir)}
	}
	all, err := t.vms(ctx)
	if err != nil {
		return err
	}
	if err := d.checkName(all); err != nil {
		return err
	}
	return d.checkNetwork(ctx, t, v, all)
}

// checkArch refuses guests that VirtualBox cannot run on this computer.
func (d *driver) checkArch(v version) error {
	switch {
	case d.world.arch == "amd64":
		return nil
	case d.world.arch != "arm64":
		return fmt.Errorf("VirtualBox on %s: %w", d.world.arch, drivers.ErrUnsupported)
	case d.cfg.Boot2DockerURL != "":
		return fmt.Errorf("boot2docker on an ARM processor: %w: its ISO is for amd64", drivers.ErrUnsupported)
	case d.world.os == "darwin" && v.atLeast(7, 1, 0), d.world.os == "windows" && v.atLeast(7, 2, 0):
		return nil
	}
	return &drivers.HintError{
		Err:    fmt.Errorf("VirtualBox %s on an ARM processor under %s: %w", v, d.world.os, drivers.ErrUnsupported),
		Advice: "on Apple silicon take VirtualBox 7.1 or later, on Windows 7.2; elsewhere -d qemu",
	}
}

// checkHost refuses what this computer cannot run.
func (d *driver) checkHost(ctx context.Context, t *tool) error {
	_, warning, err := t.versionAndWarning(ctx)
	if err != nil {
		return err
	}
	out, err := t.run(ctx, "list", "hostinfo")
	if err != nil {
		return fmt.Errorf("ask what this computer can do: %w", err)
	}
	info := record{}
	for _, r := range parseRecords(out, "Host time") {
		info = r
	}
	if have := leadingInt(info["Memory size"]); have > 0 && d.cfg.Memory > have {
		return &drivers.OptionError{Option: Name + "-memory", Err: fmt.Errorf("%d MiB are more than this computer has, %d", d.cfg.Memory, have)}
	}
	if d.cfg.NoVTXCheck {
		return nil
	}
	if strings.Contains(warning, "/dev/vboxdrv") || strings.Contains(warning, "vboxdrv kernel module") {
		return &drivers.HintError{
			Err:    fmt.Errorf("VirtualBox's kernel modules are not loaded: %w: %s", drivers.ErrUnsupported, warning),
			Advice: adviceKernel,
		}
	}
	if d.world.arch == "amd64" && info["Processor supports HW virtualization"] == "no" {
		return d.withoutVTx(ctx, t)
	}
	return nil
}

// withoutVTx says what it means that VirtualBox sees no hardware virtualization. If
// Hyper-V has it, VirtualBox goes by Hyper-V.
func (d *driver) withoutVTx(ctx context.Context, t *tool) error {
	why := "this computer's processor offers VirtualBox no hardware virtualization"
	if d.world.os == "windows" {
		switch runs, err := d.hypervisorRuns(ctx, t); {
		case err != nil:
			why += ": it is switched off, or Hyper-V has it"
		case runs:
			d.env.Note(ctx, "Hyper-V has this computer's hardware virtualization: VirtualBox runs virtual machines by it, and may be slow")
			return nil
		}
	}
	return &drivers.HintError{Err: fmt.Errorf("%s: %w", why, drivers.ErrUnsupported), Advice: adviceVTx}
}

// hypervisorRuns asks Windows whether it runs on Hyper-V.
func (d *driver) hypervisorRuns(ctx context.Context, t *tool) (bool, error) {
	path := filepath.Join(d.env.Getenv("SystemRoot"), "System32", "WindowsPowerShell", "v1.0", "powershell.exe")
	a, err := t.exec(ctx, path, []string{
		"-NoLogo", "-NoProfile", "-NonInteractive", "-Command", "(Get-CimInstance -ClassName Win32_ComputerSystem).HypervisorPresent",
	}, t.env)
	t.log.DebugContext(ctx, "PowerShell", "exit", a.exit, "stdout", a.stdout, "stderr", a.stderr, "error", err)
	if err != nil {
		return false, err
	}
	return strconv.ParseBool(strings.TrimSpace(a.stdout))
}

// processors returns how many processors this computer has, within reason.
func (t *tool) processors(ctx context.Context) (int, error) {
	out, err := t.run(ctx, "list", "hostinfo")
	if err != nil {
		return 0, fmt.Errorf("ask how many processors this computer has: %w", err)
	}
	for _, r := range parseRecords(out, "Host time") {
		if n := leadingInt(r["Processor online count"]); n > 0 {
			return min(n, maxProcessors), nil
		}
	}
	return 1, nil
}

func leadingInt(s string) int {
	word, _, _ := strings.Cut(strings.TrimSpace(s), " ")
	n, err := strconv.Atoi(word)
	if err != nil {
		return 0
	}
	return n
}

// checkNetwork refuses a range that VirtualBox or another network would refuse, and
// an address that another machine has.
func (d *driver) checkNetwork(ctx context.Context, t *tool, v version, all map[string]vm) error {
	cidr, err := d.cfg.cidr()
	if err != nil {
		return &drivers.OptionError{Option: Name + "-hostonly-cidr", Err: err}
	}
	var adapters []record
	n := network{}
	if d.usesNets(v) {
		err = d.checkRange(cidr, v)
	} else {
		if adapters, err = t.list(ctx, "hostonlyifs", "Name"); err != nil {
			return err
		}
		var there bool
		if n, there = sameAdapter(adapters, cidr); !there {
			err = d.checkRange(cidr, v)
		}
	}
	if err != nil {
		return err
	}
	if n.Name == "" {
		if err := clash(adapters, cidr); err != nil {
			return err
		}
	}
	if err := d.checkOverlap(cidr, adapters); err != nil {
		return err
	}
	if d.cfg.dhcp() {
		return nil
	}
	_, err = d.chooseAddress(ctx, t, n, cidr, all)
	return err
}
