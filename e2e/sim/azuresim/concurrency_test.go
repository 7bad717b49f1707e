package azuresim_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"github.com/hostsmith/machine/e2e/sim/azuresim"
)

func slow(c *azuresim.Config) { c.Operation = 400 * time.Millisecond }

func TestOneOperationAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, slow)
	w.group("g")
	subnet := w.network("g", "net")
	s := armnetwork.Subnet{Properties: &armnetwork.SubnetPropertiesFormat{AddressPrefix: ptr("10.77.4.0/24")}}
	p, err := w.subnets.BeginCreateOrUpdate(t.Context(), "g", "net", "two", s, nil)
	_, err2 := w.subnets.BeginCreateOrUpdate(t.Context(), "g", "net", "three", s, nil)
	refused(t, err2, 429, "RetryableError")
	_, err2 = w.interfaces.BeginCreateOrUpdate(t.Context(), "g", "nic", nic(subnet, "", ""), nil)
	refused(t, err2, 429, "RetryableError")
	if !strings.Contains(err2.Error(), "ReferencedResourceNotProvisioned") {
		t.Error(err2)
	}
	must(t, p, err)
	_, err = w.subnets.BeginCreateOrUpdate(t.Context(), "g", "net", "three", s, nil)
	refused(t, err, 400, "NetcfgSubnetRangesOverlap")
	d, err := w.subnets.BeginDelete(t.Context(), "g", "net", "two", nil)
	must(t, d, err)
	_, err = w.subnets.Get(t.Context(), "g", "net", "two", nil)
	refused(t, err, 404, "NotFound")
}

func TestDeletionPreemptsCreation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, slow)
	id := w.ready("g")
	p, err := w.machines.BeginCreateOrUpdate(t.Context(), "g", "m1", machine(id), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.machines.BeginCreateOrUpdate(t.Context(), "g", "m1", machine(id), nil)
	refused(t, err, 409, "Conflict")
	d, err := w.machines.BeginDelete(t.Context(), "g", "m1", nil)
	must(t, d, err)
	_, err = wait(t, p, nil)
	var re *azcore.ResponseError
	if !errors.As(err, &re) {
		t.Errorf("the creation ended with %v", err)
	}
	if got, want := w.kinds(), "map[networkSecurityGroups:1 resourceGroups:1 virtualNetworks:1]"; got != want {
		t.Errorf("there is %s", got)
	}
}

func TestGroupTakesItsContentsAlong(t *testing.T) {
	t.Parallel()
	w := newWorld(t, slow)
	vm := w.boot()
	w.group("other")
	foreign := w.nic("other", "nic", nic(w.id("Microsoft.Network/virtualNetworks/net/subnets/default"), "", ""))
	_, err := w.groups.BeginDelete(t.Context(), "g", nil)
	refused(t, err, 409, "ResourceGroupDeletionBlocked")
	if err := w.cloud.Vanish("networkInterfaces", foreign); err != nil {
		t.Fatal(err)
	}
	p, err := w.groups.BeginDelete(t.Context(), "g", nil)
	_, err2 := w.addresses.BeginCreateOrUpdate(t.Context(), "g", "ip3", address(), nil)
	refused(t, err2, 409, "ResourceGroupBeingDeleted")
	must(t, p, err)
	if got := w.kinds(); got != "map[resourceGroups:1]" {
		t.Errorf("there is still %s", got)
	}
	if _, ok := w.hosts.Spec(*vm.Properties.VMID); ok {
		t.Error("the host is still there")
	}
}

func TestVanishedMachine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	vm := w.boot()
	if err := w.cloud.Vanish("virtualMachines", *vm.ID); err != nil {
		t.Fatal(err)
	}
	_, err := w.machines.Get(t.Context(), "g", "m1", nil)
	refused(t, err, 404, "ResourceNotFound")
	if _, ok := w.hosts.Spec(*vm.Properties.VMID); ok {
		t.Error("the host is still there")
	}
	if err := w.cloud.Vanish("virtualMachines", *vm.ID); err == nil {
		t.Error("it vanishes twice")
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.group("g")
	subnet := w.network("g", "net")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			name := fmt.Sprint("m", i)
			p, err := w.addresses.BeginCreateOrUpdate(t.Context(), "g", name, address(), nil)
			a, err := wait(t, p, err)
			if err != nil {
				t.Error(err)
				return
			}
			n, err := w.interfaces.BeginCreateOrUpdate(t.Context(), "g", name, nic(subnet, "", *a.ID), nil)
			i, err := wait(t, n, err)
			if err != nil {
				t.Error(err)
				return
			}
			m := machine(*i.ID)
			m.Properties.StorageProfile.OSDisk.Name = &name
			v, err := w.machines.BeginCreateOrUpdate(t.Context(), "g", name, m, nil)
			if _, err := wait(t, v, err); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	seen := map[netip.Addr]bool{}
	for pager := w.machines.NewListPager("g", nil); pager.More(); {
		for _, vm := range one(pager.NextPage(t.Context()))(t).Value {
			spec, _ := w.hosts.Spec(*vm.Properties.VMID)
			seen[spec.Private], seen[spec.Public] = true, true
		}
	}
	if len(seen) != 16 {
		t.Errorf("the addresses are %v", seen)
	}
	p, err := w.groups.BeginDelete(t.Context(), "g", nil)
	must(t, p, err)
	if got := w.cloud.Ledger(); len(got) != 0 {
		t.Errorf("there is still %v", got)
	}
}
