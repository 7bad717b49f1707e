package azure

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

func lower(s string) string { return strings.ToLower(s) }

// Keys of what is known of shared things.
func (d *driver) groupKey() string { return "group " + lower(d.group()) }
func (d *driver) setKey() string   { return "set " + lower(d.group()+"/"+d.cfg.Set) }
func (d *driver) networkKey() string {
	group, name := d.networkName()
	return "network " + lower(group+"/"+name+"/"+d.cfg.Subnet)
}
func (d *driver) network6Key() string { return "ipv6 of " + d.networkKey() }

// forgetShared makes the shared things be looked for again.
func (d *driver) forgetShared(a *account) {
	for _, key := range []string{d.groupKey(), d.setKey(), d.membersKey()} {
		a.known.made.Forget(key)
	}
	d.forgetNetwork(a)
}

// forgetNetwork makes the virtual network be looked for again.
func (d *driver) forgetNetwork(a *account) {
	a.known.networks.Forget(d.networkKey())
	a.known.networks.Forget(d.network6Key())
}

// resourceGroup returns a resource group; nil: there is none.
func (a *account) resourceGroup(ctx context.Context, name string) (*armresources.ResourceGroup, error) {
	got, err := call(ctx, a, "look for resource group "+name, func(ctx context.Context) (armresources.ResourceGroupsClientGetResponse, error) {
		return a.groups.Get(ctx, name, nil)
	})
	if missing(err) {
		return nil, err
	}
	if err != nil {
		return nil, gone(err)
	}
	return &got.ResourceGroup, nil
}

// hasGroup tells whether there is a resource group where it cannot be read. One
// that the user names is taken to be there if nobody tells: making it would
// change the tags of somebody else's.
func (d *driver) hasGroup(ctx context.Context, a *account) bool {
	got, err := a.groups.CheckExistence(a.curious(ctx), d.group(), nil)
	if err != nil {
		return d.cfg.Group != ""
	}
	return got.Success
}

// guessGroup returns what is to be taken for a resource group that cannot be
// read, on the way to its removal. Nobody else calls one as the driver does.
func (d *driver) guessGroup(ctx context.Context, a *account, name string) *armresources.ResourceGroup {
	got, err := a.groups.CheckExistence(a.curious(ctx), name, nil)
	switch {
	case err == nil && !got.Success:
		return nil
	case name == d.defaultGroup():
		return &armresources.ResourceGroup{Tags: d.sharedTags()}
	}
	d.env.Note(ctx, "resource group "+name+" stays: nobody tells whose it is")
	return nil
}

// ensureGroup makes the resource group unless there is one of the name, whose ever it is.
func (d *driver) ensureGroup(ctx context.Context, a *account) error {
	_, err := a.known.made.Get(ctx, d.groupKey(), func(ctx context.Context) (bool, error) {
		var found *armresources.ResourceGroup
		err := wait.Until(ctx, a.pace, "the end of resource group "+d.group(), func(ctx context.Context) (_ bool, err error) {
			if found, err = a.resourceGroup(ctx, d.group()); spared(err) {
				if err = nil; d.hasGroup(ctx, a) {
					found = &armresources.ResourceGroup{}
				}
			}
			deleting := found != nil && found.Properties != nil && found.Properties.ProvisioningState != nil && *found.Properties.ProvisioningState == "Deleting"
			return !deleting, err
		})
		if err != nil || found != nil {
			return true, err
		}
		_, err = call(ctx, a, "make resource group "+d.group(), func(ctx context.Context) (armresources.ResourceGroupsClientCreateOrUpdateResponse, error) {
			return a.groups.CreateOrUpdate(ctx, d.group(), armresources.ResourceGroup{Location: &d.cfg.Location, Tags: d.sharedTags()}, nil)
		})
		return true, err
	})
	return err
}

// removeGroup removes the resource group if it is ours and nothing is left in
// it. The list is not always up to date: what known tells to be gone does not
// count, and the rest is asked for by itself.
func (d *driver) removeGroup(ctx context.Context, a *account, name string, known func(id string) bool) error {
	found, err := a.resourceGroup(ctx, name)
	if missing(err) {
		found, err = d.guessGroup(ctx, a, name), nil
	}
	if err != nil || found == nil || !d.ours(found.Tags) {
		return err
	}
	for _, holds := range []func() (bool, error){
		func() (bool, error) { return a.holds(ctx, name, known) },
		func() (bool, error) { return a.grouped(ctx, name) },
	} {
		if used, err := holds(); err != nil || used {
			return err
		}
	}
	_, err = run(ctx, a, "remove resource group "+name, func(ctx context.Context) (*runtime.Poller[armresources.ResourceGroupsClientDeleteResponse], error) {
		return a.groups.BeginDelete(ctx, name, nil)
	})
	a.known.made.Forget("group " + lower(name))
	return gone(err)
}

// holds asks whether the list of what is in a resource group has something that
// is still there.
func (a *account) holds(ctx context.Context, name string, known func(id string) bool) (bool, error) {
	pager := a.all.NewListByResourceGroupPager(name, nil)
	for pager.More() {
		page, err := pager.NextPage(a.curious(ctx))
		if err = a.fault(ctx, "list what is in resource group "+name, err); missing(err) {
			return false, nil
		}
		if err != nil {
			return false, gone(err)
		}
		for _, r := range page.Value {
			if r == nil || r.ID == nil || known(*r.ID) {
				continue
			}
			if there, err := a.exists(ctx, *r.ID); err != nil || there {
				return there, err
			}
		}
	}
	return false, nil
}

// exists asks the keeper of a resource whether there is one. What the driver
// never makes is taken to be there.
func (a *account) exists(ctx context.Context, id string) (there bool, err error) {
	p, err := parseID(id)
	if err != nil {
		return false, err
	}
	ask := map[string]func() (bool, error){
		typeVM:       func() (bool, error) { r, err := a.vm(ctx, p.group, p.name); return r != nil, err },
		typeDisk:     func() (bool, error) { r, err := a.disk(ctx, p.group, p.name); return r != nil, err },
		typeSet:      func() (bool, error) { r, err := a.set(ctx, p.group, p.name); return r != nil, err },
		typeNIC:      func() (bool, error) { r, err := a.nic(ctx, p.group, p.name); return r != nil, err },
		typeIP:       func() (bool, error) { r, err := a.publicIP(ctx, p.group, p.name); return r != nil, err },
		typeFirewall: func() (bool, error) { r, err := a.firewall(ctx, p.group, p.name); return r != nil, err },
		typeMembers: func() (bool, error) {
			r, err := a.members(ctx, p.group, p.name)
			if missing(err) {
				err = nil
			}
			return r != nil, err
		},
		typeNetwork: func() (bool, error) { r, err := a.network(ctx, p.group, p.name); return r != nil, err },
	}
	for kind, look := range ask {
		if same(kind, p.kind) {
			return look()
		}
	}
	return true, nil
}

// grouped asks the keepers of addresses and interfaces themselves whether a
// machine that is just being made has begun in the resource group.
func (a *account) grouped(ctx context.Context, name string) (bool, error) {
	ips := a.ips.NewListPager(name, nil)
	used, err := some(ctx, a, "list public addresses of resource group "+name, ips, func(p armnetwork.PublicIPAddressesClientListResponse) bool {
		return slices.ContainsFunc(p.Value, func(v *armnetwork.PublicIPAddress) bool { return v != nil })
	})
	if used || err != nil {
		return used, err
	}
	networks := a.networks.NewListPager(name, nil)
	return some(ctx, a, "list virtual networks of resource group "+name, networks, func(p armnetwork.VirtualNetworksClientListResponse) bool {
		return slices.ContainsFunc(p.Value, func(v *armnetwork.VirtualNetwork) bool { return v != nil })
	})
}

// some tells whether a page of a list has something.
func some[T any](ctx context.Context, a *account, what string, pager *runtime.Pager[T], has func(T) bool) (bool, error) {
	for pager.More() {
		page, err := pager.NextPage(a.curious(ctx))
		if err = a.fault(ctx, what, err); missing(err) {
			return false, nil
		}
		if err != nil {
			return false, gone(err)
		}
		if has(page) {
			return true, nil
		}
	}
	return false, nil
}

// ensureSet makes the availability set unless there is one of the name.
func (d *driver) ensureSet(ctx context.Context, a *account) error {
	if d.cfg.Set == "" {
		return nil
	}
	if err := d.claim(&d.state.Value.Set, id(a.subscription, d.group(), typeSet, d.cfg.Set)); err != nil {
		return err
	}
	_, err := a.known.made.Get(ctx, d.setKey(), func(ctx context.Context) (bool, error) {
		found, err := a.set(ctx, d.group(), d.cfg.Set)
		if err != nil || found != nil {
			return true, err
		}
		_, err = call(ctx, a, "make availability set "+d.cfg.Set, func(ctx context.Context) (armcompute.AvailabilitySetsClientCreateOrUpdateResponse, error) {
			return a.sets.CreateOrUpdate(ctx, d.group(), d.cfg.Set, d.setSpec(), nil)
		})
		return true, err
	})
	return err
}

func (d *driver) setSpec() armcompute.AvailabilitySet {
	return armcompute.AvailabilitySet{
		Location:   &d.cfg.Location,
		Tags:       d.sharedTags(),
		SKU:        &armcompute.SKU{Name: ptr("Aligned")}, // for managed disks
		Properties: &armcompute.AvailabilitySetProperties{PlatformFaultDomainCount: ptr[int32](2), PlatformUpdateDomainCount: ptr[int32](5)},
	}
}

func (a *account) set(ctx context.Context, group, name string) (*armcompute.AvailabilitySet, error) {
	got, err := call(ctx, a, "look for availability set "+name, func(ctx context.Context) (armcompute.AvailabilitySetsClientGetResponse, error) {
		return a.sets.Get(ctx, group, name, nil)
	})
	if err != nil {
		return nil, gone(err)
	}
	return &got.AvailabilitySet, nil
}

// removeSet removes an availability set of ours that no machine is in.
func (d *driver) removeSet(ctx context.Context, a *account, p part) error {
	found, err := a.set(ctx, p.group, p.name)
	if err != nil || found == nil || !d.ours(found.Tags) {
		return err
	}
	if found.Properties != nil && len(found.Properties.VirtualMachines) > 0 {
		return fmt.Errorf("remove availability set %s: %w", p.name, drivers.ErrInUse)
	}
	_, err = call(ctx, a, "remove availability set "+p.name, func(ctx context.Context) (armcompute.AvailabilitySetsClientDeleteResponse, error) {
		return a.sets.Delete(ctx, p.group, p.name, nil)
	})
	a.known.made.Forget("set " + lower(p.group+"/"+p.name))
	if isCode(err, http.StatusConflict, "OperationNotAllowed") {
		return fmt.Errorf("%w: %w", drivers.ErrInUse, err)
	}
	return gone(err)
}

// claim records an id before the thing is asked for.
func (d *driver) claim(field *string, id string) error {
	if *field == id {
		return nil
	}
	*field = id
	return d.state.Save()
}

func ptr[T any](v T) *T { return &v }
