package azuresim_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/azuresim"
)

// fronts runs a test at the cloud itself, and behind the SDK's fake servers.
func fronts(t *testing.T, test func(*testing.T, *world)) {
	t.Run("cloud", func(t *testing.T) {
		t.Parallel()
		test(t, newWorld(t))
	})
	t.Run("fakes", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.server = httptest.NewTLSServer(azuresim.NewFront(w.cloud, azuresim.FrontConfig{}))
		t.Cleanup(w.server.Close)
		w.login(azuresim.ClientID, azuresim.ClientSecret)
		test(t, w)
	})
}

// dualStack is a virtual network of both versions.
func dualStack() armnetwork.VirtualNetwork {
	return armnetwork.VirtualNetwork{Location: ptr("westeurope"), Properties: &armnetwork.VirtualNetworkPropertiesFormat{
		AddressSpace: &armnetwork.AddressSpace{AddressPrefixes: []*string{ptr("10.77.0.0/16"), ptr("fd00:db8:deca::/48")}},
		Subnets: []*armnetwork.Subnet{{Name: ptr("default"), Properties: &armnetwork.SubnetPropertiesFormat{
			AddressPrefixes: []*string{ptr("10.77.3.0/24"), ptr("fd00:db8:deca:1::/64")},
		}}},
	}}
}

func address6() armnetwork.PublicIPAddress {
	a := address()
	a.Properties.PublicIPAddressVersion = ptr(armnetwork.IPVersionIPv6)
	return a
}

// nic6 is an interface of both versions.
func nic6(subnet, firewall, public, public6 string) armnetwork.Interface {
	n := nic(subnet, firewall, public)
	second := nic(subnet, "", public6).Properties.IPConfigurations[0]
	second.Name, second.Properties.PrivateIPAddressVersion = ptr("second"), ptr(armnetwork.IPVersionIPv6)
	n.Properties.IPConfigurations[0].Properties.Primary = ptr(true)
	n.Properties.IPConfigurations = append(n.Properties.IPConfigurations, second)
	return n
}

func TestIPv6(t *testing.T) {
	t.Parallel()
	fronts(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.group("g")
		p, err := w.networks.BeginCreateOrUpdate(ctx, "g", "net", dualStack(), nil)
		subnet := *must(t, p, err).Properties.Subnets[0].ID
		a, err := w.addresses.BeginCreateOrUpdate(ctx, "g", "ip6", address6(), nil)
		public6 := must(t, a, err).PublicIPAddress
		if addr, err := netip.ParseAddr(*public6.Properties.IPAddress); err != nil || !addr.Is6() {
			t.Errorf("the public address is %v, %v", addr, err)
		}
		id := w.nic("g", "nic", nic6(subnet, w.firewall("g", "nsg"), w.address("g", "ip"), *public6.ID))
		v, err := w.machines.BeginCreateOrUpdate(ctx, "g", "m1", machine(id), nil)
		vm := must(t, v, err)
		got := one(w.interfaces.Get(ctx, "g", "nic", nil))(t).Properties.IPConfigurations
		if addr := netip.MustParseAddr(*got[1].Properties.PrivateIPAddress); !netip.MustParsePrefix("fd00:db8:deca:1::/64").Contains(addr) || *got[1].Properties.Primary {
			t.Errorf("the second configuration is %s, primary %v", addr, *got[1].Properties.Primary)
		}
		if s, ok := w.hosts.Spec(*vm.Properties.VMID); !ok || !s.Private.Is4() || !s.Public.Is4() {
			t.Errorf("the host is at %s and %s", s.Private, s.Public)
		}
		other := netip.MustParseAddr("fd00:db8:deca:1::77")
		if in, err := w.cloud.Admits(*vm.ID, sim.Packet{From: other, Protocol: "tcp", Port: 80}); err != nil || !in {
			t.Errorf("%s is of the virtual network: got %v, %v", other, in, err)
		}
		_, err = w.addresses.BeginDelete(ctx, "g", "ip6", nil)
		refused(t, err, 400, "PublicIPAddressCannotBeDeleted")
		less := dualStack()
		less.Properties.Subnets[0].Properties.AddressPrefixes = less.Properties.Subnets[0].Properties.AddressPrefixes[:1]
		_, err = w.networks.BeginCreateOrUpdate(ctx, "g", "net", less, nil)
		refused(t, err, 400, "InUsePrefixCannotBeDeleted")
		d, err := w.machines.BeginDelete(ctx, "g", "m1", nil)
		must(t, d, err)
		if _, err = w.addresses.Get(ctx, "g", "ip6", nil); err == nil {
			t.Error("the machine did not take its second address along")
		}
	})
}

func TestIPv6IsChecked(t *testing.T) {
	t.Parallel()
	fronts(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.group("g")
		p, err := w.networks.BeginCreateOrUpdate(ctx, "g", "dual", dualStack(), nil)
		subnet := *must(t, p, err).Properties.Subnets[0].ID
		plain := w.network("g", "net")
		a, err := w.addresses.BeginCreateOrUpdate(ctx, "g", "ip6", address6(), nil)
		public, public6 := w.address("g", "ip"), *must(t, a, err).ID
		group, other := w.members("g", "asg"), w.members("g", "other")
		in := func(g string) []*armnetwork.ApplicationSecurityGroup {
			return []*armnetwork.ApplicationSecurityGroup{{ID: &g}}
		}
		type ips = []*armnetwork.InterfaceIPConfiguration
		for code, n := range map[string]armnetwork.Interface{
			"SubnetHasNoIPv6AddressPrefix":                                          nic6(plain, "", "", ""),
			"IPVersionForPublicIpAndNicIpConfigurationMustMatch":                    nic6(subnet, "", "", public),
			"IPVersionForPublicIpAndNicIpConfigurationMustMatch ":                   nic6(subnet, "", public6, ""),
			"IPv6IpConfigurationCannotBePrimary":                                    changed(subnet, func(all ips) ips { all[1].Properties.Primary = ptr(true); return all }),
			"NetworkInterfaceMustHaveIPv4IpConfiguration":                           changed(subnet, func(all ips) ips { return all[1:] }),
			"NetworkInterfaceMustHaveOnePrimaryIpConfiguration":                     changed(subnet, func(all ips) ips { all[0].Properties.Primary = nil; return all }),
			"NetworkInterfaceCanHaveOneIPv6IpConfiguration":                         changed(subnet, func(all ips) ips { third := *all[1]; third.Name = ptr("third"); return append(all, &third) }),
			"InvalidRequestFormat":                                                  changed(subnet, func(all ips) ips { all[1].Name = all[0].Name; return all }),
			"AllIpConfigurationsOnANicMustBelongToTheSameApplicationSecurityGroups": changed(subnet, func(all ips) ips { all[1].Properties.ApplicationSecurityGroups = in(other); return all }),
		} {
			_, err := w.interfaces.BeginCreateOrUpdate(ctx, "g", "nic", n, nil)
			refused(t, err, 400, strings.TrimSpace(code))
		}
		for name, n := range map[string]armnetwork.Interface{
			"one in the group": changed(subnet, func(all ips) ips { all[0].Properties.ApplicationSecurityGroups = in(group); return all }),
			"both in the group": changed(subnet, func(all ips) ips {
				all[0].Properties.ApplicationSecurityGroups, all[1].Properties.ApplicationSecurityGroups = in(group), in(group)
				return all
			}),
		} {
			t.Log(name)
			w.nic("g", "nic", n)
		}
		basic := address6()
		basic.SKU.Name = ptr(armnetwork.PublicIPAddressSKUNameBasic)
		_, err = w.addresses.BeginCreateOrUpdate(ctx, "g", "basic", basic, nil)
		refused(t, err, 400, "IPv4BasicSkuPublicIpCountLimitReached")
		_, err = w.addresses.BeginCreateOrUpdate(ctx, "g", "ip6", address(), nil)
		refused(t, err, 400, "PublicIPAddressVersionCannotBeChanged")
		rules := fromMembers(group)
		from := rules.Properties.SecurityRules[0].Properties
		from.SourceApplicationSecurityGroups, from.SourceAddressPrefixes = nil, []*string{ptr("192.0.2.0/24"), ptr("2001:db8::/32")}
		_, err = w.firewalls.BeginCreateOrUpdate(ctx, "g", "nsg", rules, nil)
		refused(t, err, 400, "ResourceCannotContainAddressPrefixesFromDifferentAddressFamilies")
	})
}

// changed is an interface of both versions of which something is different.
func changed(subnet string, change func([]*armnetwork.InterfaceIPConfiguration) []*armnetwork.InterfaceIPConfiguration) armnetwork.Interface {
	n := nic6(subnet, "", "", "")
	n.Properties.IPConfigurations = change(n.Properties.IPConfigurations)
	return n
}

// TestRangesOfIPv6 adds IPv6 to a virtual network, as Azure's documentation does.
func TestRangesOfIPv6(t *testing.T) {
	t.Parallel()
	fronts(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.group("g")
		w.nic("g", "nic", nic(w.network("g", "net"), "", ""))
		found := one(w.networks.Get(ctx, "g", "net", nil))(t).VirtualNetwork
		space := found.Properties.AddressSpace
		for code, prefix := range map[string]string{"InvalidCIDRNotation": "fd00::/72", "InvalidCIDRNotation ": "fd00::1/64"} {
			space.AddressPrefixes = []*string{ptr("10.77.0.0/16"), &prefix}
			_, err := w.networks.BeginCreateOrUpdate(ctx, "g", "net", found, nil)
			refused(t, err, 400, strings.TrimSpace(code))
		}
		space.AddressPrefixes = []*string{ptr("fd00:db8:deca::/48")}
		_, err := w.networks.BeginCreateOrUpdate(ctx, "g", "net", found, nil)
		refused(t, err, 400, "InvalidAddressSpace")
		space.AddressPrefixes = []*string{ptr("10.77.0.0/16"), ptr("fd00:db8:deca::/48")}
		stale := policy.WithHTTPHeader(ctx, http.Header{"If-Match": {`W/"stale"`}})
		_, err = w.networks.BeginCreateOrUpdate(stale, "g", "net", found, nil)
		refused(t, err, 412, "PreconditionFailed")
		p, err := w.networks.BeginCreateOrUpdate(policy.WithHTTPHeader(ctx, http.Header{"If-Match": {*found.Etag}}), "g", "net", found, nil)
		s := must(t, p, err).Properties.Subnets[0]
		s.Properties.AddressPrefix = nil
		for code, prefixes := range map[string][]*string{
			"NetcfgInvalidIPv6SubnetPrefix": {ptr("10.77.3.0/24"), ptr("fd00:db8:deca::/56")},
			"NetcfgInvalidSubnetPrefixes":   {ptr("fd00:db8:deca::/64")},
			"NetcfgInvalidSubnet":           {ptr("10.77.3.0/24"), ptr("fd00:db8:dead::/64")},
		} {
			s.Properties.AddressPrefixes = prefixes
			_, err = w.subnets.BeginCreateOrUpdate(ctx, "g", "net", "default", *s, nil)
			refused(t, err, 400, code)
		}
		s.Properties.AddressPrefixes = []*string{ptr("10.77.3.0/24"), ptr("fd00:db8:deca:2::/64")}
		_, err = w.subnets.BeginCreateOrUpdate(stale, "g", "net", "default", *s, nil)
		refused(t, err, 412, "PreconditionFailed")
		q, err := w.subnets.BeginCreateOrUpdate(policy.WithHTTPHeader(ctx, http.Header{"If-Match": {*s.Etag}}), "g", "net", "default", *s, nil)
		if got := must(t, q, err).Properties; len(got.AddressPrefixes) != 2 || got.AddressPrefix != nil || len(got.IPConfigurations) != 1 {
			t.Errorf("the subnet has %d prefixes, and %v", len(got.AddressPrefixes), got.AddressPrefix)
		}
		taken := armnetwork.Subnet{Properties: &armnetwork.SubnetPropertiesFormat{AddressPrefixes: []*string{ptr("10.77.4.0/24"), ptr("fd00:db8:deca:2::/64")}}}
		_, err = w.subnets.BeginCreateOrUpdate(ctx, "g", "net", "more", taken, nil)
		refused(t, err, 400, "NetcfgSubnetRangesOverlap")
		w.nic("g", "nic", nic6(*s.ID, "", "", ""))
	})
}
