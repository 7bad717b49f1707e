package azuresim

import (
	"net/netip"
	"slices"
	"strings"
)

func (c *Cloud) checkPublicAddress(_ *call, m model, old *record) *armError {
	a := m.(*publicAddress)
	if a.Properties == nil {
		a.Properties = &publicAddressProperties{}
	}
	p := a.Properties
	if a.SKU == nil {
		a.SKU = &named{Name: "Basic"}
	}
	if a.SKU.Tier == "" {
		a.SKU.Tier = "Regional"
	}
	if p.PublicIPAllocationMethod == "" {
		p.PublicIPAllocationMethod = "Dynamic"
	}
	if p.PublicIPAddressVersion == "" {
		p.PublicIPAddressVersion = v4
	}
	if p.IdleTimeoutInMinutes == 0 {
		p.IdleTimeoutInMinutes = 4
	}
	switch {
	case a.SKU.Name == "Basic":
		return refuse(400, "IPv4BasicSkuPublicIpCountLimitReached", "Cannot create more than 0 IPv4 Basic SKU public IP addresses for this subscription in this region.")
	case a.SKU.Name != "Standard" || a.SKU.Tier != "Regional":
		return notSimulated("public addresses of SKU %s %s", a.SKU.Name, a.SKU.Tier)
	case p.PublicIPAllocationMethod != "Static":
		return refuse(400, "StandardAndStandardV2SkuPublicIPAddressesMustBeStatic", "Standard sku publicIp %s must have AllocationMethod set to Static.", a.ID)
	case len(p.IPTags) > 0 || p.DeleteOption != "" && old == nil:
		return notSimulated("the tags or the deleteOption of a public address itself")
	case !oneOf(p.PublicIPAddressVersion, v4, v6):
		return refuse(400, "InvalidRequestFormat", "Cannot parse the request: public address %s has an invalid PublicIPAddressVersion '%s'.", a.ID, p.PublicIPAddressVersion)
	}
	for _, z := range a.Zones {
		if !slices.Contains([]string{"1", "2", "3"}, z) {
			return refuse(400, "InvalidAvailabilityZone", "The zone(s) '%s' for resource '%s' is not supported.", z, a.ID)
		}
	}
	if d := p.DNSSettings; d != nil {
		if err := c.checkLabel(a, d); err != nil {
			return err
		}
	}
	p.IPConfiguration, p.DeleteOption = nil, ""
	if old != nil {
		was := old.model.(*publicAddress)
		if was.Properties.PublicIPAddressVersion != p.PublicIPAddressVersion {
			return refuse(400, "PublicIPAddressVersionCannotBeChanged", "The version of public address %s cannot be changed.", a.ID)
		}
		p.IPAddress, p.ResourceGUID = was.Properties.IPAddress, was.Properties.ResourceGUID
		return nil
	}
	if n := c.count("PublicIPAddresses", a.Location); n >= c.quota("PublicIPAddresses") {
		return refuse(400, "PublicIPCountLimitReached", "Cannot create more than %d public IP addresses for this subscription in this region.", c.quota("PublicIPAddresses"))
	}
	p.ResourceGUID = newID()
	_, public := c.config.Hosts.Networks()
	if p.PublicIPAddressVersion == v6 {
		public = netip.MustParsePrefix("2001:db8:408:6::/64") // for documentation: no host has it
	}
	addr, ok := c.freeAddress(public, netip.Prefix{})
	if !ok {
		return refuse(409, "PublicIPAddressAllocationFailed", "No public IP address is free.")
	}
	p.IPAddress = addr.String()
	return nil
}

func (c *Cloud) checkLabel(a *publicAddress, d *dnsSettings) *armError {
	if !labelName.MatchString(d.DomainNameLabel) {
		return refuse(400, "InvalidDomainNameLabel", "The domain name label %s is invalid. It must conform to the following regular expression: ^[a-z][a-z0-9-]{1,61}[a-z0-9]$.", d.DomainNameLabel)
	}
	d.Fqdn = d.DomainNameLabel + "." + a.Location + ".cloudapp.azure.com"
	for _, other := range all[*publicAddress](c) {
		if o := other.Properties.DNSSettings; o != nil && o.Fqdn == d.Fqdn && !strings.EqualFold(other.ID, a.ID) {
			return refuse(400, "DnsRecordInUse", "DNS record %s is already used by another public IP.", d.Fqdn)
		}
	}
	return nil
}

// freeAddress returns the first free address of a range, one in prefer before others.
func (c *Cloud) freeAddress(in, prefer netip.Prefix) (netip.Addr, bool) {
	taken := c.takenAddresses()
	if prefer.IsValid() && prefer.Overlaps(in) {
		if addr, ok := pick(in, prefer, taken); ok {
			return addr, true
		}
	}
	return pick(in, in, taken)
}

// pick returns the first address that is not taken and lies in both ranges,
// without the first 16 and the last of the one.
func pick(in, also netip.Prefix, taken map[netip.Addr]bool) (netip.Addr, bool) {
	addr := in.Addr()
	for range 16 {
		addr = addr.Next()
	}
	if addr.Less(also.Addr()) {
		addr = also.Addr()
	}
	for ; in.Contains(addr.Next()) && also.Contains(addr); addr = addr.Next() {
		if !taken[addr] {
			return addr, true
		}
	}
	return netip.Addr{}, false
}

func (c *Cloud) takenAddresses() map[netip.Addr]bool {
	taken := map[netip.Addr]bool{}
	note := func(text string) {
		if addr, err := netip.ParseAddr(text); err == nil {
			taken[addr] = true
		}
	}
	for _, a := range all[*publicAddress](c) {
		note(a.Properties.IPAddress)
	}
	for _, nic := range all[*networkInterface](c) {
		for _, ip := range nic.Properties.IPConfigurations {
			note(ip.Properties.PrivateIPAddress)
		}
	}
	return taken
}

// holder returns the IP configuration that has a public address, or nil.
func (c *Cloud) holder(id string) *ipConfiguration {
	for _, nic := range all[*networkInterface](c) {
		for _, ip := range nic.Properties.IPConfigurations {
			if a := ip.Properties.PublicIPAddress; a != nil && strings.EqualFold(a.ID, id) {
				return ip
			}
		}
	}
	return nil
}

func (c *Cloud) viewPublicAddress(m model) {
	a := m.(*publicAddress)
	if ip := c.holder(a.ID); ip != nil {
		a.Properties.IPConfiguration = &ref{ip.ID}
		if p := ip.Properties.PublicIPAddress.Properties; p != nil {
			a.Properties.DeleteOption = p.DeleteOption
		}
	}
}

func (c *Cloud) freePublicAddress(rec *record) *armError {
	id := rec.head().ID
	if ip := c.holder(id); ip != nil {
		return refuse(400, "PublicIPAddressCannotBeDeleted", "Public IP address %s can not be deleted since it is still allocated to resource %s. In order to delete the public IP, disassociate/detach the Public IP address from the resource.  To learn how to do this, see aka.ms/deletepublicip.", id, ip.ID)
	}
	return nil
}
