// Package azure is the driver of virtual machines in Microsoft Azure.
//
// # What a machine is
//
//	virtual machine   NAME-STORE, STORE being the first 8 of the store's id
//	network interface the same with -nic
//	security group    the same with -nsg, unless --azure-nsg names one
//	public address    the same with -ip, unless --azure-no-public-ip
//	its IPv6 address  the same with -ip6, with --azure-ipv6
//	disk              the same with -disk
//
// The machines of a store share a resource group, and in each location a
// virtual network, unless others are named, and in each virtual network an
// application security group, whose members reach each other. What the driver
// makes carries the store's tag; what does not carry it is neither changed nor
// removed.
//
// Names are fixed before anything is made and a PUT by name makes nothing
// twice, so that a create which was interrupted is simply done again.
package azure

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// Name is the driver's name.
const Name = "azure"

// Factory returns the factory of the driver. Machines opened by one factory
// share connections, limits and what need be asked only once.
func Factory() drivers.Factory { return factory(settings{}) }

// settings are what tests choose differently.
type settings struct {
	client *http.Client  // nil: http.DefaultTransport
	pace   wait.Pace     // of asking for the end of an operation
	delay  time.Duration // before a failed request is tried again; 0: the SDK's
	late   time.Duration // for what was asked for to be seen; 0: 3 s
}

func factory(s settings) drivers.Factory {
	shared := &accounts{settings: s}
	return drivers.TakingOver(drivers.Define(Name, "virtual machines in Microsoft Azure", defaults,
		func(c Config, state *drivers.Durable[State], env drivers.Env) (drivers.Driver, error) {
			c.Location = normal(c.Location)
			return &driver{cfg: c, state: state, env: env, accounts: shared}, nil
		}), takeOver)
}

// driver is one machine.
type driver struct {
	cfg      Config
	state    *drivers.Durable[State]
	env      drivers.Env
	accounts *accounts
	forAll   bool // acts on what any machine of the store left
}

var (
	_ drivers.Driver        = (*driver)(nil)
	_ drivers.Killer        = (*driver)(nil)
	_ drivers.Restarter     = (*driver)(nil)
	_ drivers.HostKeySeeder = (*driver)(nil)
	_ drivers.UserDataTaker = (*driver)(nil)
	_ drivers.ConsoleReader = (*driver)(nil)
	_ drivers.Orphans       = (*driver)(nil)
)

// SeedsHostKey implements drivers.HostKeySeeder.
func (d *driver) SeedsHostKey() bool { return d.state.Value.Legacy == "" }

// TakesUserData implements drivers.UserDataTaker.
func (d *driver) TakesUserData() bool { return true }

// State is what a machine has at Azure. Each id is recorded before the thing
// is asked for, after it was seen that nobody else has one of the name.
type State struct {
	Legacy       string `json:"legacy,omitempty"` // name of the virtual machine, if docker-machine made it
	Subscription string `json:"subscription,omitempty"`
	Location     string `json:"location,omitempty"`
	Group        string `json:"group,omitempty"` // resource group of the machine
	Image        string `json:"image,omitempty"` // exactly: publisher:offer:sku:version, or an id
	Size         string `json:"size,omitempty"`
	Network      string `json:"network,omitempty"`         // id of the virtual network
	Subnet       string `json:"subnet,omitempty"`          // id
	SubnetMade   bool   `json:"subnetMade,omitempty"`      // by this machine, in a network that is not ours
	Set          string `json:"availabilitySet,omitempty"` // id
	Firewall     string `json:"securityGroup,omitempty"`   // id of the machine's own security group
	Members      string `json:"applicationSecurityGroup,omitempty"`
	IP           string `json:"publicIP,omitempty"` // id
	IP6          string `json:"publicIPv6,omitempty"`
	NIC          string `json:"networkInterface,omitempty"`
	Disk         string `json:"disk,omitempty"`
	Container    string `json:"container,omitempty"` // id of what docker-machine kept a disk in
	VM           string `json:"virtualMachine,omitempty"`
	Made         bool   `json:"made,omitempty"` // the virtual machine has come to be
	Public       string `json:"publicAddress,omitempty"`
	Private      string `json:"privateAddress,omitempty"`
	Public6      string `json:"publicIPv6Address,omitempty"`
	Private6     string `json:"privateIPv6Address,omitempty"`
}

// errNever says that the machine was never asked for.
func (d *driver) errNever() error {
	return fmt.Errorf("virtual machine of %s: %w: it was never created", d.env.Machine, drivers.ErrNotFound)
}

// begun returns why nothing is to be begun: the context has ended.
func begun(ctx context.Context) error { return context.Cause(ctx) }

// same tells whether two ids are of the same resource. Azure writes them in any case.
func same(a, b string) bool { return strings.EqualFold(a, b) }
