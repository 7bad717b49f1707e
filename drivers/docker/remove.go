package docker

import (
	"context"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// Remove implements drivers.Driver.
func (d *driver) Remove(ctx context.Context) error {
	st := &d.state.Value
	if st.Engine.Host == "" {
		return nil // nothing was ever asked for
	}
	if st.Container != "" || len(st.Volumes) > 0 || st.Network.Name != "" {
		api, err := d.connect(ctx)
		if err != nil {
			return err
		}
		defer api.Close() //nolint:errcheck // closes idle connections only
		if err := d.removeHost(ctx, api); err != nil {
			return err
		}
		if st.Network.Name != "" {
			if err := d.removeNetwork(ctx, api); err != nil {
				return fault(ctx, st.Engine, "remove network "+st.Network.Name, err)
			}
		}
	}
	d.state.Value = State{}
	return d.state.Save()
}

// An engine goes on with what it was asked even when who asked was killed: a container that a Create
// had asked for and not heard of may appear a moment later, or hold a volume before it is seen.
const (
	lateLook = 500 * time.Millisecond // for a container to appear
	lateHold = 30 * time.Second       // for a volume that such a container holds
)

// removeHost removes the container and its volumes. The container's name stays in the state
// until the volumes are gone, so that what appears late is still looked for.
func (d *driver) removeHost(ctx context.Context, api *client.Client) error {
	st := &d.state.Value
	unheard := st.Container != "" && st.ID == ""
	if unheard {
		if err := d.awaitLate(ctx, api); err != nil {
			return err
		}
	}
	deadline := time.Now().Add(lateHold)
	for {
		if err := d.removeContainer(ctx, api); err != nil {
			return err
		}
		err := d.removeVolumes(ctx, api)
		if err == nil {
			break
		}
		if !unheard || !says(err, "in use") || time.Now().After(deadline) {
			return err
		}
		if err := wait.For(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	st.Container = ""
	return d.state.Save()
}

// awaitLate gives a container that was asked for the time to appear.
func (d *driver) awaitLate(ctx context.Context, api *client.Client) error {
	for until := time.Now().Add(d.late); time.Now().Before(until); {
		_, err := api.ContainerInspect(ctx, d.state.Value.Container, client.ContainerInspectOptions{})
		if !errdefs.IsNotFound(err) {
			return nil // it is there, or the removal will tell why it cannot be seen
		}
		if err := wait.For(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// removeContainer removes the recorded container, or the one of the recorded
// name if a Create was interrupted and the labels say that it is the machine's.
func (d *driver) removeContainer(ctx context.Context, api *client.Client) error {
	st := &d.state.Value
	if st.Container == "" {
		return nil
	}
	what := "remove container " + st.Container
	id := st.ID
	if id == "" {
		found, err := api.ContainerInspect(ctx, st.Container, client.ContainerInspectOptions{})
		switch {
		case errdefs.IsNotFound(err):
		case err != nil:
			return fault(ctx, st.Engine, what, err)
		case found.Container.Config != nil && d.owns(found.Container.Config.Labels):
			id = found.Container.ID
		}
	}
	if id != "" {
		if err := d.dropContainer(ctx, api, id); err != nil {
			return fault(ctx, st.Engine, what, err)
		}
	}
	st.ID, st.Started, st.Address, st.Rights = "", false, "", ""
	return d.state.Save()
}

// dropContainer removes a container with the volumes that nobody named, whatever it does. One that is gone is no error.
func (d *driver) dropContainer(ctx context.Context, api *client.Client, id string) error {
	_, err := api.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if says(err, "is already in progress") {
		return d.gone(ctx, api, id) // somebody else removes it: until the end its volumes are in use
	}
	return ignoreGone(err)
}

// gone waits until the engine has removed a container.
func (d *driver) gone(ctx context.Context, api *client.Client, id string) error {
	wait := api.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: "removed"})
	select {
	case err := <-wait.Error:
		if errdefs.IsNotFound(err) {
			return nil
		}
		return err
	case <-wait.Result:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

var _ drivers.Driver = (*driver)(nil)
