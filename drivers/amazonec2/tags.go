package amazonec2

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hostsmith/machine/drivers"
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

// Label implements drivers.Labeler: it sets tags of the instance. By those of ours we find it again, so they stay.
func (d *driver) Label(ctx context.Context, labels map[string]string) error {
	var tags []types.Tag
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if slices.Contains([]string{tagStore, tagMachine, tagCreator}, key) {
			return fmt.Errorf("tag %s: %w: it is the driver's own", key, drivers.ErrConflict)
		}
		tags = append(tags, types.Tag{Key: aws.String(key), Value: aws.String(labels[key])})
	}
	a, i, err := d.find(ctx)
	if err != nil {
		return err
	}
	_, err = do(ctx, a.createTags, &ec2.CreateTagsInput{Resources: []string{aws.ToString(i.InstanceId)}, Tags: tags})
	return err
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
