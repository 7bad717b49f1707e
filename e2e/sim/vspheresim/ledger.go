package vspheresim

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vapi/library"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vapi/tags"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/e2e/sim"
)

// Kinds of resources.
const (
	KindVM          = "vm"
	KindFile        = "file"         // on a datastore, or an empty directory; those of machines are not listed
	KindSnapshot    = "snapshot"     // of a machine
	KindFolder      = "folder"       // of the inventory
	KindPool        = "pool"         // resource pool
	KindTag         = "tag"          //
	KindCategory    = "category"     // of tags
	KindLibraryItem = "library-item" //
	KindField       = "custom-field" // definition of a custom attribute
)

// Ledger returns what clients made.
func (c *Cloud) Ledger() []sim.Resource {
	all := slices.DeleteFunc(c.everything(), func(r sim.Resource) bool { return c.known[r.Kind+" "+r.ID] })
	slices.SortFunc(all, func(a, b sim.Resource) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.ID, b.ID))
	})
	return all
}

func (c *Cloud) everything() []sim.Resource {
	return slices.Concat(c.inventory(), c.files(), c.fields(), c.remote())
}

// inventory returns what has a place in the tree of managed objects.
func (c *Cloud) inventory() []sim.Resource {
	var all []sim.Resource
	ctx := c.asked()
	names := map[int32]string{}
	for _, f := range c.definitions() {
		names[f.Key] = f.Name
	}
	for _, e := range c.registry().All("VirtualMachine") {
		vm := e.(*simulator.VirtualMachine)
		ctx.WithLock(vm, func() {
			all = append(all, sim.Resource{Kind: KindVM, ID: vm.Self.Value, Name: vm.Name, Tags: attributes(vm, names)})
			if vm.Snapshot == nil {
				return
			}
			for _, s := range snapshots(vm.Snapshot.RootSnapshotList) {
				all = append(all, sim.Resource{Kind: KindSnapshot, ID: s.Snapshot.Value, Name: s.Name})
			}
		})
	}
	for kind, types := range map[string][]string{KindFolder: {"Folder"}, KindPool: {"ResourcePool", "VirtualApp"}} {
		for _, t := range types {
			for _, e := range c.registry().All(t) {
				ctx.WithLock(e, func() {
					all = append(all, sim.Resource{Kind: kind, ID: e.Reference().Value, Name: e.Entity().Name})
				})
			}
		}
	}
	return all
}

// attributes returns a machine's custom attributes and its extraConfig but
// what guests read there. The machine is locked by the caller.
func attributes(vm *simulator.VirtualMachine, names map[int32]string) map[string]string {
	all := map[string]string{}
	for _, o := range vm.Config.ExtraConfig {
		if v := o.GetOptionValue(); !strings.HasPrefix(v.Key, "guestinfo.") && v.Key != "govcsim" {
			all[v.Key] = fmt.Sprint(v.Value)
		}
	}
	for _, v := range vm.CustomValue {
		if s, ok := v.(*types.CustomFieldStringValue); ok {
			all[names[s.Key]] = s.Value
		}
	}
	return all
}

func (c *Cloud) fields() []sim.Resource {
	var all []sim.Resource
	for _, f := range c.definitions() {
		all = append(all, sim.Resource{Kind: KindField, ID: fmt.Sprint(f.Key), Name: f.Name})
	}
	return all
}

// definitions returns those of custom attributes.
func (c *Cloud) definitions() (all []types.CustomFieldDef) {
	m := c.registry().CustomFieldsManager()
	c.asked().WithLock(m, func() { all = slices.Clone(m.Field) })
	return all
}

// files returns the files and empty directories on datastores that are no machine's.
func (c *Cloud) files() []sim.Resource {
	machines := map[string]bool{}
	ctx := c.asked()
	for _, e := range c.registry().All("VirtualMachine") {
		vm := e.(*simulator.VirtualMachine)
		ctx.WithLock(vm, func() { machines[vm.Config.Files.LogDirectory] = true })
	}
	var all []sim.Resource
	for _, e := range c.registry().All("Datastore") {
		ds := e.(*simulator.Datastore)
		root := ds.Summary.Url
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error { // what is deleted meanwhile is not there
			rel, _ := filepath.Rel(root, path)
			id := fmt.Sprintf("[%s] %s", ds.Name, rel)
			switch {
			case err != nil || path == root:
			case d.IsDir() && machines[id]:
				return filepath.SkipDir
			case !d.IsDir() || empty(path):
				all = append(all, sim.Resource{Kind: KindFile, ID: id})
			}
			return nil
		})
	}
	return all
}

func empty(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && len(entries) == 0
}

// remote returns what only the REST interface tells.
func (c *Cloud) remote() (all []sim.Resource) {
	err := c.withREST(func(ctx context.Context, client *rest.Client) error {
		categories, err := tags.NewManager(client).GetCategories(ctx)
		if err != nil {
			return err
		}
		for _, k := range categories {
			all = append(all, sim.Resource{Kind: KindCategory, ID: k.ID, Name: k.Name})
		}
		found, err := tags.NewManager(client).GetTags(ctx)
		if err != nil {
			return err
		}
		for _, t := range found {
			all = append(all, sim.Resource{Kind: KindTag, ID: t.ID, Name: t.Name})
		}
		items, err := libraryItems(ctx, library.NewManager(client))
		all = append(all, items...)
		return err
	})
	if err != nil {
		all = append(all, sim.Resource{Kind: "error", ID: err.Error()})
	}
	return all
}

func libraryItems(ctx context.Context, m *library.Manager) ([]sim.Resource, error) {
	libraries, err := m.GetLibraries(ctx)
	if err != nil {
		return nil, err
	}
	var all []sim.Resource
	for _, l := range libraries {
		items, err := m.GetLibraryItems(ctx, l.ID)
		if err != nil {
			return nil, err
		}
		for _, i := range items {
			all = append(all, sim.Resource{Kind: KindLibraryItem, ID: i.ID, Name: i.Name})
		}
	}
	return all, nil
}

// Vanish deletes a machine, powering it off first, or another resource.
func (c *Cloud) Vanish(kind, id string) error {
	if !slices.ContainsFunc(c.everything(), func(r sim.Resource) bool { return r.Kind == kind && r.ID == id }) {
		return fmt.Errorf("%s %s: %w", kind, id, sim.ErrUnknown)
	}
	do, ok := c.vanishing()[kind]
	if !ok {
		return fmt.Errorf("vanish %s: only %s can", kind, strings.Join(slices.Sorted(maps.Keys(c.vanishing())), ", "))
	}
	return do(id)
}

func (c *Cloud) vanishing() map[string]func(id string) error {
	return map[string]func(string) error{
		KindVM: func(id string) error {
			return c.withSOAP(func(client *vim25.Client) error { return c.destroy(client, id) })
		},
		KindFile: func(id string) error {
			var p object.DatastorePath
			p.FromString(id)
			for _, e := range c.registry().All("Datastore") {
				if e.Entity().Name == p.Datastore {
					return os.Remove(filepath.Join(e.(*simulator.Datastore).Summary.Url, p.Path))
				}
			}
			return sim.ErrUnknown
		},
		KindTag: func(id string) error {
			return c.withREST(func(ctx context.Context, client *rest.Client) error {
				return tags.NewManager(client).DeleteTag(ctx, &tags.Tag{ID: id})
			})
		},
		KindLibraryItem: func(id string) error {
			return c.withREST(func(ctx context.Context, client *rest.Client) error {
				return library.NewManager(client).DeleteLibraryItem(ctx, &library.Item{ID: id})
			})
		},
	}
}

// putFile writes a file to a datastore.
func putFile(datastore mo.Entity, path, text string) error {
	file := filepath.Join(datastore.(*simulator.Datastore).Summary.Url, path)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(text), 0o600)
}

func (c *Cloud) destroy(client *vim25.Client, id string) error {
	vm := object.NewVirtualMachine(client, types.ManagedObjectReference{Type: "VirtualMachine", Value: id})
	if state, err := vm.PowerState(c.ctx); err == nil && state != types.VirtualMachinePowerStatePoweredOff {
		if err := done(c.ctx)(vm.PowerOff(c.ctx)); err != nil {
			return err
		}
	}
	return done(c.ctx)(vm.Destroy(c.ctx))
}
