package vspheresim

import (
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// The PCI controller that each machine has.
const (
	pciController = 100 // its key
	firstCard     = 7   // the unit number of the first network card
)

// seat gives new network cards their place on the PCI controller, which a
// vCenter does too. The simulator's way to do it writes into what all machines
// of all vCenters in the process share.
func seat(ctx *simulator.Context, m *simulator.Method) {
	vm, _ := ctx.Map.Get(m.This).(*simulator.VirtualMachine)
	switch body := m.Body.(type) {
	case *types.CreateVM_Task:
		seatAmong(nil, body.Config.DeviceChange)
	case *types.ImportVApp:
		if spec, ok := body.Spec.(*types.VirtualMachineImportSpec); ok {
			seatAmong(nil, spec.ConfigSpec.DeviceChange)
		}
	case *types.CloneVM_Task:
		seatAmong(devices(ctx, vm), body.Spec.Location.DeviceChange)
		if body.Spec.Config != nil {
			seatAmong(devices(ctx, vm), body.Spec.Config.DeviceChange)
		}
	case *types.ReconfigVM_Task:
		seatAmong(devices(ctx, vm), body.Spec.DeviceChange)
	}
}

func devices(ctx *simulator.Context, vm *simulator.VirtualMachine) (all object.VirtualDeviceList) {
	if vm != nil {
		ctx.WithLock(vm, func() { all = vm.Config.Hardware.Device })
	}
	return all
}

func seatAmong(present object.VirtualDeviceList, changes []types.BaseVirtualDeviceConfigSpec) {
	taken := map[int32]bool{}
	note := func(d types.BaseVirtualDevice) {
		if card, ok := d.(types.BaseVirtualEthernetCard); ok && card.GetVirtualEthernetCard().UnitNumber != nil {
			taken[*card.GetVirtualEthernetCard().UnitNumber] = true
		}
	}
	for _, d := range present {
		note(d)
	}
	for _, change := range changes {
		note(change.GetVirtualDeviceConfigSpec().Device)
	}
	for _, change := range changes {
		spec := change.GetVirtualDeviceConfigSpec()
		card, ok := spec.Device.(types.BaseVirtualEthernetCard)
		if !ok || spec.Operation != types.VirtualDeviceConfigSpecOperationAdd || card.GetVirtualEthernetCard().UnitNumber != nil {
			continue
		}
		unit := int32(firstCard)
		for taken[unit] {
			unit++
		}
		taken[unit] = true
		card.GetVirtualEthernetCard().UnitNumber = &unit
		card.GetVirtualEthernetCard().ControllerKey = pciController
	}
}
