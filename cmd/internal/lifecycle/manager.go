// Package lifecycle holds the use cases: create, provision, start, stop,
// remove, list, upgrade, swarm. It is the one package that knows the order of
// things and the only one that imports more than one leaf. It never prints and
// never reads flags: what a person sees goes through Manager's functions.
package lifecycle

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/store"
)

// StepFunc reports the start and the end of a named piece of work around fn
// and returns fn's error. The machine that a context is about travels in it: see OnMachine.
type StepFunc = func(ctx context.Context, name string, fn func(context.Context) error) error

// Manager does the use cases on one store with one set of drivers. Its methods
// may be called concurrently.
type Manager struct {
	Store    *store.Store
	Drivers  drivers.Source
	Step     StepFunc                               // required
	Note     func(ctx context.Context, text string) // something decided or worth knowing, one line; required
	Log      *slog.Logger                           // required
	Getenv   func(string) string                    // required
	Now      func() time.Time                       // required
	Version  string                                 // of the program
	Command  string                                 // the command's name, told to others that meet a lock
	Limit    int                                    // machines worked on at once; 0: 16
	Wait     Deadlines
	Progress drivers.ProgressFunc // how far a step is; nil: nobody is told
	TLS      TLSFiles             // taken over when the store makes its first authority

	endings endings // what drivers do when the command ends
	parsed  parsedCerts

	testLocks  locks                                // instead of those of Store
	testDocker func(args ...string) (string, error) // instead of the docker client
}

// Deadlines bound the phases of work on one machine. Zero means the default.
type Deadlines struct {
	Host   time.Duration // for the driver to make the host, an image included: 30 min
	SSH    time.Duration // until SSH answers: 5 min
	Engine time.Duration // until the engine answers over TLS: 1 min
	Swarm  time.Duration // for a node to be ready in its swarm: 2 min
	Drain  time.Duration // for a node's tasks to end: 2 min
	Lock   time.Duration // for another command on a machine that is to be removed, and by force on its swarm: 1 min
	Remove time.Duration // for the provider to release a host: 30 min, by force 5 min
}

// Options that are stored as they are given.
type (
	EngineOptions = store.EngineOptions
	SwarmOptions  = store.SwarmOptions
)

// State is what a machine is doing, in docker-machine's words.
type State = drivers.State

// CreateRequest asks for machines.
type CreateRequest struct {
	Names           []string
	Driver          string
	Options         drivers.Values // of the driver
	Engine          EngineOptions
	Swarm           SwarmOptions // with several names and Master, the first initialises a new swarm
	Classic         bool         // a classic standalone swarm; without Swarm.Discovery one whose members machine lists
	SANs            []string
	UserData        []byte
	DockerContext   bool // make a docker context of the machine's name
	RemoveOnFailure bool
	NoStoreSecrets  bool // secrets among the options serve this command and are written nowhere
	NoPreflight     bool // skip the network probe before a swarm join
	RotateTokens    bool // replace the swarm's join tokens after the machines have joined

	bake    string        // the image that the machine is made for; empty: it is to be used
	project store.Project // the cluster file that asks for the machines; zero: none
	limit   int           // machines made at once; 0: Manager.Limit

	dataPathPort int // of the swarm that the machines join later; 0: not known

	knownHosts []byte // of the host, which was verified already; nil: its key is pinned on first contact
}

// Created is what became of one machine of a CreateRequest.
type Created struct {
	Name     string        `json:"name"`
	Driver   string        `json:"driver"`
	URL      string        `json:"url,omitempty"`
	IP       string        `json:"ip,omitempty"`
	Engine   string        `json:"engine,omitempty"` // version
	Swarm    string        `json:"swarm,omitempty"`
	Role     string        `json:"role,omitempty"` // in the swarm
	Resumed  bool          `json:"resumed,omitempty"`
	Phases   []PhaseTime   `json:"phases,omitempty"`
	Total    time.Duration `json:"total,omitempty"` // nanoseconds
	Trips    int           `json:"sshRoundTrips,omitempty"`
	Error    string        `json:"error,omitempty"`
	ReasonID string        `json:"reason,omitempty"`
}

// PhaseTime is how long a phase took.
type PhaseTime struct {
	Phase string        `json:"phase"`
	Took  time.Duration `json:"took"` // nanoseconds
}

// Planned is a plan that was not carried out.
type Planned struct {
	Machine string   `json:"machine"`
	Steps   []string `json:"steps"`             // one line each
	Scripts []string `json:"scripts,omitempty"` // what would run on the host, secrets left out

	Warnings []string `json:"warnings,omitempty"` // what speaks against it
}

// MarshalJSON writes no steps as an empty list.
func (p Planned) MarshalJSON() ([]byte, error) {
	type plain Planned
	if p.Steps == nil {
		p.Steps = []string{}
	}
	return json.Marshal(plain(p))
}

// Row is a machine as ls shows it.
type Row struct {
	Name          string
	Active        string // "-", "*", "* (swarm)" or empty when unknown
	ActiveHost    bool
	ActiveSwarm   bool
	DriverName    string
	State         State
	URL           string
	Swarm         string // name of the swarm, with " (master)" on managers
	SwarmOptions  SwarmOptions
	EngineOptions EngineOptions
	Error         string
	DockerVersion string // "v28.5.2" or "Unknown"
	ResponseTime  time.Duration
	CertExpires   time.Time // of the server certificate; zero: none
	Phase         string
}

// ListRequest selects and bounds List.
type ListRequest struct {
	Filters    []string      // key=value: driver, state, swarm, name (regexp), label
	Timeout    time.Duration // per machine; 0: 10 s
	DockerHost string        // of the caller's environment, for the active column
	NamesOnly  bool          // no state queries
}

// Endpoint is how a client reaches a machine's engine or a swarm's manager.
type Endpoint struct {
	Machine  string // whose engine it is
	URL      string // tcp://192.0.2.7:2376
	IP       string
	CertPath string // folder with ca.pem, cert.pem and key.pem, absolute
	TLS      bool
}

// RemoveRequest asks for removal.
type RemoveRequest struct {
	Names []string
	Force bool // go on despite the quorum guard and despite errors of the provider
}

// CertsRequest asks for new certificates.
type CertsRequest struct {
	Names       []string // empty with RotateCA: all machines
	ClientCerts bool     // the client pair too
	RotateCA    bool     // a new authority, both trusted during the change
	Drain       bool     // members of swarms are drained before their engines restart, and activated again after
}

// ProvisionRequest asks to install and secure engines again.
type ProvisionRequest struct {
	Names []string
	Drain bool // members of swarms are drained before their engines restart, and activated again after
}

// UpgradeRequest asks for another engine version.
type UpgradeRequest struct {
	Names   []string
	Version string // exact or prefix; empty: the newest of the machine's source, or its pin
	Force   bool   // allow a downgrade
	Start   bool   // start machines that are stopped before, as docker-machine did
}

// SwarmRequest asks for a swarm of machines that exist.
type SwarmRequest struct {
	Names       []string
	Options     SwarmOptions // Name, Master (join as managers), Advertise, Listen ...
	Force       bool         // leave: despite the quorum guard
	NoPreflight bool
	DryRun      bool
	Classic     bool // a classic standalone swarm; without Options.Discovery one whose members machine lists

	RotateTokens bool // replace the swarm's join tokens after the machines have joined
}

// SwarmInfo is a swarm as "swarm ls" shows it.
type SwarmInfo struct {
	Name     string   `json:"name"`
	Kind     string   `json:"kind"`     // "swarm mode" or "classic"
	ID       string   `json:"id"`       // of a classic one its discovery URL
	Managers []string `json:"managers"` // machine names
	Workers  []string `json:"workers"`
}

// Login is how to reach a machine over SSH.
type Login struct {
	Machine string
	Target  ssh.Target
}

// OnMachine returns a context that is about the named machine: steps and notes
// below it carry the name.
func OnMachine(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, machineKey{}, name)
}

// MachineOf returns the machine that a context is about; empty: none.
func MachineOf(ctx context.Context) string {
	name, _ := ctx.Value(machineKey{}).(string)
	return name
}

type machineKey struct{}
