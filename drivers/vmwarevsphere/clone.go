package vmwarevsphere

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/drivers"
)

// source is what a machine is made from.
type source struct {
	ref      reference  // of the template or virtual machine, if it is one
	path     string     // in words
	snapshot *reference // that a linked clone hangs on
	pool     *reference // of a virtual machine
	host     reference  // that it is registered at
	item     string     // id of the item of a content library
	itemType string
}

// reference returns the source as state has it; empty if it is no managed object.
func (s *source) reference() string {
	if s.ref.Value == "" {
		return ""
	}
	return refText(&s.ref)
}

func (d *driver) findSource(ctx context.Context, p *plan) (*source, error) {
	switch p.origin {
	case fromOVA:
		return &source{path: path.Base(d.cfg.OVA)}, nil
	case fromISO:
		return &source{path: path.Base(d.cfg.ISO)}, nil
	case fromLibrary:
		return d.findItem(ctx, p)
	}
	return d.findTemplate(ctx, p)
}

// findTemplate finds the template or virtual machine to clone.
func (d *driver) findTemplate(ctx context.Context, p *plan) (*source, error) {
	c, name := p.center, d.cfg.CloneFrom
	what := "find template or virtual machine " + name
	ref, at, err := d.templateRef(ctx, p)
	if err != nil {
		return nil, c.explain(ctx, what, err)
	}
	if ref.Type != machineType {
		return nil, &drivers.HintError{
			Err:    fmt.Errorf("%s: %w: there is none in %s that the user may see", what, drivers.ErrNotFound, p.place.datacenter.path),
			Advice: "give its name, or its inventory path such as " + p.place.datacenter.path + "/vm/templates/" + path.Base(name),
		}
	}
	props, err := c.properties(ctx, ref, "snapshot", "resourcePool", "runtime.host")
	if err != nil {
		return nil, c.explain(ctx, what, err)
	}
	s := &source{ref: ref, path: at, host: props.ref("runtime.host")}
	if pool := props.ref("resourcePool"); pool.Value != "" {
		s.pool = &pool
	}
	if !d.cfg.LinkedClone {
		return s, nil
	}
	if info, ok := props["snapshot"].(types.VirtualMachineSnapshotInfo); ok {
		s.snapshot = info.CurrentSnapshot
	}
	if s.snapshot == nil {
		return nil, &drivers.HintError{
			Err:    fmt.Errorf("clone %s by reference: %w: it has no snapshot", at, drivers.ErrOption),
			Advice: "make one, which stays as long as there are clones (govc snapshot.create -vm " + path.Base(at) + " base), or leave out --vmwarevsphere-linked-clone",
		}
	}
	return s, nil
}

// templateRef finds a virtual machine by path, and by name if that fails.
func (d *driver) templateRef(ctx context.Context, p *plan) (reference, string, error) {
	name, vms := d.cfg.CloneFrom, p.tree[p.place.datacenter.props.ref("vmFolder")]
	paths := []string{name}
	if !strings.HasPrefix(name, "/") {
		paths = []string{vms.path + "/" + name}
		if p.place.folder != vms {
			paths = []string{p.place.folder.path + "/" + name, paths[0]}
		}
	}
	for _, at := range paths {
		ref, err := p.center.byPath(ctx, strings.TrimPrefix(at, "/"))
		if err != nil || ref.Type == machineType {
			return ref, at, err
		}
	}
	if strings.HasPrefix(name, "/") {
		return reference{}, "", nil
	}
	return p.center.templateNamed(ctx, p.tree, vms, name)
}

// templateNamed looks through all virtual machines of a datacenter.
func (c *center) templateNamed(ctx context.Context, t inventory, root *item, name string) (reference, string, error) {
	all, err := c.retrieve(ctx, machinesBelow(root.ref, "name", "parent"))
	if err != nil {
		return reference{}, "", err
	}
	var found []*item
	for ref, props := range all {
		at := "/" + props.text("name")
		if above := t[props.ref("parent")]; above != nil {
			at = above.path + at
		}
		if strings.HasSuffix(at, "/"+name) {
			found = append(found, &item{ref: ref, path: at})
		}
	}
	switch len(found) {
	case 0:
		return reference{}, "", nil
	case 1:
		return found[0].ref, found[0].path, nil
	}
	return reference{}, "", fmt.Errorf("%w: several have the name%s, give the path", drivers.ErrOption, have(found))
}

// machinesBelow asks for properties of all virtual machines in a folder and those below it.
func machinesBelow(folder reference, paths ...string) types.PropertyFilterSpec {
	return types.PropertyFilterSpec{
		PropSet: []types.PropertySpec{{Type: machineType, PathSet: paths}},
		ObjectSet: []types.ObjectSpec{{
			Obj: folder,
			SelectSet: []types.BaseSelectionSpec{
				&types.TraversalSpec{
					SelectionSpec: types.SelectionSpec{Name: "folder"}, Type: "Folder", Path: "childEntity",
					SelectSet: []types.BaseSelectionSpec{
						&types.SelectionSpec{Name: "folder"},
						&types.TraversalSpec{Type: "VirtualApp", Path: "vm"},
					},
				},
			},
		}},
	}
}

// clone asks for a clone and waits for it.
func (d *driver) clone(ctx context.Context, p *plan) (reference, error) {
	spec, err := d.cloneSpec(ctx, p)
	if err != nil {
		return reference{}, err
	}
	task, err := p.center.cloneVM(ctx, p.source.ref, p.place.folder.ref, d.state.Value.Name, spec)
	if err != nil {
		return reference{}, err
	}
	return d.made(ctx, p.center, task)
}

// cloneSpec says where the clone goes and marks it. All else follows when it
// is there, as its devices have keys of their own.
func (d *driver) cloneSpec(ctx context.Context, p *plan) (types.VirtualMachineCloneSpec, error) {
	pool := p.place.pool.ref
	spec := types.VirtualMachineCloneSpec{
		Location: types.VirtualMachineRelocateSpec{Pool: &pool},
		Config: &types.VirtualMachineConfigSpec{
			InstanceUuid: d.state.Value.Token,
			ExtraConfig:  marks(d.env, d.state.Value.Token),
		},
	}
	if h := p.place.host; h != nil {
		ref := h.ref
		spec.Location.Host = &ref
	}
	if p.source.snapshot != nil {
		spec.Snapshot = p.source.snapshot
		spec.Location.DiskMoveType = string(types.VirtualMachineRelocateDiskMoveOptionsCreateNewChildDiskBacking)
	}
	profile, err := d.profile(ctx, p.center)
	if err != nil {
		return spec, err
	}
	spec.Location.Profile = profile
	ds := p.place.datastore
	if p.place.pod != nil {
		folder := p.place.folder.ref
		vm := p.source.ref
		ds, err = p.center.recommended(ctx, p.tree, p.place, types.StoragePlacementSpec{
			Type:      string(types.StoragePlacementSpecPlacementTypeClone),
			Vm:        &vm,
			CloneName: d.state.Value.Name,
			CloneSpec: &spec,
			Folder:    &folder,
		})
		if err != nil {
			return spec, err
		}
	}
	if ds != nil {
		ref := ds.ref
		spec.Location.Datastore = &ref
	}
	return spec, nil
}
