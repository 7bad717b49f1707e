package virtualbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

const removeLimit = 10 * time.Minute

// Remove implements drivers.Driver.
func (d *driver) Remove(ctx context.Context) error {
	st := &d.state.Value
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if st.UUID == "" && !st.Legacy {
		return nil
	}
	t, err := d.tool()
	if err != nil {
		return err
	}
	if err := d.takeOver(ctx, t); err != nil && !gone(err) {
		return err
	}
	ctx, cancel := wait.Within(ctx, removeLimit, "remove virtual machine "+st.Name)
	defer cancel()
	return d.locked(ctx, "removal", func(ctx context.Context) error {
		if err := d.unregister(ctx, t, st.UUID, st.Folder); err != nil {
			return err
		}
		if st.Configured {
			st.Configured = false
			if err := d.state.Save(); err != nil {
				return err
			}
		}
		if err := d.forgetBelow(ctx, t, st.Folder, d.env.Cache); err != nil {
			return err
		}
		if err := d.removeFolder(); err != nil {
			return err
		}
		if err := d.sweep(ctx, t); err != nil {
			return err
		}
		*st = State{}
		return d.state.Save()
	})
}

// removeFolder removes the machine's files. The folder is ours alone: what VirtualBox
// wrote there besides, such as logs, goes too.
func (d *driver) removeFolder() error {
	if d.state.Value.Legacy {
		return d.removeLegacy()
	}
	folder := d.state.Value.Folder
	if filepath.Base(folder) != "virtualbox" || !filepath.IsAbs(folder) {
		return fmt.Errorf("remove %s: it is no folder of this machine: %w", folder, drivers.ErrConflict)
	}
	if err := os.RemoveAll(folder); err != nil {
		return fmt.Errorf("remove the machine's files: %w", err)
	}
	return nil
}

// unregister powers a virtual machine off and deletes it, with the disks that are
// in its folder.
func (d *driver) unregister(ctx context.Context, t *tool, uuid, folder string) error {
	all, err := t.vms(ctx)
	if err != nil {
		return err
	}
	v, found := all[uuid]
	if !found {
		return nil
	}
	if !v.Lost {
		if err := d.cutByID(ctx, t, uuid); err != nil {
			if gone(err) {
				return nil
			}
			return err
		}
		if err := d.detachForeign(ctx, t, v, folder); err != nil {
			return err
		}
	}
	err = d.patient(ctx, func(ctx context.Context) error { return t.do(ctx, "unregistervm", uuid, "--delete") })
	if err == nil || gone(err) {
		return nil
	}
	// What cannot be deleted, as its file is gone, is unregistered all the same.
	if again, lerr := t.vms(ctx); lerr == nil {
		if _, still := again[uuid]; !still {
			return nil
		}
	}
	return fmt.Errorf("remove virtual machine %s: %w", v.Name, err)
}

// detachForeign takes disks away that somebody attached later, or they would be
// deleted too.
func (d *driver) detachForeign(ctx context.Context, t *tool, v vm, folder string) error {
	for _, a := range v.Disks {
		if below(a.Path, folder) || strings.EqualFold(filepath.Ext(a.Path), ".iso") {
			continue
		}
		if d.env.Cache != "" && below(a.Path, d.env.Cache) {
			continue
		}
		err := d.patient(ctx, func(ctx context.Context) error {
			return t.do(ctx, "storageattach", v.UUID, "--storagectl", a.Controller,
				"--port", strconv.Itoa(a.Port), "--device", strconv.Itoa(a.Device), "--medium", "none")
		})
		if err != nil && !gone(err) {
			return fmt.Errorf("detach %s from %s: %w", a.Path, v.Name, err)
		}
		d.env.Note(ctx, fmt.Sprintf("%s was attached to %s by hand: it is detached and stays", a.Path, v.Name))
	}
	return nil
}

var errNotOurs = errors.New("it does not carry this store's mark")
