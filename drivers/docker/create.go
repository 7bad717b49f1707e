package docker

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"

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
		if s := existing.State; s != nil && s.Running {
			if s.Paused {
				_, err := api.ContainerUnpause(ctx, existing.ID, client.ContainerUnpauseOptions{})
				if err != nil {
					return fault(ctx, ep, "resume container "+existing.Name, err)
				}
			}
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
	st := &d.state.Value
	if st.ID == c.ID {
		return nil
	}
	st.ID, st.Address, st.Rights = c.ID, c.Config.Labels[labelAddress], rights(c.Config.Labels[labelRights])
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
