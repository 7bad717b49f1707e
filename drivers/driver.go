// Package drivers defines what it takes to be a driver: a provider of hosts.
//
// It holds the Driver contract, options as data, the factory that opens a
// driver from stored data, and the errors that callers decide on. It knows
// nothing of SSH, TLS, Docker Engine, swarms or disk.
package drivers

import (
	"context"
	"errors"
	"log/slog"
)

// Driver controls one machine at one provider.
//
// Every method honours ctx and returns its cause when it ends. Methods of one
// Driver are not called concurrently; different Drivers are. A Driver never
// prints, prompts, exits, makes keys, opens SSH connections of its own, or
// writes outside Env.Dir and Env.Cache.
type Driver interface {
	// Check returns why Create would fail. It creates and changes nothing.
	Check(ctx context.Context) error

	// Create allocates the host and returns once it has been told to run. The
	// intent is saved before each allocation and the id right after it, so that
	// after a crash Create can be called again: it continues from the saved
	// state and never makes a second of anything.
	Create(ctx context.Context, req CreateRequest) error

	// Status returns what the provider knows of the host now. The error wraps
	// ErrNotFound if the host does not exist (any more).
	Status(ctx context.Context) (Status, error)

	// Start makes a stopped host run. Nothing to do is no error.
	Start(ctx context.Context) error

	// Stop shuts the host down in good order, within a bound of the driver's
	// own, and by force after it. Nothing to do is no error.
	Stop(ctx context.Context) error

	// Remove releases exactly what the saved state records, in dependency
	// order, and clears each part from the state as it goes. What is already
	// gone counts as removed. It never validates create-time options and never
	// touches what Create did not make.
	Remove(ctx context.Context) error
}

// Killer is implemented by drivers that can stop a host at once, like pulling the plug.
type Killer interface {
	Kill(ctx context.Context) error
}

// Restarter is implemented by drivers that restart better than Stop and Start do.
type Restarter interface {
	Restart(ctx context.Context) error
}

// PortOpener is implemented by drivers whose provider closes ports that Create was not told of.
type PortOpener interface {
	// OpenPorts has the provider's firewall let the ports through to a host that Create made, those that are
	// for peers to the store's other machines only. What is open stays open, and doing it again changes nothing. Only
	// what Create made is changed: for a firewall of the user's own a note tells what it must admit. What is
	// opened goes with the firewall when that is removed.
	OpenPorts(ctx context.Context, ports []Port) error
}

// Emulator is implemented by drivers whose hosts may be emulated in software. All that
// such a host does takes several times as long, so that it gets more time.
type Emulator interface {
	// Emulated tells whether the host is, as it was started last.
	Emulated() bool
}

// HostKeySeeder is implemented by drivers whose Create installs
// CreateRequest.HostKey on the host, so that the first SSH contact is
// already verified.
type HostKeySeeder interface {
	SeedsHostKey() bool
}

// UserDataTaker is implemented by drivers whose Create hands
// CreateRequest.UserData to the host. A create with user data is refused for
// all others: what is given and not used would be missed too late.
type UserDataTaker interface {
	TakesUserData() bool
}

// SSHAccess is implemented by drivers whose users may say how to log in: those
// of hosts that exist already, and those that can use a key pair the user has at
// the provider. An Access without KeyFile of a driver that is no Adopter means that
// the host gets a key pair of ours, as all other hosts do.
type SSHAccess interface {
	SSHAccess() Access
}

// Unmanaged is implemented by drivers whose machines are only a URL: nothing
// is provisioned and no SSH is spoken.
type Unmanaged interface {
	// EngineURL is where the engine answers, such as tcp://192.0.2.7:2376.
	EngineURL() string
}

// KeyMaker is implemented by drivers whose hosts get a login key that is not ours.
type KeyMaker interface {
	// KeyFile returns the path of the private key, once the host was created; empty: the agent, then the user's
	// default keys.
	KeyFile(ctx context.Context) (string, error)
}

// Glancer is implemented by drivers that have a cheaper Status for lists, of many machines at once.
type Glancer interface {
	Glance(ctx context.Context) (Status, error)
}

// ConsoleReader is implemented by drivers whose provider keeps what the host
// printed on its serial console. Console returns the newest part of it, 64 KiB
// at most, or an error that wraps ErrUnsupported. It is asked when a host does
// not come up, so it needs no running host.
type ConsoleReader interface {
	Console(ctx context.Context) ([]byte, error)
}

// Local is implemented by drivers whose hosts may be on the computer that the program runs
// on, so that no other computer can work on them.
type Local interface {
	// Local tells whether the host is, or will be. It asks nobody.
	Local() bool
}

// Rekeyer is implemented by drivers whose secrets are not all stored by the names of options.
type Rekeyer interface {
	// Rekey returns the secrets and the state, both as Open takes them, that the machine has with others in the place of
	// those of its options; an empty one is none. Nothing is saved, and the provider is not asked. The error wraps
	// ErrUnsupported if the machine has no use for one of them.
	Rekey(ctx context.Context, given map[string]string) (secrets map[string]string, state []byte, err error)
}

// Orphans is implemented by drivers that tag all they make, and so find it again
// without a record.
type Orphans interface {
	// Place names the account and region, or whatever else bounds a search, such
	// as "123456789012/eu-central-1". Drivers of one Place find the same.
	Place(ctx context.Context) (string, error)

	// Tagged returns all at the driver's place that carries the tag of its
	// store, in the order in which it can be released: what hangs on others first.
	Tagged(ctx context.Context) ([]Resource, error)

	// Claims tells whether the machine's saved state holds r, or r is one that
	// machines share and this one uses.
	Claims(r Resource) bool

	// Release removes r, which may be any that Tagged returned. Already gone is
	// no error.
	Release(ctx context.Context, r Resource) error
}

// ImageUser is implemented by drivers whose machines' disks may be based on files
// in Env.Cache, which must then stay.
type ImageUser interface {
	// Images returns the paths of the files in Env.Cache that the saved state's
	// disks are based on; files that were copied are not among them.
	Images() []string
}

// Imager is implemented by drivers that can make an image of a host's disk, from which
// others can be made.
type Imager interface {
	// Image writes the disk of a stopped host to the file to, which does not exist, as
	// one that needs no other file. Its format is whatever suits the provider.
	Image(ctx context.Context, to string) error
}

// Labeler is implemented by drivers that can change the labels of a host that exists, whatever the provider
// calls them.
type Labeler interface {
	// Label sets labels of the host by key; others stay as they are. The error wraps ErrNotFound if
	// there is no host.
	Label(ctx context.Context, labels map[string]string) error
}

// Resource is something at a provider that carries a store's tag.
type Resource struct {
	Kind    string // in the provider's words, such as "instance" or "security group"
	ID      string // the provider's identifier
	Name    string // the provider's name for it; may be empty
	Machine string // the machine that it was made for; empty: shared by the store's machines
	Costs   bool   // it costs money as long as it exists
}

// Adopter is implemented by drivers of hosts that are the user's own: they are
// changed as little as possible, and removal leaves them alone.
type Adopter interface {
	// Deprovision tells whether removal shall undo what provisioning did.
	Deprovision() bool
}

// Classic is implemented by drivers of which docker-machine had one of the same name.
type Classic interface {
	// Classic returns the machine as docker-machine's driver recorded it: by the names of its fields and in their
	// types, as a value that encoding/json makes an object of. What all of its drivers recorded, such as addresses and
	// paths, is the caller's to add. A secret is there and empty, as it was where the environment had it.
	Classic() any
}

// Access tells how to log in on a host that is the user's own.
type Access struct {
	KeyFile string // path of the private key; empty: the agent, then the user's default keys
	Jump    string // jump host as [user@]host[:port]; empty: none
}

// CreateRequest is what a host gets at birth.
type CreateRequest struct {
	AuthorizedKey string // the public key that may log in, as an authorized_keys line without newline
	HostKey       []byte // the SSH host key that the host shall present, an OpenSSH private key in PEM
	UserData      []byte // the user's own cloud-init user data; nil: none
	OpenPorts     []Port // ports that must be reachable besides SSH
	DataPathPort  int    // UDP port of traffic between containers of the swarm that the host is to join; 0: it joins none for now
}

// Port is a transport port.
type Port struct {
	Number   int
	Protocol string // "tcp" or "udp"
	Peers    bool   // only other machines of the store need reach it, as swarm nodes do each other
}

// State is what a host is doing, in docker-machine's words.
type State string

// The states of a host.
const (
	None     State = ""
	Running  State = "Running"
	Paused   State = "Paused"
	Saved    State = "Saved"
	Stopped  State = "Stopped"
	Stopping State = "Stopping"
	Starting State = "Starting"
	Error    State = "Error"
	Timeout  State = "Timeout"
)

// Status is what the provider knows of a host.
type Status struct {
	State State
	Host  string // address a client reaches SSH and the engine at; empty while unknown
	Peer  string // address other machines of the same network reach it at, the swarm advertise address; empty: Host
	User  string // login user

	SSHPort    int // port of SSH at Host
	EnginePort int // port of the engine at Host, as the client reaches it; 0: the port the engine listens on
}

// Env is the world a driver works in.
type Env struct {
	Machine string              // the machine's name
	Dir     string              // the machine's folder; besides Cache the only place a driver may write to
	Cache   string              // a folder that the store's machines share, of what can be had again, such as images
	StoreID string              // identifies this store in labels and tags
	Creator string              // version of the program, for labels and tags
	Getenv  func(string) string // the environment of the command
	Log     *slog.Logger        // for the maintainer; never holds a secret
	Step    StepFunc            // for the person who waits
	Note    NoteFunc            // for the person who waits: something decided or worth knowing

	Progress ProgressFunc // for the person who waits: how far a step is; nil: nobody does

	// CreateFlags returns the options of create that all drivers have, by the names and in the types that
	// docker-machine gave them to its drivers; nil: there are none. Drivers of its protocol pass them on.
	CreateFlags func() map[string]any

	// KeepSecrets stores the machine's secrets by name, in the place of those that there were, for drivers that learn
	// some when they create; nil: they cannot be stored.
	KeepSecrets func(secrets map[string]string) error

	// AtEnd has fn called when the command ends, however it does: to log out, say.
	// fn's context bounds all such calls to a few seconds.
	AtEnd func(fn func(context.Context))
}

// StepFunc reports the start and the end of a named piece of work around fn
// and returns fn's error.
type StepFunc = func(ctx context.Context, name string, fn func(context.Context) error) error

// NoteFunc tells one line that stands for itself.
type NoteFunc = func(ctx context.Context, text string)

// ProgressFunc tells how many bytes of how many the step of ctx is done with; -1: it
// is not known of how many. It may be called often.
type ProgressFunc = func(ctx context.Context, done, total int64)

// Errors that callers decide on. A driver wraps them with what the provider said.
var (
	ErrNotFound    = errors.New("not found at the provider")
	ErrCredentials = errors.New("credentials refused")
	ErrPermission  = errors.New("not permitted")     // the message names the action that is missing
	ErrQuota       = errors.New("quota exhausted")   // the message names the quota
	ErrCapacity    = errors.New("no capacity")       // the provider has none left of what was asked for, there and now
	ErrThrottled   = errors.New("too many requests") // still, after all waiting
	ErrInUse       = errors.New("still in use")      // by something that is not ours
	ErrUnsupported = errors.New("not supported by this driver")
	ErrUnreachable = errors.New("provider not reachable")
	ErrConflict    = errors.New("taken by something that is not ours")
	ErrKeyFile     = errors.New("SSH key cannot be used")
	ErrOption      = errors.New("invalid option")
	ErrUnknown     = errors.New("unknown driver")
)

// HintError is an error that carries advice: the next thing to do, as a
// sentence or a command. The advice is no part of the message.
type HintError struct {
	Err    error
	Advice string
}

func (e *HintError) Error() string { return e.Err.Error() }
func (e *HintError) Unwrap() error { return e.Err }

// Hint returns the advice.
func (e *HintError) Hint() string { return e.Advice }
