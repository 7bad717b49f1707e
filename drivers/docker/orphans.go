package docker

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/hostsmith/machine/drivers"
)

// The kinds of what a store makes.
const (
	kindContainer = "container"
	kindVolume    = "volume"
	kindNetwork   = "network"
)

// Place implements drivers.Orphans: the engine's address.
func (d *driver) Place(ctx context.Context) (string, error) {
	if err := context.Cause(ctx); err != nil {
		return "", err
	}
	ep, err := d.endpoint()
	return ep.Host, err
}

// Tagged implements drivers.Orphans.
func (d *driver) Tagged(ctx context.Context) ([]drivers.Resource, error) {
	var all []drivers.Resource
	err := d.ask(ctx, "list what carries the store's label", func(api *client.Client) error {
		ours := client.Filters{}.Add("label", labelStore+"="+d.env.StoreID)
		containers, err := api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: ours})
		if err != nil {
			return err
		}
		for _, c := range containers.Items {
			all = append(all, drivers.Resource{
				Kind: kindContainer, ID: c.ID, Name: strings.TrimPrefix(strings.Join(c.Names, ","), "/"), Machine: c.Labels[labelMachine],
			})
		}
		volumes, err := api.VolumeList(ctx, client.VolumeListOptions{Filters: ours})
		if err != nil {
			return err
		}
		for _, v := range volumes.Items {
			all = append(all, drivers.Resource{Kind: kindVolume, ID: v.Name, Name: v.Name, Machine: v.Labels[labelMachine]})
		}
		networks, err := api.NetworkList(ctx, client.NetworkListOptions{Filters: ours})
		for _, n := range networks.Items {
			all = append(all, drivers.Resource{Kind: kindNetwork, ID: n.ID, Name: n.Name})
		}
		return err
	})
	order := []string{kindContainer, kindVolume, kindNetwork}
	slices.SortFunc(all, func(a, b drivers.Resource) int {
		return cmp.Or(slices.Index(order, a.Kind)-slices.Index(order, b.Kind), strings.Compare(a.Name+a.ID, b.Name+b.ID))
	})
	return all, err
}

// Claims implements drivers.Orphans. Networks are claimed by name: one that is gone comes back with another id.
func (d *driver) Claims(r drivers.Resource) bool {
	st := &d.state.Value
	switch r.Kind {
	case kindContainer:
		return r.ID == st.ID || st.ID == "" && st.Container != "" && r.Name == st.Container
	case kindVolume:
		return slices.Contains(st.Volumes, r.ID)
	case kindNetwork:
		return st.Network.Name != "" && r.Name == st.Network.Name
	}
	return false
}

// Release implements drivers.Orphans. A network that any container is on stays, which is an error.
func (d *driver) Release(ctx context.Context, r drivers.Resource) error {
	return d.ask(ctx, "remove "+r.Kind+" "+cmp.Or(r.Name, r.ID), func(api *client.Client) error {
		switch r.Kind {
		case kindContainer:
			found, err := api.ContainerInspect(ctx, r.ID, client.ContainerInspectOptions{})
			if err != nil || found.Container.Config == nil || found.Container.Config.Labels[labelStore] != d.env.StoreID {
				return ignoreGone(err)
			}
			return d.dropContainer(ctx, api, r.ID)
		case kindVolume:
			found, err := api.VolumeInspect(ctx, r.ID, client.VolumeInspectOptions{})
			if err != nil || found.Volume.Labels[labelStore] != d.env.StoreID {
				return ignoreGone(err)
			}
			_, err = api.VolumeRemove(ctx, r.ID, client.VolumeRemoveOptions{})
			return ignoreGone(err)
		case kindNetwork:
			found, err := api.NetworkInspect(ctx, r.ID, client.NetworkInspectOptions{})
			if err != nil || found.Network.Labels[labelStore] != d.env.StoreID {
				return ignoreGone(err)
			}
			used, err := dropNetwork(ctx, api, found.Network.Network)
			if err == nil && used {
				err = fmt.Errorf("a container is on it: %w", drivers.ErrInUse)
			}
			return err
		}
		return fmt.Errorf("%w: a resource of kind %q", drivers.ErrUnsupported, r.Kind)
	})
}

// ask does something with the engine at the driver's place; what is for its errors.
func (d *driver) ask(ctx context.Context, what string, fn func(*client.Client) error) error {
	ep, err := d.endpoint()
	if err != nil {
		return err
	}
	api, err := connect(ctx, ep)
	if err != nil {
		return err
	}
	defer api.Close() //nolint:errcheck // closes idle connections only
	return fault(ctx, ep, what, fn(api))
}

func ignoreGone(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}
