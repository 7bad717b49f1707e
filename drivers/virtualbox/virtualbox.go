// Package virtualbox is the driver of virtual machines of Oracle VirtualBox on
// this computer, 6.1 and later.
//
// # What a machine is
//
//	virtual machine     named as the machine, with a UUID that is chosen before it is made
//	disk                a copy of the cloud image, in the machine's folder
//	seed                an ISO image that tells the guest who it is, in the machine's folder
//	host-only network   found by its range, or made for the store's machines to share
//	DHCP server         of that network, only for machines that ask for it
//
// The virtual machine's description carries marks: machine-store, machine-name,
// machine-creator and machine-ip. What machines share is marked in VirtualBox's
// global extra data.
//
// All is done by VBoxManage. One process at a time changes something: they take a
// lock in the VirtualBox home. Questions need none.
package virtualbox

import (
	"context"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/batch"
	"github.com/hostsmith/machine/drivers/internal/localvm"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// Name is the driver's name.
const Name = "virtualbox"

// Factory returns the factory of the driver. Machines opened by one factory share
// their questions.
func Factory() drivers.Factory { return factory(local()) }

// world is what lies outside of a driver, so that a test can have another one.
type world struct {
	os, arch string
	exec     execFunc
	networks string // path of networks.conf
	leases   string // path of the leases of macOS's DHCP server
	addrs    func() ([]hostAddr, error)
	free     func(port int) bool // 127.0.0.1:port can be listened at; 0: never
	pick     func() (int, error) // a port that can be listened at
	pace     wait.Pace
	linger   time.Duration // how long a question waits for those of other machines
}

func local() world {
	return world{
		os: runtime.GOOS, arch: runtime.GOARCH,
		exec:     execute,
		networks: "/etc/vbox/networks.conf",
		leases:   "/var/db/dhcpd_leases",
		addrs:    hostAddrs,
		free:     portFree,
		pick:     pickPort,
		pace:     wait.Pace{First: 200 * time.Millisecond, Most: 2 * time.Second},
		linger:   60 * time.Millisecond, // a call takes longer, and opening fifty machines nearly so
	}
}

func factory(w world) drivers.Factory {
	homes := &homes{linger: w.linger, all: map[string]*batch.Group[string, vm]{}}
	return localvm.TakingOver[Config](drivers.Define(Name, "virtual machines of Oracle VirtualBox on this computer", defaults,
		func(c Config, state *drivers.Durable[State], env drivers.Env) (drivers.Driver, error) {
			return &driver{cfg: c, state: state, env: env, world: w, homes: homes}, nil
		}), legacy)
}

// driver is one machine.
type driver struct {
	cfg   Config
	state *drivers.Durable[State]
	env   drivers.Env
	world world
	homes *homes
}

var (
	_ drivers.Killer        = (*driver)(nil)
	_ drivers.HostKeySeeder = (*driver)(nil)
	_ drivers.UserDataTaker = (*driver)(nil)
	_ drivers.ConsoleReader = (*driver)(nil)
	_ drivers.Orphans       = (*driver)(nil)
	_ drivers.ImageUser     = (*driver)(nil)
)

// Local implements drivers.Local.
func (d *driver) Local() bool { return true }

// SeedsHostKey implements drivers.HostKeySeeder. boot2docker reads no seed.
func (d *driver) SeedsHostKey() bool { return d.cfg.Boot2DockerURL == "" && !d.state.Value.Legacy }

// TakesUserData implements drivers.UserDataTaker.
func (d *driver) TakesUserData() bool { return d.cfg.Boot2DockerURL == "" }

// Images implements drivers.ImageUser. Disks are copies, but for an ISO that the
// machine boots from.
func (d *driver) Images() []string {
	if d.state.Value.ISO == "" {
		return nil
	}
	return []string{d.state.Value.ISO}
}

// State is what a machine has. What is about to be made is recorded before.
type State struct {
	Home   string `json:"home,omitempty"`   // VBOX_USER_HOME of the command that made it; empty: the user's usual one
	UUID   string `json:"uuid,omitempty"`   // of the virtual machine
	Disk   string `json:"disk,omitempty"`   // UUID of the disk
	Name   string `json:"name,omitempty"`   // of the virtual machine
	Folder string `json:"folder,omitempty"` // holds all of its files
	Arch   string `json:"arch,omitempty"`   // of the guest, as GOARCH
	ISO    string `json:"iso,omitempty"`    // what it boots from instead of its disk
	User   string `json:"user,omitempty"`

	NATMAC  string   `json:"natMAC,omitempty"`  // of adapter 1, such as 080027AABBCC
	MAC     string   `json:"mac,omitempty"`     // of adapter 2, on the host-only network
	Network *network `json:"network,omitempty"` // that adapter 2 is on
	CIDR    string   `json:"cidr,omitempty"`    // address of this computer there, with the prefix
	Address string   `json:"address,omitempty"` // of the machine there
	DHCP    bool     `json:"dhcp,omitempty"`    // the address is a DHCP server's to say

	SSHPort    int  `json:"sshPort,omitempty"`    // on 127.0.0.1
	EnginePort int  `json:"enginePort,omitempty"` // on 127.0.0.1, if the engine is reached there
	Forwarded  bool `json:"forwarded,omitempty"`  // clients come by these ports
	Configured bool `json:"configured,omitempty"` // the virtual machine is complete
	Legacy     bool `json:"legacy,omitempty"`     // docker-machine made it
}

// homes has the questions for the virtual machines of each VirtualBox home.
type homes struct {
	linger time.Duration
	mu     sync.Mutex
	all    map[string]*batch.Group[string, vm]
}

// group returns the questions for a home. All are answered by one call.
func (h *homes) group(home string, t *tool) *batch.Group[string, vm] {
	h.mu.Lock()
	defer h.mu.Unlock()
	g := h.all[home]
	if g == nil {
		g = &batch.Group[string, vm]{Linger: h.linger, Max: 10_000, Ask: func(ctx context.Context, _ []string) (map[string]vm, error) {
			all, err := t.vms(ctx)
			for _, v := range slices.Collect(maps.Values(all)) { // those of docker-machine are known by their settings
				all[filepath.Clean(v.Config)] = v
			}
			return all, err
		}}
		h.all[home] = g
	}
	return g
}
