package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
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
	UserData      string    `json:",omitempty"` // SHA-256 of the user data that the host gets at birth; empty: none

	NoStoredSecrets bool `json:",omitempty"` // the secrets of the driver's options are the user's to give

	Bake *Bake `json:",omitempty"` // it is made for an image of its disk; nil: to be used

	OverSSH  bool   `json:",omitempty"` // docker clients reach the engine through SSH, and nothing on the host is ours
	Computer string `json:",omitempty"` // user@host that alone can work on it, of a shared store; empty: everybody can

	Project Project `json:",omitzero"` // the cluster file that the machine belongs to; zero: none
}

// Project is a machine's place in a cluster file.
type Project struct {
	Name  string // of the project
	Group string
	Refit bool `json:",omitempty"` // the options of its engine were changed here and not yet on the host
}

// Bake is what becomes of a machine that is made for an image of its disk.
type Bake struct {
	Image  string // the name that the image gets
	Sealed bool   `json:",omitempty"` // what made it this machine was taken out; it shuts down
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

	// Elsewhere is the path of the key that docker-machine recorded, if that is not in the
	// machine's folder. It is never written: who changes the machine copies the key.
	Elsewhere string `json:"-"`
}

// HostOptions are the options a machine was created with, shaped as docker-machine's.
type HostOptions struct {
	EngineOptions EngineOptions
	SwarmOptions  SwarmOptions
	AuthOptions   AuthOptions

	// Of rancher-machine: the host got this script in the place of Docker.
	CustomInstallScript string `json:",omitempty"`
	HostnameOverride    string `json:",omitempty"`
	MachineOS           string `json:",omitempty"`
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
	DataPathPort int `json:",omitempty"` // UDP, for a new swarm; 0: the engine's default

	CertExpiry time.Duration `json:",omitempty"` // of nodes' certificates, for a new swarm; 0: the engine's default

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

// maxRecord bounds what is read as a record: a thousand times what one takes.
const maxRecord = 1 << 20

// readBounded reads a file that is a record or part of one.
func readBounded(path string) ([]byte, error) {
	file, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	buf := bytes.NewBuffer(make([]byte, 0, 4096))
	if _, err := buf.ReadFrom(io.LimitReader(file, maxRecord+1)); err != nil {
		return nil, err
	}
	if buf.Len() > maxRecord {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxRecord)
	}
	return buf.Bytes(), nil
}

// encode is deterministic, and has docker-machine's indentation. What is opaque is
// not changed by it, white space apart.
func encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "    ")
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	if buf.Len() > maxRecord {
		return nil, fmt.Errorf("%d bytes are more than a record may have", buf.Len())
	}
	return buf.Bytes(), nil
}

// decode reads a record of any version. inFolder tells whether the machine's folder
// has a file of that name. The error wraps ErrCorrupt or ErrFuture.
func decode(name string, data []byte, inFolder func(file string) bool) (Record, error) {
	var r Record
	err := json.Unmarshal(data, &r)
	if err != nil || r.ConfigVersion != Version {
		// Another version may have other types, so its number is read by itself.
		version, verr := versionOf(data)
		switch {
		case verr != nil:
			return Record{}, corrupt(data, verr)
		case version > Version:
			return Record{}, future(version, Version)
		case err != nil:
			return Record{}, corrupt(data, err)
		}
		if err := migrate(&r, data, name, inFolder); err != nil {
			return Record{}, corrupt(data, err)
		}
	}
	r.Name = name // the folder decides, as in docker-machine
	r.Driver = compact(r.Driver)
	r.DriverState = compact(r.DriverState)
	return r, nil
}

// versionOf returns the schema that data is written in.
func versionOf(data []byte) (int, error) {
	var v struct{ ConfigVersion int }
	if err := json.Unmarshal(data, &v); err != nil {
		return 0, err
	}
	if v.ConfigVersion < 0 {
		return 0, fmt.Errorf("ConfigVersion is %d", v.ConfigVersion)
	}
	return v.ConfigVersion, nil
}

// compact gives opaque JSON back as it was put in. null is nothing.
func compact(raw json.RawMessage) json.RawMessage {
	var buf bytes.Buffer
	if json.Compact(&buf, raw) != nil || bytes.Equal(buf.Bytes(), []byte("null")) {
		return nil
	}
	return buf.Bytes()
}

// future is the error of a record that only a later program can read.
func future(version, known int) error {
	return &HintError{
		Err:    fmt.Errorf("%w: version %d, this program knows up to %d", ErrFuture, version, known),
		Advice: "use the newer program that wrote it",
	}
}

// corrupt says what is wrong with data, and where.
func corrupt(data []byte, cause error) error {
	var (
		syntax *json.SyntaxError
		typ    *json.UnmarshalTypeError
	)
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		cause = errors.New("the file is empty")
	case errors.As(cause, &syntax):
		cause = fmt.Errorf("%s: %w", position(data, syntax.Offset), cause)
	case errors.As(cause, &typ):
		cause = fmt.Errorf("%s: %w", position(data, typ.Offset), cause)
	}
	return &HintError{
		Err:    fmt.Errorf("%w: %w", ErrCorrupt, cause),
		Advice: "repair the file or put a backup in its place: it records what the machine has at its provider. Without it, machine rm --force NAME removes the record only, and machine gc -d DRIVER finds what its provider holds by its tag",
	}
}

// position names the place that an offset of encoding/json means: so many bytes were read.
func position(data []byte, offset int64) string {
	read := data[:min(max(offset, 0), int64(len(data)))]
	line := 1 + bytes.Count(read, []byte("\n"))
	column := len(read) - (bytes.LastIndexByte(read, '\n') + 1)
	return fmt.Sprintf("line %d, column %d", line, column)
}
