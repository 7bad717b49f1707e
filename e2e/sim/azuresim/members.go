package azuresim

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// applicationGroup is an application security group: interfaces say themselves
// that they are in it.
type applicationGroup struct {
	header
	Properties *applicationGroupProperties `json:"properties,omitempty"`
}

type applicationGroupProperties struct {
	ResourceGUID      string `json:"resourceGuid,omitempty"`
	ProvisioningState string `json:"provisioningState,omitempty"`
}

func (m *applicationGroup) state() *string { return &m.Properties.ProvisioningState }

func (c *Cloud) checkApplicationGroup(_ *call, m model, old *record) *armError {
	g := m.(*applicationGroup)
	g.Properties = &applicationGroupProperties{ResourceGUID: newID()}
	if old != nil {
		g.Properties.ResourceGUID = old.model.(*applicationGroup).Properties.ResourceGUID
	}
	return nil
}

// checkMembership refuses groups that an interface cannot be in.
func (c *Cloud) checkMembership(k *call, nic *networkInterface, p *ipProperties) *armError {
	network, _, _ := cutFold(p.Subnet.ID, "/subnets/")
	for _, r := range p.ApplicationSecurityGroups {
		if _, err := linked[*applicationGroup](c, k, &nic.header, r.ID, "joinIpConfiguration"); err != nil {
			return err
		}
		for _, other := range c.membersOf(r.ID) {
			if theirs, _, _ := cutFold(other.Properties.Subnet.ID, "/subnets/"); !strings.EqualFold(theirs, network) && !strings.HasPrefix(lower(other.ID), lower(nic.ID)+"/") {
				return refuse(400, "AllApplicationSecurityGroupsInIpConfigurationMustBeFromSameVnet", "IP configurations of application security group %s must be from one virtual network: %s is in %s, and %s is to be in %s.",
					r.ID, other.ID, theirs, nic.ID, network)
			}
		}
	}
	return nil
}

// membersOf returns the configurations that are in a group.
func (c *Cloud) membersOf(group string) (found []*ipConfiguration) {
	for _, nic := range all[*networkInterface](c) {
		for _, ip := range nic.Properties.IPConfigurations {
			if slices.ContainsFunc(ip.Properties.ApplicationSecurityGroups, func(r ref) bool { return strings.EqualFold(r.ID, group) }) {
				found = append(found, ip)
			}
		}
	}
	return found
}

// groupsOf returns the ids of the groups that a private address is in, in lower case.
func (c *Cloud) groupsOf(addr netip.Addr) (groups []string) {
	for _, nic := range all[*networkInterface](c) {
		for _, ip := range nic.Properties.IPConfigurations {
			if ip.Properties.PrivateIPAddress != addr.String() {
				continue
			}
			for _, r := range ip.Properties.ApplicationSecurityGroups {
				groups = append(groups, lower(r.ID))
			}
		}
	}
	return groups
}

// ruledBy returns the ids of the rules that name a group.
func (c *Cloud) ruledBy(group string) (rules []string) {
	for _, g := range all[*securityGroup](c) {
		for _, r := range g.Properties.SecurityRules {
			if slices.ContainsFunc(r.Properties.SourceApplicationSecurityGroups, func(r ref) bool { return strings.EqualFold(r.ID, group) }) {
				rules = append(rules, r.ID)
			}
		}
	}
	return rules
}

func (c *Cloud) freeApplicationGroup(rec *record) *armError {
	h := rec.head()
	by, users := "IpConfiguration(s)", []string{}
	for _, ip := range c.membersOf(h.ID) {
		users = append(users, ip.Name)
	}
	if len(users) == 0 {
		by, users = "SecurityRule(s)", c.ruledBy(h.ID)
	}
	if len(users) == 0 {
		return nil
	}
	return refuse(http.StatusBadRequest, "ApplicationSecurityGroupReferenced", "Application Security Group %s cannot be deleted because it is referenced by %s %s.", h.Name, by, strings.Join(users, ", "))
}
