package azuresim

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

var labelName = regexp.MustCompile(`^[a-z][a-z0-9-]{1,61}[a-z0-9]$`)

func (c *Cloud) checkInterface(k *call, m model, old *record) *armError {
	nic := m.(*networkInterface)
	p := nic.Properties
	switch {
	case p == nil || len(p.IPConfigurations) == 0:
		return missing("ipConfigurations", nic.ID)
	case len(nic.Zones) > 0:
		return notSimulated("zones of a network interface")
	}
	if g := p.NetworkSecurityGroup; g != nil {
		if _, err := linked[*securityGroup](c, k, &nic.header, g.ID, "join"); err != nil {
			return err
		}
	}
	p.VirtualMachine, p.ResourceGUID, p.NicType = nil, newID(), "Standard"
	if err := checkVersions(nic); err != nil {
		return err
	}
	before := &interfaceProperties{}
	if old != nil {
		before = old.model.(*networkInterface).Properties
		p.ResourceGUID, p.MacAddress = before.ResourceGUID, before.MacAddress
	}
	for _, ip := range p.IPConfigurations {
		if err := c.checkIP(k, nic, ip, before.named(ip.Name)); err != nil {
			return err
		}
	}
	return nil
}

// checkIP completes an interface's addresses.
func (c *Cloud) checkIP(k *call, nic *networkInterface, ip *ipConfiguration, was *ipProperties) *armError {
	if !networkName.MatchString(ip.Name) {
		return refuse(400, "InvalidResourceName", "Resource name %s is invalid.", ip.Name)
	}
	ip.ID, ip.Type = nic.ID+"/ipConfigurations/"+ip.Name, "Microsoft.Network/networkInterfaces/ipConfigurations"
	p := ip.Properties
	if p == nil || p.Subnet == nil {
		return refuse(400, "SubnetMissing", "Subnet reference is missing in IP configuration %s.", ip.ID)
	}
	s, err := c.linkedSubnet(k, nic, p.Subnet.ID)
	if err != nil {
		return err
	}
	if !s.prefix(p.PrivateIPAddressVersion).IsValid() {
		return refuse(400, "SubnetHasNoIPv6AddressPrefix", "IP configuration %s is of IPv6, and subnet %s has no IPv6 address prefix.", ip.ID, s.ID)
	}
	if err := c.checkMembership(k, nic, p); err != nil {
		return err
	}
	if a := p.PublicIPAddress; a != nil {
		public, err := linked[*publicAddress](c, k, &nic.header, a.ID, "join")
		if err != nil {
			return err
		}
		if theirs := public.Properties.PublicIPAddressVersion; theirs != p.PrivateIPAddressVersion {
			return refuse(400, "IPVersionForPublicIpAndNicIpConfigurationMustMatch", "IP version for publicIPAddress '%s', version '%s' and network interface ipConfiguration '%s', version '%s' must match.",
				a.ID, theirs, ip.ID, p.PrivateIPAddressVersion)
		}
		if h := c.holder(a.ID); h != nil && !strings.EqualFold(h.ID, ip.ID) {
			return refuse(400, "PublicIPAddressInUse", "Resource %s is referencing public IP address %s that is already allocated to resource %s.", ip.ID, a.ID, h.ID)
		}
	}
	p.ProvisioningState = "Succeeded"
	ip.Etag = `W/"` + newID() + `"`
	return c.assign(ip, s, was)
}

// linkedSubnet returns the subnet that an interface is to be in.
func (c *Cloud) linkedSubnet(k *call, nic *networkInterface, id string) (*subnet, *armError) {
	network, name, found := cutFold(id, "/subnets/")
	if !found {
		return nil, refuse(400, "LinkedInvalidPropertyId", "Property id '%s' at path 'properties.ipConfigurations[0].properties.subnet.id' is invalid. Expect fully qualified resource Id that start with '/subscriptions/{subscriptionId}' or '/providers/{resourceProviderNamespace}/'.", id)
	}
	if err := k.mayLink("Microsoft.Network/networkInterfaces/write", nic.ID, "Microsoft.Network/virtualNetworks/subnets/join/action", id); err != nil {
		return nil, err
	}
	n, err := linked[*virtualNetwork](c, k, &nic.header, network, "")
	if err != nil {
		return nil, err
	}
	s := n.subnet(name)
	if s == nil {
		return nil, invalidReference(id, nic.ID)
	}
	return s, nil
}

func cutFold(s, sep string) (before, after string, found bool) {
	i := strings.Index(lower(s), lower(sep))
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// assign gives an interface its private address. It comes from the hosts'
// range, be the subnet's elsewhere or not, for that is where hosts can be reached.
func (c *Cloud) assign(ip *ipConfiguration, s *subnet, was *ipProperties) *armError {
	p := ip.Properties
	private, _ := c.config.Hosts.Networks()
	prefix := s.prefix(p.PrivateIPAddressVersion)
	if p.PrivateIPAddressVersion == v6 {
		private = prefix // no host has it
	}
	if p.PrivateIPAllocationMethod == "" {
		p.PrivateIPAllocationMethod = "Dynamic"
	}
	switch {
	case p.PrivateIPAllocationMethod == "Static":
		addr, err := netip.ParseAddr(p.PrivateIPAddress)
		if err != nil || !prefix.Contains(addr) {
			return refuse(400, "PrivateIPAddressNotInSubnet", "Private static IP address %s does not belong to the range of subnet prefix %s.", p.PrivateIPAddress, prefix)
		}
		if !private.Contains(addr) {
			return notSimulated("a private address outside of %s, where its hosts are: %s", private, addr)
		}
		if c.takenAddresses()[addr] && (was == nil || was.PrivateIPAddress != p.PrivateIPAddress) {
			return refuse(400, "PrivateIPAddressInUse", "IP configuration %s is using the private IP address %s which is already allocated to resource.", ip.ID, addr)
		}
	case was != nil:
		p.PrivateIPAddress = was.PrivateIPAddress
	default:
		addr, ok := c.freeAddress(private, prefix)
		if !ok {
			return refuse(400, "SubnetIsFull", "Subnet %s with address prefix %s does not have enough capacity for 1 IP addresses.", s.Name, prefix)
		}
		p.PrivateIPAddress = addr.String()
	}
	return nil
}

// workInterface changes the public address of a machine that has the interface.
func (c *Cloud) workInterface(k *call, rec *record, _ bool) *operation {
	nic := rec.model.(*networkInterface)
	vm := c.machineWith(nic.ID)
	if vm == nil {
		return c.begin(k, rec, "PutNetworkInterface", nil, c.settle(rec))
	}
	id, addr := vm.Properties.VMID, c.publicOf(nic)
	return c.begin(k, rec, "PutNetworkInterface", func(ctx context.Context) error {
		return c.config.Hosts.SetPublic(ctx, id, addr)
	}, c.settle(rec))
}

// publicOf returns an interface's public address of IPv4, which is not valid if it has none.
func (c *Cloud) publicOf(nic *networkInterface) (addr netip.Addr) {
	if p := nic.Properties.primary().Properties.PublicIPAddress; p != nil {
		if a, _, found := lookup[*publicAddress](c, p.ID); found {
			addr, _ = netip.ParseAddr(a.Properties.IPAddress)
		}
	}
	return addr
}

// machineWith returns the machine that has an interface, or nil.
func (c *Cloud) machineWith(nic string) *virtualMachine {
	for _, vm := range all[*virtualMachine](c) {
		for _, r := range vm.Properties.NetworkProfile.NetworkInterfaces {
			if strings.EqualFold(r.ID, nic) {
				return vm
			}
		}
	}
	return nil
}

func (c *Cloud) viewInterface(m model) {
	nic := m.(*networkInterface)
	if vm := c.machineWith(nic.ID); vm != nil {
		nic.Properties.VirtualMachine, nic.Properties.Primary = &ref{vm.ID}, true
		if nic.Properties.MacAddress == "" {
			nic.Properties.MacAddress = mac(vm.Properties.VMID)
		}
	}
}

func mac(id string) string {
	hex := lower(strings.ReplaceAll(id, "-", ""))
	return strings.ToUpper(fmt.Sprintf("00-0d-3a-%s-%s-%s", hex[:2], hex[2:4], hex[4:6]))
}

func (c *Cloud) freeInterface(rec *record) *armError {
	id := rec.head().ID
	if vm := c.machineWith(id); vm != nil {
		return refuse(400, "NicInUse", "Network Interface %s is used by existing resource %s. In order to delete the network interface, it must be dissociated from the resource. To learn more, see aka.ms/deletenic.", id, vm.ID)
	}
	return nil
}

// eraseAddresses takes the public addresses out of the store that are to go
// with the machine that an interface was of.
func (c *Cloud) eraseAddresses(nic *networkInterface) {
	for _, ip := range nic.Properties.IPConfigurations {
		a := ip.Properties.PublicIPAddress
		if a != nil && a.Properties != nil && a.Properties.DeleteOption == "Delete" {
			delete(c.store, lower(a.ID))
		}
	}
}

// users returns the ids of what refers to a resource.
func (c *Cloud) users(rec *record) []string {
	id := lower(rec.head().ID)
	var users []string
	switch m := rec.model.(type) {
	case *securityGroup:
		shown := copyOf(m)
		c.viewSecurityGroup(shown)
		for _, r := range slices.Concat(shown.Properties.NetworkInterfaces, shown.Properties.Subnets) {
			users = append(users, r.ID)
		}
	case *applicationGroup:
		for _, ip := range c.membersOf(id) {
			users = append(users, ip.ID)
		}
		users = append(users, c.ruledBy(id)...)
	case *virtualNetwork:
		for _, s := range m.Properties.Subnets {
			for _, ip := range c.ipConfigurationsIn(s.ID) {
				users = append(users, ip.ID)
			}
		}
	case *publicAddress:
		if ip := c.holder(id); ip != nil {
			users = append(users, ip.ID)
		}
	case *networkInterface:
		if vm := c.machineWith(id); vm != nil {
			users = append(users, vm.ID)
		}
	case *availabilitySet:
		for _, vm := range all[*virtualMachine](c) {
			if refers(vm.Properties.AvailabilitySet, id) {
				users = append(users, vm.ID)
			}
		}
	case *disk:
		if m.ManagedBy != "" {
			users = append(users, m.ManagedBy)
		}
	}
	return users
}
