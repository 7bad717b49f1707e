package azuresim

import (
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
)

// vocabularyOf returns the SDK's model of a part.
func vocabularyOf(part string) any {
	if part == "subnet" {
		return &armnetwork.Subnet{}
	}
	return &armnetwork.SecurityRule{}
}

func (c *Cloud) checkSecurityGroup(k *call, m model, old *record) *armError {
	g := m.(*securityGroup)
	if g.Properties == nil {
		g.Properties = &securityGroupProperties{}
	}
	p := g.Properties
	if p.ResourceGUID = newID(); old != nil {
		p.ResourceGUID = old.model.(*securityGroup).Properties.ResourceGUID
	}
	p.NetworkInterfaces, p.Subnets, p.DefaultSecurityRules = nil, nil, nil
	if p.SecurityRules == nil {
		p.SecurityRules = []*securityRule{}
	}
	for i, r := range p.SecurityRules {
		if err := c.checkRule(k, g, r); err != nil {
			return err
		}
		for _, o := range p.SecurityRules[:i] {
			switch {
			case strings.EqualFold(o.Name, r.Name):
				return refuse(400, "InvalidRequestFormat", "Cannot parse the request: duplicate security rule name %s.", r.Name)
			case o.Properties.Priority == r.Properties.Priority && o.Properties.Direction == r.Properties.Direction:
				return refuse(400, "SecurityRuleConflict", "Security rule %s conflicts with rule %s. Rules cannot have the same Priority and Direction.", r.Name, o.Name)
			}
		}
	}
	return nil
}

// checkRule completes a rule, or refuses it.
func (c *Cloud) checkRule(k *call, g *securityGroup, r *securityRule) *armError {
	if !networkName.MatchString(r.Name) {
		return refuse(400, "InvalidResourceName", "Resource name %s is invalid.", r.Name)
	}
	r.ID, r.Type = g.ID+"/securityRules/"+r.Name, "Microsoft.Network/networkSecurityGroups/securityRules"
	p := r.Properties
	if p == nil {
		return missing("Properties", r.ID)
	}
	if p.Priority < 100 || p.Priority > 4096 {
		return refuse(400, "SecurityRuleInvalidPriority", "Security rule has invalid Priority. Value provided: %d Allowed range 100-4096.", p.Priority)
	}
	for _, enum := range []struct {
		what    string
		value   *string
		allowed []string
	}{
		{"Protocol", &p.Protocol, []string{"Tcp", "Udp", "Icmp", "Esp", "Ah", "*"}},
		{"Access", &p.Access, []string{"Allow", "Deny"}},
		{"Direction", &p.Direction, []string{"Inbound", "Outbound"}},
	} {
		i := slices.IndexFunc(enum.allowed, func(a string) bool { return strings.EqualFold(a, *enum.value) })
		if i < 0 {
			return refuse(400, "InvalidRequestFormat", "Cannot parse the request: security rule %s has an invalid %s '%s'.", r.ID, enum.what, *enum.value)
		}
		*enum.value = enum.allowed[i]
	}
	if err := checkPorts(r, "SourcePortRange", p.SourcePortRange, p.SourcePortRanges); err != nil {
		return err
	}
	if err := checkPorts(r, "DestinationPortRange", p.DestinationPortRange, p.DestinationPortRanges); err != nil {
		return err
	}
	if err := c.checkSource(k, g, r); err != nil {
		return err
	}
	if err := checkPrefixes(r, "DestinationAddressPrefix", p.DestinationAddressPrefix, p.DestinationAddressPrefixes); err != nil {
		return err
	}
	if p.mixed() {
		return refuse(400, "ResourceCannotContainAddressPrefixesFromDifferentAddressFamilies", "Resource %s contains IP addresses or prefixes that belong to different address families. All IP addresses or prefixes in the resource should belong to the same address family.", r.ID)
	}
	r.Etag, p.ProvisioningState = `W/"`+newID()+`"`, "Succeeded"
	return nil
}

// mixed tells whether a rule's ranges are of both versions.
func (p *ruleProperties) mixed() bool {
	found := map[string]bool{}
	for _, text := range slices.Concat(p.SourceAddressPrefixes, p.DestinationAddressPrefixes, []string{p.SourceAddressPrefix, p.DestinationAddressPrefix}) {
		host, _, _ := strings.Cut(text, "/")
		if addr, err := netip.ParseAddr(host); err == nil {
			found[version(addr)] = true
		}
	}
	return len(found) > 1
}

// checkSource refuses a source that is not one of three ways to say who it is.
func (c *Cloud) checkSource(k *call, g *securityGroup, r *securityRule) *armError {
	p := r.Properties
	if len(p.SourceApplicationSecurityGroups) == 0 {
		return checkPrefixes(r, "SourceAddressPrefix", p.SourceAddressPrefix, p.SourceAddressPrefixes)
	}
	if p.SourceAddressPrefix != "" || len(p.SourceAddressPrefixes) > 0 {
		return refuse(400, "SecurityRuleParameterContainsUnsupportedValue", "Security rule %s must specify either SourceAddressPrefix, SourceAddressPrefixes or SourceApplicationSecurityGroups.", r.Name)
	}
	for _, s := range p.SourceApplicationSecurityGroups {
		if _, err := linked[*applicationGroup](c, k, &g.header, s.ID, "joinNetworkSecurityRule"); err != nil {
			return err
		}
	}
	return nil
}

func missing(what, id string) *armError {
	return refuse(400, "MissingJsonProperty", "Required property '%s' not found in JSON for resource %s.", what, id)
}

func checkPorts(r *securityRule, what, one string, many []string) *armError {
	if (one == "") == (len(many) == 0) {
		return refuse(400, "SecurityRuleParameterContainsUnsupportedValue", "Security rule %s must specify either %s or %ss.", r.Name, what, what)
	}
	if one != "" {
		many = append(many, one)
	}
	for _, text := range many {
		from, to, _ := strings.Cut(text, "-")
		if to == "" {
			to = from
		}
		a, err1 := strconv.ParseUint(from, 10, 16)
		b, err2 := strconv.ParseUint(to, 10, 16)
		if text != "*" && (err1 != nil || err2 != nil || a > b) {
			return refuse(400, "SecurityRuleInvalidPortRange", "Security rule has invalid Port range. Value provided: %s. Value should be an integer OR integer range with '-' delimiter. Valid range 0-65535.", text)
		}
	}
	return nil
}

func checkPrefixes(r *securityRule, what, one string, many []string) *armError {
	if (one == "") == (len(many) == 0) {
		return refuse(400, "SecurityRuleParameterContainsUnsupportedValue", "Security rule %s must specify either %s or %ses.", r.Name, what, what)
	}
	if slices.Contains(many, "*") {
		return refuse(400, "SecurityRuleParameterContainsUnsupportedValue", "Security rule parameter %ses for rule with Id %s cannot specify existing value *.", what, r.ID)
	}
	if one != "" {
		many = append(many, one)
	}
	for _, text := range many {
		if slices.Contains([]string{"*", "VirtualNetwork", "Internet", "AzureLoadBalancer"}, text) {
			continue
		}
		_, err := netip.ParseAddr(text)
		if p, err2 := netip.ParsePrefix(text); err != nil && (err2 != nil || p != p.Masked()) {
			return refuse(400, "SecurityRuleInvalidAddressPrefix", "Security rule has invalid Address prefix. Value provided: %s", text)
		}
	}
	return nil
}

// viewSecurityGroup tells who uses a group, and what rules it has anyway.
func (c *Cloud) viewSecurityGroup(m model) {
	g := m.(*securityGroup)
	for _, nic := range all[*networkInterface](c) {
		if refers(nic.Properties.NetworkSecurityGroup, g.ID) {
			g.Properties.NetworkInterfaces = append(g.Properties.NetworkInterfaces, ref{nic.ID})
		}
	}
	for _, n := range all[*virtualNetwork](c) {
		for _, s := range n.Properties.Subnets {
			if refers(s.Properties.NetworkSecurityGroup, g.ID) {
				g.Properties.Subnets = append(g.Properties.Subnets, ref{s.ID})
			}
		}
	}
	for _, d := range []ruleProperties{
		{Description: "AllowVnetInBound", Priority: 65000, Direction: "Inbound", Access: "Allow", SourceAddressPrefix: "VirtualNetwork", DestinationAddressPrefix: "VirtualNetwork"},
		{Description: "AllowAzureLoadBalancerInBound", Priority: 65001, Direction: "Inbound", Access: "Allow", SourceAddressPrefix: "AzureLoadBalancer", DestinationAddressPrefix: "*"},
		{Description: "DenyAllInBound", Priority: 65500, Direction: "Inbound", Access: "Deny", SourceAddressPrefix: "*", DestinationAddressPrefix: "*"},
		{Description: "AllowVnetOutBound", Priority: 65000, Direction: "Outbound", Access: "Allow", SourceAddressPrefix: "VirtualNetwork", DestinationAddressPrefix: "VirtualNetwork"},
		{Description: "AllowInternetOutBound", Priority: 65001, Direction: "Outbound", Access: "Allow", SourceAddressPrefix: "*", DestinationAddressPrefix: "Internet"},
		{Description: "DenyAllOutBound", Priority: 65500, Direction: "Outbound", Access: "Deny", SourceAddressPrefix: "*", DestinationAddressPrefix: "*"},
	} {
		name := d.Description
		d.Protocol, d.SourcePortRange, d.DestinationPortRange, d.ProvisioningState = "*", "*", "*", "Succeeded"
		g.Properties.DefaultSecurityRules = append(g.Properties.DefaultSecurityRules, &securityRule{
			header: header{ID: g.ID + "/defaultSecurityRules/" + name, Name: name, Type: "Microsoft.Network/networkSecurityGroups/defaultSecurityRules"}, Properties: &d,
		})
	}
}

func refers(r *ref, id string) bool { return r != nil && strings.EqualFold(r.ID, id) }

func (c *Cloud) freeSecurityGroup(rec *record) *armError {
	if users := c.users(rec); len(users) > 0 {
		return refuse(400, "InUseNetworkSecurityGroupCannotBeDeleted", "Network security group %s cannot be deleted because it is in use by the following resources: %s. In order to delete the Network security group, remove the association with the resource(s). To learn how to do this, see aka.ms/deletensg.", rec.head().ID, strings.Join(users, ", "))
	}
	return nil
}

// ruleCall answers a call to a security rule, or to all of a group.
func (c *Cloud) ruleCall(k *call) (*reply, *armError) {
	parent := k.groupID() + "/providers/Microsoft.Network/networkSecurityGroups/" + k.names[0]
	g, rec, found := lookup[*securityGroup](c, parent)
	if !found {
		return nil, parentNotFound(k, "Microsoft.Network/networkSecurityGroups/"+k.names[0])
	}
	if !k.whole() {
		return list(g.Properties.SecurityRules)
	}
	i := slices.IndexFunc(g.Properties.SecurityRules, func(r *securityRule) bool { return strings.EqualFold(r.Name, k.name()) })
	switch {
	case k.r.Method == http.MethodGet && i < 0:
		return nil, refuse(404, "NotFound", "Resource %s not found.", parent+"/securityRules/"+k.name())
	case k.r.Method == http.MethodGet:
		return ok(g.Properties.SecurityRules[i])
	case k.r.Method == http.MethodPut:
		return c.putRule(k, rec, g, i)
	case k.r.Method == http.MethodDelete && i < 0:
		return &reply{status: http.StatusNoContent}, nil
	case k.r.Method == http.MethodDelete:
		next := copyOf(g)
		next.Properties.SecurityRules = slices.Delete(next.Properties.SecurityRules, i, i+1)
		return c.changeRules(k, rec, next, http.StatusAccepted, nil)
	}
	return nil, notSimulated("%s %s", k.r.Method, k.r.URL.Path)
}

func (c *Cloud) putRule(k *call, rec *record, g *securityGroup, i int) (*reply, *armError) {
	r := &securityRule{}
	if err := decode(k.body, vocabularyOf("rule"), r); err != nil {
		return nil, err
	}
	r.Name = k.name()
	next := copyOf(g)
	status := http.StatusCreated
	if i >= 0 {
		status, next.Properties.SecurityRules[i] = http.StatusOK, r
	} else {
		next.Properties.SecurityRules = append(next.Properties.SecurityRules, r)
	}
	if err := c.checkSecurityGroup(k, next, rec); err != nil {
		return nil, err
	}
	return c.changeRules(k, rec, next, status, r)
}

func (c *Cloud) changeRules(k *call, rec *record, next *securityGroup, status int, body any) (*reply, *armError) {
	if rec.busy != nil {
		return nil, updating(rec)
	}
	rec.model, *next.state() = next, "Updating"
	next.Etag = `W/"` + newID() + `"`
	op := c.begin(k, rec, "PutSecurityRule", nil, c.settle(rec))
	return &reply{status, body, c.accepted(k, op, body == nil)}, nil
}
