package ec2sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

func tagSet(tags map[string]string) any {
	if len(tags) == 0 {
		return nil
	}
	var all []m
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		all = append(all, m{"Key": key, "Value": tags[key]})
	}
	return all
}

const maxTags = 50

func readTags(list []*params) (map[string]string, error) {
	tags := map[string]string{}
	for _, t := range list {
		key, value := t.str("Key"), t.str("Value")
		switch {
		case key == "":
			return nil, fault("MissingParameter", "The request must contain the parameter Tag.Key")
		case strings.HasPrefix(strings.ToLower(key), "aws:"):
			return nil, fault("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
		case utf8.RuneCountInString(key) > 128:
			return nil, fault("InvalidParameterValue", "Tag key exceeds the maximum length of 128 characters")
		case utf8.RuneCountInString(value) > 256:
			return nil, fault("InvalidParameterValue", "Tag value exceeds the maximum length of 256 characters")
		}
		if _, twice := tags[key]; twice {
			return nil, fault("InvalidParameterValue", "Duplicate tag key '%s' specified.", key)
		}
		tags[key] = value
	}
	if len(tags) > maxTags {
		return nil, tooManyTags()
	}
	return tags, nil
}

func tooManyTags() error {
	return fault("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
}

// launchTags reads the tags that a request gives to what it makes, by kind.
func (k *call) launchTags(kinds ...string) (map[string]map[string]string, error) {
	all := map[string]map[string]string{}
	for _, spec := range k.p.list("TagSpecifications") {
		kind := spec.str("ResourceType")
		if !slices.Contains(kinds, kind) {
			return nil, fault("InvalidParameterValue", "'%s' is not a valid taggable resource type for this operation.", kind)
		}
		if all[kind] != nil {
			return nil, fault("InvalidParameterValue", "The same resource type may not be specified more than once in tag specifications")
		}
		tags, err := readTags(spec.list("Tags"))
		if err != nil {
			return nil, err
		}
		all[kind] = tags
	}
	if len(all) > 0 {
		if err := k.key.authorize("ec2:CreateTags"); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// tagged is everything that may have tags, by its kind in the provider's words.
func (r *region) tagged() map[string][]*thing {
	all := map[string][]*thing{"vpc": {&r.vpc.thing}, "internet-gateway": {&r.gateway}, "route-table": {&r.routes}}
	collect(all, "subnet", r.subnets)
	collect(all, "image", r.images)
	collect(all, "security-group", r.groups)
	collect(all, "key-pair", r.keys)
	collect(all, "instance", r.instances)
	collect(all, "volume", r.volumes)
	collect(all, "network-interface", r.nics)
	collect(all, "elastic-ip", r.addresses)
	collect(all, "spot-instances-request", r.spots)
	for _, g := range r.groups {
		for _, rule := range g.rules {
			all["security-group-rule"] = append(all["security-group-rule"], &rule.thing)
		}
	}
	return all
}

func collect[T entity](all map[string][]*thing, kind string, list []T) {
	for _, t := range list {
		all[kind] = append(all[kind], t.base())
	}
}

func (k *call) taggedThings(ids []string) ([]*thing, error) {
	var found []*thing
	for _, id := range ids {
		t := k.taggedThing(id)
		if t == nil {
			return nil, noSuchID(id)
		}
		found = append(found, t)
	}
	return found, nil
}

func (k *call) taggedThing(id string) *thing {
	for kind, things := range k.r.tagged() {
		if kind == "image" {
			continue // they are others'
		}
		for _, t := range things {
			if t.id == id && t.visible(k) {
				return t
			}
		}
	}
	return nil
}

func noSuchID(id string) error {
	prefix, _, _ := strings.Cut(id, "-")
	codes := map[string]string{
		"i": "InvalidInstanceID.NotFound", "vol": "InvalidVolume.NotFound", "sg": "InvalidGroup.NotFound", "eni": "InvalidNetworkInterfaceID.NotFound",
		"subnet": "InvalidSubnetID.NotFound", "vpc": "InvalidVpcID.NotFound", "ami": "InvalidAMIID.NotFound", "key": "InvalidKeyPair.NotFound",
		"eipalloc": "InvalidAllocationID.NotFound", "sir": "InvalidSpotInstanceRequestID.NotFound", "sgr": "InvalidSecurityGroupRuleId.NotFound",
	}
	if code := codes[prefix]; code != "" {
		return fault(code, "The ID '%s' does not exist", id)
	}
	return fault("InvalidID", "The ID '%s' is not valid", id)
}

func createTags(k *call) (m, error) {
	ids := k.p.strs("Resources")
	tags, err := readTags(k.p.list("Tags"))
	if err != nil {
		return nil, err
	}
	if err := k.check(); err != nil {
		return nil, err
	}
	if len(ids) == 0 || len(tags) == 0 {
		return nil, fault("MissingParameter", "The request must contain the parameters ResourceId and Tag")
	}
	things, err := k.taggedThings(ids)
	if err != nil {
		return nil, err
	}
	for _, t := range things {
		all := maps.Clone(t.tags)
		if all == nil {
			all = map[string]string{}
		}
		maps.Copy(all, tags)
		if len(all) > maxTags {
			return nil, tooManyTags()
		}
		t.tags = all
	}
	return nil, nil
}

func deleteTags(k *call) (m, error) {
	ids := k.p.strs("Resources")
	type gone struct {
		key, value string
		any        bool
	}
	var all []gone
	for _, t := range k.p.list("Tags") {
		all = append(all, gone{t.str("Key"), t.str("Value"), !t.has("Value")})
	}
	if err := k.check(); err != nil {
		return nil, err
	}
	things, err := k.taggedThings(ids)
	if err != nil {
		return nil, err
	}
	for _, t := range things {
		if len(all) == 0 {
			clear(t.tags)
		}
		for _, g := range all {
			if g.any || t.tags[g.key] == g.value {
				delete(t.tags, g.key)
			}
		}
	}
	return nil, nil
}

// oneTag is a tag of a thing.
type oneTag struct{ id, kind, key, value string }

func describeTags(k *call) (m, error) {
	size, from, err := k.page(listing{paged: "1000", smaller: 5}, false)
	if err != nil {
		return nil, err
	}
	var all []oneTag
	for kind, things := range k.r.tagged() {
		for _, t := range things {
			if !t.visible(k) {
				continue
			}
			for key, value := range t.tags {
				all = append(all, oneTag{t.id, kind, key, value})
			}
		}
	}
	slices.SortFunc(all, func(a, b oneTag) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	all, err = choose(k, all, func(t oneTag, filter string) ([]string, bool) {
		if key, ok := strings.CutPrefix(filter, "tag:"); ok {
			if t.key == key {
				return []string{t.value}, true
			}
			return nil, true
		}
		switch filter {
		case "resource-id":
			return []string{t.id}, true
		case "resource-type":
			return []string{t.kind}, true
		case "key":
			return []string{t.key}, true
		case "value":
			return []string{t.value}, true
		}
		return nil, false
	})
	if err != nil {
		return nil, err
	}
	if err := k.check(); err != nil {
		return nil, err
	}
	all, next := cut(k, all, from, size)
	var found []m
	for _, t := range all {
		found = append(found, m{"ResourceId": t.id, "ResourceType": t.kind, "Key": t.key, "Value": t.value})
	}
	return m{"Tags": found, "NextToken": next}, nil
}
