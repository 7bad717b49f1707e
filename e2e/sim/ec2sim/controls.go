package ec2sim

import (
	"fmt"
	"slices"
)

// Quota is what a region has only so much of.
type Quota string

// The quotas, in the order of their defaults below.
const (
	QuotaVCPUs              Quota = "vcpus" // of instances that are no spot instances
	QuotaSpotVCPUs          Quota = "spot-vcpus"
	QuotaAddresses          Quota = "elastic-ips"
	QuotaGroups             Quota = "security-groups"
	QuotaRules              Quota = "rules-per-group"
	QuotaGroupsPerInterface Quota = "groups-per-interface"
	QuotaKeyPairs           Quota = "key-pairs"
)

func (r *region) quota(q Quota) int {
	if n, set := r.quotas[string(q)]; set {
		return n
	}
	return map[Quota]int{
		QuotaVCPUs: 1152, QuotaSpotVCPUs: 640, QuotaAddresses: 5, QuotaGroups: 2500, QuotaRules: 60, QuotaGroupsPerInterface: 5, QuotaKeyPairs: 5000,
	}[q]
}

// SetQuota sets how much there may be of something in each region.
func (c *Cloud) SetQuota(q Quota, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.regions {
		r.quotas[string(q)] = n
	}
}

// SetCapacity sets how many instances of a type a zone has room for, those that
// run there counted. A negative number: it does not have the type at all.
func (c *Cloud) SetCapacity(instanceType, zone string, n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.regions {
		if slices.Contains(r.zones, zone) {
			r.capacity[[2]string{instanceType, zone}] = n
			return nil
		}
	}
	return fmt.Errorf("no zone %q", zone)
}

// left is how many more instances of a type fit into a zone, if that is limited.
// It is negative if the zone does not have the type.
func (r *region) left(kind, zone string) (int, bool) {
	n, limited := r.capacity[[2]string{kind, zone}]
	if !limited || n < 0 {
		return n, limited
	}
	for _, in := range r.instances {
		if in.counts() && in.kind.name == kind && in.subnet.zone == zone {
			n--
		}
	}
	return max(n, 0), true
}

// with returns the other zones that have room for a type.
func (r *region) with(kind, zone string) []string {
	var others []string
	for _, z := range r.zones {
		if n, limited := r.left(kind, z); z != zone && (!limited || n > 0) {
			others = append(others, z)
		}
	}
	return others
}

// AddKey makes an access key that may do some IAM actions, such as
// "ec2:RunInstances" or "ec2:Describe*".
func (c *Cloud) AddKey(access, secret string, actions ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys[access] = key{access, secret, actions}
}

// RemoveKey makes an access key unknown.
func (c *Cloud) RemoveKey(access string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.keys, access)
}
