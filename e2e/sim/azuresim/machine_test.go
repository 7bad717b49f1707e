package azuresim_test

import (
	"io"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"github.com/hostsmith/machine/e2e/sim/azuresim"
)

func TestMachineLives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	vm := w.boot()
	if *vm.Properties.ProvisioningState != "Succeeded" || vm.Properties.OSProfile.CustomData != nil {
		t.Errorf("got %s with custom data %v", *vm.Properties.ProvisioningState, vm.Properties.OSProfile.CustomData)
	}
	spec, ok := w.hosts.Spec(*vm.Properties.VMID)
	if !ok || string(spec.UserData) != "#cloud-config\n" || spec.User != "azureuser" || len(spec.Keys) != 1 || spec.Keys[0] != sshKey {
		t.Fatalf("the host is %+v", spec)
	}
	if spec.Private.String() != "10.77.3.0" && !strings.HasPrefix(spec.Private.String(), "10.77.3.") || spec.Public.String() != "198.18.0.16" {
		t.Errorf("the host's addresses are %s and %s", spec.Private, spec.Public)
	}
	if got, want := w.kinds(), "map[disks:1 networkInterfaces:1 networkSecurityGroups:1 publicIPAddresses:1 resourceGroups:1 virtualMachines:1 virtualNetworks:1]"; got != want {
		t.Errorf("there is %s", got)
	}
	azuresim.CheckWords(t, w.cloud)
	w.power(vm)
	p, err := w.machines.BeginDelete(t.Context(), "g", "m1", nil)
	must(t, p, err)
	if got, want := w.kinds(), "map[networkSecurityGroups:1 resourceGroups:1 virtualNetworks:1]"; got != want {
		t.Errorf("after the deletion there is %s", got)
	}
	if _, ok := w.hosts.Spec(spec.ID); ok {
		t.Error("the host is still there")
	}
	d, err := w.groups.BeginDelete(t.Context(), "g", nil)
	must(t, d, err)
	if got := w.cloud.Ledger(); len(got) != 0 {
		t.Errorf("there is still %v", got)
	}
}

// power stops and starts a machine.
func (w *world) power(vm armcompute.VirtualMachine) {
	t := w.t
	t.Helper()
	is := func(want string) {
		t.Helper()
		got := one(w.machines.InstanceView(t.Context(), "g", "m1", nil))(t)
		if code := *got.Statuses[1].Code; code != want {
			t.Errorf("got %s, want %s", code, want)
		}
	}
	is("PowerState/running")
	off, err := w.machines.BeginPowerOff(t.Context(), "g", "m1", &armcompute.VirtualMachinesClientBeginPowerOffOptions{SkipShutdown: ptr(true)})
	must(t, off, err)
	is("PowerState/stopped")
	start, err := w.machines.BeginStart(t.Context(), "g", "m1", nil)
	must(t, start, err)
	is("PowerState/running")
	free, err := w.machines.BeginDeallocate(t.Context(), "g", "m1", nil)
	must(t, free, err)
	is("PowerState/deallocated")
	_, err = w.machines.BeginRestart(t.Context(), "g", "m1", nil)
	refused(t, err, 409, "OperationNotAllowed")
	start, err = w.machines.BeginStart(t.Context(), "g", "m1", nil)
	must(t, start, err)
	again, err := w.machines.BeginRestart(t.Context(), "g", "m1", nil)
	must(t, again, err)
	is("PowerState/running")
	_ = w.hosts.Stop(t.Context(), *vm.Properties.VMID, false) // the host shuts itself down
	is("PowerState/stopped")
}

func TestBootLogCanBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	data := one(w.machines.RetrieveBootDiagnosticsData(t.Context(), "g", "m1", nil))(t)
	answer := one(w.server.Client().Get(*data.SerialConsoleLogBlobURI))(t)
	defer answer.Body.Close()
	if text, _ := io.ReadAll(answer.Body); !strings.Contains(string(text), "m1 login:") {
		t.Errorf("got %q", text)
	}
	bad := one(w.server.Client().Get(strings.Split(*data.SerialConsoleLogBlobURI, "?")[0]))(t)
	if bad.Body.Close(); bad.StatusCode != 403 {
		t.Errorf("without the signature: %s", bad.Status)
	}
}

func TestPublicAddressMoves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	vm := w.boot()
	second := w.address("g", "ip2")
	w.nic("g", "nic", nic(w.id("Microsoft.Network/virtualNetworks/net/subnets/default"), "", second))
	spec, _ := w.hosts.Spec(*vm.Properties.VMID)
	if spec.Public.String() != "198.18.0.17" {
		t.Errorf("the host's address is %s", spec.Public)
	}
	if old := one(w.addresses.Get(t.Context(), "g", "ip", nil))(t); old.Properties.IPConfiguration != nil {
		t.Error("the first address is still taken")
	}
	p, err := w.addresses.BeginDelete(t.Context(), "g", "ip", nil)
	must(t, p, err)
	f, err := w.firewalls.BeginDelete(t.Context(), "g", "nsg", nil)
	must(t, f, err)
}

func TestMachineIsTagged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	p, err := w.machines.BeginUpdate(t.Context(), "g", "m1", armcompute.VirtualMachineUpdate{Tags: map[string]*string{"a": ptr("b")}}, nil)
	if vm := must(t, p, err); len(vm.Tags) != 1 || *vm.Tags["a"] != "b" {
		t.Errorf("the tags are %v", vm.Tags)
	}
	_, err = w.machines.BeginUpdate(t.Context(), "g", "m1", armcompute.VirtualMachineUpdate{Properties: &armcompute.VirtualMachineProperties{UserData: ptr("eA==")}}, nil)
	refused(t, err, 501, "NotSimulated")
	one(w.interfaces.UpdateTags(t.Context(), "g", "nic", armnetwork.TagsObject{Tags: map[string]*string{"a": ptr("b")}}, nil))(t)
	if got := w.find("tagName eq 'a'"); got != "m1 nic" {
		t.Errorf("found %s", got)
	}
}

func TestOperationsFail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.ready("g")
	w.cloud.FailNext("virtualMachines", "OSProvisioningTimedOut", "OS Provisioning for VM 'm1' did not finish in the allotted time.")
	p, err := w.machines.BeginCreateOrUpdate(t.Context(), "g", "m1", machine(id), nil)
	if _, err = wait(t, p, err); err == nil || !strings.Contains(err.Error(), "OSProvisioningTimedOut") || !strings.Contains(err.Error(), "allotted time") {
		t.Errorf("got %v", err)
	}
	w.cloud.FailNext("virtualMachines", "InternalExecutionError", "An internal execution error occurred.")
	d, err := w.machines.BeginDelete(t.Context(), "g", "m1", nil)
	if _, err = wait(t, d, err); err == nil || !strings.Contains(err.Error(), "InternalExecutionError") {
		t.Errorf("got %v", err)
	}
	d, err = w.machines.BeginDelete(t.Context(), "g", "m1", nil)
	must(t, d, err)
}

func TestSpotMachineIsEvicted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := machine(w.ready("g"))
	m.Properties.Priority, m.Properties.EvictionPolicy = ptr(armcompute.VirtualMachinePriorityTypesSpot), ptr(armcompute.VirtualMachineEvictionPolicyTypesDeallocate)
	m.Properties.BillingProfile = &armcompute.BillingProfile{MaxPrice: ptr(-1.0)}
	p, err := w.machines.BeginCreateOrUpdate(t.Context(), "g", "m1", m, nil)
	vm := must(t, p, err)
	if err := w.cloud.Evict(*vm.ID); err != nil {
		t.Fatal(err)
	}
	got := one(w.machines.InstanceView(t.Context(), "g", "m1", nil))(t)
	if *got.Statuses[1].Code != "PowerState/deallocated" {
		t.Errorf("it is %s", *got.Statuses[1].Code)
	}
	azuresim.CheckWords(t, w.cloud)
}

func TestMachineInAvailabilitySet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := machine(w.ready("g"))
	set := one(w.sets.CreateOrUpdate(t.Context(), "g", "set", armcompute.AvailabilitySet{Location: ptr("westeurope"), SKU: &armcompute.SKU{Name: ptr("Aligned")}, Properties: &armcompute.AvailabilitySetProperties{PlatformFaultDomainCount: ptr[int32](2)}}, nil))(t)
	m.Properties.AvailabilitySet = &armcompute.SubResource{ID: set.ID}
	p, err := w.machines.BeginCreateOrUpdate(t.Context(), "g", "m1", m, nil)
	must(t, p, err)
	_, err = w.sets.Delete(t.Context(), "g", "set", nil)
	refused(t, err, 409, "OperationNotAllowed")
	azuresim.CheckWords(t, w.cloud)
	d, err := w.machines.BeginDelete(t.Context(), "g", "m1", nil)
	must(t, d, err)
	one(w.sets.Delete(t.Context(), "g", "set", nil))(t)
	_, err = w.sets.Get(t.Context(), "g", "set", nil)
	refused(t, err, 404, "ResourceNotFound")
}

func TestDetachedDiskStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := machine(w.ready("g"))
	m.Properties.StorageProfile.OSDisk.DeleteOption = nil
	m.Properties.NetworkProfile.NetworkInterfaces[0].Properties.DeleteOption = ptr(armcompute.DeleteOptionsDetach)
	p, err := w.machines.BeginCreateOrUpdate(t.Context(), "g", "m1", m, nil)
	must(t, p, err)
	d, err := w.machines.BeginDelete(t.Context(), "g", "m1", &armcompute.VirtualMachinesClientBeginDeleteOptions{ForceDeletion: ptr(true)})
	must(t, d, err)
	if got, want := w.kinds(), "map[disks:1 networkInterfaces:1 networkSecurityGroups:1 publicIPAddresses:1 resourceGroups:1 virtualNetworks:1]"; got != want {
		t.Errorf("there is %s", got)
	}
	if disk := one(w.disks.Get(t.Context(), "g", "m1-disk", nil))(t); disk.ManagedBy != nil || *disk.Properties.DiskState != "Unattached" {
		t.Errorf("the disk is %s of %v", *disk.Properties.DiskState, disk.ManagedBy)
	}
	e, err := w.disks.BeginDelete(t.Context(), "g", "m1-disk", nil)
	must(t, e, err)
	n, err := w.interfaces.BeginDelete(t.Context(), "g", "nic", nil)
	must(t, n, err)
	if got, want := w.kinds(), "map[networkSecurityGroups:1 publicIPAddresses:1 resourceGroups:1 virtualNetworks:1]"; got != want {
		t.Errorf("there is %s", got)
	}
}
