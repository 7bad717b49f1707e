// Package ec2sim is an EC2 endpoint for tests, with as much of SSM and STS as
// is needed beside it. It speaks the real protocols, checks signatures, and
// checks each request against AWS's own description of EC2.
//
// What exists in AWS but not here is refused: an action that it does not have
// with InvalidAction, a valid parameter that it does not act on with
// NotSimulated. The region is that of the request's signature.
package ec2sim

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/hostsmith/machine/e2e/sim/host"
)

// Config says what a cloud is like. The zero value of each field is a default.
type Config struct {
	Hosts host.Hosts    // behind instances; required
	Delay time.Duration // how long after its creation a new id is not found

	Now          func() time.Time // default: time.Now
	Step         time.Duration    // how long an instance is pending, stopping or shutting down; default: 100ms, negative: not at all
	Linger       time.Duration    // how much longer the network interface of a terminated instance stays; default: Step
	Regions      []string         // default: RegionNames
	Zones        int              // per region; default: 3
	NoDefaultVPC bool             // instances need a subnet then: the one VPC is no default one
	IPv6         bool             // subnets have IPv6 addresses too
	Page         int              // entries looked through per page where the request does not say, so that pages may be empty; 0: all
	Rate, Burst  int              // requests per second, and at once; 0: any
	Keys         []Key            // beside AccessKey
	Profiles     []string         // names of IAM instance profiles
	Reservations []string         // ids of capacity reservations, which hold any type in any zone
}

// Key is an access key and the IAM actions that it may do, such as
// "ec2:RunInstances", "ssm:GetParameter" or "ec2:Describe*".
type Key struct {
	Access, Secret string
	Actions        []string
}

// The access key that may do everything, and whose it is.
const (
	AccessKey = "AKIAIOSFODNN7EXAMPLE"
	SecretKey = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	Account   = "123456789012"
)

// RegionNames returns the regions that a cloud has by default. The first one's
// zones are named us-east-1a and so on.
func RegionNames() []string {
	return []string{"us-east-1", "us-east-2", "us-west-2", "eu-central-1", "eu-west-1", "ap-southeast-2"}
}

// Cloud is an EC2 endpoint.
type Cloud struct {
	config   Config
	api      *api
	handlers map[string]handler

	mu      sync.Mutex // guards all below, and all that regions hold
	keys    map[string]key
	regions map[string]*region
	names   []string // of regions
	private *pool
	public  *pool
	bucket  bucket
}

// handler does an action. It is called with the cloud locked; what takes long
// it leaves to call.later.
type handler func(*call) (m, error)

// call is a request being answered.
type call struct {
	c      *Cloud
	r      *region
	p      *params
	key    key
	action string
	now    time.Time
	ready  bool
	tasks  []func(context.Context) error
}

// later has something done when the cloud is unlocked, before the answer is sent.
func (k *call) later(task func(context.Context) error) { k.tasks = append(k.tasks, task) }

// check lets a handler go on if all parameters were read and this is no
// rehearsal. Handlers call it before they change or answer anything.
func (k *call) check() error {
	k.ready = true
	dry := k.p.flag("DryRun", false)
	if name := k.p.unread(); name != "" {
		return fault("NotSimulated", "the simulator does not act on the parameter %s of %s", name, k.action)
	}
	if dry {
		f := fault("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
		f.status = http.StatusPreconditionFailed
		return f
	}
	return nil
}

// New returns a cloud with a VPC and its subnets in each region, and public images.
func New(c Config) (*Cloud, error) {
	if c.Hosts == nil {
		return nil, errors.New("a cloud needs hosts")
	}
	a, err := readAPI()
	if err != nil {
		return nil, err
	}
	c = c.withDefaults()
	private, public := c.Hosts.Networks()
	cloud := &Cloud{
		config: c, api: a, handlers: handlers(),
		keys:    map[string]key{AccessKey: {AccessKey, SecretKey, []string{"*"}}},
		regions: map[string]*region{}, names: c.Regions,
		private: newPool(private), public: newPool(public),
	}
	for _, k := range c.Keys {
		cloud.AddKey(k.Access, k.Secret, k.Actions...)
	}
	for _, name := range c.Regions {
		if cloud.regions[name], err = newRegion(name, c, private, cloud.now()); err != nil {
			return nil, err
		}
	}
	return cloud, nil
}

func (c Config) withDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	switch {
	case c.Step == 0:
		c.Step = 100 * time.Millisecond
	case c.Step < 0:
		c.Step = 0
	}
	if c.Linger == 0 {
		c.Linger = c.Step
	}
	if len(c.Regions) == 0 {
		c.Regions = RegionNames()
	}
	if c.Zones == 0 {
		c.Zones = 3
	}
	return c
}

func (c *Cloud) now() time.Time { return c.config.Now() }

// pool gives addresses away, in turn, so that one that is given back is not
// given away again soon.
type pool struct {
	prefix netip.Prefix
	used   map[netip.Addr]bool
	last   map[netip.Prefix]netip.Addr
}

func newPool(p netip.Prefix) *pool {
	return &pool{p.Masked(), map[netip.Addr]bool{}, map[netip.Prefix]netip.Addr{}}
}

// reserved is how many addresses at the start of a network are not given away.
const reserved = 16

// take returns a free address of a part of the pool.
func (p *pool) take(within netip.Prefix) (netip.Addr, bool) {
	first := within.Masked().Addr()
	for range reserved {
		first = first.Next()
	}
	at := p.last[within]
	for tries := 0; tries < 1<<16; tries++ {
		if !at.IsValid() || !within.Contains(at.Next()) || !within.Contains(at.Next().Next()) {
			at = first
		} else {
			at = at.Next()
		}
		if within.Contains(at) && !p.used[at] {
			p.used[at], p.last[within] = true, at
			return at, true
		}
	}
	return netip.Addr{}, false
}

func (p *pool) give(a netip.Addr) { delete(p.used, a) }
