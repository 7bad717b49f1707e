package hyperv

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm"
)

// Config is what a user can choose.
type Config struct {
	Image         string `option:"image" env:"HYPERV_IMAGE" help:"cloud image: a name (see machine image ls), a URL or a path"`
	ImageChecksum string `option:"image-checksum" env:"HYPERV_IMAGE_CHECKSUM" help:"SHA-256 or SHA-512 of an image of your own, or none"`
	Memory        int    `option:"memory" env:"HYPERV_MEMORY" help:"memory in MiB" min:"512"`
	CPUs          int    `option:"cpu-count" env:"HYPERV_CPU_COUNT" help:"number of virtual processors; -1: as many as this computer has" min:"-1" max:"240"`
	DiskSize      int    `option:"disk-size" env:"HYPERV_DISK_SIZE" help:"size of the disk in MiB, which fills up as it is used; an image that is larger keeps its size" min:"1"`
	StaticMemory  bool   `option:"disable-dynamic-memory" env:"HYPERV_DISABLE_DYNAMIC_MEMORY" help:"the machine has all its memory all the time"`
	NoSecureBoot  bool   `option:"disable-secure-boot" env:"HYPERV_DISABLE_SECURE_BOOT" help:"boot also what Microsoft's certificate authority for UEFI did not sign, such as Alpine Linux"`
	SSHUser       string `option:"ssh-user" env:"HYPERV_SSH_USER" help:"login user, which is made"`
	UserData      string `option:"userdata" env:"HYPERV_USERDATA" help:"file with cloud-init user data of your own"`
	Grace         int    `option:"stop-timeout" env:"HYPERV_STOP_TIMEOUT" help:"seconds that a guest has to shut down before its power is cut; 0: none" min:"0"`

	Switch string `option:"virtual-switch" env:"HYPERV_VIRTUAL_SWITCH" help:"virtual switch to connect the machine to (default: the Default Switch)"`
	NAT    string `option:"nat" env:"HYPERV_NAT" help:"subnet of an internal switch with address translation and static addresses, such as 192.168.144.0/24; it is made if it does not exist, which takes an administrator"`
	IP     string `option:"ip" env:"HYPERV_IP" help:"address of the machine on --hyperv-nat (default: a free one)"`
	MAC    string `option:"static-macaddress" env:"HYPERV_STATIC_MACADDRESS" help:"MAC address of the machine (default: a random one of Microsoft's range)"`
	VLAN   int    `option:"vlan-id" env:"HYPERV_VLAN_ID" help:"VLAN that the machine is on; 0: none" min:"0" max:"4094"`

	Boot2DockerURL string `option:"boot2docker-url" env:"HYPERV_BOOT2DOCKER_URL" help:"boot2docker ISO to boot instead of a cloud image: a URL or a path"`
}

func defaults() Config {
	return Config{Image: "debian-12", Memory: 2048, CPUs: 2, DiskSize: 20000, SSHUser: "machine", Grace: 60}
}

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
	if _, err := parseMAC(c.MAC); err != nil {
		refuse("static-macaddress", err, "such as 00:15:5d:01:02:03")
	}
	c.validateNetwork(refuse)
	if c.Boot2DockerURL != "" && c.UserData != "" {
		refuse("userdata", errors.New("boot2docker reads no user data"), "")
	}
	return errors.Join(errs...)
}

func (c Config) validateNetwork(refuse func(option string, err error, advice string)) {
	if c.NAT == "" {
		if c.IP != "" {
			refuse("ip", errors.New("needs --hyperv-nat: on other switches DHCP gives the addresses"), "")
		}
		return
	}
	subnet, err := parseSubnet(c.NAT)
	if err != nil {
		refuse("nat", err, "such as 192.168.144.0/24")
		return
	}
	if c.Switch != "" {
		refuse("nat", errors.New("contradicts --hyperv-virtual-switch: it has a switch of its own"), "leave one of them out")
	}
	if c.VLAN != 0 {
		refuse("vlan-id", errors.New("contradicts --hyperv-nat: this computer would not be on the VLAN"), "")
	}
	if c.Boot2DockerURL != "" {
		refuse("nat", errors.New("boot2docker takes its address by DHCP, which there is none of"), "leave it out")
	}
	if c.IP == "" {
		return
	}
	a, err := netip.ParseAddr(c.IP)
	switch {
	case err != nil || !a.Is4():
		refuse("ip", fmt.Errorf("%q is no IPv4 address", c.IP), "")
	case !subnet.Contains(a):
		refuse("ip", fmt.Errorf("%s is not in %s", a, subnet), "")
	case a == gatewayOf(subnet):
		refuse("ip", fmt.Errorf("%s is this computer's own address on the network", a), "")
	case a == subnet.Addr() || a == localvm.LastOf(subnet):
		refuse("ip", fmt.Errorf("%s is no address for a machine", a), "")
	}
}

// parseSubnet reads the subnet of a network with address translation.
func parseSubnet(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return netip.Prefix{}, fmt.Errorf("%q is no subnet", text)
	case !p.Addr().Is4():
		return netip.Prefix{}, fmt.Errorf("%s is not IPv4", p)
	case p.Bits() < 8 || p.Bits() > 29:
		return netip.Prefix{}, fmt.Errorf("%s is no usable size of a network", p)
	case p != p.Masked():
		return netip.Prefix{}, fmt.Errorf("%s is an address in %s, not the subnet itself", p, p.Masked())
	}
	return p, nil
}

// gatewayOf returns the address of this computer in a subnet.
func gatewayOf(p netip.Prefix) netip.Addr { return p.Masked().Addr().Next() }

// parseMAC reads a MAC address with or without separators, and returns it as Hyper-V
// writes it: 00155D010203. Empty stays empty.
func parseMAC(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	plain := strings.NewReplacer(":", "", "-", "", ".", "").Replace(text)
	b, err := hex.DecodeString(plain)
	switch {
	case err != nil || len(b) != 6:
		return "", fmt.Errorf("%q is no MAC address", text)
	case b[0]&1 != 0:
		return "", fmt.Errorf("%s is an address of a group", text)
	case plain == "000000000000":
		return "", fmt.Errorf("%s is no address", text)
	}
	return strings.ToUpper(plain), nil
}
