package docker

import (
	"math/rand/v2"
	"net/netip"
	"slices"
)

// subnets are tried in this order for a network that is made. They come from
// the end of what an engine hands out itself, so that the two meet late, and
// not from 10.0.0.0/8, where Swarm puts its overlay networks.
func subnets() []netip.Prefix {
	var all []netip.Prefix
	for i := byte(28); i < 32; i++ {
		all = append(all, netip.PrefixFrom(netip.AddrFrom4([4]byte{172, i, 0, 0}), 16))
	}
	for i := byte(27); i > 19; i-- {
		all = append(all, netip.PrefixFrom(netip.AddrFrom4([4]byte{172, i, 0, 0}), 16))
	}
	for i := 240; i >= 128; i -= 16 {
		all = append(all, netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, byte(i), 0}), 20))
	}
	return all
}

// free returns the candidates that overlap with none of taken.
func free(candidates, taken []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(candidates), func(c netip.Prefix) bool {
		return slices.ContainsFunc(taken, c.Overlaps)
	})
}

// gateway returns the first address of a subnet, which its bridge has.
func gateway(subnet netip.Prefix) netip.Addr { return subnet.Masked().Addr().Next() }

// pickAddress returns an address of the subnet that is not used: the lowest,
// or at random if another machine may be choosing at the same time. It is
// invalid if there is none.
func pickAddress(subnet netip.Prefix, used map[netip.Addr]bool, random bool) netip.Addr {
	first := gateway(subnet).Next()
	if random {
		// Among the next few hundred, so that addresses stay readable.
		a := first
		for range rand.IntN(200) {
			a = a.Next()
		}
		if a := firstFree(subnet, used, a); a.IsValid() {
			return a
		}
	}
	return firstFree(subnet, used, first)
}

// firstFree returns the first address from a on that is not used and not the
// subnet's last, its broadcast address.
func firstFree(subnet netip.Prefix, used map[netip.Addr]bool, a netip.Addr) netip.Addr {
	for ; subnet.Contains(a.Next()); a = a.Next() {
		if !used[a] && a != gateway(subnet) {
			return a
		}
	}
	return netip.Addr{}
}
