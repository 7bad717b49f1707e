package azuresim

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// linked returns what a reference names, after checking that the caller may use it.
func linked[T model](c *Cloud, k *call, by *header, id, linkedAction string) (m T, err *armError) {
	m, rec, found := lookup[T](c, id)
	if !found {
		return m, invalidReference(id, by.ID)
	}
	if err := k.mayLink(by.Type+"/write", by.ID, rec.kind.typ+"/"+linkedAction+"/action", id); linkedAction != "" && err != nil {
		return m, err
	}
	switch {
	case !strings.EqualFold(m.head().Location, by.Location):
		return m, refuse(400, "InvalidResourceReference", "Resource %s referenced by resource %s was not found. Please make sure that the referenced resource exists, and that both resources are in the same region.", id, by.ID)
	case rec.busy != nil:
		return m, retryable("ReferencedResourceNotProvisioned", "Cannot proceed with operation because resource %s used by resource %s is not in Succeeded state. Resource is in %s state and the last operation that updated/is updating the resource is %sOperation.", id, by.ID, *m.state(), rec.busy.verb)
	}
	return m, nil
}

func (c *Cloud) checkNetwork(k *call, m model, old *record) *armError {
	n := m.(*virtualNetwork)
	if n.Properties == nil || n.Properties.AddressSpace == nil || len(n.Properties.AddressSpace.AddressPrefixes) == 0 {
		return refuse(400, "InvalidRequestFormat", "Cannot parse the request: AddressSpace of virtual network %s is missing.", n.ID)
	}
	if len(n.Zones) > 0 || n.Properties.EnableDdosProtection {
		return notSimulated("zones or DDoS protection of virtual networks")
	}
	var spaces []netip.Prefix
	for _, text := range n.Properties.AddressSpace.AddressPrefixes {
		p, err := netip.ParsePrefix(text)
		if err != nil || p != p.Masked() || p.Addr().Is6() && p.Bits() > 64 {
			return refuse(400, "InvalidCIDRNotation", "The address prefix %s in resource %s has an invalid CIDR notation.", text, n.ID)
		}
		spaces = append(spaces, p)
	}
	if !slices.ContainsFunc(spaces, func(p netip.Prefix) bool { return p.Addr().Is4() }) {
		return refuse(400, "InvalidAddressSpace", "Virtual network %s must have an IPv4 address prefix: virtual networks of IPv6 alone are not supported.", n.ID)
	}
	seen := []netip.Prefix{}
	for _, s := range n.Properties.Subnets {
		ranges, err := c.checkSubnet(k, n, s, spaces)
		if err != nil {
			return err
		}
		for _, p := range ranges {
			if slices.ContainsFunc(seen, p.Overlaps) {
				return refuse(400, "NetcfgSubnetRangesOverlap", "Subnet '%s' is not valid because its IP address range overlaps with that of an existing subnet in virtual network '%s'.", s.Name, n.Name)
			}
		}
		seen = append(seen, ranges...)
	}
	if n.Properties.ResourceGUID = newID(); old != nil {
		was := old.model.(*virtualNetwork)
		n.Properties.ResourceGUID = was.Properties.ResourceGUID
		return c.keptSubnets(was, n)
	}
	return nil
}

// keptSubnets refuses to lose a subnet that is used, or its range of IPv6.
func (c *Cloud) keptSubnets(was, now *virtualNetwork) *armError {
	for _, s := range was.Properties.Subnets {
		kept := now.subnet(s.Name)
		if kept == nil {
			if err := c.freeSubnet(s); err != nil {
				return err
			}
			continue
		}
		for _, ip := range c.ipConfigurationsIn(s.ID) {
			if ip.Properties.PrivateIPAddressVersion == v6 && kept.prefix(v6) != s.prefix(v6) {
				return refuse(400, "InUsePrefixCannotBeDeleted", "IpPrefix %s on Subnet %s has active allocations and cannot be deleted.", s.prefix(v6), s.Name)
			}
		}
	}
	return nil
}

func (n *virtualNetwork) subnet(name string) *subnet {
	for _, s := range n.Properties.Subnets {
		if strings.EqualFold(s.Name, name) {
			return s
		}
	}
	return nil
}

func (c *Cloud) checkSubnet(k *call, n *virtualNetwork, s *subnet, spaces []netip.Prefix) ([]netip.Prefix, *armError) {
	if !networkName.MatchString(s.Name) {
		return nil, refuse(400, "InvalidResourceName", "Resource name %s is invalid.", s.Name)
	}
	s.ID, s.Type = n.ID+"/subnets/"+s.Name, "Microsoft.Network/virtualNetworks/subnets"
	if s.Properties == nil {
		return nil, refuse(400, "InvalidRequestFormat", "Cannot parse the request: Properties of subnet %s are missing.", s.ID)
	}
	s.Properties.IPConfigurations = nil // nobody but Azure says who is in it
	ranges, err := s.ranges()
	if err != nil {
		return nil, err
	}
	for _, p := range ranges {
		inside := func(space netip.Prefix) bool { return space.Bits() <= p.Bits() && space.Contains(p.Addr()) }
		if !slices.ContainsFunc(spaces, inside) {
			return nil, refuse(400, "NetcfgInvalidSubnet", "Subnet '%s' is not valid because its IP address range is outside the IP address range of virtual network '%s'.", s.Name, n.Name)
		}
	}
	if g := s.Properties.NetworkSecurityGroup; g != nil {
		if _, err := linked[*securityGroup](c, k, &n.header, g.ID, "join"); err != nil {
			return nil, err
		}
	}
	s.Etag, s.Properties.ProvisioningState = `W/"`+newID()+`"`, "Succeeded"
	return ranges, nil
}

// subnetCall answers a call to a subnet, or to all of a network.
func (c *Cloud) subnetCall(k *call) (*reply, *armError) {
	parent := k.groupID() + "/providers/Microsoft.Network/virtualNetworks/" + k.names[0]
	n, rec, found := lookup[*virtualNetwork](c, parent)
	if !found {
		return nil, parentNotFound(k, "Microsoft.Network/virtualNetworks/"+k.names[0])
	}
	shown := c.show(rec).(*virtualNetwork)
	if !k.whole() {
		return list(shown.Properties.Subnets)
	}
	old := n.subnet(k.name())
	switch {
	case k.r.Method == http.MethodGet && old == nil:
		return nil, refuse(404, "NotFound", "Resource %s not found.", parent+"/subnets/"+k.name())
	case k.r.Method == http.MethodGet:
		return ok(shown.subnet(k.name()))
	case k.r.Method == http.MethodPut:
		return c.putSubnet(k, rec, n)
	case k.r.Method == http.MethodDelete && old == nil:
		return &reply{status: http.StatusNoContent}, nil
	case k.r.Method == http.MethodDelete:
		return c.removeSubnet(k, rec, old)
	}
	return nil, notSimulated("%s %s", k.r.Method, k.r.URL.Path)
}

func (c *Cloud) putSubnet(k *call, rec *record, n *virtualNetwork) (*reply, *armError) {
	if rec.busy != nil {
		return nil, updating(rec)
	}
	s := &subnet{}
	if err := decode(k.body, vocabularyOf("subnet"), s); err != nil {
		return nil, err
	}
	if s.Name == "" {
		s.Name = k.name()
	}
	if match := k.r.Header.Get("If-Match"); match != "" && (n.subnet(s.Name) == nil || n.subnet(s.Name).Etag != match) {
		return nil, etagMismatch()
	}
	next := copyOf(n)
	status := http.StatusCreated
	if i := slices.IndexFunc(next.Properties.Subnets, func(o *subnet) bool { return strings.EqualFold(o.Name, s.Name) }); i >= 0 {
		status, next.Properties.Subnets[i] = http.StatusOK, s
	} else {
		next.Properties.Subnets = append(next.Properties.Subnets, s)
	}
	if err := c.checkNetwork(k, next, rec); err != nil {
		return nil, err
	}
	next.Etag = `W/"` + newID() + `"`
	rec.model, *next.state() = next, "Updating"
	s.Properties.ProvisioningState = "Updating"
	op := c.begin(k, rec, "PutSubnet", nil, func(err *armError) {
		s.Properties.ProvisioningState = "Succeeded"
		c.settle(rec)(err)
	})
	return &reply{status, copyOf(s), c.accepted(k, op, false)}, nil
}

func (c *Cloud) removeSubnet(k *call, rec *record, s *subnet) (*reply, *armError) {
	if rec.busy != nil {
		return nil, updating(rec)
	}
	if err := c.freeSubnet(s); err != nil {
		return nil, err
	}
	*rec.state() = "Updating"
	op := c.begin(k, rec, "DeleteSubnet", nil, func(err *armError) {
		n := rec.model.(*virtualNetwork)
		n.Properties.Subnets = slices.DeleteFunc(n.Properties.Subnets, func(o *subnet) bool { return o.Name == s.Name })
		c.settle(rec)(err)
	})
	return &reply{http.StatusAccepted, nil, c.accepted(k, op, true)}, nil
}

// updating refuses a change of a part while its whole is changed.
func updating(rec *record) *armError {
	return retryable("RetryableErrorDueToAnotherOperation", "Operation %sOperation (%s) is updating resource %s. The call can be retried in 1 seconds.", rec.busy.verb, rec.busy.id, rec.head().ID)
}

// retryable refuses what may be tried again soon, for a reason.
func retryable(code, format string, args ...any) *armError {
	e := refuse(http.StatusTooManyRequests, "RetryableError", "A retryable error occurred.")
	e.Details = []*armError{refuse(0, code, format, args...)}
	e.header = http.Header{"Retry-After": {"1"}}
	return e
}

func parentNotFound(k *call, parent string) *armError {
	verb := map[string]string{http.MethodPut: "write", http.MethodDelete: "delete", http.MethodGet: "read"}[k.r.Method]
	return refuse(404, "ParentResourceNotFound", "Failed to perform '%s' on resource(s) of type '%s', because the parent resource '%s' could not be found.",
		verb, lower(strings.TrimPrefix(k.typ(), k.provider+"/")), k.groupID()+"/providers/"+parent)
}

// viewNetwork tells who is in each subnet.
func (c *Cloud) viewNetwork(m model) {
	for _, s := range m.(*virtualNetwork).Properties.Subnets {
		for _, ip := range c.ipConfigurationsIn(s.ID) {
			s.Properties.IPConfigurations = append(s.Properties.IPConfigurations, ref{ip.ID})
		}
	}
}

// ipConfigurationsIn returns those in a subnet.
func (c *Cloud) ipConfigurationsIn(subnet string) (found []*ipConfiguration) {
	for _, nic := range all[*networkInterface](c) {
		for _, ip := range nic.Properties.IPConfigurations {
			if strings.EqualFold(ip.Properties.Subnet.ID, subnet) {
				found = append(found, ip)
			}
		}
	}
	return found
}

func (c *Cloud) freeSubnet(s *subnet) *armError {
	users := c.ipConfigurationsIn(s.ID)
	if len(users) == 0 {
		return nil
	}
	return refuse(400, "InUseSubnetCannotBeDeleted", "Subnet %s is in use by %s and cannot be deleted. In order to delete the subnet, delete all the resources within the subnet. See aka.ms/deletesubnet.", s.Name, users[0].ID)
}

func (c *Cloud) freeNetwork(rec *record) *armError {
	for _, s := range rec.model.(*virtualNetwork).Properties.Subnets {
		if err := c.freeSubnet(s); err != nil {
			return err
		}
	}
	return nil
}
