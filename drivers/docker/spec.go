package docker

import (
	"net/netip"
	"slices"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
)

// rights are what a machine's container may do on the engine's computer.
type rights string

// The rights that are tried, in this order: an engine that lacks a capability
// itself cannot give it away, and refuses to start a privileged container.
const (
	privileged   rights = "privileged"
	capabilities rights = "capabilities" // all but those that an engine in a container lacks first
	minimal      rights = "minimal"      // the capabilities that systemd and a nested Engine cannot do without
)

// next returns what to try after r was refused; empty: nothing is left.
func (r rights) next() rights {
	switch r {
	case privileged:
		return capabilities
	case capabilities:
		return minimal
	}
	return ""
}

// spec is everything that a container is made of. It is pure data, so that
// what the engine is asked for can be looked at in a test.
type spec struct {
	Name      string
	Hostname  string
	Image     string
	Labels    map[string]string
	Network   string
	Address   netip.Addr // invalid: the engine chooses
	Rights    rights
	HostUsers bool // the engine maps users, which a host must opt out of
	Modules   bool // show the kernel's modules
	Memory    int64
	CPUs      float64
	Volumes   []dataVolume // ours
	Mounts    []mounted    // the user's
	Ports     []published
}

// dataVolume is a volume of ours and where it is mounted.
type dataVolume struct{ name, target string }

// request returns the request that makes the container.
func (s spec) request() client.ContainerCreateOptions {
	noInit := false // systemd is the init
	host := &container.HostConfig{
		NetworkMode:   container.NetworkMode(s.Network),
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyUnlessStopped},
		CgroupnsMode:  container.CgroupnsModePrivate,
		Init:          &noInit,
		Resources:     container.Resources{Memory: s.Memory, NanoCPUs: int64(s.CPUs * 1e9)},
		Tmpfs:         map[string]string{"/run": "exec,mode=755", "/run/lock": "mode=1777", "/tmp": "exec,mode=1777"},
		PortBindings:  network.PortMap{},
	}
	s.confine(host)
	if s.HostUsers {
		host.UsernsMode = "host"
	}
	if s.Modules {
		host.Mounts = append(host.Mounts, mount.Mount{Type: mount.TypeBind, Source: modulesDir, Target: modulesDir, ReadOnly: true})
	}
	for _, m := range s.Mounts {
		host.Binds = append(host.Binds, m.String())
	}
	for _, v := range s.Volumes {
		if !slices.ContainsFunc(s.Mounts, func(m mounted) bool { return m.target == v.target }) {
			host.Binds = append(host.Binds, v.name+":"+v.target)
		}
	}
	exposed := network.PortSet{}
	for _, p := range s.Ports {
		exposed[p.port] = struct{}{}
		host.PortBindings[p.port] = append(host.PortBindings[p.port], p.binding)
	}
	endpoint := &network.EndpointSettings{}
	if s.Address.IsValid() {
		endpoint.IPAMConfig = &network.EndpointIPAMConfig{IPv4Address: s.Address}
	}
	return client.ContainerCreateOptions{
		Name: s.Name,
		Config: &container.Config{
			Image:        s.Image,
			Hostname:     s.Hostname,
			Labels:       s.Labels,
			Env:          []string{"container=docker"}, // tells systemd where it is
			Tty:          true,                         // the console, which docker logs shows
			StopSignal:   "SIGRTMIN+3",                 // systemd: halt
			ExposedPorts: exposed,
		},
		HostConfig:       host,
		NetworkingConfig: &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{s.Network: endpoint}},
	}
}

// modulesDir lets a nested Engine load what its networks need, such as ip_vs.
const modulesDir = "/lib/modules"

// confine gives the container its rights.
func (s spec) confine(host *container.HostConfig) {
	if s.Rights == privileged {
		host.Privileged = true
		return
	}
	host.CapAdd, host.CapDrop = []string{"ALL"}, []string{"SYS_RESOURCE"}
	if s.Rights == minimal {
		host.CapAdd, host.CapDrop = []string{"SYS_ADMIN", "SYS_PTRACE", "NET_ADMIN", "NET_BROADCAST", "IPC_LOCK", "LEASE", "DAC_READ_SEARCH", "LINUX_IMMUTABLE"}, nil
	}
	host.SecurityOpt = []string{"seccomp=unconfined", "apparmor=unconfined", "label=disable"}
	host.DeviceCgroupRules = []string{"a *:* rwm"}
	// Not nil: nil is the engine's own list.
	host.MaskedPaths, host.ReadonlyPaths = []string{}, []string{}
}
