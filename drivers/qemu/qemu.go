// Package qemu is the driver of virtual machines that QEMU runs on this computer,
// as processes of the user who asks, without root and without a service.
//
// # What a machine is
//
//	process        qemu-system-ARCH with the machine's UUID in its command line
//	disk.qcow2     an overlay of the cloud image in the cache
//	seed.iso       tells the guest who it is
//	efivars.fd     the firmware's variables, where there is UEFI
//	kernel, initrd copies, for those who boot one directly
//	qmp.sock       where QEMU takes orders
//	qemu.pid       QEMU's own record of its process
//	console.log    what the guest printed on its serial console
//	qemu.log       what QEMU said
//	start.lock     one command at a time starts it
//
// All files are in the machine's folder, which is QEMU's working directory: its
// command line names them without a path, so that neither the length of the path
// (a Unix socket's may have about 100 bytes) nor what is in it matters.
//
// In the store's cache are qemu/machines.json, which has all machines of the store,
// with the addresses that they have on the network between them, and qemu/accel.json,
// which says which accelerators were seen to run a guest since this computer started.
//
// # Who is it
//
// A process is the machine's if it has the machine's UUID in its command line, or on
// Windows, where others cannot see that, if it is a QEMU that began when the pid was
// written. Only such a one is ever ended.
package qemu

import (
	"path/filepath"

	"github.com/hostsmith/machine/drivers"
)

// Name is the driver's name.
const Name = "qemu"

// Factory returns the factory of the driver.
func Factory() drivers.Factory { return factory(local()) }

func factory(w world) drivers.Factory {
	return drivers.Define(Name, "virtual machines of QEMU on this computer", defaults,
		func(c Config, state *drivers.Durable[State], env drivers.Env) (drivers.Driver, error) {
			return &driver{cfg: c, state: state, env: env, world: w}, nil
		})
}

// driver is one machine.
type driver struct {
	cfg   Config
	state *drivers.Durable[State]
	env   drivers.Env
	world world
}

var (
	_ drivers.Driver        = (*driver)(nil)
	_ drivers.Killer        = (*driver)(nil)
	_ drivers.Emulator      = (*driver)(nil)
	_ drivers.HostKeySeeder = (*driver)(nil)
	_ drivers.UserDataTaker = (*driver)(nil)
	_ drivers.ConsoleReader = (*driver)(nil)
	_ drivers.ImageUser     = (*driver)(nil)
	_ drivers.Imager        = (*driver)(nil)
	_ drivers.Orphans       = (*driver)(nil)
)

// Local implements drivers.Local.
func (d *driver) Local() bool { return true }

// SeedsHostKey implements drivers.HostKeySeeder.
func (d *driver) SeedsHostKey() bool { return true }

// Emulated implements drivers.Emulator.
func (d *driver) Emulated() bool { return d.state.Value.Accel == "tcg" }

// TakesUserData implements drivers.UserDataTaker.
func (d *driver) TakesUserData() bool { return true }

// Images implements drivers.ImageUser.
func (d *driver) Images() []string {
	path := d.state.Value.Image
	if path == "" {
		return nil
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(d.env.Dir, filepath.FromSlash(path))
	}
	return []string{path}
}

// State is what a machine has. What is about to be made is recorded before.
type State struct {
	UUID     string `json:"uuid,omitempty"`     // of this life of the machine
	Arch     string `json:"arch,omitempty"`     // of the guest, as GOARCH
	User     string `json:"user,omitempty"`     // login user
	Image    string `json:"image,omitempty"`    // path of the file that the disk is an overlay of, as seen from the machine's folder
	Firmware string `json:"firmware,omitempty"` // bios, uefi or kernel
	Code     string `json:"code,omitempty"`     // path of the UEFI firmware
	Initrd   bool   `json:"initrd,omitempty"`   // there is one

	NATMAC  string `json:"natMAC,omitempty"`
	LANMAC  string `json:"lanMAC,omitempty"`
	Address string `json:"address,omitempty"` // on the network of the machines, with the prefix; empty: none or by DHCP
	LAN     string `json:"lan,omitempty"`     // group and port of that network; empty: another kind of network

	SSHPort     int    `json:"sshPort,omitempty"`     // on 127.0.0.1
	EnginePort  int    `json:"enginePort,omitempty"`  // on 127.0.0.1
	EngineGuest int    `json:"engineGuest,omitempty"` // in the guest
	Accel       string `json:"accel,omitempty"`       // that the machine was started with last
	Made        bool   `json:"made,omitempty"`        // disk and seed are complete
}

// The files of a machine.
const (
	diskFile    = "disk.qcow2"
	seedFile    = "seed.iso"
	varsFile    = "efivars.fd"
	kernelFile  = "kernel"
	initrdFile  = "initrd"
	socketFile  = "qmp.sock"
	pidFile     = "qemu.pid"
	consoleFile = "console.log"
	logFile     = "qemu.log"
	lockFile    = "start.lock"
)

// files are all of them, what is worth most last: a disk that is there says that
// the machine exists.
func files() []string {
	return []string{seedFile, seedFile + ".work", varsFile, kernelFile, initrdFile, socketFile, pidFile, consoleFile, logFile, lockFile, diskFile + newSuffix, diskFile}
}

// newSuffix ends the names of files that are not complete.
const newSuffix = ".new"

func (d *driver) path(file string) string { return filepath.Join(d.env.Dir, file) }
