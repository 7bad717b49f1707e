// Package swarmboot makes hosts into a swarm (Swarm mode) and takes them out
// again: Inspect asks the engines, Plan decides as a pure function, Apply does
// it. It talks to engines through their API and to hosts through a runner; it
// knows nothing of drivers, stores or certificates. Join tokens are fetched at
// use and never stored, logged or returned.
package swarmboot

import (
	"context"
	"io"
	"time"
)

// Engine calls the Docker Engine API of one host. A join is answered after up to
// 20 seconds by the engine, so an Engine must not give up earlier by itself.
type Engine interface {
	// Do sends in as JSON (nil: no body) and decodes the answer into out (nil:
	// discarded; an io.Writer: written to it as it comes). path is without version prefix, such as /info or
	// /nodes/ID/update?version=7. An answer of 400 or above is an error with the
	// methods StatusCode() int and Message() string.
	Do(ctx context.Context, method, path string, in, out any) error
}

// Runner runs commands on a host. Run runs cmd through the login user's shell
// with stdin (nil: empty) and stdout, which is written to while the command runs
// (nil: discarded). A command that exits non-zero is an error.
type Runner interface {
	Run(ctx context.Context, cmd string, stdin io.Reader, stdout io.Writer) error
}

// StepFunc reports the start and the end of a named piece of work around fn
// and returns fn's error. It may be called concurrently.
type StepFunc = func(ctx context.Context, name string, fn func(context.Context) error) error

// Role is what a node does in a swarm.
type Role string

// The roles of a node.
const (
	Manager Role = "manager"
	Worker  Role = "worker"
)

// The availabilities of a node.
const (
	active = "active"
	pause  = "pause"
	drain  = "drain"
)

// DataPathPort is the UDP port of traffic between containers unless the swarm was made with another one.
const DataPathPort = 4789

// Node is a host that shall be in the swarm.
type Node struct {
	Name         string // machine name
	Role         Role
	Advertise    string            // address[:port] others reach it at; required to init and to join
	Listen       string            // address[:port]; empty: port 2377 on all addresses
	DataPath     string            // address for overlay traffic; empty: Advertise
	Availability string            // active, drain or pause; empty: active when it joins, afterwards as it is
	Labels       map[string]string // node labels to set; others that the node has are left alone
	Former       string            // id that it was given in a join that failed; empty: none is known
}

// Swarm is the swarm wanted.
type Swarm struct {
	Name         string
	ID           string        // of the existing swarm; empty: a new one
	Nodes        []Node        // to be in it after Apply, in order: the first manager initialises
	AddrPool     []string      // default address pools (CIDR), for a new swarm
	SubnetSize   int           // for a new swarm; 0: the engine's default
	DataPathPort int           // 0: DataPathPort, or what an existing swarm has
	CertExpiry   time.Duration // of nodes' certificates, for a new swarm; 0: the engine's default, 90 days
}

// stepped calls fn through step, or at once where nobody wants reports.
func stepped(ctx context.Context, step StepFunc, name string, fn func(context.Context) error) error {
	if step == nil {
		return fn(ctx)
	}
	return step(ctx, name, fn)
}
