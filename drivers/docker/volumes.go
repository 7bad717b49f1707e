package docker

import (
	"context"
	"fmt"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/hostsmith/machine/drivers"
)

// volumes are what a host needs besides its root file system, on which a
// nested Engine cannot stack another one.
func (d *driver) volumes() []dataVolume {
	return []dataVolume{
		{d.name() + "-docker", "/var/lib/docker"},
		{d.name() + "-containerd", "/var/lib/containerd"},
	}
}

// ensureVolumes makes the volumes that do not exist yet.
func (d *driver) ensureVolumes(ctx context.Context, api *client.Client, ep Endpoint) error {
	st := &d.state.Value
	for _, v := range d.volumes() {
		what := "make volume " + v.name
		recorded := slices.Contains(st.Volumes, v.name)
		found, err := api.VolumeInspect(ctx, v.name, client.VolumeInspectOptions{})
		switch {
		case err == nil && recorded && d.owns(found.Volume.Labels):
			continue
		case err == nil:
			return &drivers.HintError{
				Err:    fmt.Errorf("%s: the name is taken: %w", what, drivers.ErrConflict),
				Advice: "if it is of no use: docker volume rm " + v.name,
			}
		case !errdefs.IsNotFound(err):
			return fault(ctx, ep, what, err)
		}
		if !recorded {
			st.Volumes = append(st.Volumes, v.name)
			if err := d.state.Save(); err != nil {
				return err
			}
		}
		if err := d.createVolume(ctx, api, v.name); err != nil {
			return fault(ctx, ep, what, err)
		}
	}
	return nil
}

func (d *driver) createVolume(ctx context.Context, api *client.Client, name string) error {
	through, done := seeThrough(ctx)
	defer done()
	_, err := api.VolumeCreate(through, client.VolumeCreateOptions{Name: name, Labels: d.labels()})
	return err
}

// removeVolumes removes the recorded volumes that are the machine's.
func (d *driver) removeVolumes(ctx context.Context, api *client.Client) error {
	st := &d.state.Value
	for len(st.Volumes) > 0 {
		name := st.Volumes[0]
		found, err := api.VolumeInspect(ctx, name, client.VolumeInspectOptions{})
		if err == nil && d.owns(found.Volume.Labels) {
			_, err = api.VolumeRemove(ctx, name, client.VolumeRemoveOptions{})
		}
		if err != nil && !errdefs.IsNotFound(err) {
			return fault(ctx, st.Engine, "remove volume "+name, err)
		}
		st.Volumes = st.Volumes[1:]
		if err := d.state.Save(); err != nil {
			return err
		}
	}
	return nil
}
