package vmwarevsphere

import (
	"context"
	"fmt"

	"github.com/vmware/govmomi/vapi/library"
	"github.com/vmware/govmomi/vapi/vcenter"

	"github.com/hostsmith/machine/drivers"
)

// findItem finds the item of the content library.
func (d *driver) findItem(ctx context.Context, p *plan) (*source, error) {
	c, name := p.center, d.cfg.ContentLibrary
	client, err := c.vapi(ctx)
	if err != nil {
		return nil, err
	}
	manager := library.NewManager(client)
	what := "find content library " + name
	ids, err := manager.FindLibrary(ctx, library.Find{Name: name})
	if err = alone(ids, err); err != nil {
		return nil, c.explain(ctx, what, err)
	}
	what = "find item " + d.cfg.CloneFrom + " of content library " + name
	items, err := manager.FindLibraryItems(ctx, library.FindItem{LibraryID: ids[0], Name: d.cfg.CloneFrom})
	if err = alone(items, err); err != nil {
		return nil, c.explain(ctx, what, err)
	}
	item, err := manager.GetLibraryItem(ctx, items[0])
	if err != nil {
		return nil, c.explain(ctx, what, err)
	}
	if item.Type != library.ItemTypeOVF && item.Type != library.ItemTypeVMTX {
		return nil, fmt.Errorf("%s: %w: it is of type %s, not %s or %s", what, drivers.ErrOption, item.Type, library.ItemTypeOVF, library.ItemTypeVMTX)
	}
	return &source{path: name + "/" + item.Name, item: item.ID, itemType: item.Type}, nil
}

// alone returns an error unless one thing alone was found by its name.
func alone(ids []string, err error) error {
	switch {
	case err != nil || len(ids) == 1:
		return err
	case len(ids) == 0:
		return fmt.Errorf("%w: there is none", drivers.ErrNotFound)
	}
	return fmt.Errorf("%w: %d have the name", drivers.ErrOption, len(ids))
}

// passingName is what a virtual machine is called that cannot be marked when it
// is made, until it is: the token in it is the mark. vSphere takes 80 characters.
func (d *driver) passingName() string {
	return fmt.Sprintf("%.43s-%s", d.state.Value.Name, d.state.Value.Token)
}

// deployItem deploys an item of a content library.
func (d *driver) deployItem(ctx context.Context, p *plan) (reference, error) {
	client, err := p.center.vapi(ctx)
	if err != nil {
		return reference{}, err
	}
	manager := vcenter.NewManager(client)
	datastore := p.place.datastore
	if p.place.pod != nil {
		if datastore, err = roomiest(p.tree, p.place.pod); err != nil {
			return reference{}, err
		}
	}
	if p.source.itemType == library.ItemTypeVMTX {
		vm, err := manager.DeployTemplateLibraryItem(ctx, p.source.item, d.templateSpec(p, datastore))
		if err != nil {
			return reference{}, err
		}
		return *vm, nil
	}
	spec, err := d.itemSpec(ctx, p, datastore)
	if err != nil {
		return reference{}, err
	}
	vm, err := manager.DeployLibraryItem(ctx, p.source.item, spec)
	if err != nil {
		return reference{}, err
	}
	return *vm, nil
}

// templateSpec is for items that are templates.
func (d *driver) templateSpec(p *plan, datastore *item) vcenter.DeployTemplate {
	storage := &vcenter.DiskStorage{Datastore: datastore.ref.Value}
	spec := vcenter.DeployTemplate{
		Name:          d.passingName(),
		DiskStorage:   storage,
		VMHomeStorage: storage,
		Placement:     &vcenter.Placement{Folder: p.place.folder.ref.Value, ResourcePool: p.place.pool.ref.Value},
	}
	if p.place.host != nil {
		spec.Placement.Host = p.place.host.ref.Value
	}
	return spec
}

// itemSpec is for items that are OVFs.
func (d *driver) itemSpec(ctx context.Context, p *plan, datastore *item) (vcenter.Deploy, error) {
	profile, err := d.profileID(ctx, p.center)
	if err != nil {
		return vcenter.Deploy{}, err
	}
	spec := vcenter.Deploy{
		DeploymentSpec: vcenter.DeploymentSpec{
			Name:               d.passingName(),
			AcceptAllEULA:      true,
			DefaultDatastoreID: datastore.ref.Value,
			StorageProfileID:   profile,
		},
		Target: vcenter.Target{ResourcePoolID: p.place.pool.ref.Value, FolderID: p.place.folder.ref.Value},
	}
	if p.place.host != nil {
		spec.HostID = p.place.host.ref.Value
	}
	return spec, nil
}
