package vmwarevsphere

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/vmware/govmomi/pbm"
	"github.com/vmware/govmomi/vapi/tags"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/drivers"
)

var uuidText = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// profile returns the storage policy; nil: none was chosen.
func (d *driver) profile(ctx context.Context, c *center) ([]types.BaseVirtualMachineProfileSpec, error) {
	id, err := d.profileID(ctx, c)
	if id == "" || err != nil {
		return nil, err
	}
	return []types.BaseVirtualMachineProfileSpec{&types.VirtualMachineDefinedProfileSpec{ProfileId: id}}, nil
}

// profileID returns the id of the storage policy; empty: none was chosen.
func (d *driver) profileID(ctx context.Context, c *center) (string, error) {
	name := d.cfg.StoragePolicy
	if name == "" || uuidText.MatchString(name) {
		return name, nil
	}
	what := "find storage policy " + name
	manager, err := pbm.NewClient(ctx, c.client)
	if err != nil {
		return "", c.explain(ctx, what, err)
	}
	id, err := manager.ProfileIDByName(ctx, name)
	if err != nil && faultOf(err) == nil && strings.Contains(err.Error(), "no pbm profile found") {
		return "", fmt.Errorf("%s: %w: there is none", what, drivers.ErrNotFound)
	}
	return id, c.explain(ctx, what, err)
}

// checkExtras finds all that hangs on a machine, so that none is missed when it is made.
func (d *driver) checkExtras(ctx context.Context, c *center) error {
	if _, err := d.profileID(ctx, c); err != nil {
		return err
	}
	if _, err := d.tagIDs(ctx, c); err != nil {
		return err
	}
	_, err := d.attributeKeys(ctx, c)
	return err
}

// tagIDs returns the ids of the tags of the vCenter that were asked for.
func (d *driver) tagIDs(ctx context.Context, c *center) ([]string, error) {
	var ids []string
	for _, name := range d.cfg.Tags {
		if strings.Contains(name, "=") {
			continue
		}
		if strings.HasPrefix(name, "urn:") {
			ids = append(ids, name)
			continue
		}
		client, err := c.vapi(ctx)
		if err != nil {
			return nil, err
		}
		id, err := tagID(ctx, tags.NewManager(client), name)
		if err != nil {
			return nil, c.explain(ctx, "find tag "+name, err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// tagID finds a tag by its name, or by those of its category and itself.
func tagID(ctx context.Context, manager *tags.Manager, name string) (string, error) {
	if category, rest, ok := strings.Cut(name, "/"); ok {
		if tag, err := manager.GetTagForCategory(ctx, rest, category); err == nil {
			return tag.ID, nil
		}
	}
	all, err := manager.ListTags(ctx)
	if err != nil {
		return "", err
	}
	var found []string
	for _, id := range all {
		tag, err := manager.GetTag(ctx, id)
		if err != nil {
			return "", err
		}
		if tag.Name == name {
			found = append(found, id)
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("%w: there is none", drivers.ErrNotFound)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%w: several categories have one of the name, give CATEGORY/NAME", drivers.ErrOption)
}

// attachTags attaches the tags of the vCenter that were asked for.
func (d *driver) attachTags(ctx context.Context, c *center, vm reference) error {
	ids, err := d.tagIDs(ctx, c)
	if err != nil || len(ids) == 0 {
		return err
	}
	client, err := c.vapi(ctx)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := tags.NewManager(client).AttachTag(ctx, id, vm); err != nil {
			return c.explain(ctx, "attach tag "+id, err)
		}
	}
	return nil
}

// attribute is the value of a custom attribute.
type attribute struct {
	name, value string
	key         int32
}

// attributeKeys finds the custom attributes that were asked for.
func (d *driver) attributeKeys(ctx context.Context, c *center) ([]attribute, error) {
	if len(d.cfg.Attributes) == 0 {
		return nil, nil
	}
	if c.client.ServiceContent.CustomFieldsManager == nil {
		return nil, fmt.Errorf("set custom attributes: %w: %s has none", drivers.ErrUnsupported, c.url.Host)
	}
	p, err := c.properties(ctx, *c.client.ServiceContent.CustomFieldsManager, "field")
	if err != nil {
		return nil, c.explain(ctx, "list custom attributes", err)
	}
	known := map[string]int32{}
	if list, ok := p["field"].(types.ArrayOfCustomFieldDef); ok {
		for _, f := range list.CustomFieldDef {
			if f.ManagedObjectType == "" || f.ManagedObjectType == machineType {
				known[f.Name] = f.Key
			}
		}
	}
	var all []attribute
	for _, text := range d.cfg.Attributes {
		a := attribute{}
		a.name, a.value, _ = strings.Cut(text, "=")
		var ok bool
		a.key, ok = known[a.name]
		if n, err := strconv.ParseInt(a.name, 10, 32); !ok && err == nil {
			a.key, ok = int32(n), true
		}
		if !ok {
			return nil, fmt.Errorf("find custom attribute %s: %w: there is none for virtual machines", a.name, drivers.ErrNotFound)
		}
		all = append(all, a)
	}
	return all, nil
}

// setAttributes sets the custom attributes that were asked for.
func (d *driver) setAttributes(ctx context.Context, c *center, vm reference) error {
	all, err := d.attributeKeys(ctx, c)
	if err != nil {
		return err
	}
	for _, a := range all {
		if err := c.setAttribute(ctx, vm, a.key, a.value); err != nil {
			return c.explain(ctx, "set custom attribute "+a.name, err)
		}
	}
	return nil
}
