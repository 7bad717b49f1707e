package ec2sim

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/hostsmith/machine/e2e/sim"
)

// Ledger returns what exists in all regions and was not there in the beginning; see sim.Provider.
func (c *Cloud) Ledger() []sim.Resource {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	var all []sim.Resource
	add := func(kind string, t *thing, name string) {
		if name == "" {
			name = t.tags["Name"]
		}
		all = append(all, sim.Resource{Kind: kind, ID: t.id, Name: name, Tags: maps.Clone(t.tags)})
	}
	for _, r := range c.regions {
		r.settle(c, now)
		for _, in := range r.instances {
			if in.state != terminated {
				add("instance", &in.thing, "")
			}
		}
		for _, v := range r.volumes {
			add("volume", &v.thing, "")
		}
		for _, n := range r.nics {
			add("network-interface", &n.thing, "")
		}
		for _, g := range r.groups {
			if g.name != "default" {
				add("security-group", &g.thing, g.name)
			}
		}
		for _, p := range r.keys {
			add("key-pair", &p.thing, p.name)
		}
		for _, a := range r.addresses {
			add("elastic-ip", &a.thing, "")
		}
		for _, s := range r.spots {
			if s.open() {
				add("spot-request", &s.thing, "")
			}
		}
	}
	slices.SortFunc(all, func(a, b sim.Resource) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID)) })
	return all
}

// act does something in the region where it can be done.
func (c *Cloud) act(ctx context.Context, do func(*call) (bool, error)) error {
	for _, name := range c.names {
		k := &call{c: c, action: "console", ready: true}
		done := false
		_, err := k.run(ctx, name, func(k *call) (_ m, err error) {
			done, err = do(k)
			return nil, err
		})
		if done || err != nil {
			return err
		}
	}
	return sim.ErrUnknown
}

// Vanish deletes a resource as its owner would in the console; see sim.Provider.
func (c *Cloud) Vanish(kind, id string) error {
	ctx := (&http.Request{}).Context() // nobody waits to cancel it
	return c.act(ctx, func(k *call) (bool, error) { return k.vanish(kind, id) })
}

func (k *call) vanish(kind, id string) (bool, error) {
	r := k.r
	switch kind {
	case "instance":
		in, ok := find(r.instances, id)
		if ok && !in.ended() {
			k.terminate(in, userInitiated, byUser(k.now))
		}
		return ok, nil
	case "volume":
		v, ok := find(r.volumes, id)
		if !ok {
			return false, nil
		}
		return true, r.removeVolume(v)
	case "network-interface":
		n, ok := find(r.nics, id)
		if !ok {
			return false, nil
		}
		return true, k.c.removeNIC(r, n)
	case "security-group":
		g, ok := find(r.groups, id)
		if !ok {
			return false, nil
		}
		return true, r.removeGroup(g)
	case "key-pair":
		p, ok := find(r.keys, id)
		if !ok {
			p, ok = r.keyNamed(id)
		}
		r.keys = without(r.keys, p)
		return ok, nil
	case "elastic-ip":
		a, ok := find(r.addresses, id)
		if !ok {
			return false, nil
		}
		if a.instance != nil {
			k.takeOff(a)
		}
		return true, k.c.removeAddress(r, a)
	case "spot-request":
		s, ok := find(r.spots, id)
		if ok {
			s.state, s.status = "cancelled", "request-canceled-and-instance-running"
		}
		return ok, nil
	}
	return false, fmt.Errorf("the simulator has no resources of kind %q", kind)
}
