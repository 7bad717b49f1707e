// Package swarmboot makes hosts into a swarm (Swarm mode) and takes them out
// again: Inspect asks the engines, Plan decides as a pure function, Apply does
// it. It talks to engines through their API and to hosts through a runner; it
// knows nothing of drivers, stores or certificates. Join tokens are fetched at
// use and never stored, logged or returned.
package swarmboot

import (
	"context"
	"errors"
	"io"
	"time"
)

// Engine calls the Docker Engine API of one host.
type Engine interface {
	// Do sends in as JSON (nil: no body) and decodes the answer into out (nil:
	// discarded). path is without version prefix, such as /info or
	// /nodes/ID/update?version=7. An answer of 400 or above is an error with the
	// methods StatusCode() int and Message() string.
	Do(ctx context.Context, method, path string, in, out any) error
}

// Runner runs commands on a host; see package provision for the contract.
type Runner interface {
	Run(ctx context.Context, cmd string, stdin io.Reader, stdout io.Writer) error
}

// StepFunc reports the start and the end of a named piece of work around fn
// and returns fn's error.
type StepFunc = func(ctx context.Context, name string, fn func(context.Context) error) error

// Role is what a node does in a swarm.
type Role string

// The roles of a node.
const (
	Manager Role = "manager"
	Worker  Role = "worker"
)

// Node is a host that shall be in the swarm.
type Node struct {
	Name         string // machine name
	Role         Role
	Advertise    string            // address[:port] others reach it at; required
	Listen       string            // address[:port]; empty: 0.0.0.0:2377
	DataPath     string            // address for overlay traffic; empty: Advertise
	Availability string            // active, drain or pause; empty: active
	Labels       map[string]string // node labels to set
}

// Swarm is the swarm wanted.
type Swarm struct {
	Name       string
	ID         string   // of the existing swarm; empty: a new one
	Nodes      []Node   // to be in it after Apply, in order: the first manager initialises
	AddrPool   []string // default address pools (CIDR), for a new swarm
	SubnetSize int      // for a new swarm; 0: the engine's default
}

// Seen is what an engine says of itself.
type Seen struct {
	Reachable bool
	Err       string // why not reachable
	State     string // inactive, pending, active, error, locked
	ClusterID string // of managers
	NodeID    string
	NodeAddr  string
	Control   bool     // is a manager with access to the store
	Managers  []string // addresses of managers it knows
	Version   string   // engine version
}

// Inspect asks an engine for its part in a swarm.
func Inspect(ctx context.Context, e Engine) Seen { panic("unwritten") }

// Action is one thing Apply does.
type Action struct {
	Kind       string // init, join-manager, join-worker, update (labels, availability, role)
	Node       Node
	Via        []string // managers (names) that may give the token or the order; for joins also their addresses are used
	Pool       []string
	SubnetSize int
}

// Plan decides what to do so that want holds. seen has an entry for each node of want
// and for existing managers. Order: init, further managers one by one, workers. It returns no
// action for what holds already. Errors: ErrForeign (a node belongs to another swarm), ErrNoManager
// (no manager answers), ErrLocked, ErrAddress (no advertise address).
func Plan(want Swarm, seen map[string]Seen) ([]Action, error) { panic("unwritten") }

// String renders the action for a dry run, without any secret.
func (a Action) String() string { panic("unwritten") }

// Apply does the actions in order, workers concurrently, and returns the node ids by machine
// name and the swarm's id. engines has each node and each manager by machine name.
func Apply(ctx context.Context, actions []Action, engines map[string]Engine, addrs map[string]string, step StepFunc) (Result, error) {
	panic("unwritten")
}

// Result is what Apply reached, also when it failed half-way.
type Result struct {
	ClusterID string
	NodeIDs   map[string]string // by machine name
}

// Member is a node as a manager sees it.
type Member struct {
	ID, Hostname string
	Role         Role
	Availability string // active, pause, drain
	State        string // ready, down, unknown, disconnected
	Addr         string
	Version      string
	Leader       bool
	Reachability string // of managers: reachable, unreachable, unknown
	Labels       map[string]string
	Tasks        int // running
}

// Members lists the nodes of the swarm that manager e is in.
func Members(ctx context.Context, e Engine) ([]Member, error) { panic("unwritten") }

// Quorum is the arithmetic of managers.
type Quorum struct {
	Managers, Reachable, Needed int
}

// CountQuorum counts managers among members.
func CountQuorum(ms []Member) Quorum { panic("unwritten") }

// Lost tells how many more managers may be lost without losing the quorum; negative: it is lost.
func (q Quorum) Lost() int { panic("unwritten") }

// CheckRemoval returns why node id must not leave: ErrQuorum with the arithmetic, if what remains
// has no quorum. Removing the last node of a swarm is allowed.
func CheckRemoval(ms []Member, id string) error { panic("unwritten") }

// Remove takes a node out in good order: drain and wait until its tasks have ended (bounded by drainWait),
// demote, leave, remove from the node list. self is the node's engine, nil when it does not answer; manager is another
// manager's, nil when self is the last manager. Already out is no error.
func Remove(ctx context.Context, id string, self, manager Engine, drainWait time.Duration, step StepFunc) error {
	panic("unwritten")
}

// Drain sets a node to drain and waits until no task runs there, or ctx ends; it returns the former availability.
func Drain(ctx context.Context, manager Engine, id string) (former string, err error) {
	panic("unwritten")
}

// SetAvailability sets active, pause or drain.
func SetAvailability(ctx context.Context, manager Engine, id, availability string) error {
	panic("unwritten")
}

// WaitReady waits until a node is ready (and, if a manager, reachable), or ctx ends.
func WaitReady(ctx context.Context, manager Engine, id string) error { panic("unwritten") }

// RotateTokens replaces the join token of a role; empty: of both.
func RotateTokens(ctx context.Context, manager Engine, role Role) error { panic("unwritten") }

// Host is one end of a preflight.
type Host struct {
	Name    string
	Addr    string // peer address
	Runner  Runner
	Joining bool // not yet in the swarm
	Role    Role
}

// Finding is one result of a preflight.
type Finding struct {
	From, To string // machine names
	Subject  string // "2377/tcp", "7946/udp", "4789/udp", "clock", "mtu"
	Verdict  string // ok, blocked, skewed, small, unknown
	Detail   string
	Fatal    bool
}

// Preflight probes between hosts what a swarm needs: 2377/tcp to managers, 7946 tcp and udp and 4789/udp
// between all, clocks within 30 s, path MTU. One round trip per host, concurrently. It changes nothing.
func Preflight(ctx context.Context, hosts []Host) []Finding { panic("unwritten") }

// Errors that callers decide on.
var (
	ErrForeign   = errors.New("node belongs to another swarm")
	ErrNoManager = errors.New("no manager of the swarm answers")
	ErrLocked    = errors.New("swarm is locked")
	ErrAddress   = errors.New("no advertise address")
	ErrQuorum    = errors.New("the swarm would lose its quorum")
	ErrNetwork   = errors.New("nodes do not reach each other")
)
