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
	only := subnet("six", "us-west-2e", 0, true)
	only.Ipv6CidrBlockAssociationSet, only.Ipv6Native = []types.SubnetIpv6CidrBlockAssociation{{}}, aws.Bool(true)
	apart := subnet("apart", "us-west-2f", 9, true)
	apart.VpcId = aws.String("vpc-3")
	for name, c := range map[string]struct {
		config Config
		want   string
	}{
		"two VPCs":    {Config{Subnets: []string{"b", "apart"}}, ""},
		"only IPv6":   {Config{IPv6: true, Allow: []string{"2001:db8::/64"}}, "v6 six"},
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
			sites, err := choose(append(slices.Clone(all), v6, only, apart), c.config, "us-west-2")
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

func TestStatusHost(t *testing.T) {
	t.Parallel()
	four := types.Instance{PrivateIpAddress: aws.String("10.0.0.7"), PublicIpAddress: aws.String("192.0.2.7")}
	both := four
	both.Ipv6Address = aws.String("2001:db8::7")
	six := types.Instance{NetworkInterfaces: []types.InstanceNetworkInterface{{Ipv6Addresses: []types.InstanceIpv6Address{{Ipv6Address: aws.String("2001:db8::7")}}}}}
	for name, c := range map[string]struct {
		config     Config
		instance   types.Instance
		host, peer string
	}{
		"IPv4":               {Config{}, four, "192.0.2.7", "10.0.0.7"},
		"both":               {Config{IPv6: true}, both, "192.0.2.7", "10.0.0.7"},
		"IPv6":               {Config{IPv6: true}, six, "2001:db8::7", "2001:db8::7"},
		"private":            {Config{PrivateOnly: true}, both, "10.0.0.7", "10.0.0.7"},
		"private, only IPv6": {Config{UsePrivate: true}, six, "2001:db8::7", "2001:db8::7"},
		"nothing yet":        {Config{}, types.Instance{}, "", ""},
	} {
		d := &driver{cfg: c.config, state: &drivers.Durable[State]{}}
		if got := d.statusOf(c.instance); got.Host != c.host || got.Peer != c.peer {
			t.Errorf("%s: it is reached at %q and by peers at %q, want %q and %q", name, got.Host, got.Peer, c.host, c.peer)
		}
	}
}

func TestStateByCode(t *testing.T) {
	t.Parallel()
	for code, want := range map[int32]drivers.State{0: drivers.Starting, 16: drivers.Running, 256 + 64: drivers.Stopping, 80: drivers.Stopped, 48: drivers.Error, 7: drivers.Error} {
		i := types.Instance{State: &types.InstanceState{Code: aws.Int32(code)}}
		if got := stateWord(stateOf(i)); got != want {
			t.Errorf("%d is %s, want %s", code, got, want)
		}
	}
}
