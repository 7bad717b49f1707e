package vboxsim

import (
	"errors"
	"maps"
	"net/netip"
	"slices"

	"github.com/hostsmith/machine/e2e/sim/computer"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// guest reads the seed of a machine that has one. What counts is its address on the
// host-only network.
func (c *call) guest(m *machine) (computer.Guest, error) {
	second := m.NICs[2]
	g, err := computer.ReadSeed(c.dvd(m), m.Name, second.MAC)
	if err == nil && g.DHCP && second.Kind != "none" && !g.Address.IsValid() {
		g.Address = c.lease(m, second)
	}
	return g, err
}

// dvd returns the path of what is in the drive.
func (c *call) dvd(m *machine) string {
	for _, slot := range m.Slots {
		if med := c.state.medium(slot.Medium); slot.Kind == "dvddrive" && med != nil {
			return med.Path
		}
	}
	return ""
}

// lease gives a machine an address of the DHCP server on its network, if there is one.
func (c *call) lease(m *machine, n *nic) netip.Addr {
	server := c.state.server("HostInterfaceNetworking-" + n.Adapter)
	if server == nil || !server.Enabled {
		return netip.Addr{}
	}
	taken := map[string]bool{}
	for _, other := range c.state.Machines {
		for mac, a := range other.Leases {
			taken[a] = taken[a] || mac != n.MAC
		}
	}
	lower, lerr := netip.ParseAddr(server.Lower)
	upper, uerr := netip.ParseAddr(server.Upper)
	if errors.Join(lerr, uerr) != nil {
		return netip.Addr{}
	}
	if old, err := netip.ParseAddr(m.Leases[n.MAC]); err == nil && lower.Compare(old) <= 0 && old.Compare(upper) <= 0 {
		return old
	}
	a := computer.Address(lower, upper, taken)
	if a.IsValid() {
		m.Leases[n.MAC] = a.String()
	}
	return a
}
