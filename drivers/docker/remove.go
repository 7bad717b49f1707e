package docker

import (
	"context"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/hostsmith/machine/drivers"
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
		if err := d.removeContainer(ctx, api); err != nil {
			return err
		}
		if err := d.removeVolumes(ctx, api); err != nil {
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
		_, err := api.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		switch {
		case err == nil, errdefs.IsNotFound(err):
		case says(err, "is already in progress"):
			// Somebody else removes it: wait for the end, or its volumes are still in use.
			if err := d.gone(ctx, api, id); err != nil {
				return fault(ctx, st.Engine, what, err)
			}
		default:
			return fault(ctx, st.Engine, what, err)
		}
	}
	st.Container, st.ID, st.Started, st.Address, st.Rights = "", "", false, "", ""
	return d.state.Save()
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
