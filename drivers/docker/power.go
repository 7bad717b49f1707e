package docker

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/hostsmith/machine/drivers"
)

// stopWithin bounds a shutdown in good order: the containers of the host's own
// Engine get ten seconds from it, and systemd needs a few for the rest.
const stopWithin = 45 * time.Second

// maxRestarts is how often the engine restarts a container before nobody
// believes any more that it is a host that starts. A reboot is one restart.
const maxRestarts = 3

// Status implements drivers.Driver.
func (d *driver) Status(ctx context.Context) (drivers.Status, error) {
	api, c, err := d.open(ctx)
	if err != nil {
		return drivers.Status{}, err
	}
	defer api.Close() //nolint:errcheck // closes idle connections only
	return d.statusOf(c), nil
}

// open returns the machine's container. The error wraps drivers.ErrNotFound if
// there is none (any more).
func (d *driver) open(ctx context.Context) (*client.Client, container.InspectResponse, error) {
	st := d.state.Value
	if st.ID == "" {
		return nil, container.InspectResponse{}, fmt.Errorf("look at machine %s: it has no container: %w", d.env.Machine, drivers.ErrNotFound)
	}
	api, err := d.connect(ctx)
	if err != nil {
		return nil, container.InspectResponse{}, err
	}
	result, err := api.ContainerInspect(ctx, st.ID, client.ContainerInspectOptions{})
	if err != nil {
		_ = api.Close()
		return nil, container.InspectResponse{}, fault(ctx, st.Engine, "look at container "+st.Container, err)
	}
	return api, result.Container, nil
}

// statusOf turns what the engine knows of the container into a status.
func (d *driver) statusOf(c container.InspectResponse) drivers.Status {
	st := d.state.Value
	s := drivers.Status{State: stateOf(c.State), User: "root"}
	if s.State == drivers.Starting && c.RestartCount >= maxRestarts {
		s.State = drivers.Error // what is in the image does not stay up
	}
	if p, err := netip.ParsePrefix(st.Address); err == nil {
		s.Peer = p.Addr().String()
	}
	if !st.Published {
		s.Host, s.SSHPort = s.Peer, sshPort
		return s
	}
	var bindings network.PortMap
	if c.NetworkSettings != nil {
		bindings = c.NetworkSettings.Ports
	}
	s.SSHPort, s.EnginePort = boundPort(bindings, sshPort), boundPort(bindings, st.EnginePort)
	if s.SSHPort != 0 {
		if s.Host = st.Engine.remote(); s.Host == "" {
			s.Host = "127.0.0.1"
		}
	}
	return s
}

// boundPort returns where a port of the container is published; 0: nowhere now.
func boundPort(ports network.PortMap, inside int) int {
	for port, bindings := range ports {
		if int(port.Num()) != inside || port.Proto() != network.TCP {
			continue
		}
		for _, b := range bindings {
			if n, err := strconv.Atoi(b.HostPort); err == nil && !b.HostIP.Is6() {
				return n
			}
		}
	}
	return 0
}

func stateOf(s *container.State) drivers.State {
	if s == nil {
		return drivers.Error
	}
	switch s.Status {
	case container.StateRunning:
		return drivers.Running
	case container.StatePaused:
		return drivers.Paused
	case container.StateRestarting:
		return drivers.Starting
	case container.StateRemoving:
		return drivers.Stopping
	case container.StateCreated, container.StateExited:
		return drivers.Stopped
	}
	return drivers.Error
}

// Start implements drivers.Driver.
func (d *driver) Start(ctx context.Context) error {
	api, c, err := d.open(ctx)
	if err != nil {
		return err
	}
	defer api.Close() //nolint:errcheck // closes idle connections only
	ep, what := d.state.Value.Engine, "start container "+d.state.Value.Container
	switch stateOf(c.State) {
	case drivers.Running, drivers.Starting:
		return nil
	case drivers.Paused:
		_, err = api.ContainerUnpause(ctx, c.ID, client.ContainerUnpauseOptions{})
		return fault(ctx, ep, what, err)
	}
	_, err = api.ContainerStart(ctx, c.ID, client.ContainerStartOptions{})
	if errdefs.IsNotFound(err) && says(err, "network") {
		// A network that no running container is on is easily lost to docker
		// network prune. It comes back as it was.
		if err := d.ensureNetwork(ctx, api, ep); err != nil {
			return err
		}
		_, err = api.ContainerStart(ctx, c.ID, client.ContainerStartOptions{})
	}
	return fault(ctx, ep, what, err)
}

// Stop implements drivers.Driver.
func (d *driver) Stop(ctx context.Context) error {
	api, c, err := d.open(ctx)
	if err != nil {
		return err
	}
	defer api.Close() //nolint:errcheck // closes idle connections only
	ep, what := d.state.Value.Engine, "stop container "+d.state.Value.Container
	switch stateOf(c.State) {
	case drivers.Stopped:
		return nil
	case drivers.Paused:
		// What is frozen cannot shut down.
		if _, err := api.ContainerUnpause(ctx, c.ID, client.ContainerUnpauseOptions{}); err != nil {
			return fault(ctx, ep, what, err)
		}
	}
	_, err = api.ContainerStop(ctx, c.ID, client.ContainerStopOptions{Timeout: seconds(d.patience)})
	return fault(ctx, ep, what, err)
}

// Kill implements drivers.Killer.
func (d *driver) Kill(ctx context.Context) error {
	api, c, err := d.open(ctx)
	if err != nil {
		return err
	}
	defer api.Close() //nolint:errcheck // closes idle connections only
	if stateOf(c.State) == drivers.Stopped {
		return nil
	}
	_, err = api.ContainerKill(ctx, c.ID, client.ContainerKillOptions{Signal: "KILL"})
	if says(err, "is not running") {
		return nil // it stopped meanwhile
	}
	return fault(ctx, d.state.Value.Engine, "kill container "+d.state.Value.Container, err)
}

// Restart implements drivers.Restarter.
func (d *driver) Restart(ctx context.Context) error {
	if err := d.Stop(ctx); err != nil {
		return err
	}
	return d.Start(ctx)
}

func seconds(t time.Duration) *int {
	n := int(t / time.Second)
	return &n
}
