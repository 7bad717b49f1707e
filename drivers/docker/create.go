package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"

	"github.com/hostsmith/machine/drivers"
)

// Ports inside the container.
const (
	sshPort    = 22
	enginePort = 2376 // unless the first of CreateRequest.OpenPorts says otherwise
)

// Check implements drivers.Driver.
func (d *driver) Check(ctx context.Context) error {
	ep, err := d.endpoint()
	if err != nil {
		return err
	}
	api, err := connect(ctx, ep)
	if err != nil {
		return err
	}
	defer api.Close() //nolint:errcheck // closes idle connections only
	if _, err := d.engineInfo(ctx, api, ep); err != nil {
		return err
	}
	if _, err := d.ours(ctx, api, ep); err != nil {
		return err
	}
	found, err := networksNamed(ctx, api, d.cfg.Network)
	if err != nil {
		return fault(ctx, ep, "look for network "+d.cfg.Network, err)
	}
	if len(found) > 0 {
		if _, err := d.usable(found[0].Network); err != nil {
			return fmt.Errorf("use network %s: %w", d.cfg.Network, err)
		}
	}
	return nil
}

// engineInfo returns what the engine says of itself, if hosts can run on it.
func (d *driver) engineInfo(ctx context.Context, api *client.Client, ep Endpoint) (system.Info, error) {
	result, err := api.Info(ctx, client.InfoOptions{})
	if err != nil {
		return system.Info{}, fault(ctx, ep, "ask engine at "+ep.Host, err)
	}
	if os := result.Info.OSType; os != "linux" {
		return system.Info{}, &drivers.HintError{
			Err:    fmt.Errorf("use engine at %s: it runs %s containers, and hosts are Linux: %w", ep.Host, os, drivers.ErrUnsupported),
			Advice: "switch Docker Desktop to Linux containers, or name another engine with --docker-engine",
		}
	}
	return result.Info, nil
}

// ours returns the container of the machine's name; nil: there is none. One
// that this machine's state does not know of, or that is somebody else's, is
// an error that wraps drivers.ErrConflict.
func (d *driver) ours(ctx context.Context, api *client.Client, ep Endpoint) (*container.InspectResponse, error) {
	name := d.name()
	result, err := api.ContainerInspect(ctx, name, client.ContainerInspectOptions{})
	if errdefs.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fault(ctx, ep, "look for container "+name, err)
	}
	if c := result.Container; d.state.Value.Container == name && c.Config != nil && d.owns(c.Config.Labels) {
		return &c, nil
	}
	return nil, &drivers.HintError{
		Err:    fmt.Errorf("make container %s: the name is taken: %w", name, drivers.ErrConflict),
		Advice: "look at it with docker inspect " + name + "; if it is of no use: docker rm --force --volumes " + name,
	}
}

// Create implements drivers.Driver.
func (d *driver) Create(ctx context.Context, req drivers.CreateRequest) error {
	ep, err := d.endpoint()
	if err != nil {
		return err
	}
	api, err := connect(ctx, ep)
	if err != nil {
		return err
	}
	defer api.Close() //nolint:errcheck // closes idle connections only
	info, err := d.engineInfo(ctx, api, ep)
	if err != nil {
		return err
	}
	existing, err := d.ours(ctx, api, ep)
	if err != nil {
		return err
	}
	if d.state.Value.Engine.Host == "" {
		d.state.Value.Engine = ep
		if err := d.state.Save(); err != nil {
			return err
		}
	}
	if existing != nil {
		if err := d.adopt(existing); err != nil {
			return err
		}
		if existing.State != nil && existing.State.Running {
			return d.started()
		}
	} else if d.state.Value.ID != "" {
		if err := d.forget(); err != nil {
			return err
		}
	}
	if d.state.Value.Image, err = d.ensureImage(ctx, api, ep); err != nil {
		return err
	}
	if err := d.ensureNetwork(ctx, api, ep); err != nil {
		return err
	}
	if err := d.ensureVolumes(ctx, api, ep); err != nil {
		return err
	}
	return d.run(ctx, api, ep, d.outline(ep, info, req), seeds(req))
}

// adopt records a container of this machine that an interrupted Create made.
func (d *driver) adopt(c *container.InspectResponse) error {
	if d.state.Value.ID == c.ID {
		return nil
	}
	d.state.Value.ID = c.ID
	return d.state.Save()
}

// forget clears a container that is gone from the state. Its name stays: the
// next one has it too.
func (d *driver) forget() error {
	d.state.Value.ID, d.state.Value.Started = "", false
	return d.state.Save()
}

func (d *driver) started() error {
	if d.state.Value.Started {
		return nil
	}
	d.state.Value.Started = true
	return d.state.Save()
}

// outline returns the container as far as it does not depend on what the
// engine accepts, and records how the host will be reached.
func (d *driver) outline(ep Endpoint, info system.Info, req drivers.CreateRequest) spec {
	st := &d.state.Value
	st.EnginePort = enginePort
	if len(req.OpenPorts) > 0 && req.OpenPorts[0].Protocol == "tcp" {
		st.EnginePort = req.OpenPorts[0].Number
	}
	st.Published = d.cfg.Access == accessPublished ||
		d.cfg.Access == accessAuto && !routable(ep, runtime.GOOS, info.OperatingSystem, info.SecurityOptions)
	memory, _ := parseMemory(d.cfg.Memory) // Validate has seen it
	s := spec{
		Name:      d.name(),
		Hostname:  d.env.Machine,
		Image:     st.Image,
		Network:   st.Network.Name,
		HostUsers: slices.ContainsFunc(info.SecurityOptions, func(o string) bool { return strings.HasPrefix(o, "name=userns") }),
		Modules:   true,
		Memory:    memory,
		CPUs:      d.cfg.CPUs,
		Volumes:   d.volumes(),
	}
	for _, v := range d.cfg.Volume {
		if m, err := parseVolume(v); err == nil {
			s.Mounts = append(s.Mounts, m)
		}
	}
	for _, p := range d.cfg.Publish {
		if p, err := parsePublish(p); err == nil {
			s.Ports = append(s.Ports, p)
		}
	}
	if st.Published {
		for _, n := range []int{sshPort, st.EnginePort} {
			if port, ok := network.PortFrom(uint16(n), network.TCP); ok {
				s.Ports = append(s.Ports, published{port, network.PortBinding{HostIP: publishAddress(ep)}})
			}
		}
	}
	return s
}

// routable tells whether addresses of containers can be reached from here.
func routable(ep Endpoint, goos, engineOS string, security []string) bool {
	return goos == "linux" && ep.remote() == "" &&
		!strings.HasPrefix(engineOS, "Docker Desktop") && // the engine is in a virtual machine
		!slices.ContainsFunc(security, func(o string) bool { return strings.HasPrefix(o, "name=rootless") }) // or in a network namespace
}

// publishAddress is where ports that clients need are published: on loopback
// if the engine is here.
func publishAddress(ep Endpoint) netip.Addr {
	if ep.remote() == "" {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.IPv4Unspecified()
}

// maxTries bounds how often a container is made anew because the engine
// refuses its rights or somebody else took its address.
const maxTries = 12

// run makes the container and starts it, until the engine accepts it.
func (d *driver) run(ctx context.Context, api *client.Client, ep Endpoint, s spec, seed []byte) error {
	what := "start container " + s.Name
	avoid := map[netip.Addr]bool{}
	for range maxTries {
		if d.state.Value.ID == "" {
			if err := d.place(ctx, api, ep, &s, avoid); err != nil {
				return err
			}
		}
		if err := d.plant(ctx, api, ep, seed); err != nil {
			return err
		}
		_, err := api.ContainerStart(ctx, d.state.Value.ID, client.ContainerStartOptions{})
		if err == nil {
			return d.started()
		}
		if ctx.Err() != nil {
			return fault(ctx, ep, what, err)
		}
		d.env.Log.Debug("container not started", "container", s.Name, "rights", d.state.Value.Rights, "err", err)
		again, aerr := d.yield(ctx, api, ep, avoid, err)
		if aerr != nil {
			return aerr
		}
		if !again {
			return withAdvice(fault(ctx, ep, what, err), "see what the engine says in its log, and what the container printed: docker logs "+s.Name)
		}
	}
	return &drivers.HintError{
		Err:    fmt.Errorf("%s: no address could be kept in %d tries: %w", what, maxTries, drivers.ErrConflict),
		Advice: "name an address with --docker-address, or another network with --docker-network",
	}
}

// yield makes room for another attempt after the engine refused to start the
// container. It returns false if another attempt would end the same way.
func (d *driver) yield(ctx context.Context, api *client.Client, ep Endpoint, avoid map[netip.Addr]bool, refused error) (bool, error) {
	st := &d.state.Value
	switch {
	case addressTaken(refused):
		if d.cfg.Address != "" {
			return false, nil
		}
		if p, err := netip.ParsePrefix(st.Address); err == nil {
			avoid[p.Addr()] = true
		}
	case errdefs.IsNotFound(refused) && says(refused, "network"):
		// The last machine of another command took the network with it. The
		// container is fine as soon as there is one again.
		return true, d.ensureNetwork(ctx, api, ep)
	case says(refused, "is ambiguous", "does not belong to any of this network"):
		// Two processes made the network at once, and only one of them stays.
		if err := d.discard(ctx, api, ep); err != nil {
			return false, err
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return false, err
		}
		st.Address, st.Network.ID, st.Network.Subnet = "", "", ""
		return true, d.ensureNetwork(ctx, api, ep)
	case says(refused, "operation not permitted", "permission denied", "privileged") && st.Rights.next() != "":
		st.Rights = st.Rights.next()
	default:
		return false, nil
	}
	return true, d.discard(ctx, api, ep)
}

// pause waits.
func pause(ctx context.Context, t time.Duration) error {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// discard removes the container, which never ran, and keeps the rest.
func (d *driver) discard(ctx context.Context, api *client.Client, ep Endpoint) error {
	_, err := api.ContainerRemove(ctx, d.state.Value.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if err != nil && !errdefs.IsNotFound(err) {
		return fault(ctx, ep, "remove container "+d.state.Value.Container, err)
	}
	return d.forget()
}

// errTaken says that two machines chose one address at the same time.
var errTaken = errors.New("address was chosen twice")

// place chooses an address, records it and makes the container. Two processes
// may choose the same one: each looks again once its container is there to be
// seen, and who sees the other gives way.
func (d *driver) place(ctx context.Context, api *client.Client, ep Endpoint, s *spec, avoid map[netip.Addr]bool) error {
	leave, err := d.gates.enter(ctx, "address "+ep.Host+" "+s.Network)
	if err != nil {
		return err
	}
	defer leave()
	for try := range maxTries {
		err := d.placeOnce(ctx, api, ep, s, avoid, try > 0)
		if !errors.Is(err, errTaken) {
			return err
		}
		if err := d.discard(ctx, api, ep); err != nil {
			return err
		}
	}
	return fmt.Errorf("place container %s: %w in %d tries: %w", s.Name, errTaken, maxTries, drivers.ErrConflict)
}

func (d *driver) placeOnce(ctx context.Context, api *client.Client, ep Endpoint, s *spec, avoid map[netip.Addr]bool, random bool) error {
	what := "make container " + s.Name
	st := &d.state.Value
	others, err := machines(ctx, api)
	if err != nil {
		return fault(ctx, ep, what, err)
	}
	subnet, err := netip.ParsePrefix(st.Network.Subnet)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	used, err := d.usedAddresses(ctx, api, onNetwork(others, s.Network))
	if err != nil {
		return fault(ctx, ep, what, err)
	}
	maps.Copy(used, avoid)
	if s.Address, err = d.chooseAddress(subnet, used, random || len(avoid) > 0); err != nil {
		return err
	}
	if st.Rights == "" {
		st.Rights = likelyRights(others)
	}
	s.Rights = st.Rights
	st.Address = netip.PrefixFrom(s.Address, subnet.Bits()).String()
	st.Container = s.Name
	if err := d.state.Save(); err != nil {
		return err
	}
	s.Labels = d.labels()
	s.Labels[labelNetwork], s.Labels[labelAddress], s.Labels[labelRights] = s.Network, st.Address, string(st.Rights)
	made, err := api.ContainerCreate(ctx, s.request())
	if s.Modules && says(err, modulesDir) {
		s.Modules = false // the engine's computer has none
		made, err = api.ContainerCreate(ctx, s.request())
	}
	if err != nil {
		return fault(ctx, ep, what, err)
	}
	for _, w := range made.Warnings {
		d.env.Log.Warn("engine warns", "container", s.Name, "warning", w)
	}
	st.ID = made.ID
	if err := d.state.Save(); err != nil {
		return err
	}
	if others, err = machines(ctx, api); err != nil {
		return fault(ctx, ep, what, err)
	}
	if slices.ContainsFunc(onNetwork(others, s.Network), func(c container.Summary) bool {
		return c.ID != made.ID && c.Labels[labelAddress] == st.Address
	}) {
		avoid[s.Address] = true
		return errTaken
	}
	return nil
}

// usedAddresses returns the addresses on the network that are somebody's:
// those of machines even while they are stopped, and those of others that run.
func (d *driver) usedAddresses(ctx context.Context, api *client.Client, others []container.Summary) (map[netip.Addr]bool, error) {
	used := map[netip.Addr]bool{}
	for _, c := range others {
		if p, err := netip.ParsePrefix(c.Labels[labelAddress]); err == nil {
			used[p.Addr()] = true
		}
	}
	n, err := api.NetworkInspect(ctx, d.state.Value.Network.ID, client.NetworkInspectOptions{})
	if err != nil {
		return nil, err
	}
	for _, c := range n.Network.Containers {
		used[c.IPv4Address.Addr()] = true
	}
	for _, c := range n.Network.IPAM.Config {
		used[c.Gateway] = true
		for _, a := range c.AuxAddress {
			used[a] = true
		}
	}
	return used, nil
}

// chooseAddress returns the address that the user asked for, the one that an
// interrupted Create had chosen, or a free one.
func (d *driver) chooseAddress(subnet netip.Prefix, used map[netip.Addr]bool, random bool) (netip.Addr, error) {
	if a, err := parseAddress(d.cfg.Address); err == nil && a.IsValid() {
		if used[a] {
			return a, &drivers.HintError{
				Err:    fmt.Errorf("take address %s: %w", a, drivers.ErrConflict),
				Advice: "leave --docker-address out to get a free one",
			}
		}
		return a, nil
	}
	if p, err := netip.ParsePrefix(d.state.Value.Address); err == nil && subnet.Contains(p.Addr()) && !used[p.Addr()] {
		return p.Addr(), nil
	}
	a := pickAddress(subnet, used, random)
	if !a.IsValid() {
		return a, &drivers.HintError{
			Err:    fmt.Errorf("choose address in %s: all are in use: %w", subnet, drivers.ErrQuota),
			Advice: "name another network with --docker-network",
		}
	}
	return a, nil
}

// likelyRights are those that machines on the same engine ended up with.
func likelyRights(others []container.Summary) rights {
	for _, r := range []rights{minimal, capabilities} {
		if slices.ContainsFunc(others, func(c container.Summary) bool {
			return c.Labels[labelRights] == string(r) && c.State == container.StateRunning
		}) {
			return r
		}
	}
	return privileged
}
