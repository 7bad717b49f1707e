// Package hyperv is the driver of virtual machines of Microsoft Hyper-V on this
// computer, from Windows 10 and Windows Server 2016 on. It works from Windows and
// from its Subsystem for Linux.
//
// # What a machine is
//
//	virtual machine   of generation 2, named as the machine
//	disk              a copy of the cloud image, in the machine's folder
//	seed              an ISO image that tells the guest who it is, in the machine's folder
//	switch            the one that was named, the Default Switch, or an internal one with
//	                  address translation, which is made for the store's machines to share
//
// The virtual machine's notes carry marks: machine-store, machine-name,
// machine-creator and machine-ip. A switch of ours has its marks in its notes too.
//
// All is done by one PowerShell for each command. It runs a script that never
// changes; what it shall do comes as data.
package hyperv

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/batch"
	"github.com/hostsmith/machine/drivers/internal/localvm"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// Name is the driver's name.
const Name = "hyperv"

// Factory returns the factory of the driver. Machines opened by one factory share a
// PowerShell.
func Factory() drivers.Factory { return factory(local()) }

// world is what lies outside of a driver, so that a test can have another one.
type world struct {
	os, arch string
	start    func(path string) (*process, error)                                       // starts a PowerShell
	run      func(ctx context.Context, program string, args ...string) (string, error) // runs another program
	look     func(program string) (string, error)                                      // finds one on PATH
	pace     wait.Pace
	patience time.Duration // that a guest has to get an address
}

func local() world {
	return world{
		os: runtime.GOOS, arch: runtime.GOARCH, start: startPowerShell, run: runProgram, look: lookProgram,
		pace: wait.Pace{First: 300 * time.Millisecond, Most: 3 * time.Second}, patience: 3 * time.Minute,
	}
}

func factory(w world) drivers.Factory {
	shells := &shells{all: map[string]*shell{}, start: w.start}
	return localvm.TakingOver[Config](drivers.Define(Name, "virtual machines of Microsoft Hyper-V on this computer", defaults,
		func(c Config, state *drivers.Durable[State], env drivers.Env) (drivers.Driver, error) {
			return &driver{cfg: c, state: state, env: env, world: w, shells: shells}, nil
		}), legacy)
}

// driver is one machine.
type driver struct {
	cfg    Config
	state  *drivers.Durable[State]
	env    drivers.Env
	world  world
	shells *shells
}

var (
	_ drivers.Killer        = (*driver)(nil)
	_ drivers.HostKeySeeder = (*driver)(nil)
	_ drivers.UserDataTaker = (*driver)(nil)
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
	ID         string `json:"id,omitempty"`   // of the virtual machine
	Name       string `json:"name,omitempty"` // that it was made with
	Folder     string `json:"folder,omitempty"`
	Generation int    `json:"generation,omitempty"`
	ISO        string `json:"iso,omitempty"` // what it boots from instead of its disk
	User       string `json:"user,omitempty"`
	MAC        string `json:"mac,omitempty"`     // such as 00155D0A0B0C
	Subnet     string `json:"subnet,omitempty"`  // of a network with address translation; empty: none
	Address    string `json:"address,omitempty"` // there
	Switch     *lan   `json:"switch,omitempty"`
	Configured bool   `json:"configured,omitempty"` // the virtual machine is complete
	Legacy     bool   `json:"legacy,omitempty"`     // docker-machine made it
}

// lan is the switch that a machine is connected to.
type lan struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// shells has the conversation with each PowerShell.
type shells struct {
	start func(path string) (*process, error)

	mu  sync.Mutex
	all map[string]*shell
}

// shell is a PowerShell, and the questions for virtual machines that are asked
// together.
type shell struct {
	*session
	states *batch.Group[string, vm]
}

func (s *shells) at(path string, d *driver) *shell {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.all[path]
	if sh == nil {
		sh = &shell{session: newSession(func() (*process, error) { return s.start(path) })}
		t := &tool{session: sh.session, log: d.env.Log}
		sh.states = &batch.Group[string, vm]{Max: 10_000, Ask: func(ctx context.Context, keys []string) (map[string]vm, error) {
			return asked(ctx, t, keys)
		}}
		s.all[path] = sh
	}
	return sh
}
