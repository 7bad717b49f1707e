package virtualbox

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hostsmith/machine/drivers/internal/localvm"
)

// The controllers of disks.
const (
	sata     = "SATA"
	virtioSC = "VirtIO"
)

// plan is all that a virtual machine is made from. What VBoxManage is asked for
// follows from it alone.
type plan struct {
	UUID, Name string
	Folder     string // of its files
	Arch       string
	Creator    string
	Store      string
	Machine    string
	Version    version

	CPUs, Memory int
	Disk         string // UUID of the disk
	DiskSize     int    // in MiB; 0: as it is
	Firmware     string // bios or efi
	Graphics     string
	ISO          string // to boot from
	Seed         bool   // there is one

	NATMAC, MAC                 string
	NATType, HostOnlyType       string
	Promisc                     string
	HostDNSResolver, NoDNSProxy bool
	Network                     network
	Address                     string // empty: a DHCP server's to say
	SSHPort, EnginePort         int    // EnginePort 0: not forwarded
	ShareName, ShareDir         string
}

func (p plan) disk() string    { return filepath.Join(p.Folder, "disk.vdi") }
func (p plan) seed() string    { return filepath.Join(p.Folder, "seed.iso") }
func (p plan) console() string { return filepath.Join(p.Folder, "console.log") }
func (p plan) arm() bool       { return p.Arch == "arm64" }

// create registers the virtual machine.
func (p plan) create() []string {
	args := []string{"createvm", "--name", p.Name, "--uuid", p.UUID, "--ostype", p.osType(), "--basefolder", p.Folder}
	if p.arm() {
		args = append(args, "--platform-architecture", "arm")
	}
	return append(args, "--register")
}

func (p plan) osType() string {
	if p.arm() {
		return "Debian_arm64"
	}
	return "Linux26_64"
}

// modify gives the virtual machine its hardware. The names of options are those of
// 6.1, which later ones still know.
func (p plan) modify() []string {
	args := []string{
		"modifyvm", p.UUID,
		"--description", p.marks(),
		"--cpus", strconv.Itoa(p.CPUs), "--memory", strconv.Itoa(p.Memory), "--vram", "16",
		"--firmware", p.Firmware, "--graphicscontroller", p.Graphics,
		"--acpi", "on", "--rtcuseutc", "on",
	}
	if p.arm() {
		args = append(args, "--chipset", "armv8virtual")
	} else {
		args = append(args, "--ioapic", "on", "--pae", "on", "--hpet", "on")
	}
	if p.ISO != "" {
		args = append(args, "--boot1", "dvd", "--boot2", "disk")
	} else {
		args = append(args, "--boot1", "disk", "--boot2", "none")
	}
	args = append(args, "--boot3", "none", "--boot4", "none")
	if p.Version.atLeast(7, 0, 0) {
		args = append(args, "--audio-driver", "none", "--audio-enabled", "off")
	} else {
		args = append(args, "--audio", "none")
	}
	if !p.arm() {
		args = append(args, "--uart1", "0x3F8", "4", "--uartmode1", "file", p.console())
	}
	return append(append(args, p.nat()...), p.hostOnly()...)
}

func (p plan) nat() []string {
	return []string{
		"--nic1", "nat", "--nictype1", p.NATType, "--cableconnected1", "on", "--macaddress1", p.NATMAC,
		"--natdnshostresolver1", onOff(p.HostDNSResolver), "--natdnsproxy1", onOff(!p.NoDNSProxy),
	}
}

func (p plan) hostOnly() []string {
	return append(attach(p.Network), "--nictype2", p.HostOnlyType, "--nicpromisc2", p.Promisc,
		"--cableconnected2", "on", "--macaddress2", p.MAC)
}

// attach puts adapter 2 on a network.
func attach(n network) []string {
	if n.Net {
		return []string{"--nic2", "hostonlynet", "--hostonlynet2", n.Name}
	}
	return []string{"--nic2", "hostonly", "--hostonlyadapter2", n.Name}
}

// marks are what the description says.
func (p plan) marks() string {
	return localvm.Marks(localvm.MarkStore, p.Store, localvm.MarkName, p.Machine, localvm.MarkCreator, p.Creator, localvm.MarkIP, p.Address)
}

// controller is the name and the making of the disks' controller.
func (p plan) controller() (name string, args []string) {
	name, bus, kind := sata, "sata", "IntelAhci"
	if p.arm() {
		name, bus, kind = virtioSC, "virtio", "VirtIO"
	}
	return name, []string{"storagectl", p.UUID, "--name", name, "--add", bus, "--controller", kind,
		"--portcount", "2", "--hostiocache", "on", "--bootable", "on"}
}

// attachDisk attaches the disk and gives it its UUID: it is a copy, and so has the
// one of what it was copied from.
func (p plan) attachDisk() []string {
	return p.slot(0, "hdd", p.disk(), "--setuuid", p.Disk)
}

// attachDVD attaches the seed, or what the machine boots from.
func (p plan) attachDVD() []string {
	if p.ISO != "" {
		return p.slot(1, "dvddrive", p.ISO)
	}
	return p.slot(1, "dvddrive", p.seed())
}

func (p plan) slot(port int, kind, medium string, more ...string) []string {
	name, _ := p.controller()
	return append([]string{"storageattach", p.UUID, "--storagectl", name, "--port", strconv.Itoa(port), "--device", "0",
		"--type", kind, "--medium", medium}, more...)
}

func (p plan) resize() []string {
	return []string{"modifymedium", "disk", p.disk(), "--resize", strconv.Itoa(p.DiskSize)}
}

// forwards are the rules by which ports of this computer lead to the guest, by name.
func (p plan) forwards() map[string]string {
	rules := map[string]string{"ssh": forward("ssh", p.SSHPort, 22)}
	if p.EnginePort != 0 {
		rules["engine"] = forward("engine", p.EnginePort, 2376)
	}
	return rules
}

// rules compares the rules with those that there are: the names of the ones to delete,
// and the options of modifyvm that make what is missing.
func (p plan) rules(info map[string]string) (old, options []string) {
	have := map[string]string{}
	for key, rule := range info {
		if strings.HasPrefix(key, "Forwarding(") {
			name, _, _ := strings.Cut(rule, ",")
			have[name] = rule
		}
	}
	want := p.forwards()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if have[name] == want[name] {
			continue
		}
		if have[name] != "" {
			old = append(old, name)
		}
		options = append(options, "--natpf1", want[name])
	}
	return old, options
}

func forward(name string, from, to int) string {
	return fmt.Sprintf("%s,tcp,127.0.0.1,%d,,%d", name, from, to)
}

func (p plan) share() []string {
	return []string{"sharedfolder", "add", p.UUID, "--name", p.ShareName, "--hostpath", p.ShareDir}
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}
