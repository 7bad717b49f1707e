package amazonec2

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hostsmith/machine/drivers"
)

// site is where an instance can be.
type site struct {
	subnet, zone, vpc string
	onlyIPv6          bool
}

// sites returns where the instance can be, the best first.
func (a *account) sites(ctx context.Context, c Config) ([]site, error) {
	all, err := a.subnets.Get(ctx, fmt.Sprintf("%q %q", c.VPC, split(c.Subnets)), func(ctx context.Context) ([]types.Subnet, error) {
		switch {
		case len(split(c.Subnets)) > 0:
			return a.askSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: split(c.Subnets)})
		case c.VPC != "":
			return a.askSubnets(ctx, &ec2.DescribeSubnetsInput{Filters: []types.Filter{filter("vpc-id", c.VPC)}})
		}
		return a.defaultSubnets(ctx)
	})
	if err != nil {
		return nil, fmt.Errorf("find subnet: %w", err)
	}
	if len(all) == 0 {
		return nil, a.noSubnet(c)
	}
	return choose(all, c, a.region)
}

// defaultSubnets returns the default subnets, or else all of the default VPC.
func (a *account) defaultSubnets(ctx context.Context) ([]types.Subnet, error) {
	all, err := a.askSubnets(ctx, &ec2.DescribeSubnetsInput{Filters: []types.Filter{filter("default-for-az", "true")}})
	if len(all) > 0 || err != nil && !unfiltered(err) {
		return all, err
	}
	out, err := do(ctx, a.describeVpcs, &ec2.DescribeVpcsInput{Filters: []types.Filter{filter("is-default", "true")}})
	if dispensable(err) {
		return nil, nil
	}
	if err != nil || len(out.Vpcs) == 0 {
		return nil, err
	}
	id := aws.ToString(out.Vpcs[0].VpcId)
	all, err = a.askSubnets(ctx, &ec2.DescribeSubnetsInput{Filters: []types.Filter{filter("vpc-id", id)}})
	if err == nil && len(all) == 0 {
		err = a.noSubnet(Config{VPC: id})
	}
	return all, err
}

func (a *account) askSubnets(ctx context.Context, in *ec2.DescribeSubnetsInput) ([]types.Subnet, error) {
	var all []types.Subnet
	for {
		out, err := do(ctx, a.describeSubnets, in)
		if err != nil {
			return nil, err
		}
		all = append(all, out.Subnets...)
		if aws.ToString(out.NextToken) == "" {
			return all, nil
		}
		in.NextToken = out.NextToken
	}
}

// noSubnet says what is missing.
func (a *account) noSubnet(c Config) error {
	if c.VPC != "" {
		return &drivers.HintError{
			Err:    fmt.Errorf("VPC %s has no subnet in %s, or does not exist there", c.VPC, a.region),
			Advice: "make one: aws ec2 create-subnet or create-default-subnet, or name another VPC with --" + Name + "-vpc-id",
		}
	}
	return &drivers.HintError{
		Err:    fmt.Errorf("region %s of this account has no default VPC with subnets", a.region),
		Advice: "make it: aws ec2 create-default-vpc --region " + a.region + ", or name a VPC with --" + Name + "-vpc-id or a subnet with --" + Name + "-subnet-id",
	}
}

// choose orders subnets by how good they are for an instance, and leaves out
// those that cannot be used.
func choose(all []types.Subnet, c Config, region string) ([]site, error) {
	zones := wholeZones(split(c.Zones), region)
	named := split(c.Subnets)
	var fit []types.Subnet
	var why []string
	for _, s := range all {
		if len(named) > 0 && !slices.Contains(named, aws.ToString(s.SubnetId)) {
			continue
		}
		if reason := unfit(s, c, zones); reason != "" {
			why = append(why, fmt.Sprintf("%s in %s %s", aws.ToString(s.SubnetId), aws.ToString(s.AvailabilityZone), reason))
			continue
		}
		fit = append(fit, s)
	}
	if len(fit) == 0 {
		return nil, &drivers.HintError{
			Err:    fmt.Errorf("choose a subnet of %s: %w: none can be used: %s", region, drivers.ErrOption, strings.Join(why, "; ")),
			Advice: "choose others with --" + Name + "-zone, --" + Name + "-vpc-id and --" + Name + "-subnet-id",
		}
	}
	rank := func(s types.Subnet) []int {
		return []int{
			slices.Index(named, aws.ToString(s.SubnetId)),
			slices.Index(zones, aws.ToString(s.AvailabilityZone)),
			truth(aws.ToBool(s.Ipv6Native)),
			truth(!plainZone(aws.ToString(s.AvailabilityZone), region)),
			truth(!c.PrivateOnly && !aws.ToBool(s.MapPublicIpOnLaunch)),
		}
	}
	slices.SortStableFunc(fit, func(x, y types.Subnet) int {
		return cmp.Or(slices.Compare(rank(x), rank(y)),
			cmp.Compare(aws.ToString(x.AvailabilityZone), aws.ToString(y.AvailabilityZone)),
			cmp.Compare(aws.ToString(x.SubnetId), aws.ToString(y.SubnetId)))
	})
	var sites []site
	for _, s := range fit {
		if len(sites) > 0 && aws.ToString(s.VpcId) != sites[0].vpc { // groups belong to a VPC
			if len(named) == 0 {
				continue
			}
			return nil, &drivers.OptionError{
				Option: Name + "-subnet-id", Err: fmt.Errorf("%s is in VPC %s, and %s in VPC %s", sites[0].subnet, sites[0].vpc, aws.ToString(s.SubnetId), aws.ToString(s.VpcId)),
				Advice: "name subnets of one VPC",
			}
		}
		sites = append(sites, site{subnet: aws.ToString(s.SubnetId), zone: aws.ToString(s.AvailabilityZone), vpc: aws.ToString(s.VpcId), onlyIPv6: aws.ToBool(s.Ipv6Native)})
	}
	return sites, nil
}

// unfit tells why a subnet cannot be used; empty: it can.
func unfit(s types.Subnet, c Config, zones []string) string {
	switch {
	case c.VPC != "" && aws.ToString(s.VpcId) != c.VPC:
		return "is in VPC " + aws.ToString(s.VpcId)
	case len(zones) > 0 && !slices.Contains(zones, aws.ToString(s.AvailabilityZone)):
		return "is in another zone"
	case s.AvailableIpAddressCount != nil && *s.AvailableIpAddressCount == 0 && !aws.ToBool(s.Ipv6Native):
		return "has no free address"
	case c.IPv6 && len(s.Ipv6CidrBlockAssociationSet) == 0:
		return "has no IPv6 range"
	}
	if !aws.ToBool(s.Ipv6Native) {
		return ""
	}
	switch {
	case !c.IPv6:
		return "is for IPv6 only, which goes with --" + Name + "-ipv6"
	case c.ElasticIP != "":
		return "is for IPv6 only, and has no elastic IP"
	case len(split(c.Allow)) == 0 && !c.UsePrivate && !c.PrivateOnly:
		return "is for IPv6 only, which goes with --" + Name + "-allow and an IPv6 range"
	}
	return ""
}

// wholeZones completes zones that are given by their letter.
func wholeZones(zones []string, region string) []string {
	var whole []string
	for _, z := range zones {
		if len(z) == 1 {
			z = region + z
		}
		whole = append(whole, z)
	}
	return whole
}

var zoneLetter = regexp.MustCompile(`^[a-z]$`)

// plainZone tells whether a zone is one of the region itself, and no local zone.
func plainZone(zone, region string) bool {
	return zoneLetter.MatchString(strings.TrimPrefix(zone, region))
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// ranges returns the address ranges of a VPC.
func (a *account) ranges(ctx context.Context, vpc string) ([]netip.Prefix, error) {
	v, err := a.vpcs.Get(ctx, vpc, func(ctx context.Context) (types.Vpc, error) {
		out, err := do(ctx, a.describeVpcs, &ec2.DescribeVpcsInput{VpcIds: []string{vpc}})
		if err != nil {
			return types.Vpc{}, err
		}
		if len(out.Vpcs) == 0 {
			return types.Vpc{}, errMissing
		}
		return out.Vpcs[0], nil
	})
	if err != nil {
		return nil, fmt.Errorf("find VPC %s: %w", vpc, err)
	}
	words := []string{aws.ToString(v.CidrBlock)}
	for _, more := range v.CidrBlockAssociationSet {
		words = append(words, aws.ToString(more.CidrBlock))
	}
	for _, more := range v.Ipv6CidrBlockAssociationSet {
		words = append(words, aws.ToString(more.Ipv6CidrBlock))
	}
	var all []netip.Prefix
	for _, w := range words {
		if p, err := netip.ParsePrefix(w); err == nil && !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("find VPC %s: %w", vpc, errors.New("it has no address range"))
	}
	return all, nil
}
