package lifecycle

import (
	"context"
	"encoding/json"
	"time"

	"github.com/hostsmith/machine/provision/ssh"
)

// Signatures under construction; each moves to the file of its use case.

// DefaultDriver chooses a driver: MACHINE_DRIVER, else virtualbox when invoked as docker-machine, else the
// first of docker, virtualbox, hyperv, qemu whose check passes. why says so in a sentence.
func (m *Manager) DefaultDriver(ctx context.Context, invokedAs string) (name, why string, err error) {
	panic("unwritten")
}

// Create makes, resumes or completes machines, several at once. The results are in the order
// of the names, also when the joined error is not nil.
func (m *Manager) Create(ctx context.Context, req CreateRequest) ([]Created, error) {
	panic("unwritten")
}

// PlanCreate returns what Create would do.
func (m *Manager) PlanCreate(ctx context.Context, req CreateRequest) ([]Planned, error) {
	panic("unwritten")
}

// Provision installs and secures the engines again; nothing happens where nothing changed.
func (m *Manager) Provision(ctx context.Context, names []string) error { panic("unwritten") }

// PlanProvision returns what Provision would do.
func (m *Manager) PlanProvision(ctx context.Context, names []string) ([]Planned, error) {
	panic("unwritten")
}

// Start starts machines; certificates are issued again where the address changed.
// A machine that runs already is an error wrapping ErrAlready ("already running").
func (m *Manager) Start(ctx context.Context, names []string) error { panic("unwritten") }

// Stop stops machines. A stopped one is an error wrapping ErrAlready.
func (m *Manager) Stop(ctx context.Context, names []string) error { panic("unwritten") }

// Kill stops machines by force.
func (m *Manager) Kill(ctx context.Context, names []string) error { panic("unwritten") }

// Restart restarts machines.
func (m *Manager) Restart(ctx context.Context, names []string) error { panic("unwritten") }

// Remove removes machines. removed has the names that are gone.
func (m *Manager) Remove(ctx context.Context, req RemoveRequest) (removed []string, err error) {
	panic("unwritten")
}

// List returns the machines that match, in natural order; a machine that does not answer is a row.
func (m *Manager) List(ctx context.Context, req ListRequest) ([]Row, error) { panic("unwritten") }

// Status returns a machine's state.
func (m *Manager) Status(ctx context.Context, name string) (State, error) { panic("unwritten") }

// IP returns the address a client reaches a machine at.
func (m *Manager) IP(ctx context.Context, name string) (string, error) { panic("unwritten") }

// URL returns a machine's engine URL; ErrNotRunning if it is not running.
func (m *Manager) URL(ctx context.Context, name string) (string, error) { panic("unwritten") }

// Endpoint returns how to reach a machine's engine, checked by a TLS handshake. With swarm, name is a
// machine or a swarm and the endpoint that of a manager that answers.
func (m *Manager) Endpoint(ctx context.Context, name string, swarm bool) (Endpoint, error) {
	panic("unwritten")
}

// Active returns the name of the running machine whose engine URL is dockerHost.
func (m *Manager) Active(ctx context.Context, dockerHost string, timeout time.Duration) (string, error) {
	panic("unwritten")
}

// Inspect returns a machine as docker-machine's inspect shows it, with what is ours besides.
func (m *Manager) Inspect(ctx context.Context, name string) (json.RawMessage, error) {
	panic("unwritten")
}

// EngineVersion asks a machine's engine for its version.
func (m *Manager) EngineVersion(ctx context.Context, name string) (string, error) { panic("unwritten") }

// RegenerateCerts renews certificates.
func (m *Manager) RegenerateCerts(ctx context.Context, req CertsRequest) error { panic("unwritten") }

// Upgrade brings engines to another version, members of one swarm one after another.
func (m *Manager) Upgrade(ctx context.Context, req UpgradeRequest) error { panic("unwritten") }

// Login returns how to reach a running machine over SSH; ErrNotRunning if it is not running.
func (m *Manager) Login(ctx context.Context, name string) (Login, error) { panic("unwritten") }

// Dial connects to a running machine.
func (m *Manager) Dial(ctx context.Context, name string) (*ssh.Client, error) { panic("unwritten") }

// Match returns the names of the machines that match filters (see ListRequest), asking for states only if a filter does.
func (m *Manager) Match(ctx context.Context, filters []string) ([]string, error) { panic("unwritten") }

// Names returns the names of all machines in natural order; nothing is asked.
func (m *Manager) Names() ([]string, error) { panic("unwritten") }

// SwarmInit starts a swarm on existing machines, the first initialises, the others join as managers.
func (m *Manager) SwarmInit(ctx context.Context, req SwarmRequest) ([]Planned, error) {
	panic("unwritten")
}

// SwarmJoin joins existing machines to a swarm.
func (m *Manager) SwarmJoin(ctx context.Context, req SwarmRequest) ([]Planned, error) {
	panic("unwritten")
}

// SwarmLeave takes machines out of their swarm.
func (m *Manager) SwarmLeave(ctx context.Context, req SwarmRequest) ([]Planned, error) {
	panic("unwritten")
}

// SwarmList returns the recorded swarms.
func (m *Manager) SwarmList() ([]SwarmInfo, error) { panic("unwritten") }

// SwarmStatus asks a manager that answers; name is a swarm, a machine, or empty for the only swarm.
func (m *Manager) SwarmStatus(ctx context.Context, name string) (SwarmStatus, error) {
	panic("unwritten")
}

// SwarmRotateTokens replaces the join tokens of a role ("manager", "worker" or empty: both).
func (m *Manager) SwarmRotateTokens(ctx context.Context, name, role string) error { panic("unwritten") }

// Warnings returns what a person should know before anything else, such as certificates that end soon. It reads only the store.
func (m *Manager) Warnings() []string { panic("unwritten") }

// Reason is a stable name for a kind of failure.
type Reason struct {
	ID      string // such as SSH_AUTH_REFUSED
	Meaning string // a sentence
	Fix     string // what to do, a sentence or a command
	Exit    int    // exit code
}

// Reasons returns all reasons in the order of the documentation.
func Reasons() []Reason { panic("unwritten") }

// ReasonOf returns the reason of an error; the last one, UNKNOWN, if none fits.
func ReasonOf(err error) Reason { panic("unwritten") }

// HintOf returns the next command to run after err; empty: none.
func HintOf(err error) string { panic("unwritten") }
