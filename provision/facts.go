package provision

import "time"

// Facts are what Probe saw on a host.
type Facts struct {
	ID        string   // os-release
	IDLike    []string // os-release
	VersionID string   // os-release
	Codename  string   // os-release
	Pretty    string   // os-release
	Arch      string   // amd64, arm64 ...; from uname -m
	Kernel    string
	Hostname  string
	Init      string // systemd, openrc or ""
	UID       int
	Sudo      bool // sudo works without a password
	Clock     time.Time
	CloudInit string // status; empty: not installed

	Dockerd     string // path of dockerd; empty: none
	Version     string // engine version installed; empty: none
	Package     string // package that owns dockerd: docker-ce, docker.io, moby-engine, docker ...
	Held        bool
	EngineState string // active, failed, inactive ...
	ExecStart   string // of the unit, without our drop-in
	Socket      bool   // the unit is socket-activated
	DropIns     []string
	DaemonJSON  []byte            // nil: no file
	OurOptions  []byte            // content of our drop-in or of the OpenRC file; nil: none
	TLSHashes   map[string]string // sha256 of ca.pem, server.pem, server-key.pem below /etc/docker
	PortOwner   string            // process that listens on the engine port; empty: none
	FreeVarMiB  int64
	FreeEtcMiB  int64
	RepoListed  bool // Docker's repository is configured
	SwarmActive bool
	IPVS        bool
}
