package qemu

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm"
)

// Config is what a user can choose.
type Config struct {
	Image         string `option:"image" env:"QEMU_IMAGE" help:"cloud image: a name (see machine image ls), a URL or a path"`
	ImageChecksum string `option:"image-checksum" env:"QEMU_IMAGE_CHECKSUM" help:"SHA-256 or SHA-512 of an image of your own, or none"`
	CPUs          int    `option:"cpu-count" env:"QEMU_CPU_COUNT" help:"number of virtual processors; -1: as many as this computer has" min:"-1" max:"255"`
	Memory        int    `option:"memory" env:"QEMU_MEMORY" help:"memory in MiB" min:"128"`
	DiskSize      int    `option:"disk-size" env:"QEMU_DISK_SIZE" help:"size of the disk in MiB, which fills up as it is used; an image that is larger keeps its size" min:"1"`
	SSHUser       string `option:"ssh-user" env:"QEMU_SSH_USER" help:"login user, which is made"`
	UserData      string `option:"userdata" env:"QEMU_USERDATA" help:"file with cloud-init user data of your own"`
	Grace         int    `option:"stop-timeout" env:"QEMU_STOP_TIMEOUT" help:"seconds that a guest has to shut down before its power is cut; 0: none" min:"0"`

	Arch     string   `option:"arch" env:"QEMU_ARCH" help:"architecture of the guest (default: this computer's)" oneof:"amd64,arm64"`
	Accel    string   `option:"accel" env:"QEMU_ACCEL" help:"accelerator; auto: this computer's, if it really runs a guest, else tcg, which is slow" oneof:"auto,kvm,hvf,whpx,tcg"`
	CPU      string   `option:"cpu" env:"QEMU_CPU" help:"model of the processor (default: this computer's, with tcg the most capable one)"`
	Machine  string   `option:"machine" env:"QEMU_MACHINE" help:"type of the machine (default: q35, for arm64 virt)"`
	Binary   string   `option:"binary" alias:"qemu-program" env:"QEMU_BINARY" help:"QEMU to run, a name or a path (default: qemu-system-x86_64 or qemu-system-aarch64)"`
	ExtraArg []string `option:"extra-arg" env:"QEMU_EXTRA_ARG" help:"one more argument for QEMU's command line"`

	Firmware string `option:"firmware" env:"QEMU_FIRMWARE" help:"what boots the machine; auto: as the image needs it" oneof:"auto,bios,uefi"`
	Kernel   string `option:"kernel" env:"QEMU_KERNEL" help:"kernel to boot directly, without firmware"`
	Initrd   string `option:"initrd" env:"QEMU_INITRD" help:"initial RAM disk for --qemu-kernel"`
	Append   string `option:"append" env:"QEMU_APPEND" help:"command line of --qemu-kernel (default: root=/dev/vda1 ro, and the serial console)"`

	Network   string   `option:"network" env:"QEMU_NETWORK" help:"network between the machines: user needs no rights; bridge, tap, vmnet-shared and vmnet-bridged do; none" oneof:"user,bridge,tap,vmnet-shared,vmnet-bridged,none"`
	Bridge    string   `option:"network-bridge" env:"QEMU_NETWORK_BRIDGE" help:"bridge for --qemu-network bridge"`
	Interface string   `option:"network-interface" env:"QEMU_NETWORK_INTERFACE" help:"interface for --qemu-network tap, default tap0, or vmnet-bridged, default en0"`
	Address   string   `option:"network-address" env:"QEMU_NETWORK_ADDRESS" help:"IPv4 address of the machine on the network between the machines; with --qemu-network bridge and the like with a prefix (default: a free one of --qemu-lan-subnet, else by DHCP)"`
	LANSubnet string   `option:"lan-subnet" env:"QEMU_LAN_SUBNET" help:"IPv4 subnet of the network between the machines, the same for all that shall reach each other"`
	NATSubnet string   `option:"nat-subnet" env:"QEMU_NAT_SUBNET" help:"IPv4 subnet of the network by which the machine reaches others, such as the internet"`
	Publish   []string `option:"publish" env:"QEMU_PUBLISH" help:"publish a port of the machine on this computer: [ADDRESS:]PORT:PORT[/PROTOCOL]; ADDRESS is 127.0.0.1 unless given"`
}

func defaults() Config {
	return Config{
		Image: "debian-12", CPUs: 2, Memory: 2048, DiskSize: 20000, SSHUser: "machine", Grace: 90,
		Accel: auto, Firmware: auto, Network: netUser, Bridge: "br0",
		LANSubnet: "192.168.86.0/24", NATSubnet: "192.168.85.0/24",
	}
}

// Values of options.
const (
	auto = "auto"

	netUser         = "user"
	netBridge       = "bridge"
	netTap          = "tap"
	netVmnetShared  = "vmnet-shared"
	netVmnetBridged = "vmnet-bridged"
	netNone         = "none"

	bios   = "bios"
	uefi   = "uefi"
	kernel = "kernel"
)

// Validate returns the options that cannot be accepted.
func (c Config) Validate() error {
	var errs []error
	refuse := func(option string, err error, advice string) {
		if err != nil {
			errs = append(errs, &drivers.OptionError{Option: Name + "-" + option, Err: err, Advice: advice})
		}
	}
	if c.CPUs == 0 {
		refuse("cpu-count", errors.New("0 processors are none"), "give a number, or -1 for all of this computer's")
	}
	if c.Image == "" {
		refuse("image", errors.New("is empty"), "machine image ls lists the names")
	}
	if c.SSHUser == "" || c.SSHUser == "root" {
		refuse("ssh-user", errors.New("names no ordinary user"), "")
	}
	if strings.ContainsAny(c.Binary, `/\`) && !filepath.IsAbs(c.Binary) {
		refuse("binary", fmt.Errorf("%q is neither a name nor an absolute path", c.Binary), "")
	}
	if c.Kernel == "" && c.Initrd != "" {
		refuse("initrd", errors.New("is about --qemu-kernel, which is not given"), "")
	}
	if c.Kernel == "" && c.Append != "" {
		refuse("append", errors.New("is about --qemu-kernel, which is not given"), "")
	}
	lan, err := parseSubnet(c.LANSubnet)
	refuse("lan-subnet", err, "such as 192.168.86.0/24")
	nat, err := parseSubnet(c.NATSubnet)
	if err == nil && lan.IsValid() && lan.Overlaps(nat) {
		err = fmt.Errorf("%s overlaps --qemu-lan-subnet", nat)
	}
	refuse("nat-subnet", err, "such as 192.168.85.0/24")
	_, err = c.address()
	refuse("network-address", err, "such as 192.168.86.20, or 192.168.1.20/24 on a bridge")
	for _, s := range c.Publish {
		_, err := parsePublish(s)
		refuse("publish", err, "such as 8080:80, 0.0.0.0:8080:80 or 5353:53/udp")
	}
	return errors.Join(errs...)
}

// parseSubnet returns an IPv4 subnet with room for QEMU's own addresses and machines.
func parseSubnet(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return netip.Prefix{}, fmt.Errorf("%q is no subnet", s)
	case !p.Addr().Is4():
		return netip.Prefix{}, fmt.Errorf("%s is not IPv4", s)
	case p.Bits() < 8 || p.Bits() > 27:
		return netip.Prefix{}, fmt.Errorf("%s is no usable size of a subnet, which is /8 to /27", s)
	}
	return p.Masked(), nil
}

// address is the one that the user chose, with its prefix; the zero value: none.
func (c Config) address() (netip.Prefix, error) {
	if c.Address == "" {
		return netip.Prefix{}, nil
	}
	if c.Network == netNone {
		return netip.Prefix{}, errors.New("there is no network with --qemu-network none")
	}
	p, err := netip.ParsePrefix(c.Address)
	if err == nil && !p.Addr().Is4() {
		return netip.Prefix{}, fmt.Errorf("%s is not IPv4", c.Address)
	}
	if c.Network != netUser {
		if err != nil {
			return netip.Prefix{}, fmt.Errorf("%q is no address with a prefix", c.Address)
		}
		return p, nil
	}
	a := p.Addr()
	if err != nil {
		if a, err = netip.ParseAddr(c.Address); err != nil || !a.Is4() {
			return netip.Prefix{}, fmt.Errorf("%q is no IPv4 address", c.Address)
		}
	}
	lan, err := parseSubnet(c.LANSubnet)
	switch {
	case err != nil:
		return netip.Prefix{}, nil // it is refused by itself
	case !lan.Contains(a) || a == lan.Addr() || a == localvm.LastOf(lan):
		return netip.Prefix{}, fmt.Errorf("%s is no address for a machine in %s", a, lan)
	}
	return netip.PrefixFrom(a, lan.Bits()), nil
}

// published is a port of the guest that is reachable on this computer.
type published struct {
	protocol string
	at       netip.AddrPort // of this computer
	inside   uint16
}

// parsePublish reads [ADDRESS:]PORT:PORT[/PROTOCOL].
func parsePublish(s string) (published, error) {
	p := published{protocol: "tcp"}
	rest, protocol, given := strings.Cut(s, "/")
	if given {
		p.protocol = protocol
	}
	if p.protocol != "tcp" && p.protocol != "udp" {
		return published{}, fmt.Errorf("%q: %q is neither tcp nor udp", s, p.protocol)
	}
	parts := strings.Split(rest, ":")
	address := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if len(parts) == 3 {
		var err error
		if address, err = netip.ParseAddr(parts[0]); err != nil || !address.Is4() {
			return published{}, fmt.Errorf("%q: %q is no IPv4 address", s, parts[0])
		}
		parts = parts[1:]
	}
	if len(parts) != 2 {
		return published{}, fmt.Errorf("%q is not [ADDRESS:]PORT:PORT", s)
	}
	var ports [2]uint16
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 16)
		if err != nil || n == 0 {
			return published{}, fmt.Errorf("%q: %q is no port", s, part)
		}
		ports[i] = uint16(n)
	}
	p.at, p.inside = netip.AddrPortFrom(address, ports[0]), ports[1]
	return p, nil
}
