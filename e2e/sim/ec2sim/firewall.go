package ec2sim

import (
	"net/netip"
	"slices"

	"github.com/hostsmith/machine/e2e/sim"
)

// Admits tells whether the groups of an instance let something in; see sim.Firewall.
func (c *Cloud) Admits(host string, p sim.Packet) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.regions {
		in, ok := find(r.instances, host)
		if !ok || in.nic == nil {
			continue
		}
		for _, g := range in.nic.groups {
			if slices.ContainsFunc(g.rules, func(rule *rule) bool { return r.admits(rule, p) }) {
				return true, nil
			}
		}
		return false, nil
	}
	return false, sim.ErrUnknown
}

func (r *region) admits(rule *rule, p sim.Packet) bool {
	if rule.protocol != "-1" && (rule.protocol != p.Protocol || p.Port < rule.from || p.Port > rule.to) {
		return false
	}
	if rule.peer == "" {
		prefix, err := netip.ParsePrefix(rule.cidr4 + rule.cidr6)
		return err == nil && prefix.Contains(p.From)
	}
	return slices.ContainsFunc(r.nics, func(n *nic) bool {
		return n.private == p.From && slices.ContainsFunc(n.groups, func(g *group) bool { return g.id == rule.peer })
	})
}

var _ sim.Firewall = (*Cloud)(nil)
