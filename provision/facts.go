package provision

import "time"

// Facts are what Probe saw on a host.
type Facts struct {
	ID        string   // os-release
	IDLike    []string // os-release
	VersionID string   // os-release
	Codename  string   // os-release: of the distribution whose packages it takes, if that is named
	Pretty    string   // os-release
	Arch      string   // amd64, arm64 ...; from uname -m
	Kernel    string
	Hostname  string
	Init      string // systemd, openrc or ""
	Packager  string // apt-get, dnf, yum, zypper, pacman, apk; empty: none, or packages cannot be installed
	UID       int
	Sudo      bool // sudo works without a password
	Clock     time.Time
	CloudInit string // running, done, error, disabled; empty: not installed
	Firewall  string // firewalld, ufw; empty: none active, or the engine's port is open in it

	Dockerd        string // path of dockerd; empty: none
	Version        string // engine version installed; empty: none
	Package        string // package that owns dockerd: docker-ce, docker.io, moby-engine, docker ...
	PackageVersion string
	Candidate      string // version that the package's source has of what is asked for; empty: not asked, or not known
	Held           bool
	Unfinished     bool              // the package's installation was cut off
	EngineState    string            // active, failed, inactive ...
	Enabled        bool              // the engine starts with the host
	RestartDue     bool              // the configuration was changed and the engine not restarted
	Stale          bool              // the engine's program was replaced and the engine not restarted
	ExecStart      string            // of the unit, without our drop-in
	Socket         bool              // the unit is socket-activated
	DropIns        []string          // foreign ones that set ExecStart, in the order in which they apply
	EnvFiles       map[string]string // variables of the unit's environment files, such as DOCKER_OPTS
	DaemonJSON     []byte            // nil: no file
	Record         []byte            // what of daemon.json is ours; nil: nothing
	OurDropIn      string            // path of our drop-in; empty: none
	OurOptions     []byte            // content of our drop-in or of the OpenRC file; nil: none
	TLSHashes      map[string]string // sha256 of ca.pem, server.pem, server-key.pem below /etc/docker
	TLSLoose       []string          // those of them that others than root may read
	PortOwner      string            // process that listens on the engine port, "name (pid n)"; empty: none
	FreeVarMiB     int64             // -1: unknown
	FreeEtcMiB     int64             // -1: unknown
	RepoListed     bool              // Docker's repository is configured
	SwarmActive    bool
	Bridged        bool // live-restore is on only until the engine was restarted
	DockerCLI      bool
	Rootless       string // user ids that run an engine without root, comma-separated
	IPVS           bool
}
