package virtualbox

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/lockfile"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

const (
	askLimit    = 2 * time.Minute  // questions
	configLimit = 10 * time.Minute // making and changing virtual machines
	busyLimit   = 45 * time.Second // that a session of somebody else may have one
)

// connect returns VBoxManage and its version, which is one that the driver knows.
func (d *driver) connect(ctx context.Context) (*tool, version, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, version{}, err
	}
	t, err := d.tool()
	if err != nil {
		return nil, version{}, err
	}
	v, err := t.version(ctx)
	if err != nil {
		return nil, v, err
	}
	if !v.atLeast(6, 1, 0) {
		return nil, v, &drivers.HintError{
			Err:    fmt.Errorf("VirtualBox %s is too old, 6.1 is needed: %w", v, drivers.ErrUnsupported),
			Advice: "install a newer one from https://www.virtualbox.org/wiki/Downloads",
		}
	}
	return t, v, nil
}

func (t *tool) version(ctx context.Context) (version, error) {
	v, _, err := t.versionAndWarning(ctx)
	return v, err
}

func (t *tool) versionAndWarning(ctx context.Context) (v version, warning string, err error) {
	out, err := t.run(ctx, "--version")
	if err != nil {
		return version{}, "", fmt.Errorf("ask for VirtualBox's version: %w", err)
	}
	v, warning, ok := parseVersion(out)
	if !ok {
		return version{}, "", fmt.Errorf("ask for VirtualBox's version: %s --version said %q", t.path, firstLine(out))
	}
	return v, warning, nil
}

// locked does something while no other process of ours changes anything in the
// VirtualBox home: VBoxManage's own calls get into each other's way.
func (d *driver) locked(ctx context.Context, work string, fn func(context.Context) error) error {
	work += " of machine " + d.env.Machine
	home := d.home()
	if !filepath.IsAbs(home) {
		return fmt.Errorf("find VirtualBox's home: %q is no absolute path, is HOME set", home)
	}
	lock, err := lockfile.Acquire(ctx, filepath.Join(home, "machine.lock"), work, func(h lockfile.Holder) {
		d.env.Note(ctx, "waits for "+h.String()+", which changes something in VirtualBox")
	})
	if err != nil {
		return err
	}
	defer lock.Release()
	return fn(ctx)
}

// patient does a call again as long as another session has the virtual machine, as
// VirtualBox's own does for a moment after one has stopped.
func (d *driver) patient(ctx context.Context, call func(context.Context) error) error {
	until := time.Now().Add(busyLimit)
	return wait.Until(ctx, d.world.pace, "the end of another session", func(ctx context.Context) (bool, error) {
		err := call(ctx)
		if busy(err) && time.Now().Before(until) {
			return false, nil
		}
		return true, err
	})
}
