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
		return "", fmt.Errorf("%s: there is none: %w", what, drivers.ErrNotFound)
	}
	return id, c.explain(ctx, what, err)
}

// attachTags attaches the tags of the vCenter that were asked for.
func (d *driver) attachTags(ctx context.Context, c *center, vm reference) error {
	var wanted []string
	for _, t := range d.cfg.Tags {
		if !strings.Contains(t, "=") {
			wanted = append(wanted, t)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	client, err := c.vapi(ctx)
	if err != nil {
		return err
	}
	manager := tags.NewManager(client)
	for _, name := range wanted {
		id := name
		if !strings.HasPrefix(name, "urn:") {
			tag, err := manager.GetTag(ctx, name)
			if category, rest, ok := strings.Cut(name, "/"); ok && err != nil {
				tag, err = manager.GetTagForCategory(ctx, rest, category)
			}
			if err != nil {
				return c.explain(ctx, "find tag "+name, err)
			}
			id = tag.ID
		}
		if err := manager.AttachTag(ctx, id, vm); err != nil {
			return c.explain(ctx, "attach tag "+name, err)
		}
	}
	return nil
}

// setAttributes sets the custom attributes that were asked for.
func (d *driver) setAttributes(ctx context.Context, c *center, vm reference) error {
	if len(d.cfg.Attributes) == 0 {
		return nil
	}
	if c.client.ServiceContent.CustomFieldsManager == nil {
		return fmt.Errorf("set custom attributes: %s has none: %w", c.url.Host, drivers.ErrUnsupported)
	}
	p, err := c.properties(ctx, *c.client.ServiceContent.CustomFieldsManager, "field")
	if err != nil {
		return c.explain(ctx, "list custom attributes", err)
	}
	known := map[string]int32{}
	if list, ok := p["field"].(types.ArrayOfCustomFieldDef); ok {
		for _, f := range list.CustomFieldDef {
			if f.ManagedObjectType == "" || f.ManagedObjectType == machineType {
				known[f.Name] = f.Key
			}
		}
	}
	for _, a := range d.cfg.Attributes {
		name, value, _ := strings.Cut(a, "=")
		key, ok := known[name]
		if n, err := strconv.ParseInt(name, 10, 32); !ok && err == nil {
			key, ok = int32(n), true
		}
		if !ok {
			return fmt.Errorf("set custom attribute %s: there is none for virtual machines: %w", name, drivers.ErrNotFound)
		}
		if err := c.setAttribute(ctx, vm, key, value); err != nil {
			return c.explain(ctx, "set custom attribute "+name, err)
		}
	}
	return nil
}
