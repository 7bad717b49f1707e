// Package host has the machines behind the instances of a simulated cloud.
package host

import (
	"context"
	"net/netip"
)

// Hosts make and unmake the machines behind instances. Methods may be called
// concurrently, also for one host. They are idempotent: what is there already
// is not made again, what is gone already is no error.
type Hosts interface {
	// Networks returns the ranges that addresses are taken from: of the cloud's
	// private network, and of the addresses that the world sees. The first 16
	// addresses of each and the last one are not to be given away.
	Networks() (private, public netip.Prefix)

	// Launch boots a host. It returns when the host has been told to boot.
	Launch(ctx context.Context, s Spec) error

	// Stop shuts a host down, at once if hard. Its disk stays.
	Stop(ctx context.Context, id string, hard bool) error

	// Start boots a stopped host.
	Start(ctx context.Context, id string) error

	// Restart reboots a host.
	Restart(ctx context.Context, id string) error

	// SetPublic gives a host another public address, or none if addr is not valid.
	SetPublic(ctx context.Context, id string, addr netip.Addr) error

	// Running tells whether a host runs; one that shut itself down does not.
	Running(ctx context.Context, id string) (bool, error)

	// Console returns what the host printed on its console, the newest at the end.
	Console(ctx context.Context, id string) ([]byte, error)

	// Remove removes a host and its disk.
	Remove(ctx context.Context, id string) error

	// Close removes all hosts and networks.
	Close() error
}

// Spec is what a host gets at birth.
type Spec struct {
	ID       string // unique among the hosts
	Hostname string
	Private  netip.Addr
	Public   netip.Addr // not valid: none
	User     string     // the image's default user, which the keys may log in as
	Keys     []string   // authorized_keys lines of the provider's making, as an instance's metadata holds them
	UserData []byte     // for cloud-init, as the provider's metadata service would give it
}
