package ec2sim

import (
	"context"
	"net/netip"
	"slices"
)

// address is an elastic IP address.
type address struct {
	thing
	ip          netip.Addr
	instance    *instance
	association string
}

func (a *address) values(k *call, filter string) ([]string, bool) {
	switch filter {
	case "allocation-id":
		return []string{a.id}, true
	case "public-ip":
		return []string{addr(a.ip)}, true
	case "association-id":
		return []string{a.association}, true
	case "instance-id":
		if a.instance != nil {
			return []string{a.instance.id}, true
		}
		return nil, true
	case "network-interface-id":
		if a.instance != nil && a.instance.nic != nil {
			return []string{a.instance.nic.id}, true
		}
		return nil, true
	}
	return nil, false
}

// elastic returns the elastic address of an instance.
func (r *region) elastic(in *instance) *address {
	i := slices.IndexFunc(r.addresses, func(a *address) bool { return a.instance == in })
	if i < 0 {
		return nil
	}
	return r.addresses[i]
}

func addressListing() listing {
	return listing{ids: "AllocationIds", prefix: "eipalloc", noun: "allocation ID", code: "InvalidAllocationID"}
}

func (k *call) theAddress(id string) (*address, error) {
	found, err := byIDs(k, k.r.addresses, []string{id}, addressListing())
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

func allocateAddress(k *call) (m, error) {
	if d := k.p.str("Domain"); d == "standard" {
		return nil, fault("InvalidParameterValue", "Value (standard) for parameter domain is invalid.")
	}
	tags, err := k.launchTags("elastic-ip")
	if err != nil {
		return nil, err
	}
	if err := k.check(); err != nil {
		return nil, err
	}
	if len(k.r.addresses) >= k.r.quota(QuotaAddresses) {
		return nil, fault("AddressLimitExceeded", "The maximum number of addresses has been reached.")
	}
	ip, ok := k.c.public.take(k.c.public.prefix)
	if !ok {
		return nil, fault("InsufficientAddressCapacity", "Not enough available addresses to satisfy your request.")
	}
	a := &address{thing: newThing("eipalloc", k.now), ip: ip}
	a.tags = orEmpty(tags["elastic-ip"])
	k.r.addresses = append(k.r.addresses, a)
	return m{"AllocationId": a.id, "PublicIp": ip.String(), "Domain": "vpc", "PublicIpv4Pool": "amazon", "NetworkBorderGroup": k.r.name}, nil
}

func describeAddresses(k *call) (m, error) {
	ips := k.p.strs("PublicIps")
	found, _, err := describe(k, k.r.addresses, addressListing())
	if err != nil {
		return nil, err
	}
	for _, ip := range ips {
		if !slices.ContainsFunc(k.r.addresses, func(a *address) bool { return addr(a.ip) == ip }) {
			return nil, fault("InvalidAddress.NotFound", "Address '%s' not found.", ip)
		}
	}
	var all []m
	for _, a := range found {
		if len(ips) > 0 && !slices.Contains(ips, addr(a.ip)) {
			continue
		}
		entry := m{
			"AllocationId": a.id, "PublicIp": addr(a.ip), "Domain": "vpc", "PublicIpv4Pool": "amazon", "NetworkBorderGroup": k.r.name,
			"Tags": tagSet(a.tags), "AssociationId": orNil(a.association),
		}
		if in := a.instance; in != nil {
			entry["InstanceId"], entry["PrivateIpAddress"] = in.id, addr(in.private)
			if in.nic != nil {
				entry["NetworkInterfaceId"], entry["NetworkInterfaceOwnerId"] = in.nic.id, Account
			}
		}
		all = append(all, entry)
	}
	return m{"Addresses": all}, nil
}

func associateAddress(k *call) (m, error) {
	id, instanceID, nicID, again := k.p.str("AllocationId"), k.p.str("InstanceId"), k.p.str("NetworkInterfaceId"), k.p.flag("AllowReassociation", true)
	if err := k.check(); err != nil {
		return nil, err
	}
	if id == "" || instanceID == "" && nicID == "" {
		return nil, fault("MissingParameter", "The request must contain the parameter AllocationId, and InstanceId or NetworkInterfaceId")
	}
	a, err := k.theAddress(id)
	if err != nil {
		return nil, err
	}
	in, err := k.wearer(instanceID, nicID)
	if err != nil {
		return nil, err
	}
	if a.instance != nil && a.instance != in && !again {
		return nil, fault("Resource.AlreadyAssociated", "resource %s is already associated with associate-id %s", a.id, a.association)
	}
	if a.instance == in {
		return m{"AssociationId": a.association}, nil
	}
	if a.instance != nil {
		k.takeOff(a)
	}
	if other := k.r.elastic(in); other != nil {
		other.instance, other.association = nil, ""
		in.public = netip.Addr{}
	}
	k.c.unpublish(k.r, in)
	a.instance, a.association, in.public = in, "eipassoc-"+random(9)[:17], a.ip
	k.publish(in)
	return m{"AssociationId": a.association}, nil
}

// wearer returns the instance that an address is for.
func (k *call) wearer(instanceID, nicID string) (*instance, error) {
	if nicID != "" {
		found, err := byIDs(k, k.r.nics, []string{nicID}, nicListing())
		if err != nil {
			return nil, err
		}
		if found[0].instance == nil {
			return nil, fault("NotSimulated", "the simulator does not associate addresses with detached network interfaces")
		}
		instanceID = found[0].instance.id
	}
	in, err := k.theInstance(instanceID)
	if err != nil {
		return nil, err
	}
	if in.state == pending || in.ended() {
		return nil, fault("IncorrectInstanceState", "The %s instance '%s' is not in a valid state for this operation.", in.state, in.id)
	}
	return in, nil
}

// publish tells a host its public address, unless its end is near.
func (k *call) publish(in *instance) {
	if in.ended() {
		return
	}
	public := in.public
	k.host(in, false, func(ctx context.Context) error { return k.c.config.Hosts.SetPublic(ctx, in.id, public) })
}

// takeOff takes an elastic address from its instance, which gets another one if
// it is to have one.
func (k *call) takeOff(a *address) {
	in := a.instance
	a.instance, a.association = nil, ""
	in.public = netip.Addr{}
	if in.wantPublic && in.state == running {
		in.public, _ = k.c.public.take(k.c.public.prefix)
	}
	k.publish(in)
}

func disassociateAddress(k *call) (m, error) {
	id := k.p.str("AssociationId")
	if err := k.check(); err != nil {
		return nil, err
	}
	if id == "" {
		return nil, fault("MissingParameter", "The request must contain the parameter AssociationId")
	}
	for _, a := range k.r.addresses {
		if a.association == id {
			k.takeOff(a)
			return nil, nil
		}
	}
	return nil, fault("InvalidAssociationID.NotFound", "The association ID '%s' does not exist", id)
}

func releaseAddress(k *call) (m, error) {
	id := k.p.str("AllocationId")
	if err := k.check(); err != nil {
		return nil, err
	}
	if id == "" {
		return nil, fault("MissingParameter", "The request must contain the parameter AllocationId")
	}
	a, err := k.theAddress(id)
	if err != nil {
		return nil, err
	}
	return nil, k.c.removeAddress(k.r, a)
}

func (c *Cloud) removeAddress(r *region, a *address) error {
	if a.instance != nil {
		return fault("InvalidIPAddress.InUse", "Address %s is in use.", a.ip)
	}
	r.addresses = without(r.addresses, a)
	c.public.give(a.ip)
	return nil
}
