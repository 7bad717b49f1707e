package azure

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"

	"github.com/hostsmith/machine/drivers"
)

// record is what docker-machine recorded of a virtual machine, by its names.
type record struct {
	MachineName, SSHUser string

	ClientID, ClientSecret, TenantID, Environment, SubscriptionID string //nolint:revive // docker-machine's names

	ResourceGroup, Location, Size, Image, StorageType string

	VirtualNetwork, SubnetName, SubnetPrefix, AvailabilitySet string

	DockerPort     int
	OpenPorts      []string
	PrivateIPAddr  string
	UsePrivateIP   bool
	NoPublicIP     bool
	StaticPublicIP bool
	DNSLabel       string
	CustomDataFile string
}

// Ends of names that docker-machine chose otherwise, and the container of a disk.
const (
	oldFirewall  = "-firewall"
	oldContainer = "vhd-"
	typeStorage  = "Microsoft.Storage/storageAccounts"
	storageAPI   = "2023-05-01"
)

var errClassic = errors.New("it was made by docker-machine 0.6 or older in Azure's classic deployment, which has ended")

// takeOver makes a machine of docker-machine one of ours. What docker-machine made
// has names that follow from the record, and no tags.
func takeOver(raw json.RawMessage) (Config, State, error) {
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		return Config{}, State{}, err
	}
	if r.ResourceGroup == "" {
		return Config{}, State{}, fmt.Errorf("%w: %w", drivers.ErrUnsupported, errClassic)
	}
	c := defaults()
	c.Subscription, c.Tenant, c.Environment = r.SubscriptionID, r.TenantID, cmp.Or(r.Environment, c.Environment)
	if r.ClientID != "" && r.ClientSecret != "" { // else its user logged in with a browser
		c.Client, c.Secret = r.ClientID, drivers.Secret(r.ClientSecret)
	}
	c.Group, c.Location, c.Size, c.Image = r.ResourceGroup, cmp.Or(r.Location, c.Location), cmp.Or(r.Size, c.Size), cmp.Or(r.Image, c.Image)
	c.VNet, c.Subnet, c.SubnetPrefix = r.VirtualNetwork, cmp.Or(r.SubnetName, c.Subnet), cmp.Or(r.SubnetPrefix, c.SubnetPrefix)
	c.Set, c.StorageType, c.CustomData = r.AvailabilitySet, cmp.Or(r.StorageType, c.StorageType), r.CustomDataFile
	c.SSHUser, c.DockerPort, c.OpenPort = cmp.Or(r.SSHUser, c.SSHUser), cmp.Or(r.DockerPort, c.DockerPort), r.OpenPorts
	c.PrivateIP, c.UsePrivateIP, c.NoPublicIP, c.StaticIP, c.DNS = r.PrivateIPAddr, r.UsePrivateIP, r.NoPublicIP, r.StaticPublicIP, r.DNSLabel
	// A public address that is not static would be another after a stop that gives back what the machine runs on.
	c.KeepBilled = !r.StaticPublicIP && r.DNSLabel == "" && !r.UsePrivateIP && !r.NoPublicIP

	of := func(kind, name string) string { return id(r.SubscriptionID, r.ResourceGroup, kind, name) }
	st := State{
		Legacy: r.MachineName, Subscription: r.SubscriptionID, Location: normal(c.Location), Group: r.ResourceGroup, Size: r.Size, Image: r.Image, Made: true,
		VM: of(typeVM, r.MachineName), NIC: of(typeNIC, r.MachineName+endNIC), Firewall: of(typeFirewall, r.MachineName+oldFirewall),
	}
	if !r.NoPublicIP {
		st.IP = of(typeIP, r.MachineName+endIP)
	}
	if r.AvailabilitySet != "" {
		st.Set = of(typeSet, r.AvailabilitySet)
	}
	if r.VirtualNetwork != "" && !strings.Contains(r.VirtualNetwork, ":") { // docker-machine never removed one of another group
		st.Network = of(typeNetwork, r.VirtualNetwork)
	}
	return c, st, nil
}

// isMade tells whether a virtual machine is the one that docker-machine made: the
// record has no id of it, and another may have its name by now, but not its key.
func (d *driver) isMade(vm *armcompute.VirtualMachine) bool {
	if !d.mine(vm.Tags) {
		return false
	}
	public, err := os.ReadFile(filepath.Join(d.env.Dir, "id_rsa.pub"))
	p := vm.Properties
	if err != nil || p == nil || p.OSProfile == nil || p.OSProfile.LinuxConfiguration == nil || p.OSProfile.LinuxConfiguration.SSH == nil {
		return true // there is nothing to tell them apart by
	}
	known := false
	for _, k := range p.OSProfile.LinuxConfiguration.SSH.PublicKeys {
		if k == nil || k.KeyData == nil {
			continue
		}
		known = true
		if keyOf(*k.KeyData) == keyOf(string(public)) {
			return true
		}
	}
	return !known
}

// keyOf returns a public key without its comment.
func keyOf(text string) string {
	words := strings.Fields(text)
	return strings.Join(words[:min(len(words), 2)], " ")
}

// legacyVM returns the virtual machine that docker-machine made; nil: it is gone, and
// another has its name perhaps.
func (d *driver) legacyVM(ctx context.Context, a *account) (vm *armcompute.VirtualMachine, another bool, err error) {
	p, err := parseID(d.state.Value.VM)
	if err != nil {
		return nil, false, err
	}
	vm, err = a.vm(ctx, p.group, p.name)
	if err != nil || vm == nil {
		return nil, false, err
	}
	if !d.isMade(vm) {
		return nil, true, nil
	}
	return vm, false, nil
}

// removeLegacy removes what docker-machine's rm removed.
func (d *driver) removeLegacy(ctx context.Context, a *account) error {
	st := &d.state.Value
	if st.VM != "" {
		vm, another, err := d.legacyVM(ctx, a)
		if err != nil {
			return err
		}
		if another {
			d.env.Note(ctx, "virtual machine "+st.Legacy+" in resource group "+st.Group+" is another one, and stays with all that has its name")
			*st = State{}
			return d.state.Save()
		}
		if err := d.learnDisk(vm); err != nil {
			return err
		}
	}
	if err := d.removeOwn(ctx, a); err != nil {
		return err
	}
	for _, part := range []func(context.Context, *account) error{d.removeContainer, d.removeLegacySet, d.removeLegacyNetwork} {
		if err := part(ctx, a); err != nil {
			return err
		}
	}
	*st = State{}
	return d.state.Save()
}

// learnDisk records where the disk of a virtual machine is, which only it tells: a
// blob in a container of its own, or a managed disk of later forks.
func (d *driver) learnDisk(vm *armcompute.VirtualMachine) error {
	st := &d.state.Value
	if vm == nil || vm.Properties == nil || vm.Properties.StorageProfile == nil || vm.Properties.StorageProfile.OSDisk == nil {
		return nil
	}
	switch disk := vm.Properties.StorageProfile.OSDisk; {
	case disk.ManagedDisk != nil && disk.ManagedDisk.ID != nil:
		st.Disk = *disk.ManagedDisk.ID
	case disk.Vhd != nil && disk.Vhd.URI != nil:
		u, err := url.Parse(*disk.Vhd.URI)
		if err != nil || path.Base(path.Dir(u.Path)) != oldContainer+st.Legacy {
			return nil // docker-machine had each disk in a container of the machine's name
		}
		account, _, _ := strings.Cut(u.Hostname(), ".")
		st.Container = id(st.Subscription, st.Group, typeStorage, account) + "/blobServices/default/containers/" + oldContainer + st.Legacy
	}
	return d.state.Save()
}

// removeContainer removes the container that the disk is in, without a key of the
// storage account.
func (d *driver) removeContainer(ctx context.Context, a *account) error {
	st := &d.state.Value
	if st.Container == "" {
		return nil
	}
	name := oldContainer + st.Legacy
	err := d.patiently(ctx, a, part{name: name}, func(ctx context.Context, a *account, _ part) error {
		_, err := run(ctx, a, "remove container "+name+" of the disk", func(ctx context.Context) (*runtime.Poller[armresources.ClientDeleteByIDResponse], error) {
			return a.all.BeginDeleteByID(ctx, st.Container, storageAPI, nil)
		})
		if isCode(err, http.StatusConflict) { // the disk is leased until the virtual machine has let go of it
			return errors.Join(drivers.ErrInUse, err)
		}
		return gone(err)
	})
	if err != nil {
		return err
	}
	st.Container = ""
	return d.state.Save()
}

// removeLegacySet removes the availability set if no machine is in it.
func (d *driver) removeLegacySet(ctx context.Context, a *account) error {
	st := &d.state.Value
	if st.Set == "" {
		return nil
	}
	p, err := parseID(st.Set)
	if err != nil {
		return err
	}
	if err := d.removeSet(ctx, a, p); err != nil && !inUse(err) {
		return err
	}
	st.Set = ""
	return d.state.Save()
}

// removeLegacyNetwork removes the subnet if nothing is in it, and then the network if
// it has no other.
func (d *driver) removeLegacyNetwork(ctx context.Context, a *account) error {
	st := &d.state.Value
	if st.Network == "" {
		return nil
	}
	p, err := parseID(st.Network)
	if err != nil {
		return err
	}
	found, err := a.network(ctx, p.group, p.name)
	if err != nil {
		return err
	}
	if found != nil && d.ours(found.Tags) && found.Properties != nil {
		p.child = d.cfg.Subnet
		if err := d.removeUnused(ctx, a, p, found.Properties.Subnets); err != nil && !inUse(err) {
			return err
		}
	}
	st.Network = ""
	return d.state.Save()
}

func (d *driver) removeUnused(ctx context.Context, a *account, p part, subnets []*armnetwork.Subnet) error {
	others := 0
	for _, s := range subnets {
		switch {
		case s == nil:
		case s.Name == nil || !same(*s.Name, p.child):
			others++
		case s.Properties != nil && len(s.Properties.IPConfigurations) > 0:
			return fmt.Errorf("remove subnet %s: %w", p.child, drivers.ErrInUse)
		default:
			if err := d.removeSubnet(ctx, a, p); err != nil {
				return err
			}
		}
	}
	if others > 0 {
		return nil
	}
	p.child = ""
	return d.removeNetwork(ctx, a, p)
}
