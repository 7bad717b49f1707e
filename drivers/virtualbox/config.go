package virtualbox

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm"
)

// Config is what a user can choose.
type Config struct {
	Image         string `option:"image" env:"VIRTUALBOX_IMAGE" help:"cloud image: a name (see machine image ls), a URL or a path"`
	ImageChecksum string `option:"image-checksum" env:"VIRTUALBOX_IMAGE_CHECKSUM" help:"SHA-256 or SHA-512 of an image of your own, or none"`
	Memory        int    `option:"memory" env:"VIRTUALBOX_MEMORY_SIZE" help:"memory in MiB" min:"256"`
	CPUs          int    `option:"cpu-count" env:"VIRTUALBOX_CPU_COUNT" help:"number of virtual processors; -1: as many as this computer has, 32 at most" min:"-1" max:"64"`
	DiskSize      int    `option:"disk-size" env:"VIRTUALBOX_DISK_SIZE" help:"size of the disk in MiB; an image that is larger keeps its size" min:"1"`
	SSHUser       string `option:"ssh-user" env:"VIRTUALBOX_SSH_USER" help:"login user, which is made"`
	UserData      string `option:"userdata" env:"VIRTUALBOX_USERDATA" help:"file with cloud-init user data of your own"`
	Firmware      string `option:"firmware" env:"VIRTUALBOX_FIRMWARE" help:"firmware of the virtual machine; auto: as the image boots, BIOS if both" oneof:"auto,bios,uefi"`
	Graphics      string `option:"graphicscontroller" env:"VIRTUALBOX_GRAPHICSCONTROLLER" help:"graphics controller (default: vmsvga, on ARM qemuramfb)" oneof:"none,vboxvga,vmsvga,vboxsvga,qemuramfb"`
	UIType        string `option:"ui-type" env:"VIRTUALBOX_UI_TYPE" help:"how the virtual machine shows itself" oneof:"gui,sdl,headless,separate"`
	Grace         int    `option:"stop-timeout" env:"VIRTUALBOX_STOP_TIMEOUT" help:"seconds that a guest has to shut down before its power is cut; 0: none" min:"0"`

	Access          string `option:"access" env:"VIRTUALBOX_ACCESS" help:"how this computer reaches SSH and the engine: by the host-only network, or by ports forwarded from 127.0.0.1" oneof:"hostonly,forwarded"`
	IP              string `option:"ip" env:"VIRTUALBOX_IP" help:"address of the machine on the host-only network, or dhcp (default: a free one)"`
	HostOnlyCIDR    string `option:"hostonly-cidr" env:"VIRTUALBOX_HOSTONLY_CIDR" help:"address of this computer on the host-only network, with the prefix"`
	HostOnlyNICType string `option:"hostonly-nictype" env:"VIRTUALBOX_HOSTONLY_NIC_TYPE" help:"type of the adapter on the host-only network" oneof:"Am79C970A,Am79C973,82540EM,82543GC,82545EM,virtio,usbnet"`
	HostOnlyPromisc string `option:"hostonly-nicpromisc" env:"VIRTUALBOX_HOSTONLY_NIC_PROMISC" help:"what the adapter on the host-only network may hear" oneof:"deny,allow-vms,allow-all"`
	HostOnlyNoDHCP  bool   `option:"hostonly-no-dhcp" env:"VIRTUALBOX_HOSTONLY_NO_DHCP" help:"make no DHCP server on the host-only network, also for --virtualbox-ip dhcp"`
	NATNICType      string `option:"nat-nictype" env:"VIRTUALBOX_NAT_NICTYPE" help:"type of the adapter on the NAT network" oneof:"Am79C970A,Am79C973,82540EM,82543GC,82545EM,virtio,usbnet"`
	HostDNSResolver bool   `option:"host-dns-resolver" env:"VIRTUALBOX_HOST_DNS_RESOLVER" help:"names are resolved by this computer's own resolver"`
	NoDNSProxy      bool   `option:"no-dns-proxy" env:"VIRTUALBOX_NO_DNS_PROXY" help:"questions for names go to this computer's name servers directly"`

	ShareFolder string `option:"share-folder" env:"VIRTUALBOX_SHARE_FOLDER" help:"folder of this computer to offer to the guest, as DIR:NAME"`
	NoShare     bool   `option:"no-share" env:"VIRTUALBOX_NO_SHARE" help:"offer no folder, as is the default"`
	NoVTXCheck  bool   `option:"no-vtx-check" env:"VIRTUALBOX_NO_VTX_CHECK" help:"do not look for hardware virtualization and VirtualBox's kernel modules before"`

	Boot2DockerURL    string `option:"boot2docker-url" env:"VIRTUALBOX_BOOT2DOCKER_URL" help:"boot2docker ISO to boot instead of a cloud image: a URL or a path"`
	Boot2DockerImport string `option:"import-boot2docker-vm" env:"VIRTUALBOX_BOOT2DOCKER_IMPORT_VM" help:"not supported: a boot2docker virtual machine cannot be taken over"`
}

func defaults() Config {
	return Config{
		Image: "debian-12", Memory: 2048, CPUs: 2, DiskSize: 20000, SSHUser: "machine", Firmware: "auto",
		UIType: "headless", Grace: 90, Access: accessHostOnly, HostOnlyCIDR: "192.168.56.1/24",
		HostOnlyNICType: "virtio", HostOnlyPromisc: "deny", NATNICType: "virtio",
	}
}

// The values of --virtualbox-access, and the one of --virtualbox-ip that is no address.
const (
	accessHostOnly  = "hostonly"
	accessForwarded = "forwarded"
	ipDHCP          = "dhcp"
)

var shareName = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// Validate returns the options that cannot be accepted.
func (c Config) Validate() error {
	var errs []error
	refuse := func(option string, err error, advice string) {
		errs = append(errs, &drivers.OptionError{Option: Name + "-" + option, Err: err, Advice: advice})
	}
	if c.CPUs == 0 {
		refuse("cpu-count", errors.New("0 processors are none"), "give a number, or -1 for all of this computer's")
	}
	if c.Image == "" && c.Boot2DockerURL == "" {
		refuse("image", errors.New("is empty"), "machine image ls lists the names")
	}
	if c.SSHUser == "" || c.SSHUser == "root" {
		refuse("ssh-user", errors.New("names no ordinary user"), "")
	}
	cidr, err := c.cidr()
	if err != nil {
		refuse("hostonly-cidr", err, "such as 192.168.56.1/24")
	} else if err := c.checkIP(cidr); err != nil {
		refuse("ip", err, "such as "+cidr.Masked().Addr().Next().Next().String()+", or dhcp")
	}
	if _, _, err := c.share(); err != nil {
		refuse("share-folder", err, "such as /srv/data:data")
	}
	if c.NoShare && c.ShareFolder != "" {
		refuse("no-share", errors.New("contradicts --virtualbox-share-folder"), "")
	}
	if c.Boot2DockerImport != "" {
		refuse("import-boot2docker-vm", errors.New("boot2docker virtual machines cannot be taken over: boot2docker has ended, and its disk has no system of its own"),
			"make a new machine, and move containers' data with docker save and machine scp")
	}
	if c.Boot2DockerURL != "" && c.UserData != "" {
		refuse("userdata", errors.New("boot2docker reads no user data"), "")
	}
	if c.Boot2DockerURL != "" && c.IP != "" && c.IP != ipDHCP {
		refuse("ip", errors.New("boot2docker takes its address by DHCP"), "leave it out")
	}
	return errors.Join(errs...)
}

// cidr returns this computer's address on the host-only network.
func (c Config) cidr() (netip.Prefix, error) {
	p, err := netip.ParsePrefix(c.HostOnlyCIDR)
	switch {
	case err != nil:
		return netip.Prefix{}, fmt.Errorf("%q is no address with a prefix", c.HostOnlyCIDR)
	case !p.Addr().Is4():
		return netip.Prefix{}, fmt.Errorf("%s is not IPv4", p)
	case p.Bits() < 8 || p.Bits() > 29:
		return netip.Prefix{}, fmt.Errorf("%s is no usable size of a network", p)
	case p.Addr() == p.Masked().Addr() || p.Addr() == localvm.LastOf(p):
		return netip.Prefix{}, fmt.Errorf("%s is the network's own address, not one of this computer on it", p)
	}
	return p, nil
}

func (c Config) checkIP(cidr netip.Prefix) error {
	if c.IP == "" || c.IP == ipDHCP {
		return nil
	}
	a, err := netip.ParseAddr(c.IP)
	switch {
	case err != nil || !a.Is4():
		return fmt.Errorf("%q is no IPv4 address", c.IP)
	case !cidr.Contains(a):
		return fmt.Errorf("%s is not in the host-only network %s", a, cidr.Masked())
	case a == cidr.Addr():
		return fmt.Errorf("%s is this computer's own address on the network", a)
	case a == cidr.Masked().Addr() || a == localvm.LastOf(cidr):
		return fmt.Errorf("%s is no address for a machine", a)
	}
	return nil
}

// dhcp tells whether the machine has its address from a DHCP server.
func (c Config) dhcp() bool { return c.IP == ipDHCP || c.Boot2DockerURL != "" }

// share returns the folder to offer, and its name; empty: none. A path of Windows
// has a colon of its own.
func (c Config) share() (dir, name string, err error) {
	if c.ShareFolder == "" {
		return "", "", nil
	}
	i := strings.LastIndexByte(c.ShareFolder, ':')
	if i < 0 {
		return "", "", fmt.Errorf("%q is not DIR:NAME", c.ShareFolder)
	}
	dir, name = c.ShareFolder[:i], c.ShareFolder[i+1:]
	if !filepath.IsAbs(dir) {
		return "", "", fmt.Errorf("%q is no absolute path", dir)
	}
	if !shareName.MatchString(name) {
		return "", "", fmt.Errorf("%q is no name of a shared folder", name)
	}
	return dir, name, nil
}
