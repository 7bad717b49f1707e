package qemu

import (
	"net/netip"
	"os"
	"strings"
)

// peer is the machine's address on the network between the machines; empty: unknown.
func (d *driver) peer() string {
	st := d.state.Value
	if p, err := netip.ParsePrefix(st.Address); err == nil {
		return p.Addr().String()
	}
	if d.cfg.Network != netUser && d.cfg.Network != netNone {
		return neighbour(st.LANMAC)
	}
	if nat, err := parseSubnet(d.cfg.NATSubnet); err == nil {
		return natGuest(nat).String() // a swarm of this machine alone is content with it
	}
	return ""
}

// natGuest is the address that QEMU's DHCP server gives to the guest, its fifteenth.
func natGuest(nat netip.Prefix) netip.Addr {
	a := nat.Masked().Addr()
	for range 15 {
		a = a.Next()
	}
	return a
}

// neighbour is the address at which this computer sees an adapter, as the table of
// Linux says; empty: it does not.
func neighbour(mac string) string {
	data, err := os.ReadFile("/proc/net/arp")
	if err != nil {
		return ""
	}
	return findNeighbour(string(data), mac)
}

func findNeighbour(table, mac string) string {
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.EqualFold(fields[3], mac) {
			continue
		}
		if a, err := netip.ParseAddr(fields[0]); err == nil {
			return a.String()
		}
	}
	return ""
}
