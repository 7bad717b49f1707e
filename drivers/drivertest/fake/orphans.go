package fake

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/hostsmith/machine/drivers"
)

// share makes the network that was asked for, or finds the one that another machine of the store made.
func (d *driver) share(ctx context.Context) error {
	if d.config.Network == "" {
		return nil
	}
	return d.ensure(ctx, &d.state.Value.Network, Resource{
		Kind: KindNetwork, Name: d.config.Network, Token: d.env.StoreID + "/" + d.config.Network, Place: d.config.Place,
		Labels: map[string]string{"store": d.env.StoreID, "creator": d.env.Creator},
	})
}

// unshare deletes the network if no other machine is in it.
func (d *driver) unshare(ctx context.Context) error {
	id := &d.state.Value.Network
	if *id == "" {
		return nil
	}
	err := d.provider.delete(ctx, *id)
	if err != nil && !errors.Is(err, drivers.ErrNotFound) && !errors.Is(err, drivers.ErrInUse) {
		return fmt.Errorf("remove network: %w", err)
	}
	*id = ""
	return d.state.Save()
}

// Place returns the name that was given to the place.
func (d *driver) Place(ctx context.Context) (string, error) {
	return d.config.Place, d.at(ctx, "place")
}

// Tagged returns what has the label of the store: hosts, then what they hold.
func (d *driver) Tagged(ctx context.Context) ([]drivers.Resource, error) {
	if err := d.at(ctx, "tagged"); err != nil {
		return nil, err
	}
	var found []drivers.Resource
	err := d.provider.call(ctx, func(l *ledger) (bool, error) {
		for _, kind := range []string{KindHost, KindDisk, KindNetwork} {
			for _, r := range l.Resources {
				if r.Kind == kind && r.Labels["store"] == d.env.StoreID && r.Place == d.config.Place {
					found = append(found, drivers.Resource{
						Kind: r.Kind, ID: r.ID, Name: r.Name, Machine: r.Labels["machine"], Costs: kind != KindNetwork,
					})
				}
			}
		}
		return false, nil
	})
	return found, err
}

// Claims tells whether the state holds r.
func (d *driver) Claims(r drivers.Resource) bool {
	s := d.state.Value
	return r.ID != "" && (r.ID == s.Host || r.ID == s.Disk || r.ID == s.Network)
}

// Release deletes r.
func (d *driver) Release(ctx context.Context, r drivers.Resource) error {
	if err := d.at(ctx, "release"); err != nil {
		return err
	}
	err := d.provider.delete(ctx, r.ID)
	if errors.Is(err, drivers.ErrNotFound) {
		return nil
	}
	return err
}

// Console returns what is in the file that was named.
func (d *driver) Console(ctx context.Context) ([]byte, error) {
	if d.config.Console == "" {
		return nil, fmt.Errorf("console: %w", drivers.ErrUnsupported)
	}
	if err := d.at(ctx, "console"); err != nil {
		return nil, err
	}
	if _, err := d.host(ctx); err != nil {
		return nil, err
	}
	return os.ReadFile(d.config.Console)
}
