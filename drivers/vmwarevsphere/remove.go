package vmwarevsphere

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

const (
	removeLimit = 15 * time.Minute
	busyLimit   = 3 * time.Minute // that something else may use what is removed
)

// Remove implements drivers.Driver.
func (d *driver) Remove(ctx context.Context) error {
	st := &d.state.Value
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if st.Token == "" && !st.Legacy {
		return nil
	}
	c, err := d.connect(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := wait.Within(ctx, removeLimit, "remove "+st.Name)
	defer cancel()
	if err := d.learn(ctx, c); err != nil {
		return err
	}
	if st.Legacy {
		if err := d.state.Save(); err != nil {
			return err
		}
		if st.Token == "" {
			d.env.Note(ctx, "docker-machine's virtual machine "+st.Name+" is not where it was made: if somebody moved or renamed it, it goes on")
		}
	}
	vm, err := d.asked(ctx, c)
	if err != nil {
		return err
	}
	if vm.Value != "" {
		if err := d.dropUpload(ctx, c, vm); err != nil {
			return err
		}
	} else if st.VM != "" { // its deletion may be under way
		if err := c.idle(ctx, d.pace, vmRef(st.VM)); err != nil {
			return c.explain(ctx, "wait for the deletion of "+st.Name, err)
		}
	}
	if st.VM != "" || st.Asked {
		st.VM, st.Task, st.Asked, st.Configured = "", "", false, false
		if err := d.state.Save(); err != nil {
			return err
		}
	}
	d.removeISO(ctx, c)
	for len(st.Files) > 0 {
		if err := d.deleteFiles(ctx, c, parseRef(st.Datacenter), st.Files[0], st.Token); err != nil {
			return err
		}
		st.Files = st.Files[1:]
		if err := d.state.Save(); err != nil {
			return err
		}
	}
	*st = State{}
	return d.state.Save()
}

// destroy powers a virtual machine off and deletes it with the disks that it
// was made with.
func (d *driver) destroy(ctx context.Context, c *center, vm reference) error {
	ctx, cancel := wait.Within(ctx, busyLimit+powerLimit, "delete virtual machine "+vm.Value)
	defer cancel()
	patience := time.Now().Add(busyLimit)
	return wait.Until(ctx, wait.Pace{First: 2 * time.Second}, "the end of what uses "+vm.Value, func(ctx context.Context) (bool, error) {
		err := d.destroyNow(ctx, c, vm)
		if errors.Is(err, drivers.ErrInUse) && time.Now().Before(patience) {
			return false, nil
		}
		return true, err
	})
}

func (d *driver) destroyNow(ctx context.Context, c *center, vm reference) error {
	what := "delete virtual machine " + vm.Value
	err := d.cut(ctx, c, vm)
	if err == nil {
		err = c.explain(ctx, what, d.detach(ctx, c, vm))
	}
	if err == nil {
		err = c.explain(ctx, what, c.do(ctx, d.pace, what, func(ctx context.Context) (reference, error) { return c.destroy(ctx, vm) }))
	}
	if gone(err) {
		return nil
	}
	return err
}

// detach takes disks away that somebody attached later, so that they are not
// deleted with the virtual machine.
func (d *driver) detach(ctx context.Context, c *center, vm reference) error {
	p, err := c.properties(ctx, vm, "config.hardware.device", "config.extraConfig", "config.files.vmPathName")
	if err != nil {
		return err
	}
	h := &hardware{}
	if list, ok := p["config.hardware.device"].(types.ArrayOfVirtualDevice); ok {
		h.devices = list.VirtualDevice
	}
	params, _ := p["config.extraConfig"].(types.ArrayOfOptionValue)
	spec := types.VirtualMachineConfigSpec{}
	for _, disk := range foreignDisks(h, parameters(params.OptionValue)[markDisks]) {
		spec.DeviceChange = append(spec.DeviceChange, &types.VirtualDeviceConfigSpec{
			Operation: types.VirtualDeviceConfigSpecOperationRemove, // without a file operation the file stays
			Device:    disk,
		})
		d.env.Note(ctx, fmt.Sprintf("disk %s of %s was attached later: it is detached and stays", diskFile(disk), p.text("config.files.vmPathName")))
	}
	if len(spec.DeviceChange) == 0 {
		return nil
	}
	return d.apply(ctx, c, vm, spec)
}

// foreignDisks returns the disks that the machine was not made with. born are
// the UUIDs of those that it was; empty: it was never finished.
func foreignDisks(h *hardware, born string) []*types.VirtualDisk {
	ours := strings.Fields(born)
	var all []*types.VirtualDisk
	for _, disk := range h.disks() {
		id := diskUUID(disk)
		switch {
		case disk.VDiskId != nil && disk.VDiskId.Id != "": // a first class disk has a life of its own
			all = append(all, disk)
		case len(ours) > 0 && id != "" && !slices.Contains(ours, id):
			all = append(all, disk)
		}
	}
	return all
}

func diskFile(disk *types.VirtualDisk) string {
	if b, ok := disk.Backing.(types.BaseVirtualDeviceFileBackingInfo); ok {
		return b.GetVirtualDeviceFileBackingInfo().FileName
	}
	return fmt.Sprint(disk.Key)
}

// deleteFiles deletes the folder on a datastore that was made for a machine.
func (d *driver) deleteFiles(ctx context.Context, c *center, datacenter reference, folder, token string) error {
	if token == "" || !strings.HasSuffix(folder, " "+uploadFolder(token)) {
		return fmt.Errorf("delete %s: %w: it is no folder of this machine", folder, drivers.ErrConflict)
	}
	what := "delete " + folder
	err := c.do(ctx, d.pace, what, func(ctx context.Context) (reference, error) { return c.deleteFile(ctx, &datacenter, folder) })
	if err != nil && (fault.Is(err, &types.FileNotFound{}) || gone(err)) {
		return nil
	}
	return c.explain(ctx, what, err)
}

var errNotOurs = errors.New("it does not carry this store's mark")
