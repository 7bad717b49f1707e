package ec2sim

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
)

// zoneID is a zone's name that is the same for all accounts.
func (r *region) zoneID(zone string) string {
	parts := strings.Split(r.name, "-")
	short := parts[0] + parts[1][:1] + parts[2]
	return fmt.Sprintf("%s-az%d", short, slices.Index(r.zones, zone)+1)
}

// choose keeps what passes filters that are no entity's.
func choose[T any](k *call, all []T, values func(T, string) ([]string, bool)) ([]T, error) {
	var found []T
	filters, err := k.filters()
	if err != nil {
		return nil, err
	}
	for _, t := range all {
		keep := true
		for _, f := range filters {
			have, ok := values(t, f.name)
			if !ok {
				return nil, notSimulatedFilter(f)
			}
			keep = keep && slices.ContainsFunc(have, func(v string) bool {
				return slices.ContainsFunc(f.any, func(pattern string) bool { return wildcard(pattern, v) })
			})
		}
		if keep {
			found = append(found, t)
		}
	}
	return found, nil
}

func endpoint(region string) string { return "ec2." + region + ".amazonaws.com" }

func describeRegions(k *call) (m, error) {
	names := k.p.strs("RegionNames")
	k.p.flag("AllRegions", false) // none is switched off
	all, err := choose(k, k.c.names, func(name, filter string) ([]string, bool) {
		switch filter {
		case "region-name":
			return []string{name}, true
		case "endpoint":
			return []string{endpoint(name)}, true
		case "opt-in-status":
			return []string{"opt-in-not-required"}, true
		}
		return nil, false
	})
	if err != nil {
		return nil, err
	}
	if err := k.check(); err != nil {
		return nil, err
	}
	for _, n := range names {
		if !slices.Contains(k.c.names, n) {
			return nil, fault("InvalidParameterValue", "Invalid region: '%s'", n)
		}
	}
	var found []m
	for _, n := range all {
		if len(names) == 0 || slices.Contains(names, n) {
			found = append(found, m{"RegionName": n, "Endpoint": endpoint(n), "OptInStatus": "opt-in-not-required"})
		}
	}
	return m{"Regions": found}, nil
}

func describeZones(k *call) (m, error) {
	names, ids := k.p.strs("ZoneNames"), k.p.strs("ZoneIds")
	k.p.flag("AllAvailabilityZones", false) // none is switched off
	zones, err := choose(k, k.r.zones, func(zone, filter string) ([]string, bool) {
		switch filter {
		case "zone-name":
			return []string{zone}, true
		case "zone-id":
			return []string{k.r.zoneID(zone)}, true
		case "region-name":
			return []string{k.r.name}, true
		case "state":
			return []string{"available"}, true
		case "zone-type":
			return []string{"availability-zone"}, true
		case "opt-in-status":
			return []string{"opt-in-not-required"}, true
		case "group-name":
			return []string{k.r.name}, true
		}
		return nil, false
	})
	if err != nil {
		return nil, err
	}
	if err := k.check(); err != nil {
		return nil, err
	}
	for _, n := range names {
		if !slices.Contains(k.r.zones, n) {
			return nil, fault("InvalidParameterValue", "Invalid availability zone: [%s]", n)
		}
	}
	var found []m
	for _, z := range zones {
		if len(names) > 0 && !slices.Contains(names, z) || len(ids) > 0 && !slices.Contains(ids, k.r.zoneID(z)) {
			continue
		}
		found = append(found, m{
			"ZoneName": z, "ZoneId": k.r.zoneID(z), "RegionName": k.r.name, "State": "available", "ZoneType": "availability-zone",
			"OptInStatus": "opt-in-not-required", "GroupName": k.r.name, "NetworkBorderGroup": k.r.name,
		})
	}
	return m{"AvailabilityZones": found}, nil
}

func describeVpcs(k *call) (m, error) {
	all, next, err := describe(k, []*vpc{k.r.vpc}, listing{"VpcIds", "vpc", "vpc ID", "InvalidVpcID", "1000", 5})
	if err != nil {
		return nil, err
	}
	var found []m
	for _, v := range all {
		entry := m{
			"VpcId": v.id, "CidrBlock": v.cidr.String(), "IsDefault": v.isDefault, "State": "available", "OwnerId": Account,
			"InstanceTenancy": "default", "Tags": tagSet(v.tags),
			"CidrBlockAssociationSet": []m{{
				"AssociationId": "vpc-cidr-assoc-" + v.id[4:], "CidrBlock": v.cidr.String(), "CidrBlockState": m{"State": "associated"},
			}},
		}
		if v.cidr6.IsValid() {
			entry["Ipv6CidrBlockAssociationSet"] = []m{{
				"AssociationId": "vpc-cidr-assoc-6" + v.id[5:], "Ipv6CidrBlock": v.cidr6.String(), "Ipv6CidrBlockState": m{"State": "associated"},
			}}
		}
		found = append(found, entry)
	}
	return m{"Vpcs": found, "NextToken": next}, nil
}

func describeSubnets(k *call) (m, error) {
	all, next, err := describe(k, k.r.subnets, listing{"SubnetIds", "subnet", "subnet ID", "InvalidSubnetID", "1000", 5})
	if err != nil {
		return nil, err
	}
	var found []m
	for _, s := range all {
		entry := m{
			"SubnetId": s.id, "VpcId": s.vpc.id, "AvailabilityZone": s.zone, "AvailabilityZoneId": k.r.zoneID(s.zone),
			"CidrBlock": s.cidr.String(), "DefaultForAz": s.isDefault, "MapPublicIpOnLaunch": s.isDefault, "State": "available",
			"AvailableIpAddressCount": k.r.free(s), "OwnerId": Account, "AssignIpv6AddressOnCreation": false, "Tags": tagSet(s.tags),
			"SubnetArn": fmt.Sprintf("arn:aws:ec2:%s:%s:subnet/%s", k.r.name, Account, s.id),
		}
		if s.cidr6.IsValid() {
			entry["Ipv6CidrBlockAssociationSet"] = []m{{
				"AssociationId": "subnet-cidr-assoc-" + s.id[7:], "Ipv6CidrBlock": s.cidr6.String(), "Ipv6CidrBlockState": m{"State": "associated"},
			}}
		}
		found = append(found, entry)
	}
	return m{"Subnets": found, "NextToken": next}, nil
}

// free counts the addresses of a subnet that are left, as AWS does: it keeps five.
func (r *region) free(s *subnet) int {
	n := 1<<(32-s.cidr.Bits()) - 5
	for _, c := range r.nics {
		if c.subnet == s {
			n--
		}
	}
	return n
}

// link is a route table or an internet gateway.
type link struct {
	thing
	vpc *vpc
}

func (l *link) values(k *call, filter string) ([]string, bool) {
	switch filter {
	case "vpc-id", "attachment.vpc-id":
		return []string{l.vpc.id}, true
	case "route-table-id", "internet-gateway-id":
		return []string{l.id}, true
	case "association.main":
		return []string{"true"}, true
	case "association.subnet-id":
		return nil, true // subnets use the main table without being associated with it
	case "attachment.state":
		return []string{"available"}, true
	case "route.gateway-id":
		return []string{"local", k.r.gateway.id}, true
	case "route.destination-cidr-block":
		return []string{l.vpc.cidr.String(), "0.0.0.0/0"}, true
	case "owner-id":
		return []string{Account}, true
	}
	return nil, false
}

func describeRouteTables(k *call) (m, error) {
	tables := []*link{{k.r.routes, k.r.vpc}}
	all, next, err := describe(k, tables, listing{"RouteTableIds", "rtb", "routeTable ID", "InvalidRouteTableID", "100", 5})
	if err != nil {
		return nil, err
	}
	var found []m
	for _, t := range all {
		routes := []m{
			{"DestinationCidrBlock": t.vpc.cidr.String(), "GatewayId": "local", "State": "active", "Origin": "CreateRouteTable"},
			{"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": k.r.gateway.id, "State": "active", "Origin": "CreateRoute"},
		}
		if t.vpc.cidr6.IsValid() {
			routes = append(routes,
				m{"DestinationIpv6CidrBlock": t.vpc.cidr6.String(), "GatewayId": "local", "State": "active", "Origin": "CreateRouteTable"},
				m{"DestinationIpv6CidrBlock": "::/0", "GatewayId": k.r.gateway.id, "State": "active", "Origin": "CreateRoute"})
		}
		found = append(found, m{
			"RouteTableId": t.id, "VpcId": t.vpc.id, "OwnerId": Account, "Routes": routes, "Tags": tagSet(t.tags),
			"Associations": []m{{
				"Main": true, "RouteTableId": t.id, "RouteTableAssociationId": "rtbassoc-" + t.id[4:],
				"AssociationState": m{"State": "associated"},
			}},
		})
	}
	return m{"RouteTables": found, "NextToken": next}, nil
}

func describeGateways(k *call) (m, error) {
	gateways := []*link{{k.r.gateway, k.r.vpc}}
	all, next, err := describe(k, gateways, listing{"InternetGatewayIds", "igw", "internetGateway ID", "InvalidInternetGatewayID", "1000", 5})
	if err != nil {
		return nil, err
	}
	var found []m
	for _, g := range all {
		found = append(found, m{
			"InternetGatewayId": g.id, "OwnerId": Account, "Tags": tagSet(g.tags),
			"Attachments": []m{{"VpcId": g.vpc.id, "State": "available"}},
		})
	}
	return m{"InternetGateways": found, "NextToken": next}, nil
}

// stable is a number that belongs to a text.
func stable(text string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(text))
	return h.Sum64()
}
