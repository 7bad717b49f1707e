package ec2sim

import (
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"time"
)

// thing is what everything has that has an id.
type thing struct {
	id   string
	born time.Time
	tags map[string]string
}

func newThing(kind string, now time.Time) thing {
	return thing{id: kind + "-" + random(9)[:17], born: now, tags: map[string]string{}}
}

func (t *thing) base() *thing { return t }

// visible tells whether everybody knows of a thing yet.
func (t *thing) visible(k *call) bool { return !k.now.Before(t.born.Add(k.c.config.Delay)) }

// entity is anything with an id.
type entity interface {
	comparable
	base() *thing
	visible(*call) bool
	values(k *call, filter string) ([]string, bool) // what a filter looks at, and whether there is such a filter
}

// region is what a region holds.
type region struct {
	name    string
	zones   []string
	gateway thing // to the internet
	routes  thing // the route table
	vpc     *vpc
	subnets []*subnet

	images    []*image
	groups    []*group
	keys      []*keyPair
	instances []*instance
	volumes   []*volume
	nics      []*nic
	addresses []*address
	spots     []*spot

	tokens   map[string]*token // by action and client token
	quotas   map[string]int
	capacity map[[2]string]int // by type and zone; absent: any, negative: not offered
}

type vpc struct {
	thing
	cidr      netip.Prefix
	cidr6     netip.Prefix
	isDefault bool
}

type subnet struct {
	thing
	vpc       *vpc
	zone      string
	cidr      netip.Prefix
	cidr6     netip.Prefix
	isDefault bool
	next6     netip.Addr
}

func newRegion(name string, c Config, private netip.Prefix, now time.Time) (*region, error) {
	r := &region{
		name: name, tokens: map[string]*token{}, quotas: map[string]int{}, capacity: map[[2]string]int{},
		gateway: newThing("igw", now), routes: newThing("rtb", now), images: publicImages(name, now),
	}
	old := now.Add(-c.Delay)
	r.vpc = &vpc{thing: newThing("vpc", old), cidr: private.Masked(), isDefault: !c.NoDefaultVPC}
	if c.IPv6 {
		r.vpc.cidr6 = netip.MustParsePrefix(fmt.Sprintf("2001:db8:%x::/56", 0x100*(slices.Index(c.Regions, name)+1)))
	}
	more := bits.Len(uint(c.Zones - 1))
	if private.Bits()+more > 28 {
		return nil, fmt.Errorf("%s is too small for %d subnets", private, c.Zones)
	}
	at := r.vpc.cidr.Addr()
	for i := range c.Zones {
		zone := name + string(rune('a'+i))
		r.zones = append(r.zones, zone)
		s := &subnet{thing: newThing("subnet", old), vpc: r.vpc, zone: zone, isDefault: r.vpc.isDefault}
		s.cidr = netip.PrefixFrom(at, private.Bits()+more)
		at = last(s.cidr).Next()
		if c.IPv6 {
			bytes := r.vpc.cidr6.Addr().As16()
			bytes[7] = byte(i)
			s.cidr6 = netip.PrefixFrom(netip.AddrFrom16(bytes), 64)
			s.next6 = s.cidr6.Addr()
			for range reserved {
				s.next6 = s.next6.Next()
			}
		}
		r.subnets = append(r.subnets, s)
	}
	r.groups = []*group{defaultGroup(r, old)}
	return r, nil
}

// last returns the last address of an IPv4 network.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(b)
}

// find returns what has an id.
func find[T entity](all []T, id string) (T, bool) {
	i := slices.IndexFunc(all, func(t T) bool { return t.base().id == id })
	if i < 0 {
		var none T
		return none, false
	}
	return all[i], true
}

// seen returns what has an id and is known by now.
func seen[T entity](k *call, all []T, id string) (T, bool) {
	t, ok := find(all, id)
	if ok && !t.visible(k) {
		var none T
		return none, false
	}
	return t, ok
}

func without[T comparable](all []T, gone T) []T {
	return slices.DeleteFunc(all, func(t T) bool { return t == gone })
}

func (v *vpc) values(k *call, filter string) ([]string, bool) {
	switch filter {
	case "vpc-id":
		return []string{v.id}, true
	case "cidr", "cidr-block-association.cidr-block":
		return []string{v.cidr.String()}, true
	case "is-default":
		return []string{fmt.Sprint(v.isDefault)}, true
	case "state":
		return []string{"available"}, true
	case "owner-id":
		return []string{Account}, true
	}
	return nil, false
}

func (s *subnet) values(k *call, filter string) ([]string, bool) {
	switch filter {
	case "subnet-id":
		return []string{s.id}, true
	case "vpc-id":
		return []string{s.vpc.id}, true
	case "availability-zone", "availabilityZone":
		return []string{s.zone}, true
	case "availability-zone-id", "availabilityZoneId":
		return []string{k.r.zoneID(s.zone)}, true
	case "cidr-block", "cidr", "cidrBlock":
		return []string{s.cidr.String()}, true
	case "default-for-az", "defaultForAz":
		return []string{fmt.Sprint(s.isDefault)}, true
	case "map-public-ip-on-launch":
		return []string{fmt.Sprint(s.isDefault)}, true
	case "state":
		return []string{"available"}, true
	case "owner-id":
		return []string{Account}, true
	}
	return nil, false
}
