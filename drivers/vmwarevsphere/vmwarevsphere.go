// Package vmwarevsphere is the driver of virtual machines on VMware vSphere.
//
// # What a machine is at the vCenter
//
//	virtual machine  named as the machine, in the folder that was chosen
//	ISO              in a folder of the machine's token on the datastore, if it boots from one
//
// The virtual machine has an instance UUID that is chosen before it is made, the
// token, and carries marks as configuration parameters: machine.store,
// machine.name, machine.creator, machine.token. A virtual machine of the name
// that does not have the token is somebody else's.
package vmwarevsphere

import (
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// Name is the driver's name.
const Name = "vmwarevsphere"

// Factory returns the factory of the driver. Machines opened by one factory
// share sessions, one per vCenter and user, and what they look up.
func Factory() drivers.Factory {
	return factory(wait.Pace{First: 300 * time.Millisecond, Most: 3 * time.Second})
}

// factory makes a factory whose drivers ask for the state of tasks and hosts
// at a pace.
func factory(pace wait.Pace) drivers.Factory {
	sessions := &sessions{open: map[string]*center{}}
	return drivers.TakingOver(drivers.Define(Name, "virtual machines on VMware vSphere", defaults,
		func(c Config, state *drivers.Durable[State], env drivers.Env) (drivers.Driver, error) {
			return &driver{cfg: c, state: state, env: env, sessions: sessions, pace: pace}, nil
		}, "vsphere"), takeOver)
}

// driver is one machine.
type driver struct {
	cfg      Config
	state    *drivers.Durable[State]
	env      drivers.Env
	sessions *sessions
	pace     wait.Pace
}

var (
	_ drivers.Killer        = (*driver)(nil)
	_ drivers.HostKeySeeder = (*driver)(nil)
	_ drivers.UserDataTaker = (*driver)(nil)
	_ drivers.Orphans       = (*driver)(nil)
)

// SeedsHostKey implements drivers.HostKeySeeder.
func (d *driver) SeedsHostKey() bool { return !d.state.Value.Legacy }

// TakesUserData implements drivers.UserDataTaker.
func (d *driver) TakesUserData() bool { return true }

// State is what a machine has at its vCenter. What is about to be made is
// recorded before, its id after.
type State struct {
	Legacy     bool     `json:"legacy,omitempty"`     // docker-machine made it
	ISO        string   `json:"iso,omitempty"`        // that docker-machine uploaded for it
	Token      string   `json:"token,omitempty"`      // instance UUID of the virtual machine
	Name       string   `json:"name,omitempty"`       // of the virtual machine
	Datacenter string   `json:"datacenter,omitempty"` // reference
	Folder     string   `json:"folder,omitempty"`     // reference
	Source     string   `json:"source,omitempty"`     // reference of what it was cloned from
	SourcePath string   `json:"sourcePath,omitempty"` // what the machine was made from, in words
	Asked      bool     `json:"asked,omitempty"`      // the vCenter was asked to make it
	Task       string   `json:"task,omitempty"`       // reference of the task that makes it
	Upload     bool     `json:"upload,omitempty"`     // it is worth nothing until all was uploaded
	VM         string   `json:"vm,omitempty"`         // reference
	Configured bool     `json:"configured,omitempty"` // it has its hardware and its guest's data
	Address    string   `json:"address,omitempty"`    // the static address, if it was given one
	Files      []string `json:"files,omitempty"`      // folders on datastores that hold what was uploaded for it
}
