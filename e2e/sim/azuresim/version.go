package azuresim

import (
	"slices"
	"strings"
)

// primary returns the primary configuration of an interface that was checked.
func (p *interfaceProperties) primary() *ipConfiguration {
	i := slices.IndexFunc(p.IPConfigurations, func(ip *ipConfiguration) bool { return *ip.Properties.Primary })
	return p.IPConfigurations[i]
}

// named returns what a configuration of a name was, or nil.
func (p *interfaceProperties) named(name string) *ipProperties {
	for _, ip := range p.IPConfigurations {
		if strings.EqualFold(ip.Name, name) {
			return ip.Properties
		}
	}
	return nil
}

// checkVersions refuses configurations that an interface cannot have together:
// one of IPv4 is the primary one, and one may be of IPv6.
func checkVersions(nic *networkInterface) *armError {
	all := nic.Properties.IPConfigurations
	count, primaries := map[string]int{}, 0
	for i, ip := range all {
		p := ip.Properties
		if p == nil {
			return refuse(400, "InvalidRequestFormat", "Cannot parse the request: IP configuration %s of %s has no properties.", ip.Name, nic.ID)
		}
		if p.PrivateIPAddressVersion == "" {
			p.PrivateIPAddressVersion = v4
		}
		if p.Primary == nil {
			alone := len(all) == 1
			p.Primary = &alone
		}
		switch same := func(o *ipConfiguration) bool { return strings.EqualFold(o.Name, ip.Name) }; {
		case !oneOf(p.PrivateIPAddressVersion, v4, v6):
			return refuse(400, "InvalidRequestFormat", "Cannot parse the request: IP configuration %s has an invalid PrivateIPAddressVersion '%s'.", ip.Name, p.PrivateIPAddressVersion)
		case slices.ContainsFunc(all[:i], same):
			return refuse(400, "InvalidRequestFormat", "Cannot parse the request: duplicate IP configuration name %s.", ip.Name)
		case *p.Primary && p.PrivateIPAddressVersion == v6 && len(all) > 1:
			return refuse(400, "IPv6IpConfigurationCannotBePrimary", "IP configuration %s of network interface %s cannot be primary: it is of IPv6.", ip.Name, nic.ID)
		}
		if *p.Primary {
			primaries++
		}
		count[p.PrivateIPAddressVersion]++
	}
	switch {
	case count[v4] == 0:
		return refuse(400, "NetworkInterfaceMustHaveIPv4IpConfiguration", "Network interface %s must have at least one IP configuration of IPv4.", nic.ID)
	case count[v4] > 1:
		return notSimulated("several IPv4 configurations of a network interface")
	case count[v6] > 1:
		return refuse(400, "NetworkInterfaceCanHaveOneIPv6IpConfiguration", "Network interface %s cannot have more than one IP configuration of IPv6.", nic.ID)
	case primaries != 1:
		return refuse(400, "NetworkInterfaceMustHaveOnePrimaryIpConfiguration", "Network interface %s must have exactly one primary IP configuration, and has %d.", nic.ID, primaries)
	}
	return checkTogether(nic)
}

// checkTogether refuses configurations of different subnets, or groups: one of
// IPv6 may be in no group, else all are in the same.
func checkTogether(nic *networkInterface) *armError {
	first := nic.Properties.primary().Properties
	for _, ip := range nic.Properties.IPConfigurations {
		p := ip.Properties
		if p.Subnet != nil && first.Subnet != nil && !strings.EqualFold(p.Subnet.ID, first.Subnet.ID) {
			return notSimulated("a network interface in several subnets")
		}
		equal := slices.EqualFunc(p.ApplicationSecurityGroups, first.ApplicationSecurityGroups, func(a, b ref) bool { return strings.EqualFold(a.ID, b.ID) })
		if !equal && (p.PrivateIPAddressVersion == v4 || len(p.ApplicationSecurityGroups) > 0) {
			return refuse(400, "AllIpConfigurationsOnANicMustBelongToTheSameApplicationSecurityGroups", "All IPConfigurations on a Network Interface should reference the same set of Application Security Groups. %s does not.", nic.ID+"/ipConfigurations/"+ip.Name)
		}
	}
	return nil
}
