package azure

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// Place implements drivers.Orphans.
func (d *driver) Place(ctx context.Context) (string, error) {
	a, err := d.account(ctx)
	if err != nil {
		return "", err
	}
	_, host, _ := strings.Cut(a.env.endpoint, "://")
	return host + "/" + a.subscription, nil
}

// kinds returns the types of resources that the driver makes, in the order in
// which they can be removed.
func kinds() []string {
	return []string{typeVM, typeNIC, typeIP, typeDisk, typeFirewall, typeMembers, typeSet, typeNetwork, typeGroup}
}

// kindNames are the words for them.
func kindName(kind string) string {
	names := map[string]string{
		typeVM: "virtual machine", typeNIC: "network interface", typeIP: "public address", typeDisk: "disk", typeFirewall: "network security group",
		typeMembers: "application security group", typeSet: "availability set", typeNetwork: "virtual network", typeGroup: "resource group",
	}
	for k, name := range names {
		if same(k, kind) {
			return name
		}
	}
	return kind
}

// Tagged implements drivers.Orphans.
func (d *driver) Tagged(ctx context.Context) ([]drivers.Resource, error) {
	a, err := d.account(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := wait.Within(ctx, askLimit, "listing what carries the store's tag")
	defer cancel()
	filter := fmt.Sprintf("tagName eq '%s' and tagValue eq '%s'", tagStore, strings.ReplaceAll(d.env.StoreID, "'", "''"))
	var all, silent []drivers.Resource
	told := false
	add := func(id, kind, name string, tags map[string]*string) {
		switch told = told || len(tags) > 0; {
		case !d.makes(kind, name):
		case len(tags) == 0:
			silent = append(silent, d.resource(id, kind, name, tags))
		case d.ours(tags):
			all = append(all, d.resource(id, kind, name, tags))
		}
	}
	pager := a.all.NewListPager(&armresources.ClientListOptions{Filter: &filter})
	for pager.More() {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return nil, a.fault(ctx, "list resources by tag", err)
		}
		for _, r := range page.Value {
			if r != nil && r.ID != nil && r.Type != nil && r.Name != nil {
				add(*r.ID, *r.Type, *r.Name, r.Tags)
			}
		}
	}
	groups := a.groups.NewListPager(&armresources.ResourceGroupsClientListOptions{Filter: &filter})
	for groups.More() {
		page, err := groups.NextPage(ctx)
		if err != nil {
			return nil, a.fault(ctx, "list resource groups by tag", err)
		}
		for _, g := range page.Value {
			if g != nil && g.ID != nil && g.Name != nil {
				add(*g.ID, typeGroup, *g.Name, g.Tags)
			}
		}
	}
	if !told {
		all = silent // the list leaves tags out, as a filtered one may
	}
	order := kinds()
	rank := func(r drivers.Resource) int {
		return slices.IndexFunc(order, func(k string) bool { return kindName(k) == r.Kind })
	}
	slices.SortStableFunc(all, func(x, y drivers.Resource) int { return rank(x) - rank(y) })
	return all, nil
}

// resource describes what was found. The list may leave the tags out, so that
// the machine is read from the name.
func (d *driver) resource(id, kind, name string, tags map[string]*string) drivers.Resource {
	r := drivers.Resource{Kind: kindName(kind), ID: id, Name: name, Machine: tag(tags, tagMachine)}
	r.Costs = slices.ContainsFunc([]string{typeVM, typeIP, typeDisk}, func(k string) bool { return same(k, kind) }) &&
		!strings.HasSuffix(name, endIP6) // Azure gives these away
	if r.Machine == "" && ownKind(kind) {
		for _, end := range []string{endNIC, endIP, endIP6, endDisk, endFirewall, ""} {
			if machine, ok := strings.CutSuffix(name, "-"+d.store()+end); ok {
				r.Machine = machine
				break
			}
		}
	}
	return r
}

// ownKind tells whether each machine has its own of a kind.
func ownKind(kind string) bool {
	return slices.ContainsFunc([]string{typeVM, typeNIC, typeIP, typeDisk, typeFirewall}, func(k string) bool { return same(k, kind) })
}

// makes tells whether the driver makes such things. What lies in a resource group
// may have got the store's tag from it.
func (d *driver) makes(kind, name string) bool {
	return slices.ContainsFunc(kinds(), func(k string) bool { return same(k, kind) }) && (!ownKind(kind) || d.named(name))
}

// Claims implements drivers.Orphans.
func (d *driver) Claims(r drivers.Resource) bool {
	st := &d.state.Value
	if st.Subscription == "" {
		return false
	}
	for _, id := range []string{st.VM, st.NIC, st.IP, st.IP6, st.Disk, st.Firewall, st.Members, st.Set, st.Network, groupID(st.Subscription, st.Group)} {
		if id != "" && same(id, r.ID) {
			return true
		}
	}
	return false
}

// Release implements drivers.Orphans.
func (d *driver) Release(ctx context.Context, r drivers.Resource) error {
	a, err := d.account(ctx)
	if err != nil {
		return err
	}
	p, err := parseID(r.ID)
	if err != nil {
		return err
	}
	ctx, cancel := wait.Within(ctx, removeLimit, "the release of "+r.Name)
	defer cancel()
	other := *d
	other.forAll, other.state = true, &drivers.Durable[State]{}
	if p.kind == "" {
		return d.removeGroup(ctx, a, p.group, func(string) bool { return false })
	}
	for kind, remove := range other.removers() {
		if same(kind, p.kind) {
			return d.patiently(ctx, a, p, remove)
		}
	}
	return fmt.Errorf("release %s %s: %w", r.Kind, r.ID, drivers.ErrUnsupported)
}

// removers tell how the kinds of things are removed.
func (d *driver) removers() map[string]func(context.Context, *account, part) error {
	return map[string]func(context.Context, *account, part) error{
		typeVM: d.deleteVM, typeNIC: d.removeNIC, typeIP: d.removeIP, typeDisk: d.removeDisk,
		typeFirewall: d.removeFirewall, typeMembers: d.removeMembers, typeSet: d.removeSet, typeNetwork: d.removeNetwork,
	}
}
