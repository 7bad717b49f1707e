package qemu

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// plan is all that a machine is started from. QEMU's command line follows from it
// alone. Files without a path are in the machine's folder.
type plan struct {
	Name, UUID string
	Arch       string // of the guest, as GOARCH
	Accel      string // kvm, hvf, whpx or tcg
	CPU        string // model; empty: what goes best with Accel
	Machine    string // type; empty: what goes best with Arch
	CPUs       int
	Memory     int // in MiB

	Firmware string // bios, uefi or kernel
	Code     string // path of the UEFI firmware
	Append   string // for kernel
	Initrd   bool   // for kernel

	NATMAC, LANMAC      string
	NATSubnet           netip.Prefix
	SSHPort, EnginePort int // on 127.0.0.1
	EngineGuest         int // in the guest
	Publish             []published
	Network             string // of --qemu-network
	LAN                 string // group and port, for user
	Interface           string // bridge or interface, for others

	Extra []string
}

func (p plan) args() []string {
	args := []string{
		"-name", "guest=" + escape(p.Name), "-uuid", p.UUID,
		"-no-user-config", "-nodefaults", "-display", "none",
		"-machine", p.machine(), "-accel", p.Accel, "-cpu", p.cpu(),
		"-smp", strconv.Itoa(p.CPUs), "-m", strconv.Itoa(p.Memory),
		"-pidfile", pidFile, "-qmp", "unix:" + socketFile + ",server=on,wait=off",
		"-chardev", "file,id=console,path=" + consoleFile, "-serial", "chardev:console",
		"-device", "virtio-rng-pci",
	}
	args = append(args, p.boot()...)
	args = append(args,
		"-drive", "if=none,id=disk,file="+diskFile+",format=qcow2,discard=unmap", "-device", "virtio-blk-pci,drive=disk,bootindex=1",
		"-drive", "if=none,id=seed,file="+seedFile+",format=raw,readonly=on", "-device", "virtio-blk-pci,drive=seed",
	)
	args = append(args, p.nat()...)
	args = append(args, p.lan()...)
	return append(args, p.Extra...)
}

func (p plan) machine() string {
	switch {
	case p.Machine != "":
		return p.Machine
	case p.Arch == "arm64" && p.Accel == "kvm":
		return "virt,gic-version=max" // the default has to be what the hardware has
	case p.Arch == "arm64":
		return "virt"
	}
	return "q35"
}

func (p plan) cpu() string {
	switch {
	case p.CPU != "":
		return p.CPU
	case p.Accel == "whpx":
		return "qemu64" // it does not know host
	case p.Accel != "tcg":
		return "host"
	case p.Arch == "arm64":
		return "cortex-a72" // max has pointer authentication, which tcg is slow at
	}
	return "max"
}

// boot is what the machine boots with. The firmware of a PC is there by itself.
func (p plan) boot() []string {
	switch p.Firmware {
	case kernel:
		args := []string{"-kernel", kernelFile, "-append", p.commandLine()}
		if p.Initrd {
			args = append(args, "-initrd", initrdFile)
		}
		return args
	case uefi:
		return append(p.screen(),
			"-drive", "if=pflash,unit=0,format=raw,readonly=on,file="+escape(p.Code),
			"-drive", "if=pflash,unit=1,format=raw,file="+varsFile)
	}
	return p.screen()
}

// screen is one that nobody looks at: boot loaders of PCs count on it.
func (p plan) screen() []string {
	if p.Arch == "amd64" {
		return []string{"-vga", "std"}
	}
	return nil
}

func (p plan) commandLine() string {
	switch {
	case p.Append != "":
		return p.Append
	case p.Arch == "arm64":
		return "root=/dev/vda1 ro console=ttyAMA0"
	}
	return "root=/dev/vda1 ro console=ttyS0"
}

// nat is the network by which the guest reaches others, and this computer the guest.
func (p plan) nat() []string {
	dev := []string{"user", "id=nat", "ipv6=off", "net=" + p.NATSubnet.String()}
	forward := func(protocol string, at netip.AddrPort, inside int) {
		dev = append(dev, fmt.Sprintf("hostfwd=%s:%s-:%d", protocol, at, inside))
	}
	local := func(port int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))
	}
	forward("tcp", local(p.SSHPort), 22)
	forward("tcp", local(p.EnginePort), p.EngineGuest)
	for _, x := range p.Publish {
		forward(x.protocol, x.at, int(x.inside))
	}
	return []string{"-netdev", strings.Join(dev, ","), "-device", "virtio-net-pci,netdev=nat,mac=" + p.NATMAC}
}

// lan is the network by which machines reach each other.
func (p plan) lan() []string {
	var dev string
	switch p.Network {
	case netUser:
		if p.LAN == "" {
			return nil
		}
		// Frames go from process to process on the loopback interface, and so
		// never leave this computer.
		dev = "socket,id=lan,mcast=" + p.LAN + ",localaddr=127.0.0.1"
	case netBridge:
		dev = "bridge,id=lan,br=" + escape(p.Interface)
	case netTap:
		dev = "tap,id=lan,script=no,downscript=no,ifname=" + escape(p.Interface)
	case netVmnetShared:
		dev = "vmnet-shared,id=lan"
	case netVmnetBridged:
		dev = "vmnet-bridged,id=lan,ifname=" + escape(p.Interface)
	default:
		return nil
	}
	return []string{"-netdev", dev, "-device", "virtio-net-pci,netdev=lan,mac=" + p.LANMAC}
}

// escape writes a value as QEMU's lists of options want it.
func escape(value string) string { return strings.ReplaceAll(value, ",", ",,") }

// program is what QEMU for a guest is called.
func program(arch, host string) string {
	name := "qemu-system-x86_64"
	if arch == "arm64" {
		name = "qemu-system-aarch64"
	}
	if host == "windows" {
		name += ".exe"
	}
	return name
}

// native is the accelerator of a system.
func native(host string) string {
	switch host {
	case "darwin":
		return "hvf"
	case "windows":
		return "whpx"
	case "linux":
		return "kvm"
	}
	return "tcg"
}
