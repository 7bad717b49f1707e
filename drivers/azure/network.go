package azure

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"github.com/hostsmith/machine/drivers"
)

// subnet is where a machine's interface is.
type subnet struct {
	network, id string
	prefixes    []string
	lacks6      bool   // it has no range of IPv6
	members     string // id of the application security group of those who may reach each other; empty: all in the subnet may
	allMembers  bool   // also the address of IPv6 is to be in it
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
	return d.lacks6(n)
}

// checkNetwork tells whether the network is one that cannot be used.
func (d *driver) checkNetwork(ctx context.Context, a *account) error {
	group, name := d.networkName()
	found, err := a.network(ctx, group, name)
	switch {
	case err != nil:
		return err
	case found == nil:
		return d.mayMakeNetwork(group, name)
	}
	return d.usable(found)
}

// mayMakeNetwork refuses to make a network in a resource group that is named, and is not the machine's.
func (d *driver) mayMakeNetwork(group, name string) error {
	if d.cfg.VNet == "" || same(group, d.group()) {
		return nil
	}
	return &drivers.HintError{
		Err:    fmt.Errorf("use virtual network %s of resource group %s: %w", name, group, drivers.ErrNotFound),
		Advice: "az network vnet list shows what --azure-vnet GROUP:NAME can be; a name without a group is made in the machine's group",
	}
}

// ensureNetwork makes virtual network and subnet unless there are such.
func (d *driver) ensureNetwork(ctx context.Context, a *account) (subnet, error) {
	group, name := d.networkName()
	st := &d.state.Value
	st.Network = id(a.subscription, group, typeNetwork, name)
	if err := d.claim(&st.Subnet, st.Network+"/subnets/"+d.cfg.Subnet); err != nil {
		return subnet{}, err
	}
	n, err := a.known.networks.Get(ctx, d.networkKey(), func(ctx context.Context) (subnet, error) {
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
		if s := d.subnetIn(found); s != nil {
			return d.subnet(s), nil
		}
		return d.makeSubnet(ctx, a, group, name, found)
	})
	if err != nil {
		return n, err
	}
	return d.ensure6(ctx, a, n)
}

func (d *driver) makeNetwork(ctx context.Context, a *account, group, name string) (subnet, error) {
	if err := d.mayMakeNetwork(group, name); err != nil {
		return subnet{}, err
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
	space, six := []*string{&d.cfg.SubnetPrefix}, netip.Prefix{}
	if d.cfg.IPv6 {
		space = append(space, ptr(d.space6().String()))
		six = free6([]netip.Prefix{d.space6()}, nil)
	}
	return armnetwork.VirtualNetwork{
		Location: &d.cfg.Location,
		Tags:     d.sharedTags(),
		Properties: &armnetwork.VirtualNetworkPropertiesFormat{
			AddressSpace: &armnetwork.AddressSpace{AddressPrefixes: space},
			Subnets:      []*armnetwork.Subnet{{Name: &d.cfg.Subnet, Properties: d.subnetSpec(six)}},
		},
	}
}

// subnetSpec returns a subnet to be made, with a range of IPv6 if that is valid.
func (d *driver) subnetSpec(six netip.Prefix) *armnetwork.SubnetPropertiesFormat {
	if !six.IsValid() {
		return &armnetwork.SubnetPropertiesFormat{AddressPrefix: &d.cfg.SubnetPrefix}
	}
	return &armnetwork.SubnetPropertiesFormat{AddressPrefixes: []*string{&d.cfg.SubnetPrefix, ptr(six.String())}}
}

// makeSubnet adds a subnet to a virtual network that exists.
func (d *driver) makeSubnet(ctx context.Context, a *account, group, network string, found *armnetwork.VirtualNetwork) (subnet, error) {
	if !d.ours(found.Tags) && !d.state.Value.SubnetMade {
		d.state.Value.SubnetMade = true
		if err := d.state.Save(); err != nil {
			return subnet{}, err
		}
	}
	spec := armnetwork.Subnet{Properties: d.subnetSpec(netip.Prefix{})}
	if d.cfg.IPv6 {
		spec.Properties = d.subnetSpec(freeIn(found))
	}
	made, err := run(ctx, a, "make subnet "+d.cfg.Subnet, func(ctx context.Context) (*runtime.Poller[armnetwork.SubnetsClientCreateOrUpdateResponse], error) {
		return a.subnets.BeginCreateOrUpdate(ctx, group, network, d.cfg.Subnet, spec, nil)
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
	if n.prefixes = prefixesOf(s); len(n.prefixes) == 0 {
		n.prefixes = []string{d.cfg.SubnetPrefix}
		return n
	}
	n.lacks6 = !slices.ContainsFunc(parsed(n.prefixes), is6)
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
	d.forgetNetwork(a)
	return gone(err)
}

// removeSubnet removes a subnet that this machine made in a network of others.
func (d *driver) removeSubnet(ctx context.Context, a *account, p part) error {
	_, err := run(ctx, a, "remove subnet "+p.child, func(ctx context.Context) (*runtime.Poller[armnetwork.SubnetsClientDeleteResponse], error) {
		return a.subnets.BeginDelete(ctx, p.group, p.name, p.child, nil)
	})
	d.forgetNetwork(a)
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

// ensureIPs makes the public addresses.
func (d *driver) ensureIPs(ctx context.Context, a *account) error {
	if d.cfg.NoPublicIP {
		return nil
	}
	err := d.ensureIP(ctx, a, d.name()+endIP, &d.state.Value.IP, d.ipSpec())
	if err != nil || !d.cfg.IPv6 {
		return err
	}
	return d.ensureIP(ctx, a, d.name()+endIP6, &d.state.Value.IP6, d.ip6Spec())
}

// ensureIP makes a public address.
func (d *driver) ensureIP(ctx context.Context, a *account, name string, field *string, spec armnetwork.PublicIPAddress) error {
	found, err := a.publicIP(ctx, d.group(), name)
	if err != nil {
		return err
	}
	if found != nil && !d.mine(found.Tags) {
		return conflict(typeIP, d.group(), name)
	}
	group := d.state.Value.Group
	if err := d.claim(field, id(a.subscription, group, typeIP, name)); err != nil || found != nil {
		return err
	}
	made, err := run(ctx, a, "make public address "+name, func(ctx context.Context) (*runtime.Poller[armnetwork.PublicIPAddressesClientCreateOrUpdateResponse], error) {
		return a.ips.BeginCreateOrUpdate(ctx, group, name, spec, nil)
	})
	if p := made.Properties; err == nil && p != nil && p.DNSSettings != nil && p.DNSSettings.Fqdn != nil {
		d.env.Note(ctx, d.env.Machine+" is also called "+*p.DNSSettings.Fqdn)
	}
	return err
}

func (d *driver) ipSpec() armnetwork.PublicIPAddress {
	spec := d.addressSpec(armnetwork.IPVersionIPv4)
	if d.cfg.DNS != "" {
		spec.Properties.DNSSettings = &armnetwork.PublicIPAddressDNSSettings{DomainNameLabel: &d.cfg.DNS}
	}
	return spec
}

func (d *driver) addressSpec(version armnetwork.IPVersion) armnetwork.PublicIPAddress {
	spec := armnetwork.PublicIPAddress{
		Location: &d.cfg.Location,
		Tags:     d.tags(),
		SKU:      &armnetwork.PublicIPAddressSKU{Name: ptr(armnetwork.PublicIPAddressSKUNameStandard)},
		Properties: &armnetwork.PublicIPAddressPropertiesFormat{
			PublicIPAllocationMethod: ptr(armnetwork.IPAllocationMethodStatic),
			PublicIPAddressVersion:   &version,
		},
	}
	if d.cfg.Zone != "" {
		spec.Zones = []*string{&d.cfg.Zone}
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
	err = d.makeNIC(ctx, a, name, d.nicSpec(n, z))
	if isCode(err, 0, "AllIpConfigurationsOnANicMustBelongToTheSameApplicationSecurityGroups") {
		n.allMembers = true
		err = d.makeNIC(ctx, a, name, d.nicSpec(n, z))
	}
	if isCode(err, http.StatusBadRequest) && d.cfg.IPv6 && d.narrowed(ctx, a) {
		return fmt.Errorf("the IPv6 range of subnet %s: %w: %w", d.cfg.Subnet, errLost, err)
	}
	return err
}

func (d *driver) makeNIC(ctx context.Context, a *account, name string, spec armnetwork.Interface) error {
	_, err := run(ctx, a, "make network interface "+name, func(ctx context.Context) (*runtime.Poller[armnetwork.InterfacesClientCreateOrUpdateResponse], error) {
		return a.nics.BeginCreateOrUpdate(ctx, d.state.Value.Group, name, spec, nil)
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
		ip.PublicIPAddress = publicRef(st.IP)
	}
	if n.members != "" {
		ip.ApplicationSecurityGroups = []*armnetwork.ApplicationSecurityGroup{{ID: &n.members}}
	}
	all := []*armnetwork.InterfaceIPConfiguration{{Name: ptr("ipconfig"), Properties: ip}}
	if d.cfg.IPv6 {
		all = append(all, d.nic6Spec(n, st.IP6))
	}
	wall := st.Firewall
	if d.cfg.NSG != "" {
		wall = d.theirFirewallID()
	}
	return armnetwork.Interface{
		Location: &d.cfg.Location,
		Tags:     d.tags(),
		Properties: &armnetwork.InterfacePropertiesFormat{
			IPConfigurations:            all,
			NetworkSecurityGroup:        &armnetwork.SecurityGroup{ID: &wall},
			EnableAcceleratedNetworking: ptr(d.cfg.Accelerated == "on" || d.cfg.Accelerated == "auto" && z.accelerated),
		},
	}
}

// publicRef names a public address that goes with the virtual machine.
func publicRef(id string) *armnetwork.PublicIPAddress {
	return &armnetwork.PublicIPAddress{
		ID:         &id,
		Properties: &armnetwork.PublicIPAddressPropertiesFormat{DeleteOption: ptr(armnetwork.DeleteOptionsDelete)},
	}
}

// addresses reads the machine's addresses into the state, which is not saved.
func (d *driver) addresses(ctx context.Context, a *account) error {
	st := &d.state.Value
	st.Public, st.Private, st.Public6, st.Private6 = "", "", "", ""
	found, err := a.nic(ctx, d.group(), d.name()+endNIC)
	if err != nil {
		return err
	}
	if found == nil {
		return fmt.Errorf("look for network interface %s: %w", d.name()+endNIC, drivers.ErrNotFound)
	}
	if found.Properties != nil {
		for _, c := range found.Properties.IPConfigurations {
			if c != nil && c.Properties != nil && c.Properties.PrivateIPAddress != nil {
				st.keep(*c.Properties.PrivateIPAddress)
			}
		}
	}
	if st.Public, err = d.publicAddress(ctx, a, st.IP, endIP); err != nil {
		return err
	}
	st.Public6, err = d.publicAddress(ctx, a, st.IP6, endIP6)
	return err
}

// keep keeps the first private address of each version.
func (s *State) keep(address string) {
	field := &s.Private
	if addr, err := netip.ParseAddr(address); err == nil && addr.Is6() {
		field = &s.Private6
	}
	if *field == "" {
		*field = address
	}
}

// publicAddress asks for the address of the public address of an id, if there is an id.
func (d *driver) publicAddress(ctx context.Context, a *account, id, end string) (string, error) {
	if id == "" {
		return "", nil
	}
	ip, err := a.publicIP(ctx, d.group(), d.name()+end)
	if err != nil || ip == nil || ip.Properties == nil || ip.Properties.IPAddress == nil {
		return "", err
	}
	if dns := ip.Properties.DNSSettings; d.state.Value.Legacy != "" && d.cfg.DNS != "" && dns != nil && dns.Fqdn != nil {
		return *dns.Fqdn, nil // which docker-machine's certificate is for
	}
	return *ip.Properties.IPAddress, nil
}

// inUse tells whether a removal was refused because something hangs on the thing.
func inUse(err error) bool {
	return isInUse(err) || isCode(err, 0, "OperationNotAllowed") && isCode(err, http.StatusConflict)
}
