package ec2sim

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

type group struct {
	thing
	name, description string
	vpc               *vpc
	rules             []*rule // all for what comes in
	egress            *rule   // everything may go out
}

func (g *group) values(k *call, filter string) ([]string, bool) {
	all := func(field func(*rule) string) ([]string, bool) {
		var found []string
		for _, r := range g.rules {
			if v := field(r); v != "" {
				found = append(found, v)
			}
		}
		return found, true
	}
	switch filter {
	case "group-id":
		return []string{g.id}, true
	case "group-name":
		return []string{g.name}, true
	case "vpc-id":
		return []string{g.vpc.id}, true
	case "description":
		return []string{g.description}, true
	case "owner-id":
		return []string{Account}, true
	case "ip-permission.cidr":
		return all(func(r *rule) string { return r.cidr4 })
	case "ip-permission.ipv6-cidr":
		return all(func(r *rule) string { return r.cidr6 })
	case "ip-permission.group-id":
		return all(func(r *rule) string { return r.peer })
	case "ip-permission.protocol":
		return all(func(r *rule) string { return r.protocol })
	case "ip-permission.from-port":
		return all(func(r *rule) string { return fmt.Sprint(r.from) })
	case "ip-permission.to-port":
		return all(func(r *rule) string { return fmt.Sprint(r.to) })
	}
	return nil, false
}

func newGroup(r *region, name, description string, now time.Time) *group {
	g := &group{thing: newThing("sg", now), name: name, description: description, vpc: r.vpc}
	g.egress = &rule{thing: newThing("sgr", now), protocol: "-1", from: -1, to: -1, cidr4: "0.0.0.0/0"}
	return g
}

func defaultGroup(r *region, now time.Time) *group {
	g := newGroup(r, "default", "default VPC security group", now)
	g.rules = []*rule{{thing: newThing("sgr", now), protocol: "-1", from: -1, to: -1, peer: g.id}}
	return g
}

func groupListing() listing {
	return listing{"GroupIds", "sg", "security group", "InvalidGroup", "1000", 5}
}

func (k *call) group(id string) (*group, error) {
	l := groupListing()
	if err := l.wellFormed(id); err != nil {
		return nil, err
	}
	g, ok := seen(k, k.r.groups, id)
	if !ok {
		return nil, l.notFound(id)
	}
	return g, nil
}

// groupNamed finds a group of the default VPC.
func (k *call) groupNamed(name string) (*group, error) {
	if !k.r.vpc.isDefault {
		return nil, noDefaultVPC()
	}
	for _, g := range k.r.groups {
		if g.name == name && g.visible(k) {
			return g, nil
		}
	}
	return nil, fault("InvalidGroup.NotFound", "The security group '%s' does not exist in default VPC '%s'", name, k.r.vpc.id)
}

func noDefaultVPC() error { return fault("VPCIdNotSpecified", "No default VPC for this user") }

// theGroup reads which group a request is about.
func (k *call) theGroup() (id, name string) { return k.p.str("GroupId"), k.p.str("GroupName") }

func (k *call) pickGroup(id, name string) (*group, error) {
	switch {
	case id != "":
		return k.group(id)
	case name != "":
		return k.groupNamed(name)
	}
	return nil, fault("MissingParameter", "The request must contain the parameter groupName or groupId")
}

// plain is what names and descriptions of groups may consist of.
var plain = regexp.MustCompile(`^[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}$`)

func createSecurityGroup(k *call) (m, error) {
	name, description, inside := k.p.str("GroupName"), k.p.str("Description"), k.p.str("VpcId")
	tags, err := k.launchTags("security-group")
	if err != nil {
		return nil, err
	}
	if err := k.check(); err != nil {
		return nil, err
	}
	switch {
	case !plain.MatchString(name) || strings.HasPrefix(name, "sg-"):
		return nil, fault("InvalidParameterValue", "Invalid value '%s' for groupName.", name)
	case !plain.MatchString(description):
		return nil, fault("InvalidParameterValue", "Invalid security group description. Valid descriptions are strings less than 256 characters from the following set: a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*")
	case inside == "" && !k.r.vpc.isDefault:
		return nil, noDefaultVPC()
	case inside != "" && inside != k.r.vpc.id:
		return nil, fault("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", inside)
	}
	if slices.ContainsFunc(k.r.groups, func(g *group) bool { return g.name == name }) {
		return nil, fault("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", name, k.r.vpc.id)
	}
	if len(k.r.groups) >= k.r.quota(QuotaGroups) {
		return nil, fault("SecurityGroupLimitExceeded", "The maximum number of security groups for VPC '%s' has been reached.", k.r.vpc.id)
	}
	g := newGroup(k.r, name, description, k.now)
	g.tags = orEmpty(tags["security-group"])
	k.r.groups = append(k.r.groups, g)
	return m{"GroupId": g.id, "Tags": tagSet(g.tags), "SecurityGroupArn": k.r.arn("security-group", g.id)}, nil
}

func (r *region) arn(kind, id string) string {
	return fmt.Sprintf("arn:aws:ec2:%s:%s:%s/%s", r.name, Account, kind, id)
}

func describeSecurityGroups(k *call) (m, error) {
	names := k.p.strs("GroupNames")
	found, next, err := describe(k, k.r.groups, groupListing())
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if _, err := k.groupNamed(n); err != nil {
			return nil, err
		}
	}
	var all []m
	for _, g := range found {
		if len(names) > 0 && !slices.Contains(names, g.name) {
			continue
		}
		all = append(all, m{
			"GroupId": g.id, "GroupName": g.name, "Description": g.description, "VpcId": g.vpc.id, "OwnerId": Account, "Tags": tagSet(g.tags),
			"SecurityGroupArn": k.r.arn("security-group", g.id),
			"IpPermissions":    permissions(g.rules), "IpPermissionsEgress": permissions([]*rule{g.egress}),
		})
	}
	return m{"SecurityGroups": all, "NextToken": next}, nil
}

func deleteSecurityGroup(k *call) (m, error) {
	id, name := k.theGroup()
	if err := k.check(); err != nil {
		return nil, err
	}
	g, err := k.pickGroup(id, name)
	if err != nil {
		return nil, err
	}
	if err := k.r.removeGroup(g); err != nil {
		return nil, err
	}
	return m{"Return": true, "GroupId": g.id}, nil
}

func (r *region) removeGroup(g *group) error {
	if g.name == "default" {
		return fault("CannotDelete", "the specified group: \"%s\" name: \"default\" cannot be deleted by a user", g.id)
	}
	used := slices.ContainsFunc(r.nics, func(n *nic) bool { return slices.Contains(n.groups, g) }) ||
		slices.ContainsFunc(r.groups, func(other *group) bool {
			return other != g && slices.ContainsFunc(other.rules, func(r *rule) bool { return r.peer == g.id })
		})
	if used {
		return fault("DependencyViolation", "resource %s has a dependent object", g.id)
	}
	r.groups = without(r.groups, g)
	return nil
}

// AddGroup makes a security group that has no tags and no rules.
func (c *Cloud) AddGroup(region, name string) (id string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.regions[region]
	if r == nil {
		return "", fmt.Errorf("no region %q", region)
	}
	g := newGroup(r, name, name, c.now().Add(-c.config.Delay))
	r.groups = append(r.groups, g)
	return g.id, nil
}
