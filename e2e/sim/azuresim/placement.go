package azuresim

import (
	"net/http"
	"slices"
	"strings"
)

func (c *Cloud) checkAvailabilitySet(_ *call, m model, old *record) *armError {
	s := m.(*availabilitySet)
	if s.Properties == nil {
		s.Properties = &availabilitySetProperties{}
	}
	p := s.Properties
	if s.SKU == nil {
		s.SKU = &named{Name: "Classic"}
	}
	if p.PlatformUpdateDomainCount == 0 {
		p.PlatformUpdateDomainCount = 5
	}
	if p.PlatformFaultDomainCount == 0 {
		p.PlatformFaultDomainCount = 3
	}
	switch {
	case !oneOf(s.SKU.Name, "Classic", "Aligned") || s.SKU.Tier != "":
		return invalid("sku.name", "The value '%s' of parameter 'sku.name' is invalid.", s.SKU.Name)
	case len(s.Zones) > 0:
		return notSimulated("zones of an availability set")
	case len(p.VirtualMachines) > 0:
		return notSimulated("virtual machines in the request for an availability set")
	case s.SKU.Name == "Aligned" && p.PlatformFaultDomainCount > faultDomains(s.Location) || p.PlatformFaultDomainCount > 3 || p.PlatformFaultDomainCount < 1:
		return invalid("platformFaultDomainCount", "The specified fault domain count %d must fall in the range 1 to %d.", p.PlatformFaultDomainCount, faultDomains(s.Location))
	case p.PlatformUpdateDomainCount > 20 || p.PlatformUpdateDomainCount < 1:
		return invalid("platformUpdateDomainCount", "The specified update domain count %d must fall in the range 1 to 20.", p.PlatformUpdateDomainCount)
	}
	if old != nil {
		was := old.model.(*availabilitySet)
		if was.SKU.Name != s.SKU.Name || was.Properties.PlatformFaultDomainCount != p.PlatformFaultDomainCount || was.Properties.PlatformUpdateDomainCount != p.PlatformUpdateDomainCount {
			return unchangeable("availabilitySet")
		}
	}
	return nil
}

// faultDomains is how many a managed availability set can have in a location.
func faultDomains(location string) int {
	if oneOf(location, "eastus", "eastus2", "westus", "northeurope", "westeurope") {
		return 3
	}
	return 2
}

func (c *Cloud) viewAvailabilitySet(m model) {
	s := m.(*availabilitySet)
	for _, vm := range all[*virtualMachine](c) {
		if refers(vm.Properties.AvailabilitySet, s.ID) {
			s.Properties.VirtualMachines = append(s.Properties.VirtualMachines, ref{vm.ID})
		}
	}
}

func (c *Cloud) freeAvailabilitySet(rec *record) *armError {
	if len(c.users(rec)) > 0 {
		return refuse(http.StatusConflict, "OperationNotAllowed", "Availability Set '%s' cannot be deleted. Before deleting an Availability Set please ensure that it does not contain any VM.", rec.head().Name)
	}
	return nil
}

// checkDisk allows what a disk that exists is put again with.
func (c *Cloud) checkDisk(_ *call, m model, old *record) *armError {
	if old == nil {
		return notSimulated("disks that are not made with a virtual machine")
	}
	d, was := m.(*disk), old.model.(*disk)
	tags := d.Tags
	*d = *copyOf(was)
	d.Tags = tags
	return nil
}

func (c *Cloud) freeDisk(rec *record) *armError {
	if d := rec.model.(*disk); d.ManagedBy != "" {
		return refuse(http.StatusConflict, "OperationNotAllowed", "Disk %s is attached to VM %s.", d.Name, d.ManagedBy)
	}
	return nil
}

// checkOSDisk completes what a machine says of its disk.
func (c *Cloud) checkOSDisk(_ *call, vm *virtualMachine) *armError {
	s := vm.Properties.StorageProfile
	if s.OSDisk == nil {
		s.OSDisk = &osDisk{CreateOption: "FromImage"}
	}
	d := s.OSDisk
	if d.ManagedDisk == nil {
		d.ManagedDisk = &managedDisk{}
	}
	if d.Name == "" {
		d.Name = vm.Name + "_OsDisk_1_" + strings.ReplaceAll(newID(), "-", "")
	}
	image, _, _ := imageOf(s.ImageReference)
	if d.DiskSizeGB == 0 {
		d.DiskSizeGB = image.diskGB
	}
	size, _ := sizeOf(vm.Properties.HardwareProfile.VMSize)
	switch {
	case d.CreateOption != "FromImage":
		return notSimulated("the createOption %s of a disk", d.CreateOption)
	case d.ManagedDisk.ID != "":
		return notSimulated("a disk that exists already")
	case d.DiskSizeGB < image.diskGB:
		return refuse(400, "ResizeDiskError", "The specified disk size %d GB is smaller than the size of the corresponding disk in the VM image: %d GB. This is not allowed. Please choose equal or greater size or do not specify an explicit size.", d.DiskSizeGB, image.diskGB)
	case d.DiskSizeGB > 4095:
		return invalid("osDisk.diskSizeGB", "The value '%d' of parameter 'osDisk.diskSizeGB' is out of range. The value must be between '1' and '4095', inclusive.", d.DiskSizeGB)
	case !oneOf(d.ManagedDisk.StorageAccountType, "", "Standard_LRS", "StandardSSD_LRS", "Premium_LRS", "StandardSSD_ZRS", "Premium_ZRS"):
		return invalid("osDisk.managedDisk.storageAccountType", "The value '%s' of parameter 'osDisk.managedDisk.storageAccountType' is invalid.", d.ManagedDisk.StorageAccountType)
	case strings.HasPrefix(d.ManagedDisk.StorageAccountType, "Premium") && !size.premium:
		return invalid("osDisk.managedDisk.storageAccountType", "Requested operation cannot be performed because the VM size %s does not support the storage account type %s of disk '%s'. Consider updating the VM to a size that supports Premium storage.", size.name, d.ManagedDisk.StorageAccountType, d.Name)
	case !oneOf(d.DeleteOption, "", "Delete", "Detach") || !oneOf(d.Caching, "", "None", "ReadOnly", "ReadWrite") || !oneOf(d.OSType, "", "Linux"):
		return invalid("osDisk", "A value of parameter 'osDisk' is invalid.")
	case !networkName.MatchString(d.Name):
		return invalid("osDisk.name", "The name '%s' of the disk is invalid.", d.Name)
	}
	id := strings.TrimSuffix(vm.ID, "virtualMachines/"+vm.Name) + "disks/" + d.Name
	if c.store[lower(id)] != nil {
		return refuse(http.StatusConflict, "ConflictingUserInput", "Disk %s already exists in resource group %s. Only CreateOption.Attach is supported.", d.Name, strings.ToUpper(groupOf(vm.ID)))
	}
	d.ManagedDisk.ID, d.OSType = id, "Linux"
	if d.DeleteOption == "" {
		d.DeleteOption = "Detach"
	}
	if d.ManagedDisk.StorageAccountType == "" {
		d.ManagedDisk.StorageAccountType = "Premium_LRS"
		if !size.premium {
			d.ManagedDisk.StorageAccountType = "Standard_LRS"
		}
	}
	return nil
}

// makeDisk makes a machine's disk. It has the tags of the machine.
func (c *Cloud) makeDisk(vm *virtualMachine) {
	from := vm.Properties.StorageProfile.OSDisk
	d := &disk{
		header:    header{ID: from.ManagedDisk.ID, Name: from.Name, Type: "Microsoft.Compute/disks", Location: vm.Location, Zones: vm.Zones, Tags: copyTags(vm.Tags)},
		ManagedBy: vm.ID, SKU: &named{Name: from.ManagedDisk.StorageAccountType},
		Properties: &diskProperties{OSType: "Linux", DiskSizeGB: from.DiskSizeGB, DiskState: "Attached", TimeCreated: now(), UniqueID: newID(), ProvisioningState: "Succeeded"},
	}
	if c.store[lower(d.ID)] == nil {
		c.add(c.kindOf(d.Type), d)
	}
}

// checkPlacement checks a machine's availability set and zone.
func (c *Cloud) checkPlacement(k *call, vm *virtualMachine) *armError {
	set := vm.Properties.AvailabilitySet
	size, _ := sizeOf(vm.Properties.HardwareProfile.VMSize)
	switch {
	case len(vm.Zones) > 1:
		return refuse(400, "InvalidParameter", "Only one zone may be specified for a virtual machine.")
	case len(vm.Zones) == 1 && set != nil:
		return refuse(400, "BadRequest", "Virtual Machine cannot be created because both Availability Zone and Availability Set were specified. Deploying an Availability Set to an Availability Zone isn't supported.")
	case len(vm.Zones) == 1 && !slices.Contains(size.zones(vm.Location), vm.Zones[0]):
		return refuse(400, "InvalidParameter", "The zone(s) '%s' for resource '%s' is not supported. The supported zones for location '%s' are '%s'", vm.Zones[0], vm.ID, vm.Location, strings.Join(size.zones(vm.Location), ","))
	case set != nil:
		s, err := linked[*availabilitySet](c, k, &vm.header, set.ID, "")
		if err != nil {
			return err
		}
		if s.SKU.Name != "Aligned" {
			return refuse(http.StatusConflict, "OperationNotAllowed", "Addition of a managed disk based VM to non-managed Availability Set or addition of blob based VM to managed Availability Set is not supported. Please create an Availability Set with 'managed' property set in order to add a managed disk based VM to it.")
		}
	}
	return nil
}
