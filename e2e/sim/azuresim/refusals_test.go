package azuresim_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"
)

func TestWhatIsInUseStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	ctx := t.Context()
	_, err := w.subnets.BeginDelete(ctx, "g", "net", "default", nil)
	refused(t, err, 400, "InUseSubnetCannotBeDeleted")
	_, err = w.networks.BeginDelete(ctx, "g", "net", nil)
	refused(t, err, 400, "InUseSubnetCannotBeDeleted")
	_, err = w.firewalls.BeginDelete(ctx, "g", "nsg", nil)
	refused(t, err, 400, "InUseNetworkSecurityGroupCannotBeDeleted")
	_, err = w.addresses.BeginDelete(ctx, "g", "ip", nil)
	refused(t, err, 400, "PublicIPAddressCannotBeDeleted")
	_, err = w.interfaces.BeginDelete(ctx, "g", "nic", nil)
	refused(t, err, 400, "NicInUse")
	_, err = w.disks.BeginDelete(ctx, "g", "m1-disk", nil)
	refused(t, err, 409, "OperationNotAllowed")
	second := machine(w.id("Microsoft.Network/networkInterfaces/nic"))
	_, err = w.machines.BeginCreateOrUpdate(ctx, "g", "m2", second, nil)
	refused(t, err, 409, "ConflictingUserInput") // the disk's name
	second.Properties.StorageProfile.OSDisk.Name = nil
	_, err = w.machines.BeginCreateOrUpdate(ctx, "g", "m2", second, nil)
	refused(t, err, 409, "NicInUse")
	taken := nic(w.id("Microsoft.Network/virtualNetworks/net/subnets/default"), "", w.id("Microsoft.Network/publicIPAddresses/ip"))
	_, err = w.interfaces.BeginCreateOrUpdate(ctx, "g", "nic2", taken, nil)
	refused(t, err, 400, "PublicIPAddressInUse")
	empty, err := w.networks.Get(ctx, "g", "net", nil)
	if err != nil || len(empty.Properties.Subnets[0].Properties.IPConfigurations) != 1 {
		t.Errorf("the subnet's users are %v, %v", empty.Properties, err)
	}
}

func (w *world) id(rest string) string {
	return subscriptionPath + "/resourceGroups/g/providers/" + rest
}

func TestReferencesMustExist(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.group("g")
	subnet := w.network("g", "net")
	for name, n := range map[string]armnetwork.Interface{
		"network":  nic(strings.Replace(subnet, "/net/", "/other/", 1), "", ""),
		"subnet":   nic(subnet+"x", "", ""),
		"firewall": nic(subnet, w.id("Microsoft.Network/networkSecurityGroups/x"), ""),
		"address":  nic(subnet, "", w.id("Microsoft.Network/publicIPAddresses/x")),
	} {
		_, err := w.interfaces.BeginCreateOrUpdate(t.Context(), "g", "nic", n, nil)
		t.Log(name)
		refused(t, err, 400, "InvalidResourceReference")
	}
	_, err := w.machines.BeginCreateOrUpdate(t.Context(), "g", "m1", machine(w.id("Microsoft.Network/networkInterfaces/x")), nil)
	refused(t, err, 400, "InvalidResourceReference")
}

func TestMachinesAreChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.ready("g")
	set := armcompute.AvailabilitySet{Location: ptr("westeurope"), SKU: &armcompute.SKU{Name: ptr("Classic")}}
	one(w.sets.CreateOrUpdate(t.Context(), "g", "old", set, nil))(t)
	type vm = armcompute.VirtualMachine
	for name, c := range map[string]struct {
		change func(*vm)
		status int
		code   string
	}{
		"size":       {func(m *vm) { *m.Properties.HardwareProfile.VMSize = "Standard_Nope" }, 400, "InvalidParameter"},
		"arm image":  {func(m *vm) { m.Properties.StorageProfile.ImageReference.SKU = ptr("server-arm64") }, 400, "BadRequest"},
		"image":      {func(m *vm) { m.Properties.StorageProfile.ImageReference.SKU = ptr("16.04") }, 404, "PlatformImageNotFound"},
		"generation": {func(m *vm) { m.Properties.StorageProfile.ImageReference.SKU = ptr("server-gen1") }, 400, "BadRequest"},
		"terms": {func(m *vm) {
			m.Properties.StorageProfile.ImageReference = &armcompute.ImageReference{Publisher: ptr("resf"), Offer: ptr("rockylinux-x86_64"), SKU: ptr("9-base"), Version: ptr("latest")}
			m.Plan = &armcompute.Plan{Publisher: ptr("resf"), Product: ptr("rockylinux-x86_64"), Name: ptr("9-base")}
		}, 400, "MarketplacePurchaseEligibilityFailed"},
		"plan":        {func(m *vm) { m.Plan = &armcompute.Plan{Name: ptr("x")} }, 400, "VMMarketplaceInvalidInput"},
		"user":        {func(m *vm) { m.Properties.OSProfile.AdminUsername = ptr("root") }, 400, "InvalidParameter"},
		"key path":    {func(m *vm) { m.Properties.OSProfile.AdminUsername = ptr("other") }, 400, "InvalidParameter"},
		"key":         {func(m *vm) { m.Properties.OSProfile.LinuxConfiguration.SSH.PublicKeys[0].KeyData = ptr("ssh-dss AAAA") }, 400, "InvalidParameter"},
		"custom data": {func(m *vm) { m.Properties.OSProfile.CustomData = ptr("#cloud-config") }, 400, "InvalidParameter"},
		"user data":   {func(m *vm) { m.Properties.UserData = ptr("eA==") }, 501, "NotSimulated"},
		"disk size":   {func(m *vm) { m.Properties.StorageProfile.OSDisk.DiskSizeGB = ptr[int32](10) }, 400, "ResizeDiskError"},
		"zone": {func(m *vm) {
			m.Zones = []*string{ptr("4")}
		}, 400, "InvalidParameter"},
		"zone and set": {func(m *vm) {
			m.Zones = []*string{ptr("1")}
			m.Properties.AvailabilitySet = &armcompute.SubResource{ID: ptr(w.id("Microsoft.Compute/availabilitySets/old"))}
		}, 400, "BadRequest"},
		"classic set": {func(m *vm) {
			m.Properties.AvailabilitySet = &armcompute.SubResource{ID: ptr(w.id("Microsoft.Compute/availabilitySets/old"))}
		}, 409, "OperationNotAllowed"},
		"price":         {func(m *vm) { m.Properties.BillingProfile = &armcompute.BillingProfile{MaxPrice: ptr(1.0)} }, 409, "OperationNotAllowed"},
		"computer name": {func(m *vm) { m.Properties.OSProfile.ComputerName = ptr("a_b") }, 400, "InvalidParameter"},
	} {
		m := machine(id)
		c.change(&m)
		t.Log(name)
		_, err := w.machines.BeginCreateOrUpdate(t.Context(), "g", "m1", m, nil)
		refused(t, err, c.status, c.code)
	}
	if _, err := w.machines.Get(t.Context(), "g", "m1", nil); err == nil {
		t.Error("a refused machine exists")
	}
}

func TestTermsAreAccepted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := subscriptionPath + "/providers/Microsoft.MarketplaceOrdering/offerTypes/virtualmachine/publishers/resf/offers/rockylinux-x86_64/plans/9-base/agreements/current?api-version=2021-01-01"
	status, _, answer := w.call("GET", at, w.token(), "")
	if p, _ := answer["properties"].(map[string]any); status != 200 || p["accepted"] != false {
		t.Fatalf("got %d %v", status, answer)
	}
	if status, _, answer = w.call("PUT", at, w.token(), `{"properties":{"accepted":true}}`); status != 200 {
		t.Fatalf("got %d %v", status, answer)
	}
	m := machine(w.ready("g"))
	m.Properties.StorageProfile.ImageReference = &armcompute.ImageReference{Publisher: ptr("resf"), Offer: ptr("rockylinux-x86_64"), SKU: ptr("9-base"), Version: ptr("latest")}
	m.Plan = &armcompute.Plan{Publisher: ptr("resf"), Product: ptr("rockylinux-x86_64"), Name: ptr("9-base")}
	p, err := w.machines.BeginCreateOrUpdate(t.Context(), "g", "m1", m, nil)
	must(t, p, err)
}

func TestScarcity(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.ready("g")
	ctx := t.Context()
	w.cloud.SetQuota("cores", 1)
	_, err := w.machines.BeginCreateOrUpdate(ctx, "g", "m1", machine(id), nil)
	refused(t, err, 409, "OperationNotAllowed")
	if !strings.Contains(err.Error(), "exceeding approved Total Regional Cores quota") {
		t.Error(err)
	}
	w.cloud.SetQuota("cores", 100)
	w.cloud.SetRestriction("Standard_B2s", "westeurope", "", "NotAvailableForSubscription")
	_, err = w.machines.BeginCreateOrUpdate(ctx, "g", "m1", machine(id), nil)
	refused(t, err, 409, "SkuNotAvailable")
	w.cloud.SetRestriction("Standard_B2s", "westeurope", "", "")
	w.cloud.SetQuota("PublicIPAddresses", 1)
	_, err = w.addresses.BeginCreateOrUpdate(ctx, "g", "ip2", address(), nil)
	refused(t, err, 400, "PublicIPCountLimitReached")
	w.cloud.SetScarce("Standard_B2s", "AllocationFailed")
	p, err := w.machines.BeginCreateOrUpdate(ctx, "g", "m1", machine(id), nil)
	_, err = wait(t, p, err)
	var re *azcore.ResponseError
	if !errors.As(err, &re) || re.ErrorCode != "AllocationFailed" || !strings.Contains(err.Error(), "sufficient capacity") {
		t.Errorf("got %v", err)
	}
	vm := one(w.machines.Get(ctx, "g", "m1", &armcompute.VirtualMachinesClientGetOptions{Expand: ptr(armcompute.InstanceViewTypesInstanceView)}))(t)
	if *vm.Properties.ProvisioningState != "Failed" || *vm.Properties.InstanceView.Statuses[0].Code != "ProvisioningState/failed/AllocationFailed" {
		t.Errorf("it is %s, %s", *vm.Properties.ProvisioningState, *vm.Properties.InstanceView.Statuses[0].Code)
	}
	w.cloud.SetScarce("Standard_B2s", "")
	p, err = w.machines.BeginCreateOrUpdate(ctx, "g", "m1", machine(id), nil)
	again := must(t, p, err)
	if _, ok := w.hosts.Spec(*again.Properties.VMID); !ok || *again.Properties.ProvisioningState != "Succeeded" {
		t.Error("a second PUT does not boot the machine")
	}
}

func TestRolesAreEnforced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.ready("g")
	const client = "55555555-5555-4555-8555-555555555555"
	w.cloud.AddPrincipal(client, "s", "*/read", "Microsoft.Compute/virtualMachines/*")
	w.login(client, "s")
	_, err := w.groups.CreateOrUpdate(t.Context(), "h", armresources.ResourceGroup{Location: ptr("westus")}, nil)
	refused(t, err, 403, "AuthorizationFailed")
	if !strings.Contains(err.Error(), client) || !strings.Contains(err.Error(), "Microsoft.Resources/subscriptions/resourceGroups/write") {
		t.Error(err)
	}
	_, err = w.machines.BeginCreateOrUpdate(t.Context(), "g", "m1", machine(id), nil)
	refused(t, err, 403, "LinkedAuthorizationFailed")
	if !strings.Contains(err.Error(), "Microsoft.Network/networkInterfaces/join/action") {
		t.Error(err)
	}
	w.cloud.AddPrincipal(client, "s", "*/read", "Microsoft.Compute/virtualMachines/*", "Microsoft.Network/networkInterfaces/join/action")
	p, err := w.machines.BeginCreateOrUpdate(t.Context(), "g", "m1", machine(id), nil)
	must(t, p, err)
	n := nic(w.id("Microsoft.Network/virtualNetworks/net/subnets/default"), "", "")
	w.cloud.AddPrincipal(client, "s", "Microsoft.Network/networkInterfaces/write")
	_, err = w.interfaces.BeginCreateOrUpdate(t.Context(), "g", "nic2", n, nil)
	refused(t, err, 403, "LinkedAuthorizationFailed")
	if !strings.Contains(err.Error(), "Microsoft.Network/virtualNetworks/subnets/join/action") {
		t.Error(err)
	}
}
