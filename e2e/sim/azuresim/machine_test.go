package azuresim_test

import (
	"io"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
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
