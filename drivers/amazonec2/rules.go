package amazonec2

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hostsmith/machine/drivers"
)

// rule admits a source to a port.
type rule struct {
	protocol string
	port     int
	source   string // CIDR, or the id of a security group
}

// rulesFor returns what a group must admit: SSH and the engine to those who may
// manage the machine, what peers need to the group's own members, and what the
// user wants open to everybody.
func rulesFor(c Config, ports []drivers.Port, from []netip.Prefix, self string) []rule {
	var all []rule
	add := func(p drivers.Port, source string) {
		r := rule{p.Protocol, p.Number, source}
		if !slices.Contains(all, r) {
			all = append(all, r)
		}
	}
	for _, p := range append([]drivers.Port{{Number: c.SSHPort, Protocol: "tcp"}}, ports...) {
		if p.Peers {
			add(p, self)
			continue
		}
		for _, prefix := range from {
			add(p, prefix.String())
		}
	}
	for _, word := range split(c.OpenPorts) {
		p, err := parsePort(word)
		if err != nil {
			continue // Validate has seen it
		}
		add(p, "0.0.0.0/0")
		if c.IPv6 {
			add(p, "::/0")
		}
	}
	return all
}

// rulesIn returns what a group admits, as far as rules of ours are like it.
func rulesIn(permissions []types.IpPermission) map[rule]bool {
	all := map[rule]bool{}
	for _, p := range permissions {
		if p.FromPort == nil || p.ToPort == nil || *p.FromPort != *p.ToPort {
			continue
		}
		add := func(source *string) {
			all[rule{aws.ToString(p.IpProtocol), int(*p.FromPort), aws.ToString(source)}] = true
		}
		for _, r := range p.IpRanges {
			add(r.CidrIp)
		}
		for _, r := range p.Ipv6Ranges {
			add(r.CidrIpv6)
		}
		for _, g := range p.UserIdGroupPairs {
			add(g.GroupId)
		}
	}
	return all
}

// permissions says rules in EC2's words, each port once.
func permissions(rules []rule) []types.IpPermission {
	rules = slices.Clone(rules)
	slices.SortStableFunc(rules, func(x, y rule) int {
		return cmp.Or(cmp.Compare(x.protocol, y.protocol), cmp.Compare(x.port, y.port))
	})
	var all []types.IpPermission
	for i, r := range rules {
		if i == 0 || rules[i-1].protocol != r.protocol || rules[i-1].port != r.port {
			port := aws.Int32(int32(r.port))
			all = append(all, types.IpPermission{IpProtocol: aws.String(r.protocol), FromPort: port, ToPort: port})
		}
		p := &all[len(all)-1]
		prefix, err := netip.ParsePrefix(r.source)
		switch {
		case err != nil:
			p.UserIdGroupPairs = append(p.UserIdGroupPairs, types.UserIdGroupPair{GroupId: aws.String(r.source)})
		case prefix.Addr().Is4():
			p.IpRanges = append(p.IpRanges, types.IpRange{CidrIp: aws.String(r.source)})
		default:
			p.Ipv6Ranges = append(p.Ipv6Ranges, types.Ipv6Range{CidrIpv6: aws.String(r.source)})
		}
	}
	return all
}
