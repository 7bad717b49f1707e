package virtualbox

import (
	"cmp"
	"context"
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
	kindDHCP    = "DHCP server"
	kindNetwork = "host-only interface"
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
	return name + ":" + filepath.Clean(d.home()), nil
}

// Tagged implements drivers.Orphans.
func (d *driver) Tagged(ctx context.Context) ([]drivers.Resource, error) {
	t, _, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	vms, err := t.vms(ctx)
	if err != nil {
		return nil, err
	}
	marks, err := d.marks(ctx, t)
	if err != nil {
		return nil, err
	}
	var all []drivers.Resource
	for _, id := range slices.Sorted(maps.Keys(vms)) {
		v := vms[id]
		if owner, ours := d.owner(v, marks); ours {
			name := v.Name
			if v.Lost {
				name = owner
			}
			all = append(all, drivers.Resource{Kind: kindMachine, ID: id, Name: name, Machine: owner})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(marks)) {
		if internal, ok := strings.CutPrefix(key, d.markDHCP("")); ok {
			all = append(all, drivers.Resource{Kind: kindDHCP, ID: internal, Name: nameOf(internal)})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(marks)) {
		if id, ok := strings.CutPrefix(key, d.markNetwork("")); ok {
			all = append(all, drivers.Resource{Kind: kindNetwork, ID: id, Name: marks[key]})
		}
	}
	return all, nil
}

// owner returns the machine that a virtual machine is of, and whether that is one of
// this store.
func (d *driver) owner(v vm, marks map[string]string) (machine string, ours bool) {
	if v.Marks[localvm.MarkStore] == d.env.StoreID {
		return v.Marks[localvm.MarkName], true
	}
	machine, ours = marks[d.markMachine(v.UUID)]
	return machine, ours
}

// Claims implements drivers.Orphans.
func (d *driver) Claims(r drivers.Resource) bool {
	st := &d.state.Value
	switch r.Kind {
	case kindMachine:
		return r.ID == st.UUID
	case kindDHCP:
		return st.Network != nil && r.ID == st.Network.internal()
	case kindNetwork:
		return st.Network != nil && r.ID == st.Network.ID
	}
	return false
}

// Release implements drivers.Orphans. What machines share goes when none is left
// that uses it.
func (d *driver) Release(ctx context.Context, r drivers.Resource) error {
	t, _, err := d.connect(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := wait.Within(ctx, removeLimit, "remove "+r.Kind+" "+cmp.Or(r.Name, r.ID))
	defer cancel()
	return d.locked(ctx, "removal", func(ctx context.Context) error {
		if r.Kind != kindMachine {
			return d.sweep(ctx, t)
		}
		all, err := t.vms(ctx)
		if err != nil {
			return err
		}
		v, found := all[r.ID]
		if !found {
			return nil
		}
		marks, err := d.marks(ctx, t)
		if err != nil {
			return err
		}
		if _, ours := d.owner(v, marks); !ours {
			return fmt.Errorf("remove %s %s: %w: %w", r.Kind, v.Name, errNotOurs, drivers.ErrConflict)
		}
		folder := filepath.Dir(filepath.Dir(v.Config))
		if err := d.unregister(ctx, t, r.ID, folder); err != nil {
			return err
		}
		if err := d.forgetBelow(ctx, t, folder); err != nil {
			return err
		}
		if err := t.do(ctx, "setextradata", "global", d.markMachine(r.ID)); err != nil {
			return err
		}
		return removeKnown(folder, filepath.Base(filepath.Dir(v.Config)))
	})
}

// removeKnown removes the files that a machine without a record had.
func removeKnown(folder, name string) error {
	if filepath.Base(folder) != "virtualbox" {
		return nil
	}
	p := plan{Folder: folder}
	return localvm.RemoveFiles(folder, name, p.seed(), p.console(), p.disk()+localvm.Part, filepath.Join(folder, name))
}
