package azure

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// stillUsed is how long something may seem in use whose user was just removed.
const stillUsed = 2 * time.Minute

// Remove implements drivers.Driver.
func (d *driver) Remove(ctx context.Context) error {
	if err := begun(ctx); err != nil {
		return err
	}
	st := &d.state.Value
	if st.Subscription == "" {
		return nil // nothing was ever asked for
	}
	a, err := d.account(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := wait.Within(ctx, removeLimit, "the removal")
	defer cancel()
	if st.Legacy != "" {
		return d.removeLegacy(ctx, a)
	}
	removed := map[string]bool{}
	for _, id := range []string{st.VM, st.NIC, st.IP, st.IP6, st.Disk, st.Firewall, st.Members, st.Set, st.Subnet, st.Network} {
		removed[lower(id)] = true
	}
	if !st.Made {
		// What an interrupted create asked for may be seen a moment later only.
		if err := wait.For(ctx, a.late); err != nil {
			return err
		}
	}
	if err := d.removeOwn(ctx, a); err != nil {
		return err
	}
	if err := d.removeShared(ctx, a, removed); err != nil {
		return err
	}
	if err := d.removeGroup(ctx, a, st.Group, func(id string) bool { return removed[lower(id)] }); err != nil {
		return err
	}
	d.state.Value = State{}
	return d.state.Save()
}

// removeOwn removes what is the machine's own. Nothing else goes before the virtual machine and its network interface,
// which use it; after that, one part that cannot be removed keeps no other.
func (d *driver) removeOwn(ctx context.Context, a *account) error {
	st := &d.state.Value
	if st.VM != "" {
		if err := d.removeVM(ctx, a); err != nil {
			return err
		}
	}
	var errs []error
	for _, r := range []struct {
		id     *string
		remove func(context.Context, *account, part) error
		onNIC  bool // the network interface uses it
	}{
		{&st.NIC, d.removeNIC, false}, {&st.IP, d.removeIP, true}, {&st.IP6, d.removeIP, true},
		{&st.Disk, d.removeDisk, false}, {&st.Firewall, d.removeFirewall, true},
	} {
		if *r.id == "" || r.onNIC && st.NIC != "" {
			continue
		}
		if cause := context.Cause(ctx); cause != nil {
			return errors.Join(append(errs, cause)...)
		}
		errs = append(errs, d.removePart(ctx, a, r.id, r.remove))
	}
	return errors.Join(errs...)
}

// removePart removes a part of the machine, and then its id from the state.
func (d *driver) removePart(ctx context.Context, a *account, id *string, remove func(context.Context, *account, part) error) error {
	p, err := parseID(*id)
	if err != nil {
		return err
	}
	if err := d.patiently(ctx, a, p, remove); err != nil {
		return err
	}
	*id = ""
	return d.state.Save()
}

// patiently removes a part, and tries again while what was just removed seems to use it.
func (d *driver) patiently(ctx context.Context, a *account, p part, remove func(context.Context, *account, part) error) error {
	ctx, cancel := wait.Within(ctx, stillUsed, "the release of "+p.name)
	defer cancel()
	var last error
	err := wait.Until(ctx, a.pace, "the release of "+p.name, func(ctx context.Context) (bool, error) {
		last = remove(ctx, a, p)
		if inUse(last) {
			return false, nil
		}
		return last == nil, last
	})
	if err != nil && inUse(last) {
		return errors.Join(last, err)
	}
	return err
}

// removeShared removes what the store's machines share and no other uses.
func (d *driver) removeShared(ctx context.Context, a *account, removed map[string]bool) error {
	st := &d.state.Value
	steps := []struct {
		id     *string
		remove func(context.Context, *account, part) error
	}{{&st.Set, d.removeSet}, {&st.Network, d.removeNetwork}, {&st.Members, d.removeMembersOf(st.Network)}}
	if st.SubnetMade {
		steps[1].id, steps[1].remove = &st.Subnet, d.removeSubnet
	}
	for _, r := range steps {
		if *r.id == "" {
			continue
		}
		p, err := parseID(*r.id)
		if err != nil {
			return err
		}
		switch err := r.remove(ctx, a, p); {
		case inUse(err), errors.Is(err, errStays):
			delete(removed, lower(*r.id)) // by another machine
			if p.child != "" {
				d.env.Note(ctx, "subnet "+p.child+" is still used and stays")
			}
		case err != nil:
			return err
		}
		*r.id = ""
		if err := d.state.Save(); err != nil {
			return err
		}
	}
	return nil
}

// removeVM removes the virtual machine, which takes disk, interface and address along.
func (d *driver) removeVM(ctx context.Context, a *account) error {
	st := &d.state.Value
	group, name := d.group(), d.name()
	if p, err := parseID(st.VM); err == nil {
		group, name = p.group, p.name
	}
	if err := d.deleteVM(ctx, a, part{group: group, name: name}); err != nil {
		return err
	}
	st.VM, st.Made = "", false
	st.Public, st.Private, st.Public6, st.Private6 = "", "", "", ""
	return d.state.Save()
}

func (d *driver) deleteVM(ctx context.Context, a *account, p part) error {
	found, err := a.vm(ctx, p.group, p.name)
	if err != nil || found == nil || !d.mine(found.Tags) {
		return err
	}
	_, err = run(ctx, a, "remove virtual machine "+p.name, func(ctx context.Context) (*runtime.Poller[armcompute.VirtualMachinesClientDeleteResponse], error) {
		return a.vms.BeginDelete(ctx, p.group, p.name, nil)
	})
	return gone(err)
}

func (d *driver) removeNIC(ctx context.Context, a *account, p part) error {
	found, err := a.nic(ctx, p.group, p.name)
	if err != nil || found == nil || !d.mine(found.Tags) {
		return err
	}
	_, err = run(ctx, a, "remove network interface "+p.name, func(ctx context.Context) (*runtime.Poller[armnetwork.InterfacesClientDeleteResponse], error) {
		return a.nics.BeginDelete(ctx, p.group, p.name, nil)
	})
	return gone(err)
}

func (d *driver) removeIP(ctx context.Context, a *account, p part) error {
	found, err := a.publicIP(ctx, p.group, p.name)
	if err != nil || found == nil || !d.mine(found.Tags) {
		return err
	}
	_, err = run(ctx, a, "remove public address "+p.name, func(ctx context.Context) (*runtime.Poller[armnetwork.PublicIPAddressesClientDeleteResponse], error) {
		return a.ips.BeginDelete(ctx, p.group, p.name, nil)
	})
	return gone(err)
}

// removeDisk removes the disk. One without tags is ours too: its name was free
// when the virtual machine was asked for.
func (d *driver) removeDisk(ctx context.Context, a *account, p part) error {
	found, err := a.disk(ctx, p.group, p.name)
	if missing(err) {
		return nil // the virtual machine took it along
	}
	if err != nil || found == nil || !d.mine(found.Tags) && (tag(found.Tags, tagStore) != "" || !d.named(p.name)) {
		return err
	}
	err = d.deleteDisk(ctx, a, p.group, p.name)
	if isCode(err, http.StatusConflict) {
		return errors.Join(drivers.ErrInUse, err)
	}
	return err
}

func (d *driver) removeFirewall(ctx context.Context, a *account, p part) error {
	found, err := a.firewall(ctx, p.group, p.name)
	if err != nil || found == nil || !d.mine(found.Tags) {
		return err
	}
	_, err = run(ctx, a, "remove network security group "+p.name, func(ctx context.Context) (*runtime.Poller[armnetwork.SecurityGroupsClientDeleteResponse], error) {
		return a.walls.BeginDelete(ctx, p.group, p.name, nil)
	})
	return gone(err)
}
