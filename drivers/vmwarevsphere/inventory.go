package vmwarevsphere

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// reference is a managed object as "Type:value".
type reference = types.ManagedObjectReference

// properties are those that were asked for and that the user may see.
type properties map[string]any

// retrieve asks for properties of objects.
func (c *center) retrieve(ctx context.Context, spec types.PropertyFilterSpec) (map[reference]properties, error) {
	content, err := mo.RetrievePropertiesEx(ctx, c.client, types.RetrievePropertiesEx{
		This:    c.client.ServiceContent.PropertyCollector,
		SpecSet: []types.PropertyFilterSpec{spec},
	})
	if err != nil {
		return nil, err
	}
	all := make(map[reference]properties, len(content))
	for _, o := range content {
		if all[o.Obj] == nil {
			all[o.Obj] = properties{}
		}
		for _, p := range o.PropSet {
			all[o.Obj][p.Name] = p.Val
		}
	}
	return all, nil
}

// properties asks for properties of one object.
func (c *center) properties(ctx context.Context, ref reference, paths ...string) (properties, error) {
	all, err := c.retrieve(ctx, types.PropertyFilterSpec{
		PropSet:   []types.PropertySpec{{Type: ref.Type, PathSet: paths}},
		ObjectSet: []types.ObjectSpec{{Obj: ref}},
	})
	return all[ref], err
}

// text returns a property that is a string, or of a type that is.
func (p properties) text(path string) string {
	switch v := p[path].(type) {
	case string:
		return v
	case types.VirtualMachinePowerState:
		return string(v)
	case types.VirtualMachineConnectionState:
		return string(v)
	}
	return ""
}

func (p properties) ref(path string) reference {
	v, _ := p[path].(reference)
	return v
}

func (p properties) flag(path string) bool {
	v, _ := p[path].(bool)
	return v
}

// inventory is all of a vCenter but its virtual machines.
type inventory map[reference]*item

// item is a managed object.
type item struct {
	ref    reference
	name   string
	parent reference
	props  properties
	path   string
}

// kind is a kind of objects that users name.
type kind struct {
	word  string
	types []string
}

func datacenters() kind { return kind{"datacenter", []string{"Datacenter"}} }
func folders() kind     { return kind{"folder", []string{"Folder"}} }
func hosts() kind       { return kind{"host", []string{"HostSystem"}} }
func computes() kind {
	return kind{"cluster or host", []string{"ClusterComputeResource", "ComputeResource"}}
}
func pools() kind      { return kind{"resource pool", []string{"ResourcePool", "VirtualApp"}} }
func datastores() kind { return kind{"datastore", []string{"Datastore"}} }
func pods() kind       { return kind{"datastore cluster", []string{"StoragePod"}} }
func networks() kind {
	return kind{"network", []string{"DistributedVirtualPortgroup", "OpaqueNetwork", "Network"}}
}

// inventory returns what the vCenter has. It is asked once per process.
func (c *center) inventory(ctx context.Context) (inventory, error) {
	err := c.alone(ctx, func() error {
		if c.tree.Load() != nil {
			return nil
		}
		ctx, cancel := wait.Within(ctx, callLimit, "read the inventory of "+c.url.Host)
		defer cancel()
		all, err := c.retrieve(ctx, wholeInventory(c.client.ServiceContent.RootFolder))
		if err != nil {
			return c.explain(ctx, "read the inventory of "+c.url.Host, err)
		}
		tree := inventory{}
		for ref, p := range all {
			name, err := url.PathUnescape(p.text("name")) // slashes and percents are told escaped
			if err != nil {
				name = p.text("name")
			}
			tree[ref] = &item{ref: ref, name: name, parent: p.ref("parent"), props: p}
		}
		for _, i := range tree {
			i.path = tree.pathOf(i)
		}
		c.tree.Store(&tree)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return *c.tree.Load(), nil
}

// wholeInventory asks for names and parents of all but virtual machines, from
// the root down.
func wholeInventory(root reference) types.PropertyFilterSpec {
	specs := []types.PropertySpec{
		{Type: "DistributedVirtualPortgroup", PathSet: []string{"name", "parent", "key", "config.distributedVirtualSwitch"}},
		{Type: "OpaqueNetwork", PathSet: []string{"name", "parent", "summary"}},
		{Type: "DistributedVirtualSwitch", PathSet: []string{"name", "parent", "uuid"}},
		{Type: "VmwareDistributedVirtualSwitch", PathSet: []string{"name", "parent", "uuid"}},
		{Type: "Datastore", PathSet: []string{"name", "parent", "summary.accessible", "summary.freeSpace"}},
		{Type: "ClusterComputeResource", PathSet: []string{"name", "parent", "resourcePool", "datastore"}},
		{Type: "ComputeResource", PathSet: []string{"name", "parent", "resourcePool", "datastore"}},
		{Type: "Datacenter", PathSet: []string{"name", "parent", "vmFolder"}},
	}
	for _, t := range []string{"Folder", "StoragePod", "HostSystem", "ResourcePool", "VirtualApp", "Network"} {
		specs = append(specs, types.PropertySpec{Type: t, PathSet: []string{"name", "parent"}})
	}
	folder := []string{"folder"}
	into := func(name, from, path string, next ...string) types.BaseSelectionSpec {
		s := &types.TraversalSpec{SelectionSpec: types.SelectionSpec{Name: name}, Type: from, Path: path}
		for _, n := range next {
			s.SelectSet = append(s.SelectSet, &types.SelectionSpec{Name: n})
		}
		return s
	}
	return types.PropertyFilterSpec{
		PropSet: specs,
		ObjectSet: []types.ObjectSpec{{
			Obj: root,
			SelectSet: []types.BaseSelectionSpec{
				into("folder", "Folder", "childEntity", "folder", "vms", "hosts", "datastores", "networks", "members", "pool"),
				into("vms", "Datacenter", "vmFolder", folder...),
				into("hosts", "Datacenter", "hostFolder", folder...),
				into("datastores", "Datacenter", "datastoreFolder", folder...),
				into("networks", "Datacenter", "networkFolder", folder...),
				into("members", "ComputeResource", "host"),
				into("pool", "ComputeResource", "resourcePool", "pools"),
				into("pools", "ResourcePool", "resourcePool", "pools"),
			},
		}},
	}
}

// pathOf returns the inventory path, such as /DC0/host/cluster/Resources.
func (t inventory) pathOf(i *item) string {
	var names []string
	for range 64 { // deeper than any inventory
		above := t[i.parent]
		if above == nil { // i is the root folder, or what is above may not be seen
			if i.parent.Value != "" {
				names = append(names, i.name)
			}
			break
		}
		names = append(names, i.name)
		i = above
	}
	slices.Reverse(names)
	return "/" + strings.Join(names, "/")
}

// all returns the objects of a kind below a path, sorted by path.
func (t inventory) all(k kind, below string) []*item {
	var found []*item
	for _, i := range t {
		if slices.Contains(k.types, i.ref.Type) && (below == "" || strings.HasPrefix(i.path, below+"/")) {
			found = append(found, i)
		}
	}
	slices.SortFunc(found, func(a, b *item) int {
		return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.ref.Value, b.ref.Value))
	})
	return found
}

// find returns the object of a kind that a user means: by inventory path, by
// the end of one, or by name.
func (t inventory) find(k kind, below, wanted string) (*item, error) {
	all := t.all(k, below)
	var exact, ending []*item
	for _, i := range all {
		switch {
		case i.path == wanted:
			exact = append(exact, i)
		case strings.HasSuffix(i.path, "/"+strings.Trim(wanted, "/")):
			ending = append(ending, i)
		}
	}
	found := exact
	if len(found) == 0 {
		found = ending
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, fmt.Errorf("find %s %q: %w: there is none%s", k.word, wanted, drivers.ErrNotFound, have(all))
	}
	return nil, fmt.Errorf("find %s %q: %w: several have the name%s: give a longer part of the path", k.word, wanted, drivers.ErrOption, have(found))
}

// only returns the object of a kind if there is one alone.
func (t inventory) only(k kind, below, option string) (*item, error) {
	all := t.all(k, below)
	switch len(all) {
	case 1:
		return all[0], nil
	case 0:
		return nil, fmt.Errorf("find a %s: %w: there is none, or the user may see none", k.word, drivers.ErrNotFound)
	}
	return nil, &drivers.HintError{
		Err:    fmt.Errorf("choose a %s: %w: there are several%s", k.word, drivers.ErrOption, have(all)),
		Advice: "choose one with --" + Name + "-" + option,
	}
}

// have lists objects for an error.
func have(all []*item) string {
	const most = 10
	if len(all) == 0 {
		return ""
	}
	var paths []string
	for _, i := range all[:min(most, len(all))] {
		paths = append(paths, i.path)
	}
	if len(all) > most {
		paths = append(paths, fmt.Sprintf("and %d more", len(all)-most))
	}
	return " (" + strings.Join(paths, ", ") + ")"
}
