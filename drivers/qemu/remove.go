package qemu

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hostsmith/machine/drivers"
)

// Remove implements drivers.Driver.
func (d *driver) Remove(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	uuid := d.state.Value.UUID
	if uuid == "" {
		return nil
	}
	if err := d.end(ctx); err != nil {
		return err
	}
	if err := removeFiles(ctx, d.env.Dir); err != nil {
		return err
	}
	if err := d.leave(ctx, uuid); err != nil {
		return err
	}
	d.state.Value = State{}
	return d.state.Save()
}

// removeFiles removes the files of a machine from its folder.
func removeFiles(ctx context.Context, dir string) error {
	for _, name := range files() {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove %s: %w", name, err)
		}
	}
	return nil
}

// kindMachine is the only kind of resource: all that a machine has goes together.
const kindMachine = "virtual machine"

// Place implements drivers.Orphans.
func (d *driver) Place(ctx context.Context) (string, error) {
	if err := context.Cause(ctx); err != nil {
		return "", err
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("ask for this computer's name: %w", err)
	}
	return name, nil
}

// Tagged implements drivers.Orphans.
func (d *driver) Tagged(ctx context.Context) ([]drivers.Resource, error) {
	var all []drivers.Resource
	if !isFile(d.shared(registerFile)) {
		return nil, context.Cause(ctx)
	}
	err := d.withRegister(ctx, func(r register) error {
		for uuid, e := range r {
			if pids, err := d.world.procs.all(ctx, uuid); err == nil && len(pids) == 0 && !hasFiles(e.Dir) {
				continue
			}
			all = append(all, drivers.Resource{Kind: kindMachine, ID: uuid, Name: e.Machine, Machine: e.Machine})
		}
		return nil
	})
	slices.SortFunc(all, func(a, b drivers.Resource) int { return strings.Compare(a.Name+a.ID, b.Name+b.ID) })
	return all, err
}

// hasFiles tells whether a folder has any file of a machine.
func hasFiles(dir string) bool {
	return slices.ContainsFunc(files(), func(name string) bool { return isFile(filepath.Join(dir, name)) })
}

// Claims implements drivers.Orphans.
func (d *driver) Claims(r drivers.Resource) bool {
	return r.Kind == kindMachine && r.ID == d.state.Value.UUID && r.ID != ""
}

// Release implements drivers.Orphans. Files are left to another machine that has the
// same folder now.
func (d *driver) Release(ctx context.Context, r drivers.Resource) error {
	var lost entry
	shared := false
	err := d.withRegister(ctx, func(all register) error {
		lost = all[r.ID]
		for uuid, e := range all {
			shared = shared || uuid != r.ID && e.Dir == lost.Dir
		}
		return nil
	})
	if err != nil || lost.Dir == "" {
		return err
	}
	env := d.env
	env.Machine, env.Dir = lost.Machine, lost.Dir
	other := &driver{cfg: d.cfg, state: &drivers.Durable[State]{Value: State{UUID: r.ID}}, env: env, world: d.world}
	if shared {
		err = other.endAll(ctx)
	} else {
		err = other.end(ctx)
	}
	if err == nil && !shared {
		err = removeFiles(ctx, lost.Dir)
	}
	if err != nil {
		return fmt.Errorf("release machine %s: %w", lost.Machine, err)
	}
	return d.leave(ctx, r.ID)
}
