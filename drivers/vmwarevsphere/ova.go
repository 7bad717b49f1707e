package vmwarevsphere

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/vmware/govmomi/nfc"
	"github.com/vmware/govmomi/ovf"
	"github.com/vmware/govmomi/task"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/drivers"
)

const leaseType = "HttpNfcLease"

// importOVA deploys an OVA and uploads its disks.
func (d *driver) importOVA(ctx context.Context, p *plan) (reference, error) {
	from := archive{d.cfg.OVA}
	text, err := from.descriptor(ctx)
	if err != nil {
		return reference{}, fmt.Errorf("read --vmwarevsphere-ova %s: %w: %w", d.cfg.OVA, drivers.ErrOption, err)
	}
	spec, err := d.importSpec(ctx, p, text)
	if err != nil {
		return reference{}, err
	}
	req := types.ImportVApp{This: p.place.pool.ref, Spec: spec.ImportSpec, Folder: &p.place.folder.ref}
	if p.place.host != nil {
		req.Host = &p.place.host.ref
	}
	res, err := methods.ImportVApp(ctx, p.center.client, &req)
	if err != nil {
		return reference{}, err
	}
	d.state.Value.Task = refText(&res.Returnval)
	if err := d.state.Save(); err != nil {
		return reference{}, err
	}
	return upload(ctx, nfc.NewLease(p.center.client, res.Returnval), spec.FileItem, from)
}

// importSpec has the vCenter read the descriptor, and marks what it makes of it.
func (d *driver) importSpec(ctx context.Context, p *plan, text []byte) (*types.OvfCreateImportSpecResult, error) {
	params := types.OvfCreateImportSpecParams{EntityName: d.state.Value.Name, DiskProvisioning: string(types.OvfCreateImportSpecParamsDiskProvisioningTypeThin)}
	for _, pair := range d.cfg.VAppProperties {
		key, value, _ := strings.Cut(pair, "=")
		params.PropertyMapping = append(params.PropertyMapping, types.KeyValue{Key: key, Value: value})
	}
	envelope, err := ovf.Unmarshal(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read the descriptor of %s: %w: %w", d.cfg.OVA, drivers.ErrOption, err)
	}
	if envelope.Network != nil && len(d.cfg.Networks) > 0 {
		for i, n := range envelope.Network.Networks {
			to, err := p.tree.find(networks(), p.place.datacenter.path, d.cfg.Networks[min(i, len(d.cfg.Networks)-1)])
			if err != nil {
				return nil, err
			}
			params.NetworkMapping = append(params.NetworkMapping, types.OvfNetworkMapping{Name: n.Name, Network: to.ref})
		}
	}
	datastore := p.place.datastore
	if p.place.pod != nil {
		if datastore, err = roomiest(p.tree, p.place.pod); err != nil {
			return nil, err
		}
	}
	res, err := methods.CreateImportSpec(ctx, p.center.client, &types.CreateImportSpec{
		This: *p.center.client.ServiceContent.OvfManager, OvfDescriptor: string(text),
		ResourcePool: p.place.pool.ref, Datastore: datastore.ref, Cisp: &params,
	})
	if err != nil {
		return nil, err
	}
	spec := &res.Returnval
	if len(spec.Error) > 0 {
		return nil, task.Error{LocalizedMethodFault: &spec.Error[0]}
	}
	vm, ok := spec.ImportSpec.(*types.VirtualMachineImportSpec)
	if !ok {
		return nil, fmt.Errorf("deploy %s: %w: it holds several virtual machines", d.cfg.OVA, drivers.ErrUnsupported)
	}
	vm.ConfigSpec.InstanceUuid = d.state.Value.Token
	vm.ConfigSpec.ExtraConfig = append(vm.ConfigSpec.ExtraConfig, marks(d.env, d.state.Value.Token)...)
	if vm.ConfigSpec.VmProfile, err = d.profile(ctx, p.center); err != nil {
		return nil, err
	}
	return spec, nil
}

var errUpload = errors.New("the upload was broken off")

// upload sends the disks and returns the virtual machine.
func upload(ctx context.Context, lease *nfc.Lease, items []types.OvfFileItem, from archive) (vm reference, err error) {
	info, err := lease.Wait(ctx, items)
	if err != nil {
		return reference{}, err
	}
	updater := lease.StartUpdater(ctx, info) // or the vCenter gives the lease up
	defer updater.Done()
	for _, item := range info.Items {
		if err := send(ctx, lease, item, from); err != nil {
			return reference{}, fmt.Errorf("upload %s: %w", item.Path, err)
		}
	}
	if err := lease.Complete(ctx); err != nil {
		return reference{}, err
	}
	return info.Entity, nil
}

func send(ctx context.Context, lease *nfc.Lease, item nfc.FileItem, from archive) error {
	body, size, err := from.open(ctx, item.Path)
	if err != nil {
		return err
	}
	defer body.Close()
	return lease.Upload(ctx, item, body, soap.Upload{ContentLength: size})
}

// dropUpload removes what an interrupted upload left: without its disks a
// virtual machine is of no use.
func (d *driver) dropUpload(ctx context.Context, c *center, vm reference) error {
	if lease := parseRef(d.state.Value.Task); lease.Type == leaseType {
		_, err := methods.HttpNfcLeaseAbort(ctx, c.client, &types.HttpNfcLeaseAbort{This: lease, Fault: &types.LocalizedMethodFault{
			Fault: &types.OvfImportFailed{}, LocalizedMessage: errUpload.Error(),
		}})
		if err != nil && faultOf(err) == nil {
			return c.explain(ctx, "break the upload off", err)
		}
	}
	return d.destroy(ctx, c, vm)
}
