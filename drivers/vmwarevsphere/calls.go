package vmwarevsphere

import (
	"context"

	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"
)

// The calls that change something. Tasks are told by their reference.

func (c *center) cloneVM(ctx context.Context, source, folder reference, name string, spec types.VirtualMachineCloneSpec) (reference, error) {
	res, err := methods.CloneVM_Task(ctx, c.client, &types.CloneVM_Task{This: source, Folder: folder, Name: name, Spec: spec})
	if err != nil {
		return reference{}, err
	}
	return res.Returnval, nil
}

func (c *center) createVM(ctx context.Context, folder, pool reference, host *reference, spec types.VirtualMachineConfigSpec) (reference, error) {
	res, err := methods.CreateVM_Task(ctx, c.client, &types.CreateVM_Task{This: folder, Config: spec, Pool: pool, Host: host})
	if err != nil {
		return reference{}, err
	}
	return res.Returnval, nil
}

func (c *center) reconfigure(ctx context.Context, vm reference, spec types.VirtualMachineConfigSpec) (reference, error) {
	res, err := methods.ReconfigVM_Task(ctx, c.client, &types.ReconfigVM_Task{This: vm, Spec: spec})
	if err != nil {
		return reference{}, err
	}
	return res.Returnval, nil
}

func (c *center) powerOn(ctx context.Context, vm reference) (reference, error) {
	res, err := methods.PowerOnVM_Task(ctx, c.client, &types.PowerOnVM_Task{This: vm})
	if err != nil {
		return reference{}, err
	}
	return res.Returnval, nil
}

func (c *center) powerOff(ctx context.Context, vm reference) (reference, error) {
	res, err := methods.PowerOffVM_Task(ctx, c.client, &types.PowerOffVM_Task{This: vm})
	if err != nil {
		return reference{}, err
	}
	return res.Returnval, nil
}

func (c *center) shutdownGuest(ctx context.Context, vm reference) error {
	_, err := methods.ShutdownGuest(ctx, c.client, &types.ShutdownGuest{This: vm})
	return err
}

func (c *center) destroy(ctx context.Context, vm reference) (reference, error) {
	res, err := methods.Destroy_Task(ctx, c.client, &types.Destroy_Task{This: vm})
	if err != nil {
		return reference{}, err
	}
	return res.Returnval, nil
}

func (c *center) deleteFile(ctx context.Context, datacenter *reference, path string) (reference, error) {
	res, err := methods.DeleteDatastoreFile_Task(ctx, c.client, &types.DeleteDatastoreFile_Task{
		This: *c.client.ServiceContent.FileManager, Name: path, Datacenter: datacenter,
	})
	if err != nil {
		return reference{}, err
	}
	return res.Returnval, nil
}

func (c *center) setAttribute(ctx context.Context, vm reference, key int32, value string) error {
	_, err := methods.SetField(ctx, c.client, &types.SetField{
		This: *c.client.ServiceContent.CustomFieldsManager, Entity: vm, Key: key, Value: value,
	})
	return err
}

// Look-ups. A reference without a value is nothing.

func (c *center) byUUID(ctx context.Context, token string) (reference, error) {
	instance := true
	res, err := methods.FindByUuid(ctx, c.client, &types.FindByUuid{
		This: *c.client.ServiceContent.SearchIndex, Uuid: token, VmSearch: true, InstanceUuid: &instance,
	})
	if err != nil || res.Returnval == nil {
		return reference{}, err
	}
	return *res.Returnval, nil
}

func (c *center) byPath(ctx context.Context, path string) (reference, error) {
	res, err := methods.FindByInventoryPath(ctx, c.client, &types.FindByInventoryPath{This: *c.client.ServiceContent.SearchIndex, InventoryPath: path})
	if err != nil || res.Returnval == nil {
		return reference{}, err
	}
	return *res.Returnval, nil
}

func (c *center) child(ctx context.Context, folder reference, name string) (reference, error) {
	res, err := methods.FindChild(ctx, c.client, &types.FindChild{This: *c.client.ServiceContent.SearchIndex, Entity: folder, Name: name})
	if err != nil || res.Returnval == nil {
		return reference{}, err
	}
	return *res.Returnval, nil
}

// recommend returns the datastores that storage DRS recommends, best first.
func recommend(ctx context.Context, client *vim25.Client, manager reference, spec types.StoragePlacementSpec) ([]reference, error) {
	res, err := methods.RecommendDatastores(ctx, client, &types.RecommendDatastores{This: manager, StorageSpec: spec})
	if err != nil {
		return nil, err
	}
	var all []reference
	for _, r := range res.Returnval.Recommendations {
		for _, a := range r.Action {
			if place, ok := a.(*types.StoragePlacementAction); ok {
				all = append(all, place.Destination)
			}
		}
	}
	return all, nil
}
