package hyperv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

const (
	removeLimit = 10 * time.Minute
	mergeLimit  = 2 * time.Minute // that Hyper-V may hold files of a machine that is gone
)

// Remove implements drivers.Driver.
func (d *driver) Remove(ctx context.Context) error {
	st := &d.state.Value
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if st.Folder == "" && !st.Legacy {
		return nil
	}
	t, err := d.connect(ctx)
	if err != nil {
		return err
	}
	if err := d.takeOver(ctx, t); err != nil && !gone(err) {
		return err
	}
	ctx, cancel := wait.Within(ctx, removeLimit, "remove virtual machine "+st.Name)
	defer cancel()
	return d.locked(ctx, "removal", func(ctx context.Context) error {
		if err := d.removeMachine(ctx, t); err != nil {
			return err
		}
		if st.ID != "" || st.Configured {
			st.ID, st.Configured = "", false
			if err := d.state.Save(); err != nil {
				return err
			}
		}
		if err := d.removeFolder(ctx, st.Folder); err != nil {
			return err
		}
		err := d.sweep(ctx, t)
		if errors.Is(err, drivers.ErrPermission) {
			d.env.Note(ctx, fmt.Sprintf("a network with address translation that nobody uses any more stays, as to remove it takes an administrator (machine gc as one does it): %v", err))
		} else if err != nil {
			return err
		}
		*st = State{}
		return d.state.Save()
	})
}

// removeMachine removes the virtual machine by its id, or the one that was made in the
// machine's folder if the id was not learned.
func (d *driver) removeMachine(ctx context.Context, t *tool) error {
	st := &d.state.Value
	id := st.ID
	if _, err := os.Stat(st.Folder); id == "" && err == nil {
		folder, err := d.windowsPath(ctx, st.Folder)
		if err != nil {
			return err
		}
		all, err := t.machines(ctx, nil)
		if err != nil {
			return err
		}
		if v, found := d.ours(all, folder); found {
			id = v.ID
		}
	}
	if id == "" {
		return nil
	}
	if err := t.do(ctx, opRemove, id); err != nil && !gone(err) {
		return fmt.Errorf("remove virtual machine %s: %w", st.Name, err)
	}
	return nil
}

// removeFolder removes the machine's files. The folder is ours alone: what Hyper-V
// wrote there besides, such as checkpoints, goes too. It may hold them for a while.
func (d *driver) removeFolder(ctx context.Context, folder string) error {
	if d.state.Value.Legacy {
		return d.removeLegacy(ctx)
	}
	if filepath.Base(folder) != "hyperv" || !filepath.IsAbs(folder) {
		return fmt.Errorf("remove %s: it is no folder of this machine: %w", folder, drivers.ErrConflict)
	}
	ctx, cancel := wait.Within(ctx, mergeLimit, "remove the machine's files")
	defer cancel()
	var last error
	err := wait.Until(ctx, d.world.pace, "Hyper-V to let go of them", func(context.Context) (bool, error) {
		last = os.RemoveAll(folder)
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("remove the machine's files: %w", errors.Join(last, err))
	}
	return nil
}

// sweep removes the switches with address translation that this store's machines made
// and no virtual machine uses, whoever's it is. The lock is held, so that no machine
// is on its way to one of them.
func (d *driver) sweep(ctx context.Context, t *tool) error {
	n, err := t.networks(ctx)
	if err != nil {
		return err
	}
	owned := d.owned(n)
	if len(owned) == 0 {
		return nil
	}
	all, err := t.machines(ctx, nil)
	if err != nil {
		return err
	}
	used := map[string]bool{}
	for _, v := range all {
		for _, a := range v.Adapters {
			used[strings.ToLower(a.SwitchID)] = true
		}
	}
	for _, o := range owned {
		if o.ID != "" && used[strings.ToLower(o.ID)] {
			continue
		}
		if err := t.removeNat(ctx, o.ID, o.Name); err != nil && !busy(err) && !gone(err) {
			return fmt.Errorf("remove the switch %q: %w", o.Name, err)
		}
	}
	return nil
}

// owned returns this store's switches, and its translations that have lost theirs,
// without an id.
func (d *driver) owned(n networks) []lan {
	var all []lan
	there := map[string]bool{}
	for _, s := range n.Switches {
		there[s.Name] = true
		if localvm.ParseMarks(s.Notes)[localvm.MarkStore] == d.env.StoreID && strings.HasPrefix(s.Name, d.natPrefix()) {
			all = append(all, lan{ID: s.ID, Name: s.Name})
		}
	}
	for _, r := range n.Nats {
		if strings.HasPrefix(r.Name, d.natPrefix()) && !there[r.Name] {
			all = append(all, lan{Name: r.Name})
		}
	}
	return all
}

// removeKnown removes the files that a machine without a record had.
func removeKnown(folder, name string) error {
	if filepath.Base(folder) != "hyperv" {
		return nil
	}
	var paths []string
	for _, file := range []string{diskName, diskName + localvm.Part, seedName, name} {
		paths = append(paths, filepath.Join(folder, file))
	}
	return localvm.RemoveFiles(folder, name, paths...)
}
