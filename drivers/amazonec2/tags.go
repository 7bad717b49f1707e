package amazonec2

import (
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// The tags of all that is ours.
const (
	tagStore   = "machine-store"
	tagMachine = "machine-name"
	tagCreator = "machine-creator"
)

// tags returns the tags of something that is made for the machine alone, or
// else for all of the store.
func (d *driver) tags(name string, alone bool) []types.Tag {
	all := map[string]string{"Name": name}
	listed, _ := pairs(d.cfg.TagList) // Validate has seen them
	maps.Copy(all, listed)
	for _, t := range d.cfg.Tags {
		if key, value, err := pair(t); err == nil {
			all[key] = value
		}
	}
	all[tagStore], all[tagCreator] = d.env.StoreID, d.env.Creator
	if alone {
		all[tagMachine] = d.env.Machine
	}
	var tags []types.Tag
	for _, key := range slices.Sorted(maps.Keys(all)) {
		tags = append(tags, types.Tag{Key: aws.String(key), Value: aws.String(all[key])})
	}
	return tags
}

// tag returns the value of a tag; empty: there is none.
func tag(tags []types.Tag, key string) string {
	for _, t := range tags {
		if aws.ToString(t.Key) == key {
			return aws.ToString(t.Value)
		}
	}
	return ""
}

// mine are the filters for what was made for the machine alone.
func (d *driver) mine() []types.Filter {
	return []types.Filter{filter("tag:"+tagStore, d.env.StoreID), filter("tag:"+tagMachine, d.env.Machine)}
}

// isMine tells whether something was made for the machine alone.
func (d *driver) isMine(tags []types.Tag) bool {
	return tag(tags, tagStore) == d.env.StoreID && tag(tags, tagMachine) == d.env.Machine
}
