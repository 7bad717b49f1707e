package swarmboot

import (
	"fmt"
	"net"
	"net/url"
	slash "path"
	"slices"
	"strconv"
	"strings"
)

// Names of the containers of classic standalone Swarm, docker-machine's.
const (
	ClassicMaster = "swarm-agent-master"
	ClassicAgent  = "swarm-agent"
)

// Classic is what a machine shall be in a classic standalone swarm: its containers on an engine.
type Classic struct {
	Master, Agent bool // neither: what machine made on the engine is taken away
	Image         string
	Discovery     string // URL, handed on as it is
	Host          string // tcp://ADDRESS:PORT that the manager listens at
	Strategy      string
	Advertise     string // address without port that others reach the engine and the manager at
	EnginePort    int
	Options       []string // flags of the manager, without dashes
	JoinOptions   []string // flags of the agent
	Experimental  bool
	Env           []string
	DockerDir     string // folder on the host with ca.pem, server.pem and server-key.pem
	TLS           string // tells these files from others: a manager reads them only when it starts
}

// Check returns why no swarm can be made so: an error that wraps ErrClassic.
func (c Classic) Check() error {
	if !strings.Contains(c.Discovery, "://") {
		return fmt.Errorf("%w: discovery %q: want SCHEME://...", ErrClassic, c.Discovery)
	}
	if strings.ContainsAny(c.Advertise, "/ ") || isHostPort(c.Advertise) {
		return fmt.Errorf("%w: advertise address %q: want an address without a port", ErrClassic, c.Advertise)
	}
	if !c.Master {
		return nil
	}
	if _, err := ClassicPort(c.Host); err != nil {
		return err
	}
	if !slices.Contains([]string{"spread", "binpack", "random"}, c.Strategy) {
		return fmt.Errorf("%w: strategy %q: want spread, binpack or random", ErrClassic, c.Strategy)
	}
	if c.replicates() && !keyValue(c.Discovery) {
		return hint(fmt.Errorf("%w: replication is an election of managers in a key-value store, and discovery %s is none", ErrClassic, c.Discovery),
			"give a discovery URL of consul://, etcd:// or zk://, or leave the option replication out")
	}
	return nil
}

// isHostPort tells an address with a port from one without; an IPv6 address has colons of its own.
func isHostPort(addr string) bool {
	_, _, err := net.SplitHostPort(addr)
	return err == nil
}

func (c Classic) replicates() bool { return hasFlag(c.Options, "replication") }

// keyValue tells whether a discovery service is a store in which managers can elect one of them.
func keyValue(discovery string) bool {
	scheme, _, _ := strings.Cut(discovery, "://")
	return scheme == "consul" || scheme == "etcd" || scheme == "zk"
}

func hasFlag(options []string, name string) bool {
	return slices.ContainsFunc(options, func(o string) bool {
		key, value, _ := strings.Cut(strings.TrimLeft(o, "-"), "=")
		return key == name && value != "false"
	})
}

// ClassicPort is the port of a manager's URL.
func ClassicPort(host string) (int, error) {
	u, err := url.Parse(host)
	if err == nil && u.Scheme == "tcp" {
		if n, err := strconv.Atoi(u.Port()); err == nil && n > 0 && n < 1<<16 {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%w: manager's URL %q: want tcp://ADDRESS:PORT", ErrClassic, host)
}

// ClassicContainer is a container as it shall be, or as it is.
type ClassicContainer struct {
	Name   string
	Image  string
	Cmd    []string
	Env    []string
	Binds  []string
	Ports  []int  // published on all addresses under the same number
	TLS    string // of a manager
	Always bool   // it is restarted whatever ended it

	Ours       bool     // it has our label, or the command of one of ours
	Running    bool     // of one that is
	Restarting bool     // it ends soon after each start
	ImageEnv   []string // of one that is: what its image sets
}

// containers are those wanted, in the order they are made.
func (c Classic) containers() []ClassicContainer {
	var out []ClassicContainer
	if c.Master {
		out = append(out, c.master())
	}
	if c.Agent {
		out = append(out, c.agent())
	}
	return out
}

func (c Classic) master() ClassicContainer {
	port, _ := ClassicPort(c.Host) // checked before
	var cmd []string
	if c.Experimental {
		cmd = append(cmd, "--experimental")
	}
	cmd = append(cmd, "manage", "--tlsverify",
		"--tlscacert="+slash.Join(c.DockerDir, "ca.pem"),
		"--tlscert="+slash.Join(c.DockerDir, "server.pem"),
		"--tlskey="+slash.Join(c.DockerDir, "server-key.pem"),
		"-H", c.Host,
		"--strategy", c.Strategy,
		"--advertise", net.JoinHostPort(c.Advertise, strconv.Itoa(port)))
	cmd = append(cmd, dashed(c.Options)...)
	binds := []string{c.DockerDir + ":" + c.DockerDir}
	if file, ok := OwnList(c.Discovery); ok {
		if !hasFlag(c.Options, "heartbeat") {
			cmd = append(cmd, "--heartbeat=5s") // a file is read again as often
		}
		if dir := slash.Dir(file); !strings.HasPrefix(dir, c.DockerDir+"/") {
			binds = append(binds, dir+":"+dir)
		}
	}
	return ClassicContainer{
		Name: ClassicMaster, Image: c.Image, Cmd: append(cmd, c.Discovery), Env: c.Env, Binds: binds, Ports: []int{port}, TLS: c.TLS, Always: true,
	}
}

func (c Classic) agent() ClassicContainer {
	var cmd []string
	if c.Experimental {
		cmd = append(cmd, "--experimental")
	}
	cmd = append(cmd, "join", "--advertise", net.JoinHostPort(c.Advertise, strconv.Itoa(c.EnginePort)))
	cmd = append(cmd, dashed(c.JoinOptions)...)
	return ClassicContainer{Name: ClassicAgent, Image: c.Image, Cmd: append(cmd, c.Discovery), Env: c.Env, Always: true}
}

// dashed are flags as a command line has them. Who gave the dashes too is not made to give more.
func dashed(options []string) []string {
	out := make([]string, len(options))
	for i, o := range options {
		out[i] = "--" + strings.TrimLeft(o, "-")
	}
	return out
}
