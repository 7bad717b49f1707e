// Package amazonec2 is the driver of hosts that are instances of Amazon EC2, or
// of another cloud that speaks its API.
//
// # What a machine is there
//
//	instance        with an encrypted gp3 root volume and one network interface
//	key pair        machine-<name>-<first 8 of the store's id>, unless the user has one there
//	security group  machine-<first 8 of the store's id>, shared by the store's machines of a VPC
//	elastic IP      if asked for
//
// All carry the tags machine-store and machine-creator, all but the shared group
// machine-name, and they get them in the call that makes them.
package amazonec2

import (
	"context"
	"fmt"
	"time"

	"github.com/hostsmith/machine/drivers"
)

// Name is the driver's name.
const Name = "amazonec2"

// Factory returns the factory. Drivers that it opens share clients, the pace of
// requests, and what was looked up.
func Factory() drivers.Factory { return factory(realPace()) }

func factory(p pace) drivers.Factory {
	known := newAccounts(p)
	return drivers.TakingOver(drivers.Define(Name, "an instance of Amazon EC2", defaults,
		func(c Config, state *drivers.Durable[State], env drivers.Env) (drivers.Driver, error) {
			d := &driver{cfg: c, state: state, env: env, accounts: known, pace: p}
			if c.KeyPath != "" {
				return &ownKey{d}, nil
			}
			return d, nil
		}, "aws"), takeOver)
}

// pace is how patient a driver is.
type pace struct {
	first  time.Duration // between two questions for a state, at first
	most   time.Duration // and at last
	settle time.Duration // for what was just made or just removed to be seen as such by all
	launch time.Duration // for an instance to run
	stop   time.Duration // for an orderly shutdown
	gone   time.Duration // for an instance to end, and for what hung on it to be free
	answer time.Duration // for the answer to one request

	backoff time.Duration // between two tries of a request at most; 0: the SDK's
}

func realPace() pace {
	return pace{
		first: 2 * time.Second, most: 6 * time.Second, settle: 20 * time.Second,
		launch: 5 * time.Minute, stop: 3 * time.Minute, gone: 8 * time.Minute, answer: time.Minute,
	}
}

// driver is one machine.
type driver struct {
	cfg      Config
	state    *drivers.Durable[State]
	env      drivers.Env
	accounts *accounts
	pace     pace
}

// ownKey is a machine that its user's own SSH key opens.
type ownKey struct{ *driver }

// SSHAccess implements drivers.SSHAccess.
func (d *ownKey) SSHAccess() drivers.Access { return drivers.Access{KeyFile: d.cfg.KeyPath} }

// State is what a machine has at the provider. What names or finds a thing is
// recorded before it is made, its id after.
type State struct {
	Legacy   bool   `json:"legacy,omitempty"` // docker-machine made it
	Region   string `json:"region,omitempty"`
	Endpoint string `json:"endpoint,omitempty"` // of EC2 if it is not AWS's own
	Account  string `json:"account,omitempty"`  // owner of the instance

	Key    Key    `json:"key"`
	Groups Groups `json:"groups"`
	Launch Launch `json:"launch"`

	Instance    string `json:"instance,omitempty"`
	SpotRequest string `json:"spotRequest,omitempty"`
	User        string `json:"user,omitempty"` // login user

	Address Address `json:"address"`
}

// Key is a key pair at the provider.
type Key struct {
	Name string `json:"name,omitempty"`
	ID   string `json:"id,omitempty"`
	Ours bool   `json:"ours,omitempty"` // imported by Create

	Asked time.Time `json:"asked,omitzero"` // when Create last asked for its import
}

// Groups are the security groups of an instance.
type Groups struct {
	VPC   string   `json:"vpc,omitempty"`
	Names []string `json:"names,omitempty"` // of those that Create makes if they do not exist
	IDs   []string `json:"ids,omitempty"`   // all
	Ours  []string `json:"ours,omitempty"`  // ids of those that carry the store's tag
	Ports []string `json:"ports,omitempty"` // that those who manage the machine must reach, as PORT/PROTOCOL

	Asked time.Time `json:"asked,omitzero"` // when Create last asked for one to be made
}

// Launch is the request that an instance came of.
type Launch struct {
	Token        string    `json:"token,omitempty"` // has the same request make nothing twice
	Asked        time.Time `json:"asked,omitzero"`  // when it was sent; zero: not yet, or refused
	Image        string    `json:"image,omitempty"`
	ImageName    string    `json:"imageName,omitempty"`
	Architecture string    `json:"architecture,omitempty"`
	Type         string    `json:"type,omitempty"`
	Subnet       string    `json:"subnet,omitempty"`
	Zone         string    `json:"zone,omitempty"`
	Spot         bool      `json:"spot,omitempty"`
}

// Address is an elastic IP address.
type Address struct {
	Allocation string    `json:"allocation,omitempty"` // id
	IP         string    `json:"ip,omitempty"`
	Ours       bool      `json:"ours,omitempty"` // allocated by Create, or about to be
	Asked      time.Time `json:"asked,omitzero"` // when it was last asked for
	Bound      bool      `json:"bound,omitempty"`
}

var (
	_ drivers.Driver        = (*driver)(nil)
	_ drivers.Killer        = (*driver)(nil)
	_ drivers.Restarter     = (*driver)(nil)
	_ drivers.HostKeySeeder = (*driver)(nil)
	_ drivers.UserDataTaker = (*driver)(nil)
	_ drivers.ConsoleReader = (*driver)(nil)
	_ drivers.Orphans       = (*driver)(nil)
	_ drivers.SSHAccess     = (*ownKey)(nil)
)

// SeedsHostKey implements drivers.HostKeySeeder.
func (d *driver) SeedsHostKey() bool { return !d.state.Value.Legacy }

// TakesUserData implements drivers.UserDataTaker.
func (d *driver) TakesUserData() bool { return true }

// none is the error for a host that was never made, or is gone.
func (d *driver) none() error {
	if id := d.state.Value.Instance; id != "" {
		return fmt.Errorf("instance %s: %w", id, drivers.ErrNotFound)
	}
	return fmt.Errorf("machine %s has no instance: %w", d.env.Machine, drivers.ErrNotFound)
}

// account returns the client for the machine's account and region.
func (d *driver) account(ctx context.Context) (*account, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return d.accounts.of(ctx, d.login())
}
