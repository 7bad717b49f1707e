package azuresim_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/azuresim"
)

func (w *world) members(group, name string) string {
	w.t.Helper()
	p, err := w.asgs.BeginCreateOrUpdate(w.t.Context(), group, name, armnetwork.ApplicationSecurityGroup{
		Location: ptr("westeurope"), Tags: map[string]*string{"by": ptr("us")}, Properties: &armnetwork.ApplicationSecurityGroupPropertiesFormat{},
	}, nil)
	return *must(w.t, p, err).ID
}

// member returns an interface that is in a group.
func member(subnet, firewall, group string) armnetwork.Interface {
	n := nic(subnet, firewall, "")
	n.Properties.IPConfigurations[0].Properties.ApplicationSecurityGroups = []*armnetwork.ApplicationSecurityGroup{{ID: &group}}
	return n
}

// fromMembers is a security group that admits the members of a group to a port,
// and nobody else of the virtual network.
func fromMembers(group string) armnetwork.SecurityGroup {
	rule := func(name string, priority int32, access armnetwork.SecurityRuleAccess) *armnetwork.SecurityRule {
		return &armnetwork.SecurityRule{Name: &name, Properties: &armnetwork.SecurityRulePropertiesFormat{
			Protocol: ptr(armnetwork.SecurityRuleProtocolTCP), Access: &access, Direction: ptr(armnetwork.SecurityRuleDirectionInbound), Priority: &priority,
			SourcePortRange: ptr("*"), DestinationAddressPrefix: ptr("*"), DestinationPortRange: ptr("2377"),
		}}
	}
	in, out := rule("members", 100, armnetwork.SecurityRuleAccessAllow), rule("neighbours", 4000, armnetwork.SecurityRuleAccessDeny)
	in.Properties.SourceApplicationSecurityGroups = []*armnetwork.ApplicationSecurityGroup{{ID: &group}}
	out.Properties.SourceAddressPrefix = ptr("VirtualNetwork")
	return armnetwork.SecurityGroup{Location: ptr("westeurope"), Properties: &armnetwork.SecurityGroupPropertiesFormat{SecurityRules: []*armnetwork.SecurityRule{in, out}}}
}

func TestMembersAreAdmitted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.group("g")
	subnet, group := w.network("g", "net"), w.members("g", "asg")
	p, err := w.firewalls.BeginCreateOrUpdate(t.Context(), "g", "nsg", fromMembers(group), nil)
	wall := *must(t, p, err).ID
	w.nic("g", "peer", member(subnet, wall, group))
	w.nic("g", "neighbour", nic(subnet, wall, ""))
	own := w.nic("g", "nic", member(subnet, wall, group))
	v, err := w.machines.BeginCreateOrUpdate(t.Context(), "g", "m1", machine(own), nil)
	vm := must(t, v, err)
	for name, want := range map[string]bool{"peer": true, "neighbour": false} {
		n := one(w.interfaces.Get(t.Context(), "g", name, nil))(t)
		from := netip.MustParseAddr(*n.Properties.IPConfigurations[0].Properties.PrivateIPAddress)
		for port, want := range map[int]bool{2377: want, 8080: true} {
			if got, err := w.cloud.Admits(*vm.ID, sim.Packet{From: from, Protocol: "tcp", Port: port}); err != nil || got != want {
				t.Errorf("%s to %d: got %v, %v", name, port, got, err)
			}
		}
	}
	azuresim.CheckWords(t, w.cloud)
}

func TestMembersAreChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.group("g")
	subnet, other, group := w.network("g", "net"), w.network("g", "other"), w.members("g", "asg")
	_, err := w.interfaces.BeginCreateOrUpdate(ctx, "g", "nic", member(subnet, "", group+"x"), nil)
	refused(t, err, 400, "InvalidResourceReference")
	_, err = w.firewalls.BeginCreateOrUpdate(ctx, "g", "nsg", fromMembers(group+"x"), nil)
	refused(t, err, 400, "InvalidResourceReference")
	both := fromMembers(group)
	both.Properties.SecurityRules[0].Properties.SourceAddressPrefix = ptr("*")
	_, err = w.firewalls.BeginCreateOrUpdate(ctx, "g", "nsg", both, nil)
	refused(t, err, 400, "SecurityRuleParameterContainsUnsupportedValue")

	w.nic("g", "nic", member(subnet, "", group))
	w.nic("g", "nic", member(subnet, "", group)) // again
	_, err = w.interfaces.BeginCreateOrUpdate(ctx, "g", "far", member(other, "", group), nil)
	refused(t, err, 400, "AllApplicationSecurityGroupsInIpConfigurationMustBeFromSameVnet")
	f, err := w.firewalls.BeginCreateOrUpdate(ctx, "g", "nsg", fromMembers(group), nil)
	must(t, f, err)

	_, err = w.asgs.BeginDelete(ctx, "g", "asg", nil)
	refused(t, err, 400, "ApplicationSecurityGroupReferenced")
	if !strings.Contains(err.Error(), "cannot be deleted because it is referenced by IpConfiguration(s) main") {
		t.Error(err)
	}
	n, err := w.interfaces.BeginDelete(ctx, "g", "nic", nil)
	must(t, n, err)
	_, err = w.asgs.BeginDelete(ctx, "g", "asg", nil)
	refused(t, err, 400, "ApplicationSecurityGroupReferenced")
	g, err := w.firewalls.BeginDelete(ctx, "g", "nsg", nil)
	must(t, g, err)
	d, err := w.asgs.BeginDelete(ctx, "g", "asg", nil)
	must(t, d, err)
	_, err = w.asgs.Get(ctx, "g", "asg", nil)
	refused(t, err, 404, "ResourceNotFound")
}

func TestMembersTakeRights(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.group("g")
	subnet, group := w.network("g", "net"), w.members("g", "asg")
	const client = "55555555-5555-4555-8555-555555555555"
	w.cloud.AddPrincipal(client, "s", "*/read", "*/write", "Microsoft.Network/virtualNetworks/subnets/join/action")
	w.login(client, "s")
	_, err := w.interfaces.BeginCreateOrUpdate(t.Context(), "g", "nic", member(subnet, "", group), nil)
	refused(t, err, 403, "LinkedAuthorizationFailed")
	if !strings.Contains(err.Error(), "Microsoft.Network/applicationSecurityGroups/joinIpConfiguration/action") {
		t.Error(err)
	}
	_, err = w.firewalls.BeginCreateOrUpdate(t.Context(), "g", "nsg", fromMembers(group), nil)
	refused(t, err, 403, "LinkedAuthorizationFailed")
	if !strings.Contains(err.Error(), "Microsoft.Network/applicationSecurityGroups/joinNetworkSecurityRule/action") {
		t.Error(err)
	}
}

func TestMembersAreListed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.group("g")
	w.group("h")
	w.members("g", "one")
	w.members("h", "two")
	names := ""
	for pager := w.asgs.NewListAllPager(nil); pager.More(); {
		for _, g := range one(pager.NextPage(t.Context()))(t).Value {
			names += *g.Name + " " + *g.Tags["by"] + " "
		}
	}
	for pager := w.asgs.NewListPager("h", nil); pager.More(); {
		for _, g := range one(pager.NextPage(t.Context()))(t).Value {
			names += *g.Name
		}
	}
	if names != "one us two us two" {
		t.Errorf("got %q", names)
	}
	status, _, answer := w.call("PUT", w.id("Microsoft.Network/applicationSecurityGroups/three")+"?api-version=2024-05-01", w.token(), `{"location":"westeurope","zones":["1"]}`)
	if status != 400 {
		t.Errorf("got %d %v", status, answer)
	}
}
