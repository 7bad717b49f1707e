// Package docker is the driver of hosts that are system containers: each boots
// systemd, sshd and an Engine of its own inside a container of any Docker
// Engine. They start in a second, reach each other on a network of their own,
// and make a real Swarm on one computer.
//
// # The node image
//
// Unless an image is named, hosts run an image that is built on the engine
// when it is first needed, from the Dockerfile in the folder node:
//
//	machine-node:<suite>-<engine|bare>-<hash>
//
// The hash covers everything the image is built from, so that another version
// of the program never runs an image of this one. Its base is debian:<suite>-slim
// (build argument BASE): the official image, which the engine pulls, or any
// image imported under that name, such as what mmdebstrap makes. Packages that
// the base lacks are installed with apt. Images of earlier versions go with
//
//	docker image prune --all --filter label=com.github.hostsmith.machine.node
//
// # What a machine is on the engine
//
//	container  machine-<name>-<first 8 of the store's id>
//	volumes    the same with -docker (/var/lib/docker) and -containerd (/var/lib/containerd)
//	network    the one that --docker-network names, made if it does not exist
//
// All carry the labels com.github.hostsmith.machine.store and .creator, containers and
// volumes .name, containers .network and .address, images .node.
//
// Each container has a fixed address, because a Swarm manager must keep its
// address over restarts. Where the container network cannot be reached from
// here (Docker Desktop, an engine on another computer), SSH and the engine are
// published on ports that the engine chooses at each start.
package docker

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/moby/moby/client"

	"github.com/hostsmith/machine/drivers"
)

// Name is the driver's name.
const Name = "docker"

// New returns the factory of the driver. Machines opened by one factory share
// the work that must be done once, such as building an image.
func New() drivers.Factory { return factory(localSubnets, stopWithin, lateLook) }

// factory makes New's factory; local returns the subnets that this computer is
// connected to, patience is how long a shutdown may take, and late how long a
// container may take to appear.
func factory(local func() []netip.Prefix, patience, late time.Duration) drivers.Factory {
	once := &gates{}
	return drivers.Define(Name, "system containers on a Docker Engine", defaults,
		func(c Config, state *drivers.Durable[State], env drivers.Env) (drivers.Driver, error) {
			return &driver{cfg: c, state: state, env: env, gates: once, local: local, patience: patience, late: late}, nil
		})
}

// driver is one machine.
type driver struct {
	cfg      Config
	state    *drivers.Durable[State]
	env      drivers.Env
	gates    *gates
	local    func() []netip.Prefix
	patience time.Duration
	late     time.Duration
}

var (
	_ drivers.Killer        = (*driver)(nil)
	_ drivers.Restarter     = (*driver)(nil)
	_ drivers.HostKeySeeder = (*driver)(nil)
	_ drivers.Orphans       = (*driver)(nil)
)

// SeedsHostKey implements drivers.HostKeySeeder.
func (d *driver) SeedsHostKey() bool { return true }

// Local implements drivers.Local: an Engine behind a socket is this computer's.
func (d *driver) Local() bool {
	ep, err := d.endpoint()
	return err == nil && ep.scheme() != "tcp" && ep.scheme() != "ssh"
}

// State is what a machine has on its engine. Names are recorded before a thing
// is made, ids after.
type State struct {
	Engine     Endpoint `json:"engine"`
	Image      string   `json:"image,omitempty"`
	Network    Network  `json:"network"`
	Address    string   `json:"address,omitempty"`    // of the container, with the length of the prefix
	Volumes    []string `json:"volumes,omitempty"`    // names
	Container  string   `json:"container,omitempty"`  // name
	ID         string   `json:"id,omitempty"`         // of the container
	Rights     rights   `json:"rights,omitempty"`     // the container has
	Published  bool     `json:"published,omitempty"`  // clients reach the host through published ports
	EnginePort int      `json:"enginePort,omitempty"` // inside the container, as far as it is published
	Started    bool     `json:"started,omitempty"`    // the container has run
}

// Network is the network a machine is on.
type Network struct {
	Name   string `json:"name,omitempty"`
	ID     string `json:"id,omitempty"`
	Subnet string `json:"subnet,omitempty"`
	Ours   bool   `json:"ours,omitempty"` // made by this store, so removed with its last machine
}

// endpoint returns the engine of the machine: the recorded one, or before
// there is any the one that options and environment lead to.
func (d *driver) endpoint() (Endpoint, error) {
	if d.state.Value.Engine.Host != "" {
		return d.state.Value.Engine, nil
	}
	return resolve(d.cfg.Engine, d.env.Getenv)
}

// connect returns a client that speaks the engine's version of the API. The
// caller closes it.
func (d *driver) connect(ctx context.Context) (*client.Client, error) {
	ep, err := d.endpoint()
	if err != nil {
		return nil, err
	}
	return connect(ctx, ep)
}

// name is what the machine's container is called, and what its volumes' names begin with.
func (d *driver) name() string {
	return fmt.Sprintf("machine-%s-%.8s", d.env.Machine, d.env.StoreID)
}
