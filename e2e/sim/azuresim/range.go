package azuresim

import (
	"net/netip"
	"slices"
)

// Versions of the internet protocol, as Azure calls them.
const (
	v4 = "IPv4"
	v6 = "IPv6"
)

// version is the version of an address.
func version(a netip.Addr) string {
	if a.Is4() {
		return v4
	}
	return v6
}

// ranges reads a subnet's ranges: one of IPv4, and one of IPv6 at most, which is a /64.
func (s *subnet) ranges() (all []netip.Prefix, _ *armError) {
	p := s.Properties
	if p.AddressPrefix == "" && len(p.AddressPrefixes) == 1 {
		p.AddressPrefix = p.AddressPrefixes[0]
	}
	texts := p.AddressPrefixes
	switch {
	case len(texts) == 0:
		texts = []string{p.AddressPrefix}
	case p.AddressPrefix != "" && !slices.Equal(texts, []string{p.AddressPrefix}):
		return nil, refuse(400, "InvalidRequestFormat", "Cannot parse the request: subnet %s has an AddressPrefix and other AddressPrefixes.", s.ID)
	}
	count := map[string]int{}
	for _, text := range texts {
		r, err := netip.ParsePrefix(text)
		if err != nil || r != r.Masked() || r.Addr().Is4() && r.Bits() > 29 {
			return nil, refuse(400, "InvalidCIDRNotation", "The address prefix %s in resource %s has an invalid CIDR notation.", text, s.ID)
		}
		if r.Addr().Is6() && r.Bits() != 64 {
			return nil, refuse(400, "NetcfgInvalidIPv6SubnetPrefix", "The IPv6 address prefix %s of subnet '%s' is not valid: it must be a /64.", text, s.Name)
		}
		count[version(r.Addr())]++
		all = append(all, r)
	}
	if count[v4] != 1 || count[v6] > 1 {
		if count[v4] > 1 {
			return nil, notSimulated("several IPv4 ranges of a subnet")
		}
		return nil, refuse(400, "NetcfgInvalidSubnetPrefixes", "Subnet '%s' must have an IPv4 address prefix, and one IPv6 address prefix at most.", s.Name)
	}
	return all, nil
}

// prefix returns a checked subnet's range of a version; it is not valid if there is none.
func (s *subnet) prefix(version string) netip.Prefix {
	for _, text := range append([]string{s.Properties.AddressPrefix}, s.Properties.AddressPrefixes...) {
		if r, err := netip.ParsePrefix(text); err == nil && r.Addr().Is4() == (version == v4) {
			return r
		}
	}
	return netip.Prefix{}
}
