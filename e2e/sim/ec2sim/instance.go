package ec2sim

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// state is an instance's state, by the number that EC2 gives it.
type state int

const (
	pending      state = 0
	running      state = 16
	shuttingDown state = 32
	terminated   state = 48
	stopping     state = 64
	stopped      state = 80
)

func (s state) String() string {
	switch s {
	case pending:
		return "pending"
	case running:
		return "running"
	case shuttingDown:
		return "shutting-down"
	case terminated:
		return "terminated"
	case stopping:
		return "stopping"
	}
	return "stopped"
}

func (s state) told() m { return m{"Code": int(s), "Name": s.String()} }

type instance struct {
	thing
	ops     sync.Mutex // held while its host is dealt with
	busy    int        // what is to be done to its host yet
	checked time.Time  // when its host was last looked at

	state        state
	since        time.Time // of the state
	launched     time.Time
	reason, code string // of the last change
	reservation  string
	index        int
	token        string

	image           *image
	kind            *instanceType
	key             *keyPair
	subnet          *subnet
	nic             *nic // nil once it is gone
	spot            *spot
	private, public netip.Addr
	wantPublic      bool
	userData        []byte
	order           order

	noTerminate, noStop, terminates bool
}

func (in *instance) become(s state, now time.Time, code, reason string) {
	in.state, in.since, in.code, in.reason = s, now, code, reason
}

// counts tells whether an instance takes room.
func (in *instance) counts() bool {
	return in.state == pending || in.state == running || in.state == stopping
}

func (in *instance) ended() bool { return in.state == shuttingDown || in.state == terminated }

func (in *instance) hostname() string {
	return "ip-" + strings.ReplaceAll(in.private.String(), ".", "-")
}

// settle lets time pass for all instances of a region.
func (r *region) settle(c *Cloud, now time.Time) {
	for _, in := range slices.Clone(r.instances) {
		c.settle(r, in, now)
	}
}

// memory is how long a terminated instance is shown.
const memory = time.Hour

func (c *Cloud) settle(r *region, in *instance, now time.Time) {
	over := in.busy == 0 && now.Sub(in.since) >= c.config.Step
	switch in.state {
	case pending:
		if over {
			in.become(running, now, "", "")
		}
	case stopping:
		if over {
			in.become(stopped, now, in.code, in.reason)
		}
	case shuttingDown:
		if over {
			in.become(terminated, now, in.code, in.reason)
			c.bury(r, in)
		}
	case terminated:
		if in.nic != nil && now.Sub(in.since) >= c.config.Linger {
			c.detach(r, in)
		}
		if now.Sub(in.since) >= memory {
			r.instances = without(r.instances, in)
		}
	}
}

// bury ends what ends with an instance.
func (c *Cloud) bury(r *region, in *instance) {
	for _, v := range slices.Clone(r.volumes) {
		if v.instance != in {
			continue
		}
		v.instance = nil
		if !v.keep {
			r.volumes = without(r.volumes, v)
		}
	}
	c.unpublish(r, in)
	for _, a := range r.addresses {
		if a.instance == in {
			a.instance, a.association = nil, ""
		}
	}
	if s := in.spot; s != nil && (s.state == "active" || s.state == "disabled") {
		s.instance = nil
		s.state, s.status = "closed", "instance-terminated-by-user"
		if s.persistent {
			s.state, s.status = "open", "pending-evaluation"
		}
	}
}

// unpublish takes an instance's public address unless it is an elastic one.
func (c *Cloud) unpublish(r *region, in *instance) {
	if r.elastic(in) == nil {
		c.public.give(in.public)
		in.public = netip.Addr{}
	}
}

// detach frees a terminated instance's network interface.
func (c *Cloud) detach(r *region, in *instance) {
	n := in.nic
	in.nic, n.instance = nil, nil
	if !n.keep {
		r.nics = without(r.nics, n)
		c.private.give(n.private)
	}
}

// host does something to the host behind an instance once the cloud is unlocked.
// The instance does not leave its state before that is done, and only what is
// urgent does not wait for what else is done to it. What its end overtook is not done.
func (k *call) host(in *instance, urgent bool, do func(context.Context) error) {
	last := in.state == shuttingDown
	in.busy++
	k.later(func(ctx context.Context) error {
		if !urgent {
			in.ops.Lock()
			defer in.ops.Unlock()
		}
		k.c.mu.Lock()
		overtaken := !last && in.ended()
		k.c.mu.Unlock()
		var err error
		if !overtaken {
			err = do(ctx)
		}
		k.c.mu.Lock()
		defer k.c.mu.Unlock()
		in.busy--
		return err
	})
}

// look is how long what was seen of a host is believed.
const look = 200 * time.Millisecond

// refresh finds instances that shut themselves down.
func (c *Cloud) refresh(ctx context.Context, region string) {
	c.mu.Lock()
	now := c.now()
	var all []*instance
	for _, in := range c.regions[region].instances {
		if in.state == running && in.busy == 0 && now.Sub(in.checked) >= look {
			in.checked = now
			all = append(all, in)
		}
	}
	c.mu.Unlock()
	for _, in := range all {
		c.lookAt(ctx, c.regions[region], in)
	}
}

func (c *Cloud) lookAt(ctx context.Context, r *region, in *instance) {
	if !in.ops.TryLock() {
		return // something is being done to it
	}
	defer in.ops.Unlock()
	if up, err := c.config.Hosts.Running(ctx, in.id); up || err != nil {
		return
	}
	remove := false
	func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if in.state != running || in.busy > 0 {
			return
		}
		now, code := c.now(), "Client.InstanceInitiatedShutdown"
		c.unpublish(r, in)
		if !in.terminates {
			in.become(stopped, now, code, code+": Instance initiated shutdown")
			return
		}
		in.become(shuttingDown, now, code, code+": Instance initiated shutdown")
		remove = true
		in.busy++
	}()
	if !remove {
		_ = c.config.Hosts.SetPublic(ctx, in.id, c.publicOf(in)) // it does not run
		return
	}
	_ = c.config.Hosts.Remove(ctx, in.id) // Close removes what is left
	c.mu.Lock()
	defer c.mu.Unlock()
	in.busy--
}

func (c *Cloud) publicOf(in *instance) netip.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	return in.public
}

func instanceListing() listing {
	return listing{"InstanceIds", "i", "instance ID", "InvalidInstanceID", "1000", 5}
}

// theInstance returns an instance that is known by now.
func (k *call) theInstance(id string) (*instance, error) {
	l := instanceListing()
	if err := l.wellFormed(id); err != nil {
		return nil, err
	}
	in, ok := seen(k, k.r.instances, id)
	if !ok {
		return nil, l.notFound(id)
	}
	return in, nil
}

func (k *call) theInstances(ids []string) ([]*instance, error) {
	if len(ids) == 0 {
		return nil, fault("MissingParameter", "The request must contain the parameter InstanceId")
	}
	return byIDs(k, k.r.instances, ids, instanceListing())
}

func (in *instance) values(k *call, filter string) ([]string, bool) {
	some := func(s string) ([]string, bool) {
		if s == "" {
			return nil, true
		}
		return []string{s}, true
	}
	switch filter {
	case "instance-id":
		return some(in.id)
	case "instance-state-name":
		return some(in.state.String())
	case "instance-state-code":
		return some(fmt.Sprint(int(in.state)))
	case "instance-type":
		return some(in.kind.name)
	case "image-id":
		return some(in.image.id)
	case "client-token":
		return some(in.token)
	case "vpc-id", "network-interface.vpc-id":
		return some(in.subnet.vpc.id)
	case "subnet-id", "network-interface.subnet-id":
		return some(in.subnet.id)
	case "availability-zone":
		return some(in.subnet.zone)
	case "architecture":
		return some(in.image.arch)
	case "key-name":
		if in.key == nil {
			return nil, true
		}
		return some(in.key.name)
	case "reservation-id":
		return some(in.reservation)
	case "owner-id":
		return some(Account)
	case "instance-lifecycle":
		if in.spot != nil {
			return some("spot")
		}
		return nil, true
	case "spot-instance-request-id":
		if in.spot != nil {
			return some(in.spot.id)
		}
		return nil, true
	case "private-ip-address", "network-interface.addresses.private-ip-address":
		return some(addr(in.private))
	case "ip-address", "network-interface.addresses.association.public-ip":
		return some(addr(in.public))
	case "private-dns-name":
		return some(k.r.privateName(in.private))
	case "network-interface.network-interface-id":
		if in.nic != nil {
			return some(in.nic.id)
		}
		return nil, true
	case "instance.group-id", "instance.group-name", "network-interface.group-id", "network-interface.group-name":
		var found []string
		if in.nic == nil {
			return nil, true
		}
		for _, g := range in.nic.groups {
			if strings.HasSuffix(filter, "-id") {
				found = append(found, g.id)
			} else {
				found = append(found, g.name)
			}
		}
		return found, true
	}
	return nil, false
}

func addr(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
