package vmwarevsphere

import (
	"context"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/drivers"
)

// Keys of devices that are added together; negative ones are the caller's.
const (
	scsiKey  = -1
	sataKey  = -2
	diskKey  = -3
	cdromKey = -4
)

// bootISO makes a virtual machine of an empty disk that boots from an ISO.
func (d *driver) bootISO(ctx context.Context, p *plan) (reference, error) {
	datastore := p.place.datastore
	if p.place.pod != nil {
		var err error
		if datastore, err = roomiest(p.tree, p.place.pod); err != nil {
			return reference{}, err
		}
	}
	image := d.cfg.ISO
	if !strings.HasPrefix(image, "[") { // not on a datastore already
		var err error
		if image, err = d.uploadISO(ctx, p, datastore); err != nil {
			return reference{}, err
		}
	}
	profile, err := d.profile(ctx, p.center)
	if err != nil {
		return reference{}, err
	}
	var host *reference
	if p.place.host != nil {
		host = &p.place.host.ref
	}
	task, err := p.center.createVM(ctx, p.place.folder.ref, p.place.pool.ref, host, d.isoSpec(p, datastore.name, image, profile))
	if err != nil {
		return reference{}, err
	}
	return d.made(ctx, p.center, task)
}

// uploadISO puts the ISO into a folder of its own and returns its path.
func (d *driver) uploadISO(ctx context.Context, p *plan, datastore *item) (string, error) {
	st := &d.state.Value
	dir := uploadFolder(st.Token)
	folder := fmt.Sprintf("[%s] %s", datastore.name, dir)
	if !slices.Contains(st.Files, folder) { // an earlier attempt may have been to another datastore
		st.Files = append(st.Files, folder)
		if err := d.state.Save(); err != nil {
			return "", err
		}
	}
	fail := func(err error) (string, error) { return "", fmt.Errorf("upload %s: %w", d.cfg.ISO, err) }
	dc := p.place.datacenter.ref
	_, err := methods.MakeDirectory(ctx, p.center.client, &types.MakeDirectory{
		This: *p.center.client.ServiceContent.FileManager, Name: folder, Datacenter: &dc,
	})
	if err != nil && !fault.Is(err, &types.FileAlreadyExists{}) {
		return fail(err)
	}
	body, size, err := opened(ctx, d.cfg.ISO)
	if err != nil {
		return fail(fmt.Errorf("%w: %w", drivers.ErrOption, err))
	}
	defer body.Close()
	name := "boot.iso"
	to := *p.center.url
	to.Path = path.Join("/folder", dir, name)
	to.RawQuery = url.Values{"dcPath": {strings.TrimPrefix(p.place.datacenter.path, "/")}, "dsName": {datastore.name}}.Encode()
	param := soap.DefaultUpload
	param.ContentLength = size
	if err := p.center.client.Upload(ctx, body, &to, &param); err != nil {
		return fail(err)
	}
	return folder + "/" + name, nil
}

// uploadFolder is the name of the folder for what is uploaded for a machine.
func uploadFolder(token string) string { return "machine-" + token }

// isoSpec describes the whole virtual machine, marks included.
func (d *driver) isoSpec(p *plan, datastore, image string, profile []types.BaseVirtualMachineProfileSpec) types.VirtualMachineConfigSpec {
	thin := true
	unit := func(n int32) *int32 { return &n }
	kib := int64(d.cfg.DiskSize) * 1024
	devices := []types.BaseVirtualDevice{
		&types.ParaVirtualSCSIController{VirtualSCSIController: types.VirtualSCSIController{
			SharedBus:         types.VirtualSCSISharingNoSharing,
			VirtualController: types.VirtualController{VirtualDevice: types.VirtualDevice{Key: scsiKey}},
		}},
		&types.VirtualAHCIController{VirtualSATAController: types.VirtualSATAController{
			VirtualController: types.VirtualController{VirtualDevice: types.VirtualDevice{Key: sataKey}},
		}},
		&types.VirtualDisk{
			CapacityInKB: kib, CapacityInBytes: kib * 1024,
			VirtualDevice: types.VirtualDevice{
				Key: diskKey, ControllerKey: scsiKey, UnitNumber: unit(0),
				Backing: &types.VirtualDiskFlatVer2BackingInfo{
					VirtualDeviceFileBackingInfo: types.VirtualDeviceFileBackingInfo{FileName: "[" + datastore + "]"},
					DiskMode:                     string(types.VirtualDiskModePersistent), ThinProvisioned: &thin,
				},
			},
		},
		&types.VirtualCdrom{VirtualDevice: types.VirtualDevice{
			Key: cdromKey, ControllerKey: sataKey, UnitNumber: unit(0),
			Backing:     &types.VirtualCdromIsoBackingInfo{VirtualDeviceFileBackingInfo: types.VirtualDeviceFileBackingInfo{FileName: image}},
			Connectable: &types.VirtualDeviceConnectInfo{StartConnected: true, AllowGuestControl: true},
		}},
	}
	for i, a := range p.place.networks {
		nic := newAdapter(int32(-100-i), a) //nolint:gosec // ten at most
		connected(nic)
		devices = append(devices, nic)
	}
	spec := types.VirtualMachineConfigSpec{
		Name: d.state.Value.Name, InstanceUuid: d.state.Value.Token, GuestId: string(types.VirtualMachineGuestOsIdentifierOtherLinux64Guest),
		NumCPUs: int32(d.cfg.CPUs), MemoryMB: int64(d.cfg.Memory), //nolint:gosec // a number of processors
		Files:       &types.VirtualMachineFileInfo{VmPathName: "[" + datastore + "]"},
		ExtraConfig: append(marks(d.env, d.state.Value.Token), option("disk.EnableUUID", "TRUE")),
		VmProfile:   profile,
	}
	for _, device := range devices {
		change := &types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationAdd, Device: device}
		if _, ok := device.(*types.VirtualDisk); ok {
			change.FileOperation = types.VirtualDeviceConfigSpecFileOperationCreate
			change.Profile = profile
		}
		spec.DeviceChange = append(spec.DeviceChange, change)
	}
	return spec
}
