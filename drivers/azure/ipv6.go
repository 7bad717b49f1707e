package azure

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// A subnet has one range of IPv6 at most, which is a /64. An interface has one
// address of it, besides that of IPv4, which is the primary one.

// bitsOfSubnet are those of a subnet's range of IPv6.
const bitsOfSubnet = 64

// space6 is the range of IPv6 of the virtual networks of the store: a unique
// local one as of RFC 4193.
func (d *driver) space6() netip.Prefix {
	sum := sha256.Sum256([]byte(d.env.StoreID))
	addr := [16]byte{0: 0xfd}
	copy(addr[1:6], sum[:])
	return netip.PrefixFrom(netip.AddrFrom16(addr), 48)
}

// free6 returns the first /64 in ranges that none of others overlaps; it is not
// valid if there is none.
func free6(in, others []netip.Prefix) netip.Prefix {
	for _, space := range in {
		if !space.Addr().Is6() || space.Bits() > bitsOfSubnet {
			continue
		}
		addr := space.Masked().Addr().As16()
		first := binary.BigEndian.Uint64(addr[:8])
		for i := range uint64(1) << min(bitsOfSubnet-space.Bits(), 16) {
			binary.BigEndian.PutUint64(addr[:8], first+i)
			p := netip.PrefixFrom(netip.AddrFrom16(addr), bitsOfSubnet)
			if !slices.ContainsFunc(others, p.Overlaps) {
				return p
			}
		}
	}
	return netip.Prefix{}
}

// parsed returns the ranges among words.
func parsed(words []string) (all []netip.Prefix) {
	for _, w := range words {
		if p, err := netip.ParsePrefix(w); err == nil {
			all = append(all, p)
		}
	}
	return all
}

func is6(p netip.Prefix) bool { return p.Addr().Is6() }

// spaceOf returns the ranges of a virtual network; none: nobody tells.
func spaceOf(n *armnetwork.VirtualNetwork) []netip.Prefix {
	if n.Properties == nil || n.Properties.AddressSpace == nil {
		return nil
	}
	return parsed(values(n.Properties.AddressSpace.AddressPrefixes))
}

// prefixesOf returns the ranges of a subnet; none: nobody tells.
func prefixesOf(s *armnetwork.Subnet) []string {
	if s == nil || s.Properties == nil {
		return nil
	}
	all := values(s.Properties.AddressPrefixes)
	if p := s.Properties.AddressPrefix; p != nil && !slices.Contains(all, *p) {
		all = append(all, *p)
	}
	return all
}

// freeIn returns a range of IPv6 for one more subnet of a virtual network.
func freeIn(n *armnetwork.VirtualNetwork) netip.Prefix {
	var taken []netip.Prefix
	if n.Properties != nil {
		for _, s := range n.Properties.Subnets {
			taken = append(taken, parsed(prefixesOf(s))...)
		}
	}
	return free6(spaceOf(n), taken)
}

// subnetIn returns the machine's subnet of a virtual network; nil: there is none.
func (d *driver) subnetIn(n *armnetwork.VirtualNetwork) *armnetwork.Subnet {
	if n.Properties == nil {
		return nil
	}
	for _, s := range n.Properties.Subnets {
		if s != nil && s.Name != nil && same(*s.Name, d.cfg.Subnet) {
			return s
		}
	}
	return nil
}

// lacks6 tells why a machine with IPv6 cannot be in a virtual network of others; nil: it can.
func (d *driver) lacks6(n *armnetwork.VirtualNetwork) error {
	if !d.cfg.IPv6 || d.ours(n.Tags) {
		return nil
	}
	_, name := d.networkName()
	told, has := spaceOf(n), freeIn(n).IsValid()
	what := fmt.Sprintf("virtual network %s has no IPv6 range for one more subnet", name)
	if s := d.subnetIn(n); s != nil {
		told = parsed(prefixesOf(s))
		has = slices.ContainsFunc(told, is6)
		what = fmt.Sprintf("subnet %s of virtual network %s has no IPv6 range", d.cfg.Subnet, name)
	}
	if has || len(told) == 0 {
		return nil
	}
	return &drivers.OptionError{Option: Name + "-ipv6", Err: errors.New(what),
		Advice: "give it one: a /48 with az network vnet update --address-prefixes, and a /64 of that with az network vnet subnet update --address-prefixes; or name another network, or none, and one is made"}
}

// ensure6 gives the machine's subnet a range of IPv6 unless it has one, or the
// machine needs none.
func (d *driver) ensure6(ctx context.Context, a *account, n subnet) (subnet, error) {
	if !d.cfg.IPv6 || !n.lacks6 {
		return n, nil
	}
	return a.known.networks.Get(ctx, d.network6Key(), func(ctx context.Context) (subnet, error) { return d.widen(ctx, a) })
}

// widen gives range after range, one for each look at the virtual network, until
// the subnet has one. What others change meanwhile is looked at again.
func (d *driver) widen(ctx context.Context, a *account) (n subnet, err error) {
	group, name := d.networkName()
	err = wait.Until(ctx, a.pace, "a range of IPv6 in virtual network "+name, func(ctx context.Context) (bool, error) {
		found, err := a.network(ctx, group, name)
		if err != nil {
			return false, err
		}
		if found == nil || d.subnetIn(found) == nil {
			return false, fmt.Errorf("use subnet %s of virtual network %s: %w", d.cfg.Subnet, name, errLost)
		}
		if n = d.subnet(d.subnetIn(found)); !n.lacks6 {
			return true, nil
		}
		if err := d.lacks6(found); err != nil {
			return false, err
		}
		err = d.widenBy(ctx, a, found)
		if isCode(err, http.StatusPreconditionFailed) {
			err = nil
		}
		return false, err
	})
	return n, err
}

// widenBy gives the next range that a virtual network of ours is short of.
func (d *driver) widenBy(ctx context.Context, a *account, found *armnetwork.VirtualNetwork) error {
	group, name := d.networkName()
	if p := freeIn(found); p.IsValid() {
		s := d.subnetIn(found)
		all := append(prefixesOf(s), p.String())
		s.Properties.AddressPrefix, s.Properties.AddressPrefixes = nil, pointers(all)
		_, err := run(ctx, a, "give subnet "+d.cfg.Subnet+" an IPv6 range", func(ctx context.Context) (*runtime.Poller[armnetwork.SubnetsClientCreateOrUpdateResponse], error) {
			return a.subnets.BeginCreateOrUpdate(unchanged(ctx, s.Etag), group, name, d.cfg.Subnet, *s, nil)
		})
		return err
	}
	if found.Properties.AddressSpace == nil || slices.ContainsFunc(spaceOf(found), is6) {
		return fmt.Errorf("give virtual network %s an IPv6 range: %w: it is not told what it has, or all is taken", name, drivers.ErrUnsupported)
	}
	space := found.Properties.AddressSpace
	space.AddressPrefixes = append(space.AddressPrefixes, ptr(d.space6().String()))
	_, err := run(ctx, a, "give virtual network "+name+" an IPv6 range", func(ctx context.Context) (*runtime.Poller[armnetwork.VirtualNetworksClientCreateOrUpdateResponse], error) {
		return a.networks.BeginCreateOrUpdate(unchanged(ctx, found.Etag), group, name, *found, nil)
	})
	return err
}

// unchanged lets a change be refused if somebody else was faster.
func unchanged(ctx context.Context, etag *string) context.Context {
	if etag == nil {
		return ctx
	}
	return policy.WithHTTPHeader(ctx, http.Header{"If-Match": {*etag}})
}

// narrowed tells whether the subnet has lost its range of IPv6 to somebody who
// made the virtual network at the same time.
func (d *driver) narrowed(ctx context.Context, a *account) bool {
	group, name := d.networkName()
	found, err := a.network(ctx, group, name)
	if err != nil || found == nil {
		return false
	}
	s := d.subnetIn(found)
	return s != nil && d.subnet(s).lacks6
}

func (d *driver) ip6Spec() armnetwork.PublicIPAddress { return d.addressSpec(armnetwork.IPVersionIPv6) }

// nic6Spec returns the second configuration of the interface. Its address of
// IPv6 need not be a member of the group of those who reach each other, who do
// so by IPv4, unless Azure wants all of an interface in the same.
func (d *driver) nic6Spec(n subnet, public string) *armnetwork.InterfaceIPConfiguration {
	ip := &armnetwork.InterfaceIPConfigurationPropertiesFormat{
		Subnet:                    &armnetwork.Subnet{ID: &n.id},
		PrivateIPAddressVersion:   ptr(armnetwork.IPVersionIPv6),
		PrivateIPAllocationMethod: ptr(armnetwork.IPAllocationMethodDynamic),
		Primary:                   ptr(false),
	}
	if public != "" {
		ip.PublicIPAddress = publicRef(public)
	}
	if n.members != "" && n.allMembers {
		ip.ApplicationSecurityGroups = []*armnetwork.ApplicationSecurityGroup{{ID: &n.members}}
	}
	return &armnetwork.InterfaceIPConfiguration{Name: ptr("ipconfig6"), Properties: ip}
}
