package vmwarevsphere

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

const kindMachine = "virtual machine"

// Place implements drivers.Orphans.
func (d *driver) Place(ctx context.Context) (string, error) {
	c, dc, err := d.home(ctx)
	if err != nil {
		return "", err
	}
	return cmp.Or(c.client.ServiceContent.About.InstanceUuid, c.url.Host) + dc.path, nil
}

// home returns the machine's vCenter and datacenter.
func (d *driver) home(ctx context.Context) (*center, *item, error) {
	c, err := d.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	t, err := c.inventory(ctx)
	if err != nil {
		return nil, nil, err
	}
	if dc := t[parseRef(d.state.Value.Datacenter)]; dc != nil {
		return c, dc, nil
	}
	dc, err := d.datacenter(t)
	return c, dc, err
}

// Tagged implements drivers.Orphans.
func (d *driver) Tagged(ctx context.Context) ([]drivers.Resource, error) {
	c, dc, err := d.home(ctx)
	if err != nil {
		return nil, err
	}
	what := "look for virtual machines of this store in " + dc.path
	ctx, cancel := wait.Within(ctx, callLimit, what)
	defer cancel()
	vms, err := c.retrieve(ctx, machinesBelow(dc.props.ref("vmFolder"), "name", "config.instanceUuid", "config.extraConfig"))
	if err != nil {
		return nil, c.explain(ctx, what, err)
	}
	var all []drivers.Resource
	for ref, p := range vms {
		list, _ := p["config.extraConfig"].(types.ArrayOfOptionValue)
		// A copy that somebody made of one of ours has its marks, but another UUID.
		if params := parameters(list.OptionValue); params[markStore] == d.env.StoreID && params[markToken] == p.text("config.instanceUuid") {
			all = append(all, drivers.Resource{Kind: kindMachine, ID: ref.Value, Name: p.text("name"), Machine: params[markName], Costs: true})
		}
	}
	slices.SortFunc(all, func(a, b drivers.Resource) int { return cmp.Compare(a.ID, b.ID) })
	return all, nil
}

// Claims implements drivers.Orphans.
func (d *driver) Claims(r drivers.Resource) bool {
	st := &d.state.Value
	return r.Kind == kindMachine && (r.ID == st.VM || st.VM == "" && st.Asked && r.Machine == d.env.Machine)
}

// Release implements drivers.Orphans.
func (d *driver) Release(ctx context.Context, r drivers.Resource) error {
	c, dc, err := d.home(ctx)
	if err != nil {
		return err
	}
	what := "delete virtual machine " + r.Name
	ctx, cancel := wait.Within(ctx, removeLimit, what)
	defer cancel()
	vm := vmRef(r.ID)
	p, err := c.properties(ctx, vm, "config.instanceUuid", "config.extraConfig", "config.hardware.device")
	if gone(err) {
		return nil
	}
	if err != nil {
		return c.explain(ctx, what, err)
	}
	list, _ := p["config.extraConfig"].(types.ArrayOfOptionValue)
	if params := parameters(list.OptionValue); params[markStore] != d.env.StoreID || params[markToken] != p.text("config.instanceUuid") {
		return fmt.Errorf("%s: %w: %w", what, drivers.ErrConflict, errNotOurs)
	}
	token := p.text("config.instanceUuid")
	if err := d.destroy(ctx, c, vm); err != nil {
		return err
	}
	for _, folder := range folderOf(p["config.hardware.device"], token) {
		if err := d.deleteFiles(ctx, c, dc.ref, folder, token); err != nil {
			return err
		}
	}
	return nil
}

// folderOf returns the folder that was made for the ISO in a drive of a virtual machine.
func folderOf(devices any, token string) []string {
	list, _ := devices.(types.ArrayOfVirtualDevice)
	for _, device := range list.VirtualDevice {
		if iso, ok := device.GetVirtualDevice().Backing.(*types.VirtualCdromIsoBackingInfo); ok && strings.HasSuffix(path.Dir(iso.FileName), " "+uploadFolder(token)) {
			return []string{path.Dir(iso.FileName)}
		}
	}
	return nil
}
