package azuresim

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/hostsmith/machine/e2e/sim"
)

// Admits tells whether the security groups of a machine's interface and of its
// subnet let something in; see sim.Firewall. Hosts have addresses of their own
// range, so that one of it stands for one in the subnet.
func (c *Cloud) Admits(host string, p sim.Packet) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	vm, _, found := lookup[*virtualMachine](c, host)
	if !found {
		return false, sim.ErrUnknown
	}
	groups := c.groupsOf(p.From)
	for _, r := range vm.Properties.NetworkProfile.NetworkInterfaces {
		nic, _, found := lookup[*networkInterface](c, r.ID)
		if !found {
			continue
		}
		id, name, _ := cutFold(nic.Properties.IPConfigurations[0].Properties.Subnet.ID, "/subnets/")
		network, _, _ := lookup[*virtualNetwork](c, id)
		s := network.subnet(name)
		if hosts, _ := c.config.Hosts.Networks(); hosts.Contains(p.From) && !network.holds(p.From) {
			p.From = s.prefix(v4).Addr().Next()
		}
		return c.admits(nic.Properties.NetworkSecurityGroup, network, p, groups) && c.admits(s.Properties.NetworkSecurityGroup, network, p, groups), nil
	}
	return false, sim.ErrUnknown
}

// admits applies a group's rules in the order of their priorities, then those
// that all groups end with. A missing group lets all in. The application groups
// are those that the sender is in.
func (c *Cloud) admits(r *ref, network *virtualNetwork, p sim.Packet, groups []string) bool {
	if r == nil {
		return true
	}
	g, _, found := lookup[*securityGroup](c, r.ID)
	if !found {
		return false
	}
	rules := slices.Clone(g.Properties.SecurityRules)
	slices.SortFunc(rules, func(a, b *securityRule) int { return a.Properties.Priority - b.Properties.Priority })
	for _, rule := range rules {
		if rule.Properties.Direction == "Inbound" && rule.Properties.matches(network, p, groups) {
			return rule.Properties.Access == "Allow"
		}
	}
	return network.holds(p.From)
}

func (r *ruleProperties) matches(network *virtualNetwork, p sim.Packet, groups []string) bool {
	port := func(text string) bool {
		from, to, ranged := strings.Cut(text, "-")
		if !ranged {
			to = from
		}
		low, _ := strconv.Atoi(from) // was checked
		high, _ := strconv.Atoi(to)
		return text == "*" || low <= p.Port && p.Port <= high
	}
	source := func(text string) bool {
		switch text {
		case "*":
			return true
		case "VirtualNetwork":
			return network.holds(p.From)
		case "Internet":
			return !network.holds(p.From)
		}
		if addr, err := netip.ParseAddr(text); err == nil {
			return addr == p.From
		}
		prefix, err := netip.ParsePrefix(text)
		return err == nil && prefix.Contains(p.From)
	}
	member := func(g ref) bool { return slices.Contains(groups, lower(g.ID)) }
	return (r.Protocol == "*" || strings.EqualFold(r.Protocol, p.Protocol)) &&
		slices.ContainsFunc(slices.Concat(r.DestinationPortRanges, []string{r.DestinationPortRange}), port) &&
		(slices.ContainsFunc(r.SourceApplicationSecurityGroups, member) ||
			slices.ContainsFunc(slices.Concat(r.SourceAddressPrefixes, []string{r.SourceAddressPrefix}), source))
}

// holds tells whether an address is in a network.
func (n *virtualNetwork) holds(addr netip.Addr) bool {
	return n.Properties.AddressSpace != nil && slices.ContainsFunc(n.Properties.AddressSpace.AddressPrefixes, func(text string) bool {
		prefix, err := netip.ParsePrefix(text)
		return err == nil && prefix.Contains(addr)
	})
}

var _ sim.Firewall = (*Cloud)(nil)
