package hyperv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// The kinds of what a store makes.
const (
	kindMachine = "virtual machine"
	kindSwitch  = "virtual switch"
)

// Place implements drivers.Orphans.
func (d *driver) Place(ctx context.Context) (string, error) {
	if err := context.Cause(ctx); err != nil {
		return "", err
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("name this computer: %w", err)
	}
	return strings.ToLower(name), nil
}

// Tagged implements drivers.Orphans.
func (d *driver) Tagged(ctx context.Context) ([]drivers.Resource, error) {
	t, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	vms, err := t.machines(ctx, nil)
	if err != nil {
		return nil, err
	}
	var all []drivers.Resource
	for _, id := range slices.Sorted(maps.Keys(vms)) {
		if m := localvm.ParseMarks(vms[id].Notes); m[localvm.MarkStore] == d.env.StoreID {
			all = append(all, drivers.Resource{Kind: kindMachine, ID: id, Name: vms[id].Name, Machine: m[localvm.MarkName]})
		}
	}
	n, err := t.networks(ctx)
	if err != nil {
		return nil, err
	}
	for _, o := range d.owned(n) {
		all = append(all, drivers.Resource{Kind: kindSwitch, ID: o.Name, Name: o.Name})
	}
	return all, nil
}

// Claims implements drivers.Orphans.
func (d *driver) Claims(r drivers.Resource) bool {
	st := &d.state.Value
	switch r.Kind {
	case kindMachine:
		return r.ID == st.ID
	case kindSwitch:
		return st.Subnet != "" && r.ID == d.natName(st.Subnet)
	}
	return false
}

// Release implements drivers.Orphans. What machines share goes when none is left that
// uses it.
func (d *driver) Release(ctx context.Context, r drivers.Resource) error {
	t, err := d.connect(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := wait.Within(ctx, removeLimit, "remove "+r.Kind+" "+cmp.Or(r.Name, r.ID))
	defer cancel()
	return d.locked(ctx, "removal", func(ctx context.Context) error {
		if r.Kind != kindMachine {
			return d.sweep(ctx, t)
		}
		all, err := t.machines(ctx, []string{r.ID})
		if err != nil {
			return err
		}
		v, found := all[r.ID]
		if !found {
			return nil
		}
		if localvm.ParseMarks(v.Notes)[localvm.MarkStore] != d.env.StoreID {
			return fmt.Errorf("remove %s %s: %w: %w", r.Kind, v.Name, errNotOurs, drivers.ErrConflict)
		}
		if err := t.do(ctx, opRemove, r.ID); err != nil && !gone(err) {
			return fmt.Errorf("remove %s %s: %w", r.Kind, v.Name, err)
		}
		path, err := d.ownPath(ctx, v.Path) // the folder of its settings, which is in the machine's
		if err != nil {
			return err
		}
		return removeKnown(filepath.Dir(path), v.Name)
	})
}

var errNotOurs = errors.New("it does not carry this store's mark")
