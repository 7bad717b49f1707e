package qemu

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func examplePlan() plan {
	return plan{
		Name: "m1", UUID: "6b1c6a39-1f0e-4a52-9b0d-6f1f2f6f0001", Arch: "amd64", Accel: "kvm", CPUs: 2, Memory: 2048,
		Firmware: bios, NATMAC: "52:54:00:11:22:33", LANMAC: "52:54:00:11:22:44", NATSubnet: netip.MustParsePrefix("192.168.85.0/24"),
		SSHPort: 40001, EnginePort: 40002, EngineGuest: 2376, Network: netUser, LAN: "239.192.7.8:23456",
	}
}

// TestArgs holds the command line of each kind of machine. One argument is on a line
// with its value.
func TestArgs(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*plan){
		"linux-amd64-kvm-bios": func(*plan) {},
		"linux-amd64-tcg-uefi": func(p *plan) {
			p.Accel, p.Firmware, p.Code = "tcg", uefi, "/usr/share/OVMF/OVMF_CODE_4M.fd"
		},
		"linux-amd64-kernel": func(p *plan) {
			p.Firmware, p.Initrd, p.Append = kernel, true, "root=LABEL=root ro console=ttyS0, quiet"
		},
		"linux-arm64-kvm": func(p *plan) {
			p.Arch, p.Firmware, p.Code = "arm64", uefi, "/usr/share/AAVMF/AAVMF_CODE.fd"
		},
		"linux-arm64-tcg-kernel": func(p *plan) { p.Arch, p.Accel, p.Firmware = "arm64", "tcg", kernel },
		"darwin-arm64-hvf": func(p *plan) {
			p.Arch, p.Accel, p.Firmware, p.Code = "arm64", "hvf", uefi, "/opt/homebrew/share/qemu/edk2-aarch64-code.fd"
		},
		"darwin-arm64-vmnet": func(p *plan) {
			p.Arch, p.Accel, p.Firmware, p.Code = "arm64", "hvf", uefi, "/odd, name/code.fd"
			p.Network, p.Interface, p.LAN = netVmnetBridged, "en0", ""
		},
		"windows-amd64-whpx": func(p *plan) { p.Accel, p.LAN = "whpx", "" },
		"bridge":             func(p *plan) { p.Network, p.Interface, p.LAN = netBridge, "br0", "" },
		"tap":                func(p *plan) { p.Network, p.Interface, p.LAN = netTap, "tap0", "" },
		"vmnet":              func(p *plan) { p.Network, p.LAN = netVmnetShared, "" },
		"chosen": func(p *plan) {
			p.CPU, p.Machine, p.Network, p.LAN = "Skylake-Client", "pc", netNone, ""
			p.Publish = []published{{"tcp", netip.MustParseAddrPort("0.0.0.0:8080"), 80}, {"udp", netip.MustParseAddrPort("127.0.0.1:5353"), 53}}
			p.Extra = []string{"-device", "virtio-balloon"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := examplePlan()
			change(&p)
			golden(t, name+".args", lines(p.args()))
		})
	}
}

func lines(args []string) string {
	var b strings.Builder
	for i, arg := range args {
		if i > 0 {
			b.WriteString(map[bool]string{true: "\n", false: " "}[strings.HasPrefix(arg, "-")])
		}
		b.WriteString(arg)
	}
	return b.String() + "\n"
}

func TestProbeArgs(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]plan{
		"probe-amd64-kvm": {Arch: "amd64", Accel: "kvm"},
		"probe-arm64-hvf": {Arch: "arm64", Accel: "hvf"},
	} {
		golden(t, name+".args", lines(p.probeArgs("/cache/qemu/try1/guest")))
	}
}

func TestFlashes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		host, arch, binary string
		there              []string
		want               string // empty: none
	}{
		"debian":       {"linux", "amd64", "/usr/bin/qemu-system-x86_64", []string{"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"}, "/usr/share/OVMF/OVMF_CODE_4M.fd"},
		"half of it":   {"linux", "amd64", "/usr/bin/qemu-system-x86_64", []string{"/usr/share/OVMF/OVMF_CODE_4M.fd"}, ""},
		"fedora":       {"linux", "amd64", "/usr/bin/qemu-system-x86_64", []string{"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"}, "/usr/share/edk2/ovmf/OVMF_CODE.fd"},
		"arm":          {"linux", "arm64", "/usr/bin/qemu-system-aarch64", []string{"/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"}, "/usr/share/AAVMF/AAVMF_CODE.fd"},
		"own":          {"linux", "amd64", "/opt/q/bin/qemu-system-x86_64", []string{"/opt/q/share/qemu/edk2-x86_64-code.fd", "/opt/q/share/qemu/edk2-i386-vars.fd"}, "/opt/q/share/qemu/edk2-x86_64-code.fd"},
		"homebrew":     {"darwin", "arm64", "/opt/homebrew/bin/qemu-system-aarch64", []string{"/opt/homebrew/share/qemu/edk2-aarch64-code.fd", "/opt/homebrew/share/qemu/edk2-arm-vars.fd"}, "/opt/homebrew/share/qemu/edk2-aarch64-code.fd"},
		"windows":      {"windows", "amd64", `D:\q\qemu-system-x86_64.exe`, []string{`D:\q\share\edk2-x86_64-code.fd`, `D:\q\share\edk2-i386-vars.fd`}, `D:\q\share\edk2-x86_64-code.fd`},
		"nothing here": {"linux", "amd64", "/usr/bin/qemu-system-x86_64", nil, ""},
	} {
		if runtime.GOOS == "windows" && c.host != "windows" {
			continue
		}
		f, err := findFlash(c.host, c.arch, c.binary, func(path string) bool { return slices.Contains(c.there, path) })
		if f.code != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: got %q, %v, want %q", name, f.code, err, c.want)
		}
		if err != nil && advice(err) == "" {
			t.Errorf("%s: no advice", name)
		}
	}
}

func TestChooseFirmware(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg   Config
		arch  string
		image []string
		have  bool
		want  string
	}{
		"both":              {Config{Firmware: auto}, "amd64", []string{bios, uefi}, true, bios},
		"uefi alone":        {Config{Firmware: auto}, "amd64", []string{uefi}, false, uefi},
		"unknown, uefi":     {Config{Firmware: auto}, "amd64", nil, true, uefi},
		"unknown, no uefi":  {Config{Firmware: auto}, "amd64", nil, false, bios},
		"arm":               {Config{Firmware: auto}, "arm64", nil, false, uefi},
		"asked for":         {Config{Firmware: uefi}, "amd64", []string{bios, uefi}, true, uefi},
		"kernel of its own": {Config{Firmware: auto, Kernel: "/k"}, "arm64", nil, true, kernel},
	} {
		if got := chooseFirmware(c.cfg, c.arch, c.image, c.have); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

func TestPublish(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"8080:80": "tcp 127.0.0.1:8080 80", "0.0.0.0:53:53/udp": "udp 0.0.0.0:53 53",
		"80": "", "x:80": "", "0:80": "", "80:70000": "", "[::1]:80:80": "", "80:80/sctp": "", "a:b:1:2": "", "": "",
	} {
		p, err := parsePublish(in)
		got := ""
		if err == nil {
			got = p.protocol + " " + p.at.String() + " " + itoa(int(p.inside))
		}
		if got != want {
			t.Errorf("%q: got %q (%v), want %q", in, got, err, want)
		}
	}
}
