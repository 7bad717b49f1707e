package virtualbox

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm/vmtest"
	"github.com/hostsmith/machine/e2e/sim/vboxsim"
)

func TestHost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg           vboxsim.Config
		pairs         []string
		world         func(*bench)
		kind          error
		words, advice string
		notes         string
	}{
		"not installed": {world: func(b *bench) { b.vars["PATH"] = "/nonexistent"; b.world.os = "plan9" },
			kind: drivers.ErrUnreachable, words: "VirtualBox is not installed", advice: "-d docker"},
		"too old": {cfg: vboxsim.Config{Version: "6.0.24r139119"}, kind: drivers.ErrUnsupported, words: "6.0.24 is too old, 6.1 is needed", advice: "newer"},
		"no VT-x": {cfg: vboxsim.Config{NoVTx: true}, kind: drivers.ErrUnsupported, words: "no hardware virtualization", advice: "nested virtualization"},
		"no VT-x on Windows": {cfg: vboxsim.Config{NoVTx: true}, world: func(b *bench) { onWindows(b, "False") },
			kind: drivers.ErrUnsupported, words: "no hardware virtualization", advice: "firmware setup"},
		"Hyper-V": {cfg: vboxsim.Config{NoVTx: true}, world: func(b *bench) { onWindows(b, "True") }, notes: "Hyper-V has this computer's hardware virtualization"},
		"PowerShell says nothing": {cfg: vboxsim.Config{NoVTx: true}, world: func(b *bench) { onWindows(b, "") },
			kind: drivers.ErrUnsupported, words: "or Hyper-V has it", advice: "-d hyperv"},
		"not asked":  {cfg: vboxsim.Config{NoVTx: true}, pairs: []string{"no-vtx-check", "true"}},
		"no modules": {cfg: vboxsim.Config{NoKernel: true}, kind: drivers.ErrUnsupported, words: "kernel modules are not loaded", advice: "vboxconfig"},
		"range":      {pairs: []string{"hostonly-cidr", "192.168.99.1/24"}, kind: drivers.ErrOption, words: "no host-only network in 192.168.99.0/24, but 192.168.56.0/21", advice: "networks.conf"},
		"range allowed": {pairs: []string{"hostonly-cidr", "10.9.0.1/16"}, world: func(b *bench) {
			vmtest.Write(t, b.world.networks, "# ours\n* 192.168.56.0/21 10.9.0.0/16 # and more\n* fe80::/10\n", 0o600)
		}},
		"range of Windows":    {pairs: []string{"hostonly-cidr", "192.168.99.1/24"}, world: func(b *bench) { onWindows(b, "False") }},
		"range before 6.1.28": {cfg: vboxsim.Config{Version: "6.1.26r145957"}, pairs: []string{"hostonly-cidr", "192.168.99.1/24"}},
		"other network": {world: func(b *bench) {
			b.world.addrs = func() ([]hostAddr, error) { return []hostAddr{{"wlan0", netip.MustParsePrefix("192.168.0.9/16")}}, nil }
		}, kind: drivers.ErrConflict, words: "interface wlan0", advice: "192.168.59.1/24"},
		"name taken": {world: func(b *bench) { b.manage("createvm", "--name", "m1", "--basefolder", b.strangers(), "--register") },
			kind: drivers.ErrConflict, words: "has a virtual machine m1 already", advice: "unregistervm"},
		"address of another interface": {world: func(b *bench) {
			b.manage("hostonlyif", "create")
			b.manage("hostonlyif", "ipconfig", "vboxnet0", "--ip", "192.168.56.9", "--netmask", "255.255.255.0")
		}, kind: drivers.ErrConflict, words: "vboxnet0 has the address 192.168.56.9/24", advice: "--virtualbox-hostonly-cidr 192.168.56.9/24"},
		"old on Apple silicon": {cfg: vboxsim.Config{Mac: true, Version: "7.0.20r163906"}, world: func(b *bench) { b.world.os, b.world.arch = "darwin", "arm64" },
			kind: drivers.ErrUnsupported, words: "ARM processor", advice: "7.1"},
		"Apple silicon": {cfg: vboxsim.Config{Mac: true}, world: func(b *bench) { b.world.os, b.world.arch = "darwin", "arm64" }},
		"ARM on Linux":  {world: func(b *bench) { b.world.arch = "arm64" }, kind: drivers.ErrUnsupported, words: "under linux", advice: "-d qemu"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, c.cfg)
			if c.world != nil {
				c.world(b)
			}
			m := b.machine("m1", b.with(c.pairs...))
			err := m.Open().Check(t.Context())
			if !m.Noted(c.notes) {
				t.Errorf("notes are %q", m.Notes)
			}
			if c.words == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			vmtest.Refused(t, err, c.kind, c.words, c.advice)
		})
	}
}

// onWindows makes the bench one of Windows, whose PowerShell says whether a hypervisor
// runs.
func onWindows(b *bench, hypervisor string) {
	dir := filepath.Join(b.vars["HOME"], "windows")
	vmtest.Write(b.t, filepath.Join(dir, "VBoxManage.exe"), "", 0o755)
	b.world.os, b.vars["VBOX_INSTALL_PATH"], b.vars["SystemRoot"] = "windows", dir, `C:\Windows`
	manage := b.world.exec
	b.world.exec = func(ctx context.Context, path string, args, env []string) (answer, error) {
		switch {
		case !strings.HasSuffix(path, "powershell.exe"):
			return manage(ctx, path, args, env)
		case hypervisor == "":
			return answer{}, os.ErrNotExist
		}
		return answer{stdout: hypervisor + "\r\n"}, nil
	}
}
