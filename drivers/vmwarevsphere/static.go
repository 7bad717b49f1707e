package vmwarevsphere

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/drivers"
)

// fixed is an address that the user chose.
type fixed struct {
	adapter int // whose it is, from 0
	prefix  netip.Prefix
}

// fixedAddresses reads --vmwarevsphere-ip. What cannot be read is left out.
func (c Config) fixedAddresses() (all []fixed, errs []error) {
	for _, text := range c.IP {
		network, addr, named := strings.Cut(text, "=")
		f := fixed{}
		if !named {
			addr = text
		} else if f.adapter = slices.IndexFunc(c.Networks, func(n string) bool { return n == network || sameName(network, n) }); f.adapter < 0 {
			errs = append(errs, fmt.Errorf("%q: %s is no --%s-network of the machine", text, network, Name))
			continue
		}
		prefix, err := netip.ParsePrefix(addr)
		if err != nil {
			errs = append(errs, fmt.Errorf("%q is no address with a prefix", addr))
			continue
		}
		f.prefix = prefix
		all = append(all, f)
	}
	return all, errs
}

func (c Config) validateAddress(refuse func(option string, err error, advice string)) {
	all, errs := c.fixedAddresses()
	for _, err := range errs {
		refuse("ip", err, "such as 192.0.2.10/24, or NETWORK=192.0.2.10/24")
	}
	if len(c.IP) == 0 {
		if len(c.Gateway) > 0 {
			refuse("gateway", errors.New("is used with --vmwarevsphere-ip only"), "")
		}
		if len(c.DNS) > 0 {
			refuse("dns", errors.New("is used with --vmwarevsphere-ip only"), "")
		}
		return
	}
	families := map[bool]bool{}
	for _, text := range c.Gateway {
		gw, err := netip.ParseAddr(text)
		switch {
		case err != nil:
			refuse("gateway", fmt.Errorf("%q is no address", text), "")
		case families[gw.Is4()]:
			refuse("gateway", fmt.Errorf("%s is a second one of its family", text), "")
		case len(errs) == 0 && behind(gw, all) < 0:
			refuse("gateway", fmt.Errorf("%s is on no network of an address of the machine", text), "")
		default:
			families[gw.Is4()] = true
		}
	}
	for _, s := range c.DNS {
		if _, err := netip.ParseAddr(s); err != nil {
			refuse("dns", fmt.Errorf("%q is no address", s), "")
		}
	}
}

// behind returns the adapter that a gateway is reached through; -1: none.
func behind(gw netip.Addr, all []fixed) int {
	for _, f := range all {
		if f.prefix.Contains(gw) || gw.IsLinkLocalUnicast() && gw.Is6() == f.prefix.Addr().Is6() {
			return f.adapter
		}
	}
	for _, f := range all { // routers may be elsewhere, as in networks of single addresses
		if f.prefix.IsSingleIP() && gw.Is6() == f.prefix.Addr().Is6() {
			return f.adapter
		}
	}
	return -1
}

// fixedOn returns the chosen address of an adapter, of the preferred family if there are two.
func (c Config) fixedOn(adapter int) netip.Prefix {
	all, _ := c.fixedAddresses()
	var found netip.Prefix
	for _, f := range all {
		if f.adapter == adapter && (!found.IsValid() || f.prefix.Addr().Is6() == c.IPv6 && found.Addr().Is6() != c.IPv6) {
			found = f.prefix
		}
	}
	return found
}

// fixedFor returns the chosen address on a network; an empty name is the first adapter's.
func (c Config) fixedFor(network string) netip.Prefix {
	if network == "" {
		return c.fixedOn(0)
	}
	return c.fixedOn(slices.IndexFunc(c.Networks, func(n string) bool { return n == network || sameName(network, n) || sameName(n, network) }))
}

// network gives adapters their chosen addresses, and all others DHCP.
func (d *driver) network(nics []types.BaseVirtualDevice) (*netConfig, error) {
	all, _ := d.cfg.fixedAddresses()
	n := &netConfig{Version: 2, Ethernets: map[string]ethernet{}}
	for i, nic := range nics {
		mac := nic.(types.BaseVirtualEthernetCard).GetVirtualEthernetCard().MacAddress
		if mac == "" {
			return nil, errors.New("an adapter has no MAC address yet")
		}
		e := ethernet{Match: match{strings.ToLower(mac)}, DHCP4: true, DHCP6: d.cfg.IPv6}
		for _, f := range all {
			if f.adapter == i {
				e.DHCP4, e.DHCP6 = false, false
				e.Addresses = append(e.Addresses, f.prefix.String())
			}
		}
		switch {
		case len(e.Addresses) > 0:
			e.Routes = d.routes(all, i)
			if len(d.cfg.DNS) > 0 && i == all[0].adapter {
				e.NameServers = &nameserver{d.cfg.DNS}
			}
		case i > 0: // the first adapter's route is the default one
			e.Overrides = &overrides{100 + 100*i}
		}
		e.Optional = i > 0 // the boot does not wait for it
		n.Ethernets[fmt.Sprintf("nic%d", i)] = e
	}
	for _, f := range all {
		if f.adapter >= len(nics) {
			return nil, fmt.Errorf("give the address %s: %w: the source has no network adapter for it and no --vmwarevsphere-network is named", f.prefix, drivers.ErrOption)
		}
	}
	return n, nil
}

// routes returns the default routes through an adapter.
func (d *driver) routes(all []fixed, adapter int) []route {
	var routes []route
	for _, text := range d.cfg.Gateway {
		gw, err := netip.ParseAddr(text)
		if err != nil || behind(gw, all) != adapter {
			continue
		}
		to := "0.0.0.0/0"
		if gw.Is6() {
			to = "::/0"
		}
		routes = append(routes, route{To: to, Via: text, OnLink: d.onLink(gw, all)})
	}
	return routes
}

// onLink tells whether a gateway is on none of the networks, and must be believed to be.
func (d *driver) onLink(gw netip.Addr, all []fixed) bool {
	return !gw.IsLinkLocalUnicast() && !slices.ContainsFunc(all, func(f fixed) bool { return f.prefix.Contains(gw) })
}
