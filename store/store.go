// Package store keeps the records of machines and swarms on disk.
//
//	<root>/
//	  certs/ca.pem ca-key.pem cert.pem key.pem
//	  machines/<name>/config.json ...
//	  swarms/<name>.json
//	  locks/
//	  id
//
// Reading needs no lock and writes nothing. Writing needs a transaction, and
// the only way to one is a lock. A file is replaced as a whole: written beside
// its place, synced, renamed, and its folder synced. The store may be moved: a
// record holds no absolute path. It knows nothing of drivers, SSH, certificates
// or swarms: what they store is opaque here.
package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// Errors that callers decide on.
var (
	ErrNotExist = errors.New("machine does not exist")
	ErrExist    = errors.New("machine already exists")
	ErrLocked   = errors.New("another command is at work")
	ErrCorrupt  = errors.New("record cannot be read")
	ErrFuture   = errors.New("record was written by a newer version")
	ErrReadOnly = errors.New("store cannot be written")
	ErrFull     = errors.New("no space left for the store")
	ErrName     = errors.New("invalid name")
)

// Version is the ConfigVersion that this program writes.
const Version = 4

// Phase is how far a machine has come.
type Phase string

// The phases of a machine.
const (
	Pending     Phase = "pending"     // recorded, nothing certain at the provider
	Created     Phase = "created"     // the host exists
	Provisioned Phase = "provisioned" // the engine is installed and secured
	Ready       Phase = "ready"       // the engine answered over TLS, swarm joined if asked for
	Removing    Phase = "removing"    // rm has begun
)

// Record is all that is stored of a machine, secrets and keys apart. Field
// names are docker-machine's where it had them.
type Record struct {
	ConfigVersion int
	Name          string
	DriverName    string
	Driver        json.RawMessage // the driver's configuration
	DriverState   json.RawMessage `json:",omitempty"` // the ids that removal must release
	Phase         Phase
	Problem       *Problem `json:",omitempty"` // why the last command did not finish
	Created       time.Time
	Creator       string  // version of the program that made the machine
	Address       Address // as last seen
	SSH           SSH
	HostOptions   HostOptions
	Installed     Installed // what provisioning left on the host
	Swarm         Swarm     // Swarm mode membership; zero: none
	DockerContext bool      `json:",omitempty"` // a docker context of the machine's name is ours
}

// Problem is why the last command on a machine did not finish.
type Problem struct {
	Reason  string // stable id
	Message string
	Time    time.Time
}

// Address is where a machine was last seen.
type Address struct {
	Host       string
	Peer       string
	User       string
	SSHPort    int
	EnginePort int // as the client reaches it
}

// SSH is how to log in. Files are names within the machine's folder.
type SSH struct {
	Key     string // file name of the private key; empty: agent and default keys
	Jump    string // [user@]host[:port]
	HostKey string // "seeded" (known before the first contact) or "pinned" (on first contact)
}

// HostOptions are the options a machine was created with, shaped as docker-machine's.
type HostOptions struct {
	EngineOptions EngineOptions
	SwarmOptions  SwarmOptions
	AuthOptions   AuthOptions
}

// EngineOptions say which engine a host gets and how it runs.
type EngineOptions struct {
	ArbitraryFlags   []string // --engine-opt, flag=value
	Env              []string
	InsecureRegistry []string
	Labels           []string
	RegistryMirror   []string
	StorageDriver    string
	InstallURL       string
	TLSVerify        bool   `json:"TlsVerify"`
	Version          string // wanted: exact or prefix such as 28.5; empty: what is there, else the tested default
	Source           string // repo, distro, script or keep; empty: decided by the plan
	RepoURL          string // mirror of Docker's package repository
	Port             int    // the engine listens on; 0: 2376
	HTTPProxy        string
	HTTPSProxy       string
	NoProxy          string
}

// SwarmOptions say which swarm a machine was asked to be in.
type SwarmOptions struct {
	IsSwarm      bool
	Master       bool
	Name         string   // the swarm's
	Advertise    string   // address; empty: the driver's peer address
	Listen       string   // address[:port]
	DataPath     string   // address
	Availability string   // active or drain
	Labels       []string // node labels, k=v
	AddrPool     []string // default address pools, for a new swarm
	SubnetSize   int

	// Classic Swarm, kept for records of docker-machine.
	Address            string
	Discovery          string
	Agent              bool
	Host               string
	Image              string
	Strategy           string
	ArbitraryFlags     []string
	ArbitraryJoinFlags []string
	IsExperimental     bool
}

// AuthOptions hold what goes into certificates.
type AuthOptions struct {
	ServerCertSANs []string
}

// Installed is what provisioning left on the host.
type Installed struct {
	Engine string   `json:",omitempty"` // version
	Source string   `json:",omitempty"` // repo, distro, script or kept
	OS     string   `json:",omitempty"` // pretty name
	Arch   string   `json:",omitempty"` // amd64, arm64 ...
	Hosts  []string `json:",omitempty"` // names and addresses of the server certificate
}

// Swarm is a machine's membership in Swarm mode.
type Swarm struct {
	Name   string `json:",omitempty"`
	Role   string `json:",omitempty"` // manager or worker
	NodeID string `json:",omitempty"`
}

// Cluster is the record of a swarm. It never holds a join token.
type Cluster struct {
	Name    string
	ID      string // of the swarm, given by the engine
	Created time.Time
	Members map[string]Member // by machine name
	Upgrade json.RawMessage   `json:",omitempty"` // journal of a rolling upgrade under way
}

// Member is a machine in a swarm.
type Member struct {
	Role   string // manager or worker
	NodeID string
}

// Entry is a machine as a list shows it: a record, or why it cannot be read.
type Entry struct {
	Name   string
	Record Record
	Err    error
}

// Store is a folder of records.
type Store struct {
	root string
}

// Open returns the store at root, which need not exist. It writes nothing.
func Open(root string) *Store { panic("unwritten") }

// Root returns the store's folder, absolute.
func (s *Store) Root() string { return s.root }

// MachineDir returns the folder of a machine, absolute; it need not exist.
func (s *Store) MachineDir(name string) string { panic("unwritten") }

// CertsDir returns the folder of the authority and the client pair.
func (s *Store) CertsDir() string { panic("unwritten") }

// ID returns the store's identity, empty if nothing was ever written.
func (s *Store) ID() (string, error) { panic("unwritten") }

// Names returns the names of all machines in natural order, case folded.
func (s *Store) Names() ([]string, error) { panic("unwritten") }

// List returns all machines in the order of Names. A record that cannot be read
// is an Entry with Err; the error is for the store as a whole.
func (s *Store) List() ([]Entry, error) { panic("unwritten") }

// Get returns a machine's record, migrated in memory if it is older. The error
// wraps ErrNotExist, ErrCorrupt, ErrFuture or ErrName.
func (s *Store) Get(name string) (Record, error) { panic("unwritten") }

// Secrets returns the secrets stored for a machine; nil if there are none.
func (s *Store) Secrets(name string) (json.RawMessage, error) { panic("unwritten") }

// Lock takes the lock of a machine, which need not exist, and makes the store's
// folders if need be. It does not wait: if another command holds the lock the
// error wraps ErrLocked and says which command, process and since when. command is
// this command's name, told to others that meet the lock.
func (s *Store) Lock(ctx context.Context, name, command string) (*Txn, error) { panic("unwritten") }

// Txn is the right to write a machine. Close releases it.
type Txn struct {
	Name string
	// more fields
}

// Get returns the record as it is on disk now; ErrNotExist if there is none.
func (t *Txn) Get() (Record, error) { panic("unwritten") }

// Put makes the record durable. The first write over an older schema keeps the
// old file as config.json.bak.
func (t *Txn) Put(r Record) error { panic("unwritten") }

// PutSecrets stores secrets (0600); nil removes them.
func (t *Txn) PutSecrets(secrets json.RawMessage) error { panic("unwritten") }

// ReadFile reads a file of the machine's folder; the error wraps fs.ErrNotExist.
func (t *Txn) ReadFile(name string) ([]byte, error) { panic("unwritten") }

// WriteFile replaces a file of the machine's folder, mode 0600.
func (t *Txn) WriteFile(name string, data []byte) error { panic("unwritten") }

// RemoveFile removes a file of the machine's folder; absent is no error.
func (t *Txn) RemoveFile(name string) error { panic("unwritten") }

// Delete removes the machine's folder as a whole, the record last.
func (t *Txn) Delete() error { panic("unwritten") }

// Close releases the lock. It may be called twice.
func (t *Txn) Close() error { panic("unwritten") }

// LockShared takes the lock of what all machines share (certs, id), waiting for
// other holders until ctx ends.
func (s *Store) LockShared(ctx context.Context, command string) (*SharedTxn, error) {
	panic("unwritten")
}

// SharedTxn is the right to write what all machines share.
type SharedTxn struct {
	// fields
}

// ReadCert reads a file of the certs folder; the error wraps fs.ErrNotExist.
func (t *SharedTxn) ReadCert(name string) ([]byte, error) { panic("unwritten") }

// WriteCert replaces a file of the certs folder, mode 0600.
func (t *SharedTxn) WriteCert(name string, data []byte) error { panic("unwritten") }

// RemoveCert removes a file of the certs folder; absent is no error.
func (t *SharedTxn) RemoveCert(name string) error { panic("unwritten") }

// EnsureID returns the store's identity and makes it if there is none.
func (t *SharedTxn) EnsureID() (string, error) { panic("unwritten") }

// Close releases the lock. It may be called twice.
func (t *SharedTxn) Close() error { panic("unwritten") }

// Clusters returns the records of all swarms, sorted by name.
func (s *Store) Clusters() ([]Cluster, error) { panic("unwritten") }

// Cluster returns the record of a swarm; the error wraps ErrNoCluster.
func (s *Store) Cluster(name string) (Cluster, error) { panic("unwritten") }

// LockCluster takes the lock of a swarm, waiting until ctx ends.
func (s *Store) LockCluster(ctx context.Context, name, command string) (*ClusterTxn, error) {
	panic("unwritten")
}

// ErrNoCluster is the error of a swarm that is not recorded.
var ErrNoCluster = errors.New("swarm is not recorded")

// ClusterTxn is the right to write a swarm's record.
type ClusterTxn struct {
	Name string
	// more fields
}

// Get returns the record as it is on disk now; ErrNoCluster if there is none.
func (t *ClusterTxn) Get() (Cluster, error) { panic("unwritten") }

// Put makes the record durable.
func (t *ClusterTxn) Put(c Cluster) error { panic("unwritten") }

// Delete removes the record; absent is no error.
func (t *ClusterTxn) Delete() error { panic("unwritten") }

// Close releases the lock. It may be called twice.
func (t *ClusterTxn) Close() error { panic("unwritten") }

// ValidName returns why name cannot be a machine's (or swarm's) name: it must match
// ^[a-zA-Z0-9][a-zA-Z0-9.-]*$, and be at most 63 characters. The error wraps ErrName.
func ValidName(name string) error { panic("unwritten") }
