package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/azuresim"
)

func with6(more drivers.Values) drivers.Values {
	all := drivers.Values{"azure-ipv6": {"true"}}
	for k, v := range more {
		all[k] = v
	}
	return all
}

// everyFront runs a test at each way in which Azure is simulated.
func everyFront(t *testing.T, test func(*testing.T, *simulated)) {
	for name, front := range map[string]*azuresim.FrontConfig{"azure": nil, "fakes": {}, "sparse": {Sparse: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newFront(t, azuresim.Config{}, front))
		})
	}
}

// prefixesIn returns the ranges of a virtual network, and of its subnets.
func prefixesIn(t *testing.T, c *simulated, d *driver) (space []string, subnets map[string][]string) {
	t.Helper()
	group, name := d.networkName()
	found, err := c.plain(t).network(t.Context(), group, name)
	if err != nil || found == nil {
		t.Fatalf("got %v, %v", found, err)
	}
	subnets = map[string][]string{}
	for _, s := range found.Properties.Subnets {
		subnets[*s.Name] = prefixesOf(s)
	}
	return values(found.Properties.AddressSpace.AddressPrefixes), subnets
}

// plain returns an account at the cloud itself, which tells all there is.
func (c *simulated) plain(t *testing.T) *account {
	t.Helper()
	gate := sim.NewGate(c.Cloud)
	other := *c
	other.gate, other.server = gate, serve(t, gate)
	other.reach(other.server.URL, other.server.Client())
	return other.account(t)
}

func TestIPv6(t *testing.T) {
	t.Parallel()
	everyFront(t, func(t *testing.T, c *simulated) {
		var told []string
		d := c.driver(t, with6(nil), drivers.Env{Note: func(_ context.Context, text string) { told = append(told, text) }})
		if err := errors.Join(d.Check(t.Context()), d.Create(t.Context(), request(t))); err != nil {
			t.Fatal(err)
		}
		st := d.state.Value
		public, private := netip.MustParseAddr(st.Public6), netip.MustParseAddr(st.Private6)
		if !public.Is6() || !private.Is6() || !d.space6().Contains(private) {
			t.Errorf("it is at %s and %s", public, private)
		}
		if !slices.Contains(told, "m1 is also at "+st.Public6) {
			t.Errorf("told %q", told)
		}
		s, err := d.Status(t.Context())
		if err != nil || s.Host != st.Public || s.Peer != st.Private || !netip.MustParseAddr(s.Host).Is4() || !netip.MustParseAddr(s.Peer).Is4() {
			t.Errorf("got %+v, %v", s, err)
		}
		space, subnets := prefixesIn(t, c, d)
		if !slices.Equal(space, []string{"192.168.0.0/16", "fd9f:9f51:11f7::/48"}) || !slices.Equal(subnets["docker-machine"], []string{"192.168.0.0/16", "fd9f:9f51:11f7::/64"}) {
			t.Errorf("the network has %q and %q", space, subnets)
		}
		calls := c.gate.Calls()["PUT virtualNetworks"]
		if err := d.Create(t.Context(), request(t)); err != nil || c.gate.Calls()["PUT virtualNetworks"] != calls || d.state.Value != st {
			t.Errorf("once more: %v, %+v", err, d.state.Value)
		}
		found, err := d.Tagged(t.Context())
		if i := slices.IndexFunc(found, func(r drivers.Resource) bool { return same(r.ID, st.IP6) }); err != nil || i < 0 || found[i].Machine != "m1" || found[i].Costs || !d.Claims(found[i]) {
			t.Errorf("gc sees %+v, %v", found, err)
		}
		if err := d.deleteVM(t.Context(), c.account(t), part{group: st.Group, name: d.name()}); err != nil {
			t.Fatal(err)
		}
		if left := strings.Join(c.list(true), " "); strings.Contains(left, "publicIPAddresses") || strings.Contains(left, "networkInterfaces") {
			t.Errorf("the virtual machine left %s", left)
		}
		if err := d.Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left := c.list(true); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	})
}

// TestIPv6Lives takes machines with IPv6 through their whole lives.
func TestIPv6Lives(t *testing.T) {
	t.Parallel()
	for name, values := range map[string]drivers.Values{
		"public": nil, "private": {"azure-no-public-ip": {"true"}}, "private use": {"azure-use-private-ip": {"true"}},
		"name": {"azure-dns": {"my-own-label"}, "azure-allow": {"192.0.2.7", "2001:db8::/32"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			everyFront(t, func(t *testing.T, c *simulated) { live(t, c, with6(values)) })
		})
	}
	t.Run("zone", func(t *testing.T) {
		t.Parallel()
		live(t, newCloud(t, azuresim.Config{}), with6(drivers.Values{"azure-location": {"westeurope"}, "azure-zone": {"2"}}))
	})
}

// TestIPv6Private makes no public address of IPv6 either.
func TestIPv6Private(t *testing.T) {
	t.Parallel()
	c := newCloud(t, azuresim.Config{})
	d := swarmOf(t, c, with6(drivers.Values{"azure-no-public-ip": {"true"}}), drivers.Env{}, "m1")[0]
	if st := d.state.Value; st.Public6 != "" || st.Private6 == "" || slices.Contains(kindsOf(c), "publicIPAddresses") {
		t.Errorf("got %+v", st)
	}
}

// TestIPv6Firewall admits whom --azure-allow names, of both versions.
func TestIPv6Firewall(t *testing.T) {
	t.Parallel()
	c := newCloud(t, azuresim.Config{})
	all := swarmOf(t, c, with6(drivers.Values{"azure-allow": {"192.0.2.7", "2001:db8:7::/48"}, "azure-open-port": {"80"}}), drivers.Env{}, "m1", "m2")
	for _, e := range []struct {
		from, protocol string
		port           int
		want           bool
	}{
		{"2001:db8:7::1", "tcp", 22, true}, {"2001:db8:7::1", "tcp", 2376, true}, {"2001:db8:8::1", "tcp", 22, false}, {"192.0.2.7", "tcp", 22, true},
		{"2001:db8:8::1", "tcp", 80, true}, {"2001:db8:7::1", "udp", 7946, false}, {all[1].state.Value.Private6, "tcp", 22, false},
		{all[1].state.Value.Private, "udp", 7946, true}, {"fd9f:9f51:11f7::77", "udp", 7946, false},
	} {
		if got := admits(t, c, all[0], e.from, e.protocol, e.port); got != e.want {
			t.Errorf("%s to %s/%d: got %v, want %v", e.from, e.protocol, e.port, got, e.want)
		}
	}
}

// TestIPv6OfSubnetForMembers lets the subnet stand for the members, by a rule for each version.
func TestIPv6OfSubnetForMembers(t *testing.T) {
	t.Parallel()
	c := newCloud(t, azuresim.Config{})
	c.gate.Inject(sim.Fault{Action: "GET applicationSecurityGroups", Mode: sim.Fail, Status: 501, Code: "NotImplemented", Times: -1})
	d := swarmOf(t, c, with6(nil), drivers.Env{}, "m1")[0]
	for from, want := range map[string]bool{"192.168.9.9": true, "fd9f:9f51:11f7::77": true, "fd9f:9f51:11f7:1::77": false, "2001:db8::1": false} {
		if got := admits(t, c, d, from, "udp", 7946); got != want {
			t.Errorf("%s: got %v, want %v", from, got, want)
		}
	}
}

// TestIPv6InSameGroups puts both addresses into the group where Azure wants that.
func TestIPv6InSameGroups(t *testing.T) {
	t.Parallel()
	c := newCloud(t, azuresim.Config{})
	c.gate.Inject(sim.Fault{Action: "PUT networkInterfaces", Mode: sim.Fail, Status: 400, Code: "AllIpConfigurationsOnANicMustBelongToTheSameApplicationSecurityGroups", Times: 1})
	d := swarmOf(t, c, with6(nil), drivers.Env{}, "m1")[0]
	nic, err := c.account(t).nic(t.Context(), d.group(), d.name()+endNIC)
	if err != nil || len(nic.Properties.IPConfigurations) != 2 {
		t.Fatalf("got %+v, %v", nic, err)
	}
	for _, ip := range nic.Properties.IPConfigurations {
		if len(ip.Properties.ApplicationSecurityGroups) != 1 {
			t.Errorf("%s is in %d groups", *ip.Name, len(ip.Properties.ApplicationSecurityGroups))
		}
	}
}

// TestIPv6OfOlderNetwork gives ranges to a virtual network of the store that was made without.
func TestIPv6OfOlderNetwork(t *testing.T) {
	t.Parallel()
	for name, front := range map[string]*azuresim.FrontConfig{"azure": nil, "fakes": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newFront(t, azuresim.Config{}, front)
			small := drivers.Values{"azure-vnet": {"docker-machine-01234567:ours"}, "azure-subnet-prefix": {"10.9.0.0/16"}}
			old := swarmOf(t, c, small, drivers.Env{}, "old")[0]
			c.gate.Inject(sim.Fault{Action: "PUT subnets", Mode: sim.Fail, Status: 412, Code: "PreconditionFailed", Times: 2})
			all := swarmOf(t, c, with6(small), drivers.Env{}, "m1", "m2", "m3")
			space, subnets := prefixesIn(t, c, old)
			if !slices.Equal(space, []string{"10.9.0.0/16", "fd9f:9f51:11f7::/48"}) || !slices.Equal(subnets["docker-machine"], []string{"10.9.0.0/16", "fd9f:9f51:11f7::/64"}) {
				t.Errorf("the network has %q and %q", space, subnets)
			}
			if puts := c.gate.Calls()["PUT virtualNetworks"]; puts != 2 {
				t.Errorf("the network was put %d times", puts)
			}
			each(t, append(all, old), func(d *driver) error {
				if has := d.state.Value.Private6 != ""; has != d.cfg.IPv6 {
					return fmt.Errorf("its address of IPv6 is %q", d.state.Value.Private6)
				}
				return d.Remove(t.Context())
			})
			if left := c.list(true); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// TestIPv6OfMoreSubnets gives each subnet of a virtual network its own range.
func TestIPv6OfMoreSubnets(t *testing.T) {
	t.Parallel()
	c := newCloud(t, azuresim.Config{})
	plantDual(t, c, []string{"10.77.0.0/16", "fd00:db8::/62"}, map[string][]string{"default": {"10.77.0.0/24", "fd00:db8::/64"}, "old": {"10.77.1.0/24"}})
	for i, name := range []string{"a", "b", "c"} {
		values := drivers.Values{"azure-vnet": {"theirs:network"}, "azure-subnet": {name}, "azure-subnet-prefix": {fmt.Sprintf("10.77.%d.0/24", 10+i)}}
		d := swarmOf(t, c, with6(values), drivers.Env{}, "m-"+name)[0]
		_, subnets := prefixesIn(t, c, d)
		if want := fmt.Sprintf("fd00:db8:0:%d::/64", i+1); len(subnets[name]) != 2 || subnets[name][1] != want {
			t.Errorf("%s has %q, want %s", name, subnets[name], want)
		}
	}
}

// plantDual makes a resource group with a virtual network of others.
func plantDual(t *testing.T, c *simulated, space []string, subnets map[string][]string) {
	t.Helper()
	plantNetwork(t, c)
	n := armnetwork.VirtualNetwork{Location: ptr("westus"), Properties: &armnetwork.VirtualNetworkPropertiesFormat{AddressSpace: &armnetwork.AddressSpace{AddressPrefixes: pointers(space)}}}
	for name, prefixes := range subnets {
		n.Properties.Subnets = append(n.Properties.Subnets, &armnetwork.Subnet{Name: &name, Properties: &armnetwork.SubnetPropertiesFormat{AddressPrefixes: pointers(prefixes)}})
	}
	putNetwork(t, c.plain(t), "theirs", "network", n)
}

func putNetwork(t *testing.T, a *account, group, name string, n armnetwork.VirtualNetwork) {
	t.Helper()
	if _, err := run(t.Context(), a, "put", func(ctx context.Context) (*runtime.Poller[armnetwork.VirtualNetworksClientCreateOrUpdateResponse], error) {
		return a.networks.BeginCreateOrUpdate(ctx, group, name, n, nil)
	}); err != nil {
		t.Error(err)
	}
}

// TestIPv6OfOthers says what a virtual network of others is short of, before
// anything is made, and does not change it.
func TestIPv6OfOthers(t *testing.T) {
	t.Parallel()
	dual := []string{"10.77.0.0/16", "fd00:db8::/64"}
	for name, c := range map[string]struct {
		space   []string
		subnets map[string][]string
		subnet  string
		says    string
	}{
		"both":             {dual, map[string][]string{"default": {"10.77.0.0/24", "fd00:db8::/64"}}, "default", ""},
		"no range":         {dual, map[string][]string{"default": {"10.77.0.0/24"}}, "default", "subnet default of virtual network network has no IPv6 range"},
		"no space":         {dual[:1], map[string][]string{"default": {"10.77.0.0/24"}}, "ours", "virtual network network has no IPv6 range for one more subnet"},
		"no space left":    {dual, map[string][]string{"default": {"10.77.0.0/24", "fd00:db8::/64"}}, "ours", "has no IPv6 range for one more"},
		"space for a next": {dual, map[string][]string{"default": {"10.77.0.0/24"}}, "ours", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloud := newCloud(t, azuresim.Config{})
			plantDual(t, cloud, c.space, c.subnets)
			d := cloud.driver(t, with6(drivers.Values{"azure-vnet": {"theirs:network"}, "azure-subnet": {c.subnet}, "azure-subnet-prefix": {"10.77.128.0/24"}}), drivers.Env{})
			space, subnets := prefixesIn(t, cloud, d)
			before := fmt.Sprint(space, subnets)
			for _, do := range []func() error{func() error { return d.Check(t.Context()) }, func() error {
				if kinds := kindsOf(cloud); len(kinds) > 0 {
					t.Errorf("check made %q", kinds)
				}
				return d.Create(t.Context(), request(t))
			}} {
				err := do()
				if c.says == "" && err == nil {
					continue
				}
				var refused *drivers.OptionError
				if !errors.As(err, &refused) || refused.Option != "azure-ipv6" || !strings.Contains(err.Error(), c.says) || !strings.Contains(refused.Advice, "az network vnet") {
					t.Errorf("got %v, want %q", err, c.says)
				}
			}
			if err := d.Remove(t.Context()); err != nil {
				t.Fatal(err)
			}
			if left := cloud.list(true); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
			if space, subnets := prefixesIn(t, cloud, d); fmt.Sprint(space, subnets) != before {
				t.Errorf("it had %s, and has %s", before, fmt.Sprint(space, subnets))
			}
		})
	}
}

// TestIPv6TakenAway has the virtual network made by somebody without IPv6 at the
// same time, who is faster and slower.
func TestIPv6TakenAway(t *testing.T) {
	t.Parallel()
	c := newCloud(t, azuresim.Config{})
	d := c.driver(t, with6(nil), drivers.Env{})
	plain := c.plain(t)
	other := *d
	other.cfg.IPv6 = false
	group, name := d.networkName()
	inner, once := c.server.Client().Transport, sync.Once{}
	c.server.Client().Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/networkInterfaces/") {
			once.Do(func() { putNetwork(t, plain, group, name, other.networkSpec()) })
		}
		return inner.RoundTrip(r)
	})
	if err := d.Create(t.Context(), request(t)); err != nil {
		t.Fatal(err)
	}
	if d.state.Value.Private6 == "" {
		t.Error("it has no address of IPv6")
	}
	if err := d.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := c.list(true); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestIPv6OfSeveral makes machines with and without IPv6 at once, by several processes.
func TestIPv6OfSeveral(t *testing.T) {
	t.Parallel()
	c := newCloud(t, azuresim.Config{})
	first := c.driver(t, nil, drivers.Env{Machine: "first"})
	if err := first.Create(t.Context(), request(t)); err != nil {
		t.Fatal(err)
	}
	all := []*driver{first}
	for i := range 6 {
		d := c.driver(t, drivers.Values{"azure-ipv6": {fmt.Sprint(i%3 != 0)}}, drivers.Env{Machine: fmt.Sprintf("m%d", i)})
		if i >= 2 {
			d.accounts = &accounts{settings: d.accounts.settings}
		}
		all = append(all, d)
	}
	each(t, all[1:], func(d *driver) error { return d.Create(t.Context(), request(t)) })
	each(t, all, func(d *driver) error {
		if has := d.state.Value.Private6 != ""; has != d.cfg.IPv6 {
			return fmt.Errorf("its address of IPv6 is %q", d.state.Value.Private6)
		}
		return d.Remove(t.Context())
	})
	if left := c.list(true); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestFreeRanges(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, taken, want string }{
		{"fd00::/48", "", "fd00::/64"},
		{"fd00::/48", "10.0.0.0/8 fd00::/64 fd00:0:0:2::/64", "fd00:0:0:1::/64"},
		{"10.0.0.0/8 fd00::/63", "fd00::/64 fd00:0:0:1::/64", "invalid Prefix"},
		{"fd00::/64 fd01::/64", "fd00::/64", "fd01::/64"},
		{"2001:db8:0:ffff::/64", "", "2001:db8:0:ffff::/64"},
		{"10.0.0.0/8", "", "invalid Prefix"},
		{"fd00::/72", "", "invalid Prefix"},
		{"::/0", "::/1", "invalid Prefix"},
	} {
		if got := free6(parsed(strings.Fields(c.in)), parsed(strings.Fields(c.taken))); got.String() != c.want {
			t.Errorf("%s without %s: got %s, want %s", c.in, c.taken, got, c.want)
		}
	}
	one, other := &driver{env: drivers.Env{StoreID: "a"}}, &driver{env: drivers.Env{StoreID: "b"}}
	if p := one.space6(); p == other.space6() || p.Bits() != 48 || p != p.Masked() || !netip.MustParsePrefix("fd00::/8").Contains(p.Addr()) {
		t.Errorf("got %s and %s", p, other.space6())
	}
}
