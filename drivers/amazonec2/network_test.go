package amazonec2

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hostsmith/machine/drivers"
)

func TestChoose(t *testing.T) {
	t.Parallel()
	subnet := func(id, zone string, free int32, public bool) types.Subnet {
		return types.Subnet{SubnetId: aws.String(id), AvailabilityZone: aws.String(zone), VpcId: aws.String("vpc-1"),
			AvailableIpAddressCount: aws.Int32(free), MapPublicIpOnLaunch: aws.Bool(public)}
	}
	all := []types.Subnet{
		subnet("c", "us-west-2c", 9, true), subnet("local", "us-west-2-lax-1a", 9, true), subnet("full", "us-west-2a", 0, true),
		subnet("inner", "us-west-2a", 9, false), subnet("b", "us-west-2b", 9, true),
	}
	v6 := subnet("v6", "us-west-2d", 9, true)
	v6.Ipv6CidrBlockAssociationSet = []types.SubnetIpv6CidrBlockAssociation{{}}
	for name, c := range map[string]struct {
		config Config
		want   string
	}{
		"any":         {Config{}, "b c v6 inner local"},
		"private":     {Config{PrivateOnly: true}, "inner b c v6 local"},
		"letter":      {Config{Zones: []string{"c"}}, "c"},
		"zones":       {Config{Zones: []string{"us-west-2c,b"}}, "c b"},
		"subnets":     {Config{Subnets: []string{"local", "inner", "c", "b", "v6", "full"}}, "local inner c b v6"},
		"IPv6":        {Config{IPv6: true}, "v6"},
		"other VPC":   {Config{VPC: "vpc-2"}, ""},
		"no such one": {Config{Zones: []string{"z"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sites, err := choose(append(slices.Clone(all), v6), c.config, "us-west-2")
			var ids []string
			for _, s := range sites {
				ids = append(ids, s.subnet)
			}
			if got := strings.Join(ids, " "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if c.want == "" && !errors.Is(err, drivers.ErrOption) {
				t.Errorf("got %v, want ErrOption", err)
			}
		})
	}
}
