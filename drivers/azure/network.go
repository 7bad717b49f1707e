package azure

import (
	"context"
	"fmt"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"github.com/hostsmith/machine/drivers"
)

// subnet is where a machine's interface is.
type subnet struct {
	network, id string
	prefixes    []string
	members     string // id of the application security group of those who may reach each other; empty: all in the subnet may
}

func (a *account) network(ctx context.Context, group, name string) (*armnetwork.VirtualNetwork, error) {
	got, err := call(ctx, a, "look for virtual network "+name, func(ctx context.Context) (armnetwork.VirtualNetworksClientGetResponse, error) {
		return a.networks.Get(ctx, group, name, nil)
	})
	if err != nil {
		return nil, gone(err)
	}
	return &got.VirtualNetwork, nil
}

// usable tells why a virtual network that exists cannot be used; nil: it can.
func (d *driver) usable(n *armnetwork.VirtualNetwork) error {
	group, name := d.networkName()
	if d.cfg.VNet == "" && !d.ours(n.Tags) {
		return conflict(typeNetwork, group, name)
	}
	if n.Location != nil && !same(*n.Location, d.cfg.Location) {
		return &drivers.OptionError{Option: Name + "-vnet", Advice: "name one there, or let one be made",
			Err: fmt.Errorf("virtual network %s is in %s, and the machine is to be in %s", name, *n.Location, d.cfg.Location)}
	}
	return nil
}

// checkNetwork tells whether the network is one that cannot be used.
func (d *driver) checkNetwork(ctx context.Context, a *account) error {
	group, name := d.networkName()
	found, err := a.network(ctx, group, name)
	if err != nil || found == nil {
		return err
	}
	return d.usable(found)
}

// ensureNetwork makes virtual network and subnet unless there are such.
func (d *driver) ensureNetwork(ctx context.Context, a *account) (subnet, error) {
	group, name := d.networkName()
	st := &d.state.Value
	st.Network = id(a.subscription, group, typeNetwork, name)
	if err := d.claim(&st.Subnet, st.Network+"/subnets/"+d.cfg.Subnet); err != nil {
		return subnet{}, err
	}
	return a.known.networks.Get(ctx, d.networkKey(), func(ctx context.Context) (subnet, error) {
		found, err := a.network(ctx, group, name)
		if err != nil {
			return subnet{}, err
		}
		if found == nil {
			return d.makeNetwork(ctx, a, group, name)
		}
		if err := d.usable(found); err != nil {
			return subnet{}, err
		}
		if found.Properties != nil {
			for _, s := range found.Properties.Subnets {
				if s != nil && s.Name != nil && same(*s.Name, d.cfg.Subnet) {
					return d.subnet(s), nil
				}
			}
		}
		return d.makeSubnet(ctx, a, group, name, d.ours(found.Tags))
	})
}

func (d *driver) makeNetwork(ctx context.Context, a *account, group, name string) (subnet, error) {
	if d.cfg.VNet != "" && !same(group, d.group()) {
		return subnet{}, fmt.Errorf("use virtual network %s of resource group %s: %w", name, group, drivers.ErrNotFound)
	}
	made, err := run(ctx, a, "make virtual network "+name, func(ctx context.Context) (*runtime.Poller[armnetwork.VirtualNetworksClientCreateOrUpdateResponse], error) {
		return a.networks.BeginCreateOrUpdate(ctx, group, name, d.networkSpec(), nil)
	})
	if err != nil {
		return subnet{}, err
	}
	if made.Properties != nil && len(made.Properties.Subnets) > 0 {
		return d.subnet(made.Properties.Subnets[0]), nil
	}
	return d.subnet(nil), nil
}

func (d *driver) networkSpec() armnetwork.VirtualNetwork {
	return armnetwork.VirtualNetwork{
		Location: &d.cfg.Location,
		Tags:     d.sharedTags(),
		Properties: &armnetwork.VirtualNetworkPropertiesFormat{
			AddressSpace: &armnetwork.AddressSpace{AddressPrefixes: []*string{&d.cfg.SubnetPrefix}},
			Subnets: []*armnetwork.Subnet{{
				Name:       &d.cfg.Subnet,
				Properties: &armnetwork.SubnetPropertiesFormat{AddressPrefix: &d.cfg.SubnetPrefix},
			}},
		},
	}
}

// makeSubnet adds a subnet to a virtual network that exists.
func (d *driver) makeSubnet(ctx context.Context, a *account, group, network string, ours bool) (subnet, error) {
	if !ours && !d.state.Value.SubnetMade {
		d.state.Value.SubnetMade = true
		if err := d.state.Save(); err != nil {
			return subnet{}, err
		}
	}
	made, err := run(ctx, a, "make subnet "+d.cfg.Subnet, func(ctx context.Context) (*runtime.Poller[armnetwork.SubnetsClientCreateOrUpdateResponse], error) {
		return a.subnets.BeginCreateOrUpdate(ctx, group, network, d.cfg.Subnet,
			armnetwork.Subnet{Properties: &armnetwork.SubnetPropertiesFormat{AddressPrefix: &d.cfg.SubnetPrefix}}, nil)
	})
	if err != nil {
		return subnet{}, err
	}
	return d.subnet(&made.Subnet), nil
}

// subnet reads a subnet; nil: as it was asked for.
func (d *driver) subnet(s *armnetwork.Subnet) subnet {
	n := subnet{network: d.state.Value.Network, id: d.state.Value.Subnet}
	if s != nil && s.ID != nil {
		n.id = *s.ID
	}
	if s != nil && s.Properties != nil {
		n.prefixes = values(s.Properties.AddressPrefixes)
		if s.Properties.AddressPrefix != nil {
			n.prefixes = append(n.prefixes, *s.Properties.AddressPrefix)
		}
	}
	if len(n.prefixes) == 0 {
		n.prefixes = []string{d.cfg.SubnetPrefix}
	}
	return n
}

// removeNetwork removes a virtual network of ours that no machine uses.
func (d *driver) removeNetwork(ctx context.Context, a *account, p part) error {
	found, err := a.network(ctx, p.group, p.name)
	if err != nil || found == nil || !d.ours(found.Tags) {
		return err
	}
	if found.Properties != nil {
		for _, s := range found.Properties.Subnets {
			if s != nil && s.Properties != nil && len(s.Properties.IPConfigurations) > 0 {
				return fmt.Errorf("remove virtual network %s: %w", p.name, drivers.ErrInUse)
			}
		}
	}
	_, err = run(ctx, a, "remove virtual network "+p.name, func(ctx context.Context) (*runtime.Poller[armnetwork.VirtualNetworksClientDeleteResponse], error) {
		return a.networks.BeginDelete(ctx, p.group, p.name, nil)
	})
	if d.networkKey() != "" {
		a.known.networks.Forget(d.networkKey())
	}
	return gone(err)
}

// removeSubnet removes a subnet that this machine made in a network of others.
func (d *driver) removeSubnet(ctx context.Context, a *account, p part) error {
	_, err := run(ctx, a, "remove subnet "+p.child, func(ctx context.Context) (*runtime.Poller[armnetwork.SubnetsClientDeleteResponse], error) {
		return a.subnets.BeginDelete(ctx, p.group, p.name, p.child, nil)
	})
	a.known.networks.Forget(d.networkKey())
	return gone(err)
}

// publicIP returns a public address; nil: there is none.
func (a *account) publicIP(ctx context.Context, group, name string) (*armnetwork.PublicIPAddress, error) {
	got, err := call(ctx, a, "look for public address "+name, func(ctx context.Context) (armnetwork.PublicIPAddressesClientGetResponse, error) {
		return a.ips.Get(ctx, group, name, nil)
	})
	if err != nil {
		return nil, gone(err)
	}
	return &got.PublicIPAddress, nil
}

// ensureIP makes the public address.
func (d *driver) ensureIP(ctx context.Context, a *account) error {
	if d.cfg.NoPublicIP {
		return nil
	}
	name := d.name() + endIP
	found, err := a.publicIP(ctx, d.group(), name)
	if err != nil {
		return err
	}
	if found != nil && !d.mine(found.Tags) {
		return conflict(typeIP, d.group(), name)
	}
	st := &d.state.Value
	if err := d.claim(&st.IP, id(a.subscription, st.Group, typeIP, name)); err != nil || found != nil {
		return err
	}
	made, err := run(ctx, a, "make public address "+name, func(ctx context.Context) (*runtime.Poller[armnetwork.PublicIPAddressesClientCreateOrUpdateResponse], error) {
		return a.ips.BeginCreateOrUpdate(ctx, st.Group, name, d.ipSpec(), nil)
	})
	if p := made.Properties; err == nil && p != nil && p.DNSSettings != nil && p.DNSSettings.Fqdn != nil {
		d.env.Note(ctx, d.env.Machine+" is also called "+*p.DNSSettings.Fqdn)
	}
	return err
}

func (d *driver) ipSpec() armnetwork.PublicIPAddress {
	spec := armnetwork.PublicIPAddress{
		Location: &d.cfg.Location,
		Tags:     d.tags(),
		SKU:      &armnetwork.PublicIPAddressSKU{Name: ptr(armnetwork.PublicIPAddressSKUNameStandard)},
		Properties: &armnetwork.PublicIPAddressPropertiesFormat{
			PublicIPAllocationMethod: ptr(armnetwork.IPAllocationMethodStatic),
			PublicIPAddressVersion:   ptr(armnetwork.IPVersionIPv4),
		},
	}
	if d.cfg.Zone != "" {
		spec.Zones = []*string{&d.cfg.Zone}
	}
	if d.cfg.DNS != "" {
		spec.Properties.DNSSettings = &armnetwork.PublicIPAddressDNSSettings{DomainNameLabel: &d.cfg.DNS}
	}
	return spec
}

// nic returns a network interface; nil: there is none.
func (a *account) nic(ctx context.Context, group, name string) (*armnetwork.Interface, error) {
	got, err := call(ctx, a, "look for network interface "+name, func(ctx context.Context) (armnetwork.InterfacesClientGetResponse, error) {
		return a.nics.Get(ctx, group, name, nil)
	})
	if err != nil {
		return nil, gone(err)
	}
	return &got.Interface, nil
}

// ensureNIC makes the network interface.
func (d *driver) ensureNIC(ctx context.Context, a *account, n subnet, z size) error {
	name := d.name() + endNIC
	found, err := a.nic(ctx, d.group(), name)
	if err != nil {
		return err
	}
	if found != nil && !d.mine(found.Tags) {
		return conflict(typeNIC, d.group(), name)
	}
	st := &d.state.Value
	if err := d.claim(&st.NIC, id(a.subscription, st.Group, typeNIC, name)); err != nil || found != nil && isMember(found, n.members) {
		return err
	}
	_, err = run(ctx, a, "make network interface "+name, func(ctx context.Context) (*runtime.Poller[armnetwork.InterfacesClientCreateOrUpdateResponse], error) {
		return a.nics.BeginCreateOrUpdate(ctx, st.Group, name, d.nicSpec(n, z), nil)
	})
	return err
}

func (d *driver) nicSpec(n subnet, z size) armnetwork.Interface {
	st := &d.state.Value
	ip := &armnetwork.InterfaceIPConfigurationPropertiesFormat{
		Subnet:                    &armnetwork.Subnet{ID: &n.id},
		PrivateIPAllocationMethod: ptr(armnetwork.IPAllocationMethodDynamic),
		Primary:                   ptr(true),
	}
	if d.cfg.PrivateIP != "" {
		ip.PrivateIPAllocationMethod, ip.PrivateIPAddress = ptr(armnetwork.IPAllocationMethodStatic), &d.cfg.PrivateIP
	}
	if !d.cfg.NoPublicIP {
		ip.PublicIPAddress = &armnetwork.PublicIPAddress{
			ID:         &st.IP,
			Properties: &armnetwork.PublicIPAddressPropertiesFormat{DeleteOption: ptr(armnetwork.DeleteOptionsDelete)},
		}
	}
	if n.members != "" {
		ip.ApplicationSecurityGroups = []*armnetwork.ApplicationSecurityGroup{{ID: &n.members}}
	}
	wall := st.Firewall
	if d.cfg.NSG != "" {
		wall = d.theirFirewallID()
	}
	return armnetwork.Interface{
		Location: &d.cfg.Location,
		Tags:     d.tags(),
		Properties: &armnetwork.InterfacePropertiesFormat{
			IPConfigurations:            []*armnetwork.InterfaceIPConfiguration{{Name: ptr("ipconfig"), Properties: ip}},
			NetworkSecurityGroup:        &armnetwork.SecurityGroup{ID: &wall},
			EnableAcceleratedNetworking: ptr(d.cfg.Accelerated == "on" || d.cfg.Accelerated == "auto" && z.accelerated),
		},
	}
}

// addresses reads the machine's addresses into the state, which is not saved.
func (d *driver) addresses(ctx context.Context, a *account) error {
	st := &d.state.Value
	st.Public, st.Private = "", ""
	found, err := a.nic(ctx, d.group(), d.name()+endNIC)
	if err != nil {
		return err
	}
	if found == nil {
		return fmt.Errorf("look for network interface %s: %w", d.name()+endNIC, drivers.ErrNotFound)
	}
	if found.Properties != nil {
		for _, c := range found.Properties.IPConfigurations {
			if c != nil && c.Properties != nil && c.Properties.PrivateIPAddress != nil && st.Private == "" {
				st.Private = *c.Properties.PrivateIPAddress
			}
		}
	}
	if st.IP == "" {
		return nil
	}
	ip, err := a.publicIP(ctx, d.group(), d.name()+endIP)
	if err == nil && ip != nil && ip.Properties != nil && ip.Properties.IPAddress != nil {
		st.Public = *ip.Properties.IPAddress
	}
	return err
}

// inUse tells whether a removal was refused because something hangs on the thing.
func inUse(err error) bool {
	return isInUse(err) || isCode(err, 0, "OperationNotAllowed") && isCode(err, http.StatusConflict)
}
