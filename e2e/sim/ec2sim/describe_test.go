package ec2sim_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hostsmith/machine/e2e/sim/ec2sim"
)

func TestFiltersOfInstances(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	group := s.group("g")
	s.good(s.ImportKeyPair(t.Context(), &ec2.ImportKeyPairInput{KeyName: aws.String("k"), PublicKeyMaterial: []byte(pubKey)}))
	id := s.run(spotted(types.SpotMarketOptions{}), in(zone), func(in *ec2.RunInstancesInput) {
		in.KeyName, in.SecurityGroupIds, in.ClientToken = aws.String("k"), []string{*group}, aws.String("t")
		in.TagSpecifications = []types.TagSpecification{spec("instance", "Name", "a*b")}
	})
	s.run(in("us-east-1b"), ofType("t3.small"))
	got := s.instance(id)
	for name, value := range map[string]string{
		"instance-id": id, "instance.group-id": *group, "instance.group-name": "g", "key-name": "k", "client-token": "t", "tag:Name": `a\*b`, "tag-key": "N?me",
		"availability-zone": zone, "subnet-id": *got.SubnetId, "private-ip-address": *got.PrivateIpAddress, "ip-address": *got.PublicIpAddress,
		"instance-type": "t3.m*", "instance-lifecycle": "spot", "spot-instance-request-id": *got.SpotInstanceRequestId,
		"network-interface.network-interface-id": *got.NetworkInterfaces[0].NetworkInterfaceId, "private-dns-name": *got.PrivateDnsName,
	} {
		out, err := s.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{Filters: filter(name, "x", value)})
		s.good(out, err)
		if len(out.Reservations) != 1 || *out.Reservations[0].Instances[0].InstanceId != id {
			t.Errorf("%s=%s finds %d", name, value, len(out.Reservations))
		}
	}
	for name, n := range map[string]int{"instance-state-name": 2, "vpc-id": 0, "tag:name": 0} {
		out, err := s.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{Filters: filter(name, "pending")})
		s.good(out, err)
		if len(out.Reservations) != n {
			t.Errorf("%s=pending finds %d", name, len(out.Reservations))
		}
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := s.run()
	status := func(all bool) []types.InstanceStatus {
		t.Helper()
		out, err := s.DescribeInstanceStatus(t.Context(), &ec2.DescribeInstanceStatusInput{IncludeAllInstances: &all})
		s.good(out, err)
		return out.InstanceStatuses
	}
	if n := len(status(false)); n != 0 || len(status(true)) != 1 {
		t.Errorf("%d of pending instances", n)
	}
	s.clock.forward(step)
	if got := status(false); len(got) != 1 || got[0].InstanceStatus.Status != "ok" {
		t.Errorf("the status is %+v", got)
	}
	s.good(s.RebootInstances(t.Context(), &ec2.RebootInstancesInput{InstanceIds: []string{id}}))
	s.wants(id, "running")
}

func TestTags(t *testing.T) {
	t.Parallel()
	s, ctx := newSite(t), t.Context()
	group := []string{*s.group("g")}
	set := func(n int) error {
		in := &ec2.CreateTagsInput{Resources: group}
		for i := range n {
			in.Tags = append(in.Tags, types.Tag{Key: aws.String(fmt.Sprint(i)), Value: aws.String("x")})
		}
		_, err := s.CreateTags(ctx, in)
		return err
	}
	s.good(nil, set(50))
	wantCode(t, set(51), "TagLimitExceeded")
	s.good(s.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: group, Tags: []types.Tag{{Key: aws.String("1")}, {Key: aws.String("2"), Value: aws.String("y")}}}))
	out, err := s.DescribeTags(ctx, &ec2.DescribeTagsInput{Filters: filter("resource-id", group[0])})
	s.good(out, err)
	keys := []string{}
	for _, tag := range out.Tags {
		keys = append(keys, *tag.Key)
	}
	if len(keys) != 49 || slices.Contains(keys, "1") || !slices.Contains(keys, "2") {
		t.Errorf("the tags are %v", keys)
	}
	_, err = s.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{s.image}, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}})
	wantCode(t, err, "InvalidAMIID.NotFound")
}

func TestNetworkInterfacesThatStay(t *testing.T) {
	t.Parallel()
	s, ctx := newSite(t), t.Context()
	id := s.run(func(in *ec2.RunInstancesInput) {
		in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{DeviceIndex: aws.Int32(0), DeleteOnTermination: aws.Bool(false)}}
	})
	find := func() types.NetworkInterface {
		t.Helper()
		out, err := s.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{})
		s.good(out, err)
		return out.NetworkInterfaces[0]
	}
	remove := func() error {
		_, err := s.DeleteNetworkInterface(ctx, &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: find().NetworkInterfaceId})
		return err
	}
	if n := find(); n.Status != "in-use" || *n.Attachment.InstanceId != id {
		t.Errorf("it is %+v", n)
	}
	wantCode(t, remove(), "InvalidParameterValue")
	s.good(s.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}}))
	s.clock.forward(step)
	find() // lets time pass
	s.clock.forward(step)
	if n := find(); n.Status != "available" {
		t.Errorf("it is %s", n.Status)
	}
	s.good(nil, remove())
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	s, ctx := newSite(t), t.Context()
	regions, err := s.DescribeRegions(ctx, &ec2.DescribeRegionsInput{})
	s.good(regions, err)
	if len(regions.Regions) != len(ec2sim.RegionNames()) {
		t.Errorf("regions: %+v", regions.Regions)
	}
	zones, err := s.DescribeAvailabilityZones(ctx, &ec2.DescribeAvailabilityZonesInput{Filters: filter("state", "available")})
	s.good(zones, err)
	vpcs, err := s.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: filter("is-default", "true")})
	s.good(vpcs, err)
	subnets, err := s.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{Filters: filter("default-for-az", "true")})
	s.good(subnets, err)
	if len(zones.AvailabilityZones) != 3 || len(vpcs.Vpcs) != 1 || len(subnets.Subnets) != 3 || *subnets.Subnets[0].VpcId != *vpcs.Vpcs[0].VpcId {
		t.Errorf("zones %+v, VPCs %+v, subnets %+v", zones.AvailabilityZones, vpcs.Vpcs, subnets.Subnets)
	}
	tables, err := s.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{Filters: append(filter("vpc-id", *vpcs.Vpcs[0].VpcId), filter("association.main", "true")...)})
	s.good(tables, err)
	gateways, err := s.DescribeInternetGateways(ctx, &ec2.DescribeInternetGatewaysInput{Filters: filter("attachment.vpc-id", *vpcs.Vpcs[0].VpcId)})
	s.good(gateways, err)
	if *tables.RouteTables[0].Routes[1].GatewayId != *gateways.InternetGateways[0].InternetGatewayId {
		t.Errorf("tables %+v", tables.RouteTables)
	}
}

func TestGroupsByName(t *testing.T) {
	t.Parallel()
	s, ctx := newSite(t), t.Context()
	id := s.group("g")
	_, err := s.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{
		GroupName: aws.String("g"), IpProtocol: aws.String("tcp"), FromPort: aws.Int32(22), ToPort: aws.Int32(22), CidrIp: aws.String("0.0.0.0/0"),
	})
	s.good(nil, err)
	got := s.instance(s.run(func(in *ec2.RunInstancesInput) { in.SecurityGroups = []string{"g"} }))
	if *got.SecurityGroups[0].GroupId != *id {
		t.Errorf("it has %+v", got.SecurityGroups)
	}
	out, err := s.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{Filters: append(filter("group-name", "g"), filter("ip-permission.cidr", "0.0.0.0/0")...)})
	s.good(out, err)
	if len(out.SecurityGroups) != 1 {
		t.Errorf("found %+v", out.SecurityGroups)
	}
	_, err = s.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupNames: []string{"other"}})
	wantCode(t, err, "InvalidGroup.NotFound")
}

// TestPagesUnasked has pages be looked through one entry at a time, so that some are empty.
func TestPagesUnasked(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *ec2sim.Config) { c.Page = 1 })
	in := &ec2.DescribeSubnetsInput{Filters: filter("availability-zone", "us-east-1b")}
	pages, found := 0, 0
	for {
		out, err := s.DescribeSubnets(t.Context(), in)
		s.good(out, err)
		pages++
		found += len(out.Subnets)
		if in.NextToken = out.NextToken; in.NextToken == nil {
			break
		}
	}
	if pages != 3 || found != 1 {
		t.Errorf("%d subnets on %d pages", found, pages)
	}
	in.NextToken, in.MaxResults = nil, aws.Int32(5)
	if out, err := s.DescribeSubnets(t.Context(), in); err != nil || len(out.Subnets) != 1 || out.NextToken != nil {
		t.Errorf("a page of five: %+v (%v)", out, err)
	}
}
