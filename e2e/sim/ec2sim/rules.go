package ec2sim

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// rule lets one source in.
type rule struct {
	thing
	protocol           string
	from, to           int
	cidr4, cidr6, peer string // one of them
	description        string
}

func (r *rule) same(o *rule) bool {
	return r.protocol == o.protocol && r.from == o.from && r.to == o.to && r.cidr4 == o.cidr4 && r.cidr6 == o.cidr6 && r.peer == o.peer
}

func (r *rule) String() string {
	if r.protocol == "-1" {
		return fmt.Sprintf("peer: %s, ALL, ALLOW", r.cidr4+r.cidr6+r.peer)
	}
	return fmt.Sprintf("peer: %s, %s, from port: %d, to port: %d, ALLOW", r.cidr4+r.cidr6+r.peer, strings.ToUpper(r.protocol), r.from, r.to)
}

// permissions joins rules for the same ports, as descriptions of groups do.
func permissions(rules []*rule) any {
	var all []m
	for i, r := range rules {
		alike := func(o *rule) bool { return o.protocol == r.protocol && o.from == r.from && o.to == r.to }
		if slices.ContainsFunc(rules[:i], alike) {
			continue
		}
		entry := m{"IpProtocol": r.protocol}
		if r.protocol != "-1" {
			entry["FromPort"], entry["ToPort"] = r.from, r.to
		}
		var v4, v6, peers []m
		for _, o := range rules {
			if !alike(o) {
				continue
			}
			switch {
			case o.cidr4 != "":
				v4 = append(v4, m{"CidrIp": o.cidr4, "Description": orNil(o.description)})
			case o.cidr6 != "":
				v6 = append(v6, m{"CidrIpv6": o.cidr6, "Description": orNil(o.description)})
			default:
				peers = append(peers, m{"GroupId": o.peer, "UserId": Account, "Description": orNil(o.description)})
			}
		}
		entry["IpRanges"], entry["Ipv6Ranges"], entry["UserIdGroupPairs"] = v4, v6, peers
		all = append(all, entry)
	}
	return all
}

// told is a rule as DescribeSecurityGroupRules tells it.
func (r *rule) told(g *group, egress bool) m {
	entry := m{
		"SecurityGroupRuleId": r.id, "GroupId": g.id, "GroupOwnerId": Account, "IsEgress": egress, "IpProtocol": r.protocol,
		"FromPort": r.from, "ToPort": r.to, "CidrIpv4": orNil(r.cidr4), "CidrIpv6": orNil(r.cidr6),
		"Description": orNil(r.description), "Tags": tagSet(r.tags),
	}
	if r.peer != "" {
		entry["ReferencedGroupInfo"] = m{"GroupId": r.peer, "UserId": Account}
	}
	return entry
}

// source is where a permission lets in from, before groups are looked up.
type source struct {
	rule
	peerName string
	self     bool // peer or peerName was given
}

// readPermissions reads a request's rules, in the form of IpPermissions or the
// older one of single parameters.
func (k *call) readPermissions() ([]source, error) {
	var all []source
	if k.p.has("IpProtocol") || k.p.has("CidrIp") {
		protocol, from, to, err := readPorts(k.p)
		if err != nil {
			return nil, err
		}
		s := source{rule: rule{protocol: protocol, from: from, to: to, cidr4: k.p.str("CidrIp")}}
		if s.cidr4, err = cidr(s.cidr4, false); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	for _, p := range k.p.list("IpPermissions") {
		some, err := readPermission(p)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

func readPermission(p *params) ([]source, error) {
	protocol, from, to, err := readPorts(p)
	if err != nil {
		return nil, err
	}
	var all []source
	add := func(at *params, s source) error {
		s.protocol, s.from, s.to = protocol, from, to
		s.description = at.str("Description")
		if s.description != "" && !plain.MatchString(s.description) {
			return fault("InvalidParameterValue", "Invalid rule description. Valid descriptions are strings less than 256 characters from the following set: a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*")
		}
		all = append(all, s)
		return nil
	}
	for _, at := range p.list("IpRanges") {
		c, err := cidr(at.str("CidrIp"), false)
		if err != nil {
			return nil, err
		}
		if err := add(at, source{rule: rule{cidr4: c}}); err != nil {
			return nil, err
		}
	}
	for _, at := range p.list("Ipv6Ranges") {
		c, err := cidr(at.str("CidrIpv6"), true)
		if err != nil {
			return nil, err
		}
		if err := add(at, source{rule: rule{cidr6: c}}); err != nil {
			return nil, err
		}
	}
	for _, at := range p.list("UserIdGroupPairs") {
		if user := at.str("UserId"); user != "" && user != Account {
			return nil, fault("NotSimulated", "the simulator has no groups of the account %s", user)
		}
		if err := add(at, source{rule: rule{peer: at.str("GroupId")}, peerName: at.str("GroupName"), self: true}); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func cidr(s string, six bool) (string, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is6() != six {
		return "", fault("InvalidParameterValue", "CIDR block %s is malformed", s)
	}
	return p.Masked().String(), nil
}

func readPorts(p *params) (protocol string, from, to int, err error) {
	protocol = strings.ToLower(p.str("IpProtocol"))
	from, to = p.num("FromPort", -1), p.num("ToPort", -1)
	names := map[string]string{"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6", "all": "-1"}
	if name := names[protocol]; name != "" {
		protocol = name
	}
	switch protocol {
	case "-1":
		return protocol, -1, -1, nil
	case "tcp", "udp":
		if !p.has("FromPort") || !p.has("ToPort") {
			return "", 0, 0, fault("MissingParameter", "The request must contain the parameters fromPort and toPort")
		}
		if from < 0 || to > 65535 || from > to {
			return "", 0, 0, fault("InvalidParameterValue", "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange: %d-%d", from, to)
		}
	case "icmp", "icmpv6":
	default:
		if n, err := strconv.Atoi(protocol); err != nil || n < 0 || n > 255 {
			return "", 0, 0, fault("InvalidParameterValue", "Invalid value '%s' for IP protocol. Unknown protocol.", protocol)
		}
		from, to = -1, -1
	}
	return protocol, from, to, nil
}

// resolve finds the groups that rules let in.
func (k *call) resolve(sources []source) ([]*rule, error) {
	var rules []*rule
	for _, s := range sources {
		r := s.rule
		if s.self {
			g, err := k.pickGroup(s.peer, s.peerName)
			if err != nil {
				return nil, err
			}
			r.peer = g.id
		}
		rules = append(rules, &r)
	}
	return rules, nil
}

func authorizeIngress(k *call) (m, error) {
	id, name := k.theGroup()
	sources, err := k.readPermissions()
	if err != nil {
		return nil, err
	}
	tags, err := k.launchTags("security-group-rule")
	if err != nil {
		return nil, err
	}
	if err := k.check(); err != nil {
		return nil, err
	}
	g, err := k.pickGroup(id, name)
	if err != nil {
		return nil, err
	}
	rules, err := k.resolve(sources)
	if err != nil {
		return nil, err
	}
	if len(rules) == 0 {
		return nil, fault("MissingParameter", "The request must contain the parameter ipPermissions")
	}
	for i, r := range rules {
		if slices.ContainsFunc(rules[:i], r.same) {
			return nil, fault("InvalidParameterValue", "The same permission must not appear multiple times")
		}
		if slices.ContainsFunc(g.rules, r.same) {
			return nil, fault("InvalidPermission.Duplicate", "the specified rule \"%s\" already exists", r)
		}
	}
	if len(g.rules)+len(rules) > k.r.quota(QuotaRules) {
		return nil, fault("RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached.")
	}
	var told []m
	for _, r := range rules {
		r.thing = newThing("sgr", k.now)
		r.tags = orEmpty(tags["security-group-rule"])
		g.rules = append(g.rules, r)
		told = append(told, r.told(g, false))
	}
	return m{"Return": true, "SecurityGroupRules": told}, nil
}

func revokeIngress(k *call) (m, error) {
	id, name := k.theGroup()
	ids := k.p.strs("SecurityGroupRuleIds")
	sources, err := k.readPermissions()
	if err != nil {
		return nil, err
	}
	if err := k.check(); err != nil {
		return nil, err
	}
	g, err := k.pickGroup(id, name)
	if err != nil {
		return nil, err
	}
	wanted, err := k.resolve(sources)
	if err != nil {
		return nil, err
	}
	var gone []*rule
	for _, r := range wanted {
		i := slices.IndexFunc(g.rules, r.same)
		if i < 0 {
			return nil, fault("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
		}
		gone = append(gone, g.rules[i])
	}
	for _, id := range ids {
		i := slices.IndexFunc(g.rules, func(r *rule) bool { return r.id == id })
		if i < 0 {
			return nil, fault("InvalidSecurityGroupRuleId.NotFound", "The security group rule ID '%s' does not exist", id)
		}
		gone = append(gone, g.rules[i])
	}
	if len(gone) == 0 {
		return nil, fault("MissingParameter", "The request must contain the parameter ipPermissions or securityGroupRuleIds")
	}
	var told []m
	for _, r := range gone {
		g.rules = without(g.rules, r)
		told = append(told, m{
			"SecurityGroupRuleId": r.id, "GroupId": g.id, "IsEgress": false, "IpProtocol": r.protocol, "FromPort": r.from, "ToPort": r.to,
			"CidrIpv4": orNil(r.cidr4), "CidrIpv6": orNil(r.cidr6), "ReferencedGroupId": orNil(r.peer), "Description": orNil(r.description),
		})
	}
	return m{"Return": true, "RevokedSecurityGroupRules": told}, nil
}

// groupRule is a rule with its group, for filters.
type groupRule struct {
	*rule
	g      *group
	egress bool
}

func (r groupRule) values(k *call, filter string) ([]string, bool) {
	switch filter {
	case "group-id":
		return []string{r.g.id}, true
	case "security-group-rule-id":
		return []string{r.id}, true
	}
	return nil, false
}

func describeRules(k *call) (m, error) {
	var all []groupRule
	for _, g := range k.r.groups {
		if !g.visible(k) {
			continue
		}
		for _, r := range g.rules {
			all = append(all, groupRule{r, g, false})
		}
		all = append(all, groupRule{g.egress, g, true})
	}
	found, next, err := describe(k, all, listing{"SecurityGroupRuleIds", "sgr", "security group rule ID", "InvalidSecurityGroupRuleId", "1000", 5})
	if err != nil {
		return nil, err
	}
	var told []m
	for _, r := range found {
		told = append(told, r.told(r.g, r.egress))
	}
	return m{"SecurityGroupRules": told, "NextToken": next}, nil
}
