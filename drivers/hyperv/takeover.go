package hyperv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// legacy is the state of a machine that docker-machine made. The rest is learned of
// Hyper-V when the machine is first changed.
func legacy(p localvm.Predecessor) State {
	return State{Legacy: true, Name: p.MachineName, User: p.SSHUser, Generation: 1}
}

// folderKey begins the keys by which virtual machines of docker-machine are asked for: it
// kept them in the machine's folder, and recorded no id.
const folderKey = "folder:"

// asked are the virtual machines that keys stand for, by key.
func asked(ctx context.Context, t *tool, keys []string) (map[string]vm, error) {
	for _, key := range keys {
		if strings.HasPrefix(key, folderKey) {
			keys = nil
			break
		}
	}
	all, err := t.machines(ctx, keys)
	if err != nil || keys != nil {
		return all, err
	}
	byKey := map[string]vm{}
	for id, v := range all {
		byKey[id], byKey[folderKey+plainPath(v.Path)] = v, v
	}
	return byKey, nil
}

// key is what the machine's virtual machine is asked for by.
func (d *driver) key(ctx context.Context) (string, error) {
	st := &d.state.Value
	if st.ID != "" || !st.Legacy {
		return st.ID, nil
	}
	folder, err := d.windowsPath(ctx, d.env.Dir)
	return folderKey + plainPath(d.below(folder, st.Name)), err
}

// takeOver learns what docker-machine's virtual machine has, and records it.
func (d *driver) takeOver(ctx context.Context, t *tool) error {
	st := &d.state.Value
	if !st.Legacy || st.ID != "" {
		return nil
	}
	key, err := d.key(ctx)
	if err != nil {
		return err
	}
	all, err := asked(ctx, t, []string{key})
	if err != nil {
		return fmt.Errorf("virtual machine %s: %w", st.Name, err)
	}
	v, found := all[key]
	if !found {
		return fmt.Errorf("virtual machine %s of docker-machine, in %s: %w", st.Name, strings.TrimPrefix(key, folderKey), drivers.ErrNotFound)
	}
	st.ID, st.Configured, st.Generation, st.Switch = strings.ToLower(v.ID), true, v.Generation, &lan{}
	if len(v.Adapters) > 0 {
		st.Switch = &lan{ID: v.Adapters[0].SwitchID, Name: v.Adapters[0].Switch}
	}
	return d.state.Save()
}

// removeLegacy removes what docker-machine put into the machine's folder besides what is
// the store's. Hyper-V may hold it for a while.
func (d *driver) removeLegacy(ctx context.Context) error {
	var paths []string
	for _, name := range []string{"disk.vhd", "fixed.vhd", "boot2docker.iso", d.state.Value.Name} {
		paths = append(paths, filepath.Join(d.env.Dir, name))
	}
	ctx, cancel := wait.Within(ctx, mergeLimit, "remove the machine's files")
	defer cancel()
	var last error
	err := wait.Until(ctx, d.world.pace, "Hyper-V to let go of them", func(context.Context) (bool, error) {
		last = nil
		for _, path := range paths {
			last = errors.Join(last, os.RemoveAll(path))
		}
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("remove the machine's files: %w", errors.Join(last, err))
	}
	return nil
}
