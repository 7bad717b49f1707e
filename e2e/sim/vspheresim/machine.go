package vspheresim

import (
	"slices"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// folder refuses second machines of a name.
type folder struct {
	*simulator.Folder
	cloud *Cloud
}

// CreateVMTask makes a machine.
func (f *folder) CreateVMTask(ctx *simulator.Context, req *types.CreateVM_Task) soap.HasFault {
	task := simulator.CreateTask(f.Folder, "createVm", func(*simulator.Task) (types.AnyType, types.BaseMethodFault) {
		if fault := taken(ctx, f.Folder, req.Config.Name); fault != nil {
			return nil, fault
		}
		return result(ctx, f.Folder.CreateVMTask(ctx, req).(*methods.CreateVM_TaskBody).Res.Returnval)
	})
	return &methods.CreateVM_TaskBody{Res: &types.CreateVM_TaskResponse{Returnval: task.Run(ctx)}}
}

// index finds things.
type index struct{ *simulator.SearchIndex }

// FindChild looks while nobody makes or renames what is in the folder.
func (i *index) FindChild(ctx *simulator.Context, req *types.FindChild) (body soap.HasFault) {
	ctx.WithLock(req.Entity, func() { body = i.SearchIndex.FindChild(ctx, req) })
	return body
}

// result waits for one of the simulator's tasks.
func result(ctx *simulator.Context, ref types.ManagedObjectReference) (types.AnyType, types.BaseMethodFault) {
	task := ctx.Map.Get(ref).(*simulator.Task)
	await(ctx.Map, task)
	if task.Info.Error != nil {
		return nil, task.Info.Error.Fault
	}
	return task.Info.Result, nil
}

// machine is a virtual machine with a host behind it.
type machine struct {
	*simulator.VirtualMachine
	cloud *Cloud
}

// CloneVMTask does what the simulator leaves out: power on, annotation, the
// rest of the configuration, and what a clone inherits.
func (m *machine) CloneVMTask(ctx *simulator.Context, req *types.CloneVM_Task) soap.HasFault {
	task := simulator.CreateTask(m.VirtualMachine, "cloneVm", func(*simulator.Task) (types.AnyType, types.BaseMethodFault) {
		if fault := m.notCloned(req); fault != nil {
			return nil, fault
		}
		into := ctx.Map.Get(req.Folder).(*simulator.Folder)
		var made types.AnyType
		var fault types.BaseMethodFault
		ctx.WithLock(into, func() {
			if fault = taken(ctx, into, req.Name); fault != nil {
				return
			}
			body := m.VirtualMachine.CloneVMTask(ctx, req).(*methods.CloneVM_TaskBody)
			if body.Fault_ != nil {
				fault = &types.InvalidFolder{Target: req.Folder}
				return
			}
			made, fault = result(ctx, body.Res.Returnval)
		})
		if fault != nil {
			return nil, fault
		}
		clone := ctx.Map.Get(made.(types.ManagedObjectReference)).(*simulator.VirtualMachine)
		return made, m.finishClone(ctx, &machine{clone, m.cloud}, req)
	})
	return &methods.CloneVM_TaskBody{Res: &types.CloneVM_TaskResponse{Returnval: task.Run(ctx)}}
}

// notCloned refuses what a vCenter refuses and what this one does not do.
func (m *machine) notCloned(req *types.CloneVM_Task) types.BaseMethodFault {
	spec := &req.Spec
	linked := spec.Location.DiskMoveType == string(types.VirtualMachineRelocateDiskMoveOptionsCreateNewChildDiskBacking)
	switch {
	case req.Name == "":
		return &types.InvalidName{}
	case m.Config.Template && spec.Location.Pool == nil && !spec.Template:
		return &types.InvalidArgument{InvalidProperty: "spec.location.pool"}
	case linked && spec.Snapshot == nil:
		return &types.InvalidArgument{InvalidProperty: "spec.snapshot"}
	case spec.Snapshot != nil && !m.hasSnapshot(*spec.Snapshot):
		return &types.InvalidArgument{InvalidProperty: "spec.snapshot"}
	case spec.Customization != nil:
		return &types.NotSupported{}
	case spec.Template && spec.PowerOn:
		return &types.InvalidArgument{InvalidProperty: "spec.powerOn"}
	}
	return nil
}

func (m *machine) hasSnapshot(ref types.ManagedObjectReference) bool {
	return m.Snapshot != nil && slices.ContainsFunc(snapshots(m.Snapshot.RootSnapshotList),
		func(s types.VirtualMachineSnapshotTree) bool { return s.Snapshot == ref })
}

// finishClone gives a clone its source's extraConfig and the rest of its own
// configuration, and powers it on if asked to.
func (m *machine) finishClone(ctx *simulator.Context, clone *machine, req *types.CloneVM_Task) types.BaseMethodFault {
	var spec types.VirtualMachineConfigSpec
	if req.Spec.Config != nil {
		spec = *req.Spec.Config
	}
	spec.Name, spec.DeviceChange, spec.Files = "", nil, nil
	spec.ExtraConfig = slices.Concat(inherited(m.Config.ExtraConfig), spec.ExtraConfig)
	if !req.Spec.Template {
		body := clone.ReconfigVMTask(ctx, &types.ReconfigVM_Task{This: clone.Self, Spec: spec})
		if _, fault := result(ctx, body.(*methods.ReconfigVM_TaskBody).Res.Returnval); fault != nil {
			return fault
		}
	}
	if !req.Spec.PowerOn {
		return nil
	}
	on := clone.PowerOnVMTask(ctx, &types.PowerOnVM_Task{This: clone.Self}).(*methods.PowerOnVM_TaskBody)
	if on.Fault_ != nil {
		return &types.InvalidState{}
	}
	_, fault := result(ctx, on.Res.Returnval)
	return fault
}

func inherited(config []types.BaseOptionValue) []types.BaseOptionValue {
	return slices.DeleteFunc(slices.Clone(config), func(o types.BaseOptionValue) bool {
		return o.GetOptionValue().Key == "govcsim"
	})
}

// ReconfigVMTask changes a name while nobody looks for names in the folder.
func (m *machine) ReconfigVMTask(ctx *simulator.Context, req *types.ReconfigVM_Task) soap.HasFault {
	if req.Spec.Name == "" || m.Parent == nil {
		return m.VirtualMachine.ReconfigVMTask(ctx, req)
	}
	task := simulator.CreateTask(m.VirtualMachine, "reconfigVm", func(*simulator.Task) (_ types.AnyType, fault types.BaseMethodFault) {
		ctx.WithLock(*m.Parent, func() {
			_, fault = result(ctx, m.VirtualMachine.ReconfigVMTask(ctx, req).(*methods.ReconfigVM_TaskBody).Res.Returnval)
		})
		return nil, fault
	})
	return &methods.ReconfigVM_TaskBody{Res: &types.ReconfigVM_TaskResponse{Returnval: task.Run(ctx)}}
}

// PowerOnVMTask boots the host.
func (m *machine) PowerOnVMTask(ctx *simulator.Context, req *types.PowerOnVM_Task) soap.HasFault {
	if m.Config.Template {
		return m.VirtualMachine.PowerOnVMTask(ctx, req)
	}
	task := simulator.CreateTask(m.VirtualMachine, "powerOn", func(*simulator.Task) (types.AnyType, types.BaseMethodFault) {
		_, fault := result(ctx, m.VirtualMachine.PowerOnVMTask(ctx, req).(*methods.PowerOnVM_TaskBody).Res.Returnval)
		if fault == nil {
			m.cloud.boot(m.VirtualMachine)
		}
		return nil, fault
	})
	return &methods.PowerOnVM_TaskBody{Res: &types.PowerOnVM_TaskResponse{Returnval: task.Run(ctx)}}
}

// PowerOffVMTask takes the host's power away.
func (m *machine) PowerOffVMTask(ctx *simulator.Context, req *types.PowerOffVM_Task) soap.HasFault {
	task := simulator.CreateTask(m.VirtualMachine, "powerOff", func(*simulator.Task) (types.AnyType, types.BaseMethodFault) {
		_, fault := result(ctx, m.VirtualMachine.PowerOffVMTask(ctx, req).(*methods.PowerOffVM_TaskBody).Res.Returnval)
		if fault == nil {
			silence(ctx, m.VirtualMachine)
			m.cloud.halt(m.Self, true)
		}
		return nil, fault
	})
	return &methods.PowerOffVM_TaskBody{Res: &types.PowerOffVM_TaskResponse{Returnval: task.Run(ctx)}}
}

// ShutdownGuest asks the guest to shut down, which takes a while.
func (m *machine) ShutdownGuest(ctx *simulator.Context, _ *types.ShutdownGuest) soap.HasFault {
	body := new(methods.ShutdownGuestBody)
	if body.Fault_ = m.deaf(); body.Fault_ == nil {
		body.Res = new(types.ShutdownGuestResponse)
		m.cloud.halt(m.Self, false)
	}
	return body
}

// RebootGuest asks the guest to reboot.
func (m *machine) RebootGuest(ctx *simulator.Context, _ *types.RebootGuest) soap.HasFault {
	body := new(methods.RebootGuestBody)
	if body.Fault_ = m.deaf(); body.Fault_ == nil {
		body.Res = new(types.RebootGuestResponse)
		silence(ctx, m.VirtualMachine)
		m.cloud.restart(m.VirtualMachine)
	}
	return body
}

// deaf is the fault of a machine whose guest cannot be asked for anything.
func (m *machine) deaf() *soap.Fault {
	if m.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn {
		return simulator.Fault("The attempted operation cannot be performed in the current state.", &types.InvalidPowerState{
			RequestedState: types.VirtualMachinePowerStatePoweredOn,
			ExistingState:  m.Runtime.PowerState,
		})
	}
	if m.Guest.ToolsRunningStatus != string(types.VirtualMachineToolsRunningStatusGuestToolsRunning) {
		return simulator.Fault("Cannot complete operation because VMware Tools is not running in this virtual machine.", new(types.ToolsUnavailable))
	}
	return nil
}

// ResetVMTask presses the host's reset button.
func (m *machine) ResetVMTask(ctx *simulator.Context, req *types.ResetVM_Task) soap.HasFault {
	task := simulator.CreateTask(m.VirtualMachine, "reset", func(*simulator.Task) (types.AnyType, types.BaseMethodFault) {
		if state := m.Runtime.PowerState; state != types.VirtualMachinePowerStatePoweredOn {
			return nil, &types.InvalidPowerState{RequestedState: types.VirtualMachinePowerStatePoweredOn, ExistingState: state}
		}
		silence(ctx, m.VirtualMachine)
		m.cloud.restart(m.VirtualMachine)
		return nil, nil
	})
	return &methods.ResetVM_TaskBody{Res: &types.ResetVM_TaskResponse{Returnval: task.Run(ctx)}}
}

// SuspendVMTask is not done.
func (m *machine) SuspendVMTask(*simulator.Context, *types.SuspendVM_Task) soap.HasFault {
	return &methods.SuspendVM_TaskBody{Fault_: simulator.Fault("", new(types.NotSupported))}
}

// DestroyTask removes the host too.
func (m *machine) DestroyTask(ctx *simulator.Context, req *types.Destroy_Task) soap.HasFault {
	task := simulator.CreateTask(m.VirtualMachine, "destroy", func(*simulator.Task) (types.AnyType, types.BaseMethodFault) {
		_, fault := result(ctx, m.VirtualMachine.DestroyTask(ctx, req).(*methods.Destroy_TaskBody).Res.Returnval)
		if fault == nil {
			m.cloud.forget(m.Self)
		}
		return nil, fault
	})
	return &methods.Destroy_TaskBody{Res: &types.Destroy_TaskResponse{Returnval: task.Run(ctx)}}
}

func datastoreOf(path string) (string, bool) {
	var p object.DatastorePath
	ok := p.FromString(path)
	return p.Datastore, ok
}

// snapshots returns a tree's snapshots.
func snapshots(tree []types.VirtualMachineSnapshotTree) []types.VirtualMachineSnapshotTree {
	var all []types.VirtualMachineSnapshotTree
	for _, s := range tree {
		all = append(append(all, s), snapshots(s.ChildSnapshotList)...)
	}
	return all
}
