package azure

import (
	"context"
	"encoding/base64"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
)

// vm returns a virtual machine with its instance view; nil: there is none.
func (a *account) vm(ctx context.Context, group, name string) (*armcompute.VirtualMachine, error) {
	got, err := call(ctx, a, "look for virtual machine "+name, func(ctx context.Context) (armcompute.VirtualMachinesClientGetResponse, error) {
		return a.vms.Get(ctx, group, name, &armcompute.VirtualMachinesClientGetOptions{Expand: ptr(armcompute.InstanceViewTypesInstanceView)})
	})
	if err != nil {
		return nil, gone(err)
	}
	if got.Properties != nil && got.Properties.InstanceView == nil {
		got.Properties.InstanceView = a.instanceView(ctx, group, name)
	}
	return &got.VirtualMachine, nil
}

// instanceView asks for a virtual machine's view by itself, where it does not
// come with the virtual machine; nil: nobody tells.
func (a *account) instanceView(ctx context.Context, group, name string) *armcompute.VirtualMachineInstanceView {
	got, err := a.vms.InstanceView(a.curious(ctx), group, name, nil)
	if err != nil {
		return nil
	}
	return &got.VirtualMachineInstanceView
}

// vmSpec returns the virtual machine to be made. Deleting it takes disk,
// interface and address along.
func (d *driver) vmSpec(p prepared) armcompute.VirtualMachine {
	st := &d.state.Value
	properties := &armcompute.VirtualMachineProperties{
		HardwareProfile: &armcompute.HardwareProfile{VMSize: ptr(armcompute.VirtualMachineSizeTypes(p.size.name))},
		StorageProfile:  &armcompute.StorageProfile{ImageReference: p.image.urn.reference(), OSDisk: d.diskSpec()},
		OSProfile: &armcompute.OSProfile{
			ComputerName:       ptr(d.hostname()),
			AdminUsername:      &d.cfg.SSHUser,
			CustomData:         ptr(base64.StdEncoding.EncodeToString(p.customData)),
			LinuxConfiguration: d.linuxSpec(p.req.AuthorizedKey),
		},
		NetworkProfile: &armcompute.NetworkProfile{NetworkInterfaces: []*armcompute.NetworkInterfaceReference{{
			ID: &st.NIC,
			Properties: &armcompute.NetworkInterfaceReferenceProperties{
				Primary: ptr(true), DeleteOption: ptr(armcompute.DeleteOptionsDelete),
			},
		}}},
		// Without an account of storage Azure keeps the console's text itself.
		DiagnosticsProfile: &armcompute.DiagnosticsProfile{BootDiagnostics: &armcompute.BootDiagnostics{Enabled: ptr(true)}},
	}
	if st.Set != "" && d.cfg.Set != "" {
		properties.AvailabilitySet = &armcompute.SubResource{ID: &st.Set}
	}
	if d.cfg.Spot {
		properties.Priority = ptr(armcompute.VirtualMachinePriorityTypesSpot)
		properties.EvictionPolicy = ptr(armcompute.VirtualMachineEvictionPolicyTypes(d.cfg.SpotEvict))
		price := d.cfg.SpotPrice
		if price == 0 {
			price = -1 // up to the normal price
		}
		properties.BillingProfile = &armcompute.BillingProfile{MaxPrice: &price}
	}
	if d.cfg.Security == "trusted-launch" || d.cfg.Security == "auto" && p.image.trusted && p.size.trusted {
		properties.SecurityProfile = &armcompute.SecurityProfile{
			SecurityType: ptr(armcompute.SecurityTypesTrustedLaunch),
			UefiSettings: &armcompute.UefiSettings{SecureBootEnabled: ptr(true), VTpmEnabled: ptr(true)},
		}
	}
	vm := armcompute.VirtualMachine{Location: &d.cfg.Location, Tags: d.tags(), Properties: properties, Plan: p.image.plan}
	if own, _ := parsePlan(d.cfg.Plan); own != nil { // validated
		vm.Plan = own
	}
	if d.cfg.Zone != "" {
		vm.Zones = []*string{&d.cfg.Zone}
	}
	return vm
}

func (d *driver) diskSpec() *armcompute.OSDisk {
	disk := &armcompute.OSDisk{
		Name:         ptr(d.name() + endDisk),
		CreateOption: ptr(armcompute.DiskCreateOptionTypesFromImage),
		DeleteOption: ptr(armcompute.DiskDeleteOptionTypesDelete),
		Caching:      ptr(armcompute.CachingTypesReadWrite),
		ManagedDisk:  &armcompute.ManagedDiskParameters{StorageAccountType: ptr(armcompute.StorageAccountTypes(d.cfg.StorageType))},
	}
	if d.cfg.DiskSize > 0 {
		disk.DiskSizeGB = ptr(int32(d.cfg.DiskSize)) //nolint:gosec // bounded by the option
	}
	return disk
}

func (d *driver) linuxSpec(key string) *armcompute.LinuxConfiguration {
	return &armcompute.LinuxConfiguration{
		DisablePasswordAuthentication: ptr(true),
		SSH: &armcompute.SSHConfiguration{PublicKeys: []*armcompute.SSHPublicKey{{
			Path: ptr("/home/" + d.cfg.SSHUser + "/.ssh/authorized_keys"), KeyData: &key,
		}}},
	}
}

func (a *account) disk(ctx context.Context, group, name string) (*armcompute.Disk, error) {
	got, err := call(ctx, a, "look for disk "+name, func(ctx context.Context) (armcompute.DisksClientGetResponse, error) {
		return a.disks.Get(ctx, group, name, nil)
	})
	if err != nil {
		return nil, gone(err)
	}
	return &got.Disk, nil
}

// clearDisk removes what an interrupted create left of the disk: no image is
// written to a disk that exists.
func (d *driver) clearDisk(ctx context.Context, a *account, name string) error {
	found, err := a.disk(ctx, d.group(), name)
	if missing(err) {
		return nil
	}
	if err != nil || found == nil {
		return err
	}
	if !d.mine(found.Tags) && d.state.Value.Disk == "" {
		return conflict(typeDisk, d.group(), name)
	}
	return d.deleteDisk(ctx, a, d.group(), name)
}

func (d *driver) deleteDisk(ctx context.Context, a *account, group, name string) error {
	_, err := run(ctx, a, "remove disk "+name, func(ctx context.Context) (*runtime.Poller[armcompute.DisksClientDeleteResponse], error) {
		return a.disks.BeginDelete(ctx, group, name, nil)
	})
	return gone(err)
}

// tagDisk gives the disk the machine's tags if it did not get them with the
// virtual machine, whose request has no place for them.
func (d *driver) tagDisk(ctx context.Context, a *account) error {
	name := d.name() + endDisk
	found, err := a.disk(ctx, d.group(), name)
	if missing(err) {
		return nil
	}
	if err != nil || found == nil || d.mine(found.Tags) {
		return err
	}
	_, err = run(ctx, a, "tag disk "+name, func(ctx context.Context) (*runtime.Poller[armcompute.DisksClientUpdateResponse], error) {
		return a.disks.BeginUpdate(ctx, d.group(), name, armcompute.DiskUpdate{Tags: d.tags()}, nil)
	})
	if missing(err) {
		return nil // its name tells whose it is, too
	}
	return err
}
