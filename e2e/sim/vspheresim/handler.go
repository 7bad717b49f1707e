package vspheresim

import (
	"fmt"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// handle is asked about each call before the simulator does it. It returns a
// fault, or the object that is to serve the call instead of the simulator's.
func (c *Cloud) handle(ctx *simulator.Context, m *simulator.Method) (mo.Reference, types.BaseMethodFault) {
	if ctx.Session == nil {
		return nil, anonymous(m)
	}
	if fault := c.wrong(ctx, m); fault != nil {
		return nil, fault
	}
	seat(ctx, m)
	c.turns.making(ctx, m)
	if body, ok := m.Body.(*types.RecommendDatastores); ok {
		everyDisk(&body.StorageSpec.PodSelectionSpec)
	}
	switch object := ctx.Map.Get(m.This).(type) {
	case *simulator.VirtualMachine:
		instead(ctx, &machine{object, c})
	case *simulator.Folder:
		instead(ctx, &folder{object, c})
	case *simulator.SearchIndex:
		instead(ctx, &index{object})
	}
	return nil, nil
}

// instead has an object of ours serve this call. The simulator looks among the
// session's own objects first; the context has a session of its own for each call.
func instead(ctx *simulator.Context, object mo.Reference) {
	ctx.Session.Registry = simulator.NewRegistry()
	// The session's own Put writes the object's reference, which is read without a lock.
	ctx.WithLock(object, func() { ctx.Session.Registry.Put(object) })
}

// everyDisk asks for the disks of a machine one by one where a client asks for
// all of them at once, to which the simulator has no answer.
func everyDisk(s *types.StorageDrsPodSelectionSpec) {
	if s.StoragePod != nil && len(s.InitialVmConfig) == 0 {
		s.InitialVmConfig = []types.VmPodConfigForPlacement{{StoragePod: *s.StoragePod}}
	}
}

// anonymous refuses those without a session to read more than whether they have one.
func anonymous(m *simulator.Method) types.BaseMethodFault {
	var filters []types.PropertyFilterSpec
	switch body := m.Body.(type) {
	case *types.RetrieveProperties:
		filters = body.SpecSet
	case *types.RetrievePropertiesEx:
		filters = body.SpecSet
	}
	for _, f := range filters {
		for _, o := range f.ObjectSet {
			if kind := o.Obj.Type; kind != "SessionManager" && kind != "ServiceInstance" {
				return &types.NotAuthenticated{NoPermission: types.NoPermission{Object: &o.Obj, PrivilegeId: "System.View"}}
			}
		}
	}
	return nil
}

// wrong finds references to what does not exist, on which the simulator panics.
func (c *Cloud) wrong(ctx *simulator.Context, m *simulator.Method) types.BaseMethodFault {
	check := &checker{ctx: ctx}
	switch body := m.Body.(type) {
	case *types.CreateVM_Task:
		check.ref("pool", &body.Pool, "ResourcePool", "VirtualApp")
		check.ref("host", body.Host, "HostSystem")
		check.devices(body.Config.DeviceChange)
		if body.Config.Files != nil {
			check.path(body.Config.Files.VmPathName)
		}
	case *types.CloneVM_Task:
		check.ref("folder", &body.Folder, "Folder")
		check.location(&body.Spec.Location)
		check.devices(body.Spec.Location.DeviceChange)
		if body.Spec.Config != nil {
			check.devices(body.Spec.Config.DeviceChange)
		}
		check.ref("spec.snapshot", body.Spec.Snapshot, "VirtualMachineSnapshot")
	case *types.ReconfigVM_Task:
		check.devices(body.Spec.DeviceChange)
	case *types.RelocateVM_Task:
		check.location(&body.Spec)
	case *types.RecommendDatastores:
		check.ref("storageSpec.podSelectionSpec.storagePod", body.StorageSpec.PodSelectionSpec.StoragePod, "StoragePod")
	case *types.ImportVApp:
		check.ref("folder", body.Folder, "Folder")
		check.ref("host", body.Host, "HostSystem")
		c.checkImport(check, body)
	}
	return check.fault
}

// checkImport also refuses a name that is taken, which the simulator does not
// look at on this way.
func (c *Cloud) checkImport(check *checker, body *types.ImportVApp) {
	spec, ok := body.Spec.(*types.VirtualMachineImportSpec)
	if !ok {
		return
	}
	check.devices(spec.ConfigSpec.DeviceChange)
	if spec.ConfigSpec.Files != nil {
		check.path(spec.ConfigSpec.Files.VmPathName)
	}
	if body.Folder != nil && check.fault == nil {
		f, _ := check.ctx.Map.Get(*body.Folder).(*simulator.Folder)
		check.fault = taken(check.ctx, f, spec.ConfigSpec.Name)
	}
}

// checker keeps the first fault that is found.
type checker struct {
	ctx   *simulator.Context
	fault types.BaseMethodFault
}

func (k *checker) ref(property string, ref *types.ManagedObjectReference, kinds ...string) {
	if ref == nil || k.fault != nil {
		return
	}
	if k.ctx.Map.Get(*ref) == nil {
		k.fault = &types.ManagedObjectNotFound{Obj: *ref}
		return
	}
	for _, kind := range kinds {
		if ref.Type == kind {
			return
		}
	}
	k.fault = &types.InvalidArgument{InvalidProperty: property}
}

func (k *checker) location(at *types.VirtualMachineRelocateSpec) {
	k.ref("spec.location.folder", at.Folder, "Folder")
	k.ref("spec.location.host", at.Host, "HostSystem")
	k.ref("spec.location.pool", at.Pool, "ResourcePool", "VirtualApp")
	k.ref("spec.location.datastore", at.Datastore, "Datastore") // a datastore cluster is none
	for _, disk := range at.Disk {
		k.ref("spec.location.disk", &disk.Datastore, "Datastore")
	}
}

// path checks the datastore of a path as in "[datastore] a/b".
func (k *checker) path(path string) {
	name, ok := datastoreOf(path)
	if !ok {
		k.fail(&types.InvalidDatastorePath{DatastorePath: path})
	} else if k.named(name, "Datastore") == nil {
		k.fail(&types.InvalidDatastore{Name: name})
	}
}

// devices checks what devices are connected to.
func (k *checker) devices(changes []types.BaseVirtualDeviceConfigSpec) {
	for i, change := range changes {
		spec := change.GetVirtualDeviceConfigSpec()
		if spec.Device == nil {
			k.fail(&types.InvalidDeviceSpec{DeviceIndex: int32(i)})
			return
		}
		switch backing := spec.Device.GetVirtualDevice().Backing.(type) {
		case *types.VirtualEthernetCardNetworkBackingInfo:
			if k.named(backing.DeviceName, "Network", "DistributedVirtualPortgroup", "OpaqueNetwork") == nil {
				k.fail(invalidBacking(i, "backing.deviceName"))
			}
		case *types.VirtualEthernetCardDistributedVirtualPortBackingInfo:
			ref := types.ManagedObjectReference{Type: "DistributedVirtualPortgroup", Value: backing.Port.PortgroupKey}
			if k.ctx.Map.Get(ref) == nil {
				k.fail(invalidBacking(i, "backing.port.portgroupKey"))
			}
		case types.BaseVirtualDeviceFileBackingInfo:
			if path := backing.GetVirtualDeviceFileBackingInfo().FileName; path != "" {
				k.path(path)
			}
		}
	}
}

func invalidBacking(i int, property string) *types.InvalidDeviceSpec {
	spec := &types.InvalidDeviceSpec{DeviceIndex: int32(i)}
	spec.Property = fmt.Sprintf("virtualDeviceSpec.device.%s", property)
	return spec
}

func (k *checker) fail(fault types.BaseMethodFault) {
	if k.fault == nil {
		k.fault = fault
	}
}

// named returns an entity of one of the kinds by its name.
func (k *checker) named(name string, kinds ...string) mo.Entity {
	for _, kind := range kinds {
		for _, e := range k.ctx.Map.All(kind) {
			if e.Entity().Name == name {
				return e
			}
		}
	}
	return nil
}

// taken returns a fault if something in the folder has the name.
func taken(ctx *simulator.Context, f *simulator.Folder, name string) (fault types.BaseMethodFault) {
	if f == nil {
		return nil
	}
	ctx.WithLock(f, func() {
		if other := ctx.Map.FindByName(name, f.ChildEntity); other != nil {
			fault = &types.DuplicateName{Name: name, Object: other.Reference()}
		}
	})
	return fault
}
