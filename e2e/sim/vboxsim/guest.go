package vboxsim

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// guest is what an image learns of itself when it boots.
type guest struct {
	hostname string
	userData []byte
	address  netip.Addr // on the host-only network
}

// ethernet is an interface of a network configuration of version 2.
type ethernet struct {
	Match     map[string]string `json:"match"`
	DHCP      bool              `json:"dhcp4"`
	Addresses []netip.Prefix    `json:"addresses"`
}

// guest reads the seed of a machine that has one. Addresses are static, or those of
// a DHCP server.
func (c *call) guest(m *machine) (guest, error) {
	g := guest{hostname: m.Name}
	dhcp := true // as without any configuration
	second := m.NICs[2]
	if second.Kind == "none" {
		dhcp = false
	}
	if path := c.dvd(m); path != "" {
		files, err := readISO(path, "meta-data", "user-data", "network-config")
		if err != nil {
			files = nil // it is no seed
		}
		var meta struct {
			Hostname string `json:"local-hostname"`
		}
		if json.Unmarshal(files["meta-data"], &meta) == nil && meta.Hostname != "" {
			g.hostname = meta.Hostname
		}
		g.userData = files["user-data"]
		var config struct {
			Ethernets map[string]ethernet `json:"ethernets"`
		}
		if text := files["network-config"]; text != nil {
			if err := json.Unmarshal(text, &config); err != nil {
				return g, fmt.Errorf("read the network configuration of %s: %w", m.Name, err)
			}
			dhcp = false
		}
		for _, e := range config.Ethernets {
			if !strings.EqualFold(strings.ReplaceAll(e.Match["macaddress"], ":", ""), second.MAC) {
				continue
			}
			dhcp = e.DHCP
			if len(e.Addresses) > 0 {
				g.address = e.Addresses[0].Addr()
			}
		}
	}
	if dhcp && !g.address.IsValid() {
		g.address = c.lease(m, second)
	}
	return g, nil
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
	for a := lower; a.Compare(upper) <= 0; a = a.Next() {
		if !taken[a.String()] {
			m.Leases[n.MAC] = a.String()
			return a
		}
	}
	return netip.Addr{}
}

// readISO returns files of an ISO 9660 image, those that are there.
func readISO(image string, names ...string) (map[string][]byte, error) {
	back, err := file.OpenFromPath(image, true)
	if err != nil {
		return nil, err
	}
	defer back.Close()
	iso, err := iso9660.Read(back, 0, 0, 2048)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, name := range names {
		if text, err := iso.ReadFile(path.Join(".", name)); err == nil {
			files[name] = text
		}
	}
	return files, nil
}
