package vmwarevsphere

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// configure gives a fresh virtual machine its hardware, its guest's data, and
// what hangs on it. All of it can be done twice.
func (d *driver) configure(ctx context.Context, c *center, vm reference, req drivers.CreateRequest) error {
	name := d.state.Value.Name
	return d.env.Step(ctx, "configure virtual machine "+name, func(ctx context.Context) error {
		ctx, cancel := wait.Within(ctx, configLimit, "configure virtual machine "+name)
		defer cancel()
		return c.explain(ctx, "configure virtual machine "+name, d.reconfigure(ctx, c, vm, req))
	})
}

func (d *driver) reconfigure(ctx context.Context, c *center, vm reference, req drivers.CreateRequest) error {
	userData, err := d.userData(ctx, req)
	if err != nil {
		return err
	}
	t, err := c.inventory(ctx)
	if err != nil {
		return err
	}
	var adapters []adapter
	if from, err := d.cfg.origin(); err == nil && from != fromISO {
		for _, name := range d.cfg.Networks {
			a, err := t.adapter(d.datacenterPath(t), name)
			if err != nil {
				return err
			}
			adapters = append(adapters, a)
		}
	}
	h, err := c.hardware(ctx, vm)
	if err != nil {
		return err
	}
	spec, err := d.hardwareSpec(ctx, h, adapters)
	if err != nil {
		return err
	}
	profile, err := d.profile(ctx, c)
	if err != nil {
		return err
	}
	spec.VmProfile = profile
	spec.DeviceChange = withProfile(spec.DeviceChange, h.disks(), profile)
	if d.needsAddresses(h, adapters) && len(spec.DeviceChange) > 0 {
		// The network configuration goes by the adapters' MAC addresses, which
		// new adapters get when they are there.
		if err := d.apply(ctx, c, vm, spec); err != nil {
			return err
		}
		if h, err = c.hardware(ctx, vm); err != nil {
			return err
		}
		spec = types.VirtualMachineConfigSpec{}
	}
	guest, err := d.guestInfo(h, userData, max(len(adapters), len(h.nics())))
	if err != nil {
		return err
	}
	// What is so already is not set again, as it would need privileges.
	if h.name != d.state.Value.Name {
		spec.Name = d.state.Value.Name
	}
	if h.token != d.state.Value.Token {
		spec.InstanceUuid = d.state.Value.Token
	}
	spec.ExtraConfig = append(marks(d.env, d.state.Value.Token), option(markDisks, strings.Join(h.diskUUIDs(), " ")))
	spec.ExtraConfig = append(spec.ExtraConfig, guest...)
	spec.ExtraConfig = append(spec.ExtraConfig, d.parameters()...)
	spec.VAppConfig = d.vApp(h.properties)
	if err := d.apply(ctx, c, vm, spec); err != nil {
		return err
	}
	if err := d.attachTags(ctx, c, vm); err != nil {
		return err
	}
	return d.setAttributes(ctx, c, vm)
}

func (d *driver) apply(ctx context.Context, c *center, vm reference, spec types.VirtualMachineConfigSpec) error {
	return c.do(ctx, d.pace, "the reconfiguration", func(ctx context.Context) (reference, error) { return c.reconfigure(ctx, vm, spec) })
}

// datacenterPath returns the path of the machine's datacenter.
func (d *driver) datacenterPath(t inventory) string {
	if dc := t[parseRef(d.state.Value.Datacenter)]; dc != nil {
		return dc.path
	}
	return ""
}

// hardware is what a virtual machine has now.
type hardware struct {
	name       string
	token      string // instance UUID
	devices    []types.BaseVirtualDevice
	properties []types.VAppPropertyInfo
	snapshots  bool
}

func (c *center) hardware(ctx context.Context, vm reference) (*hardware, error) {
	p, err := c.properties(ctx, vm, "name", "config.instanceUuid", "config.hardware.device", "config.vAppConfig", "snapshot")
	if err != nil {
		return nil, err
	}
	h := &hardware{name: p.text("name"), token: p.text("config.instanceUuid")}
	if list, ok := p["config.hardware.device"].(types.ArrayOfVirtualDevice); ok {
		h.devices = list.VirtualDevice
	}
	switch v := p["config.vAppConfig"].(type) {
	case types.VmConfigInfo:
		h.properties = v.Property
	case types.VAppConfigInfo:
		h.properties = v.Property
	}
	_, h.snapshots = p["snapshot"]
	return h, nil
}

// nics returns the network adapters in the order of their keys.
func (h *hardware) nics() []types.BaseVirtualDevice {
	var all []types.BaseVirtualDevice
	for _, d := range h.devices {
		if _, ok := d.(types.BaseVirtualEthernetCard); ok {
			all = append(all, d)
		}
	}
	slices.SortFunc(all, func(a, b types.BaseVirtualDevice) int {
		return int(a.GetVirtualDevice().Key - b.GetVirtualDevice().Key)
	})
	return all
}

// disks returns the disks in the order of their keys.
func (h *hardware) disks() []*types.VirtualDisk {
	var all []*types.VirtualDisk
	for _, d := range h.devices {
		if disk, ok := d.(*types.VirtualDisk); ok {
			all = append(all, disk)
		}
	}
	slices.SortFunc(all, func(a, b *types.VirtualDisk) int { return int(a.Key - b.Key) })
	return all
}

func (h *hardware) diskUUIDs() []string {
	var all []string
	for _, disk := range h.disks() {
		if id := diskUUID(disk); id != "" {
			all = append(all, id)
		}
	}
	return all
}

// diskUUID returns what identifies a disk, also after a snapshot.
func diskUUID(disk *types.VirtualDisk) string {
	switch b := disk.Backing.(type) {
	case *types.VirtualDiskFlatVer2BackingInfo:
		return b.Uuid
	case *types.VirtualDiskSeSparseBackingInfo:
		return b.Uuid
	case *types.VirtualDiskSparseVer2BackingInfo:
		return b.Uuid
	case *types.VirtualDiskRawDiskMappingVer1BackingInfo:
		return b.Uuid
	}
	return ""
}

// hardwareSpec says what has to change.
func (d *driver) hardwareSpec(ctx context.Context, h *hardware, adapters []adapter) (types.VirtualMachineConfigSpec, error) {
	spec := types.VirtualMachineConfigSpec{NumCPUs: int32(d.cfg.CPUs), MemoryMB: int64(d.cfg.Memory)} //nolint:gosec // a number of processors
	if len(adapters) > 0 {
		spec.DeviceChange = append(spec.DeviceChange, adapterChanges(h.nics(), adapters)...)
	}
	disks := h.disks()
	if len(disks) == 0 {
		return spec, fmt.Errorf("%w: the source has no disk", drivers.ErrOption)
	}
	want := int64(d.cfg.DiskSize) * 1024 // KiB
	switch first := disks[0]; {
	case first.CapacityInKB >= want:
	case d.cfg.LinkedClone || h.snapshots:
		d.env.Note(ctx, fmt.Sprintf("the disk keeps its %d MiB: one that hangs on a snapshot cannot grow", first.CapacityInKB/1024))
	default:
		grown := *first
		grown.CapacityInKB, grown.CapacityInBytes = want, want*1024
		spec.DeviceChange = append(spec.DeviceChange, &types.VirtualDeviceConfigSpec{
			Operation: types.VirtualDeviceConfigSpecOperationEdit,
			Device:    &grown,
		})
	}
	return spec, nil
}

// withProfile has changes give disks a storage policy too: that of a virtual machine is about
// its other files.
func withProfile(changes []types.BaseVirtualDeviceConfigSpec, disks []*types.VirtualDisk, profile []types.BaseVirtualMachineProfileSpec) []types.BaseVirtualDeviceConfigSpec {
	if len(profile) == 0 {
		return changes
	}
	for _, disk := range disks {
		at := slices.IndexFunc(changes, func(c types.BaseVirtualDeviceConfigSpec) bool {
			changed, ok := c.GetVirtualDeviceConfigSpec().Device.(*types.VirtualDisk)
			return ok && changed.Key == disk.Key
		})
		if at < 0 {
			changes = append(changes, &types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationEdit, Device: disk})
			at = len(changes) - 1
		}
		changes[at].GetVirtualDeviceConfigSpec().Profile = profile
	}
	return changes
}

// adapterChanges connects the adapters that there are, and adds and removes some
// so that there is one for each network.
func adapterChanges(nics []types.BaseVirtualDevice, adapters []adapter) []types.BaseVirtualDeviceConfigSpec {
	var all []types.BaseVirtualDeviceConfigSpec
	for i, a := range adapters {
		change := &types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationAdd}
		if i < len(nics) {
			change.Operation = types.VirtualDeviceConfigSpecOperationEdit
			change.Device = nics[i]
			if sameBacking(nics[i].GetVirtualDevice().Backing, a.backing) {
				continue
			}
			nics[i].GetVirtualDevice().Backing = a.backing
			nics[i].GetVirtualDevice().DeviceInfo = nil // names the old network
		} else {
			change.Device = newAdapter(int32(-100-i), a) //nolint:gosec // ten at most
		}
		connected(change.Device)
		all = append(all, change)
	}
	for _, nic := range nics[min(len(adapters), len(nics)):] {
		all = append(all, &types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationRemove, Device: nic})
	}
	return all
}

// newAdapter returns an adapter to be added; a negative key is the caller's.
func newAdapter(key int32, a adapter) types.BaseVirtualDevice {
	return &types.VirtualVmxnet3{VirtualVmxnet: types.VirtualVmxnet{VirtualEthernetCard: types.VirtualEthernetCard{
		VirtualDevice: types.VirtualDevice{Key: key, Backing: a.backing},
		AddressType:   string(types.VirtualEthernetCardMacTypeGenerated),
	}}}
}

func connected(device types.BaseVirtualDevice) {
	device.GetVirtualDevice().Connectable = &types.VirtualDeviceConnectInfo{StartConnected: true, AllowGuestControl: true, Connected: false}
}

// sameBacking tells whether an adapter is on a network already.
func sameBacking(a, b types.BaseVirtualDeviceBackingInfo) bool {
	switch b := b.(type) {
	case *types.VirtualEthernetCardNetworkBackingInfo:
		old, ok := a.(*types.VirtualEthernetCardNetworkBackingInfo)
		return ok && old.Network != nil && b.Network != nil && *old.Network == *b.Network
	case *types.VirtualEthernetCardDistributedVirtualPortBackingInfo:
		old, ok := a.(*types.VirtualEthernetCardDistributedVirtualPortBackingInfo)
		return ok && old.Port.PortgroupKey == b.Port.PortgroupKey && old.Port.SwitchUuid == b.Port.SwitchUuid
	case *types.VirtualEthernetCardOpaqueNetworkBackingInfo:
		old, ok := a.(*types.VirtualEthernetCardOpaqueNetworkBackingInfo)
		return ok && old.OpaqueNetworkId == b.OpaqueNetworkId
	}
	return false
}

// parameters are those that the user asked for.
func (d *driver) parameters() []types.BaseOptionValue {
	var all []types.BaseOptionValue
	for _, p := range d.cfg.CfgParams {
		key, value, _ := strings.Cut(p, "=")
		all = append(all, option(key, value))
	}
	for _, t := range d.cfg.Tags {
		if key, value, pair := strings.Cut(t, "="); pair {
			all = append(all, option(markTag+key, value))
		}
	}
	return all
}

// vApp returns the vApp configuration; nil: none was asked for.
func (d *driver) vApp(known []types.VAppPropertyInfo) types.BaseVmConfigSpec {
	if d.cfg.VAppProtocol == "" && d.cfg.VAppAllocation == "" && d.cfg.VAppTransport == "" && len(d.cfg.VAppProperties) == 0 {
		return nil
	}
	spec := &types.VmConfigSpec{}
	if d.cfg.VAppTransport != "" {
		spec.OvfEnvironmentTransport = []string{d.cfg.VAppTransport}
	}
	if d.cfg.VAppProtocol != "" || d.cfg.VAppAllocation != "" {
		spec.IpAssignment = &types.VAppIPAssignmentInfo{
			IpProtocol:          d.cfg.VAppProtocol,
			IpAllocationPolicy:  d.cfg.VAppAllocation,
			SupportedIpProtocol: nonEmpty(d.cfg.VAppProtocol),
		}
		if d.cfg.VAppAllocation == string(types.VAppIPAssignmentInfoIpAllocationPolicyDhcpPolicy) {
			spec.IpAssignment.SupportedAllocationScheme = []string{string(types.VAppIPAssignmentInfoAllocationSchemesDhcp)}
		} else if d.cfg.VAppAllocation != "" {
			spec.IpAssignment.SupportedAllocationScheme = []string{string(types.VAppIPAssignmentInfoAllocationSchemesOvfenv)}
		}
	}
	var next int32
	for _, p := range known {
		next = max(next, p.Key+1)
	}
	for _, p := range d.cfg.VAppProperties {
		id, value, _ := strings.Cut(p, "=")
		at := slices.IndexFunc(known, func(k types.VAppPropertyInfo) bool { return k.Id == id })
		change := types.VAppPropertySpec{ArrayUpdateSpec: types.ArrayUpdateSpec{Operation: types.ArrayUpdateOperationEdit}}
		if at >= 0 {
			info := known[at]
			info.Value = value
			change.Info = &info
		} else {
			configurable := true
			change.Operation = types.ArrayUpdateOperationAdd
			change.Info = &types.VAppPropertyInfo{Key: next, Id: id, Type: "string", UserConfigurable: &configurable, Value: value}
			next++
		}
		spec.Property = append(spec.Property, change)
	}
	return spec
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}
