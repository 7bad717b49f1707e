package azuresim

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hostsmith/machine/e2e/sim"
)

// record is a resource in the store.
type record struct {
	model
	kind    *kind
	created time.Time
	found   time.Time // from when on it is found by its id
	listed  time.Time // from when on lists have it
	busy    *operation
	last    *operation // the newest one that was begun
	power   string     // of a virtual machine: running, stopped, deallocated, starting...
}

func (rec *record) group() string { return groupOf(rec.head().ID) }

// get returns a resource that is visible, or nil. Callers hold the lock.
func (c *Cloud) get(id string) *record {
	rec := c.store[lower(id)]
	if rec == nil || time.Now().Before(rec.found) {
		return nil
	}
	return rec
}

// lookup returns a model of a type by its id, with its record.
func lookup[T model](c *Cloud, id string) (m T, rec *record, ok bool) {
	if rec = c.get(id); rec == nil {
		return m, nil, false
	}
	m, ok = rec.model.(T)
	return m, rec, ok
}

// all returns all resources of a type, sorted by id.
func all[T model](c *Cloud) []T {
	var found []T
	for _, rec := range c.sorted() {
		if m, ok := rec.model.(T); ok {
			found = append(found, m)
		}
	}
	return found
}

func (c *Cloud) sorted() []*record {
	found := make([]*record, 0, len(c.store))
	for _, rec := range c.store {
		found = append(found, rec)
	}
	slices.SortFunc(found, func(a, b *record) int { return cmp.Compare(lower(a.head().ID), lower(b.head().ID)) })
	return found
}

// add puts a new resource into the store.
func (c *Cloud) add(k *kind, m model) *record {
	now := time.Now()
	rec := &record{model: m, kind: k, created: now, found: now.Add(c.config.Delay), listed: now.Add(2 * c.config.Delay)}
	c.store[lower(m.head().ID)] = rec
	return rec
}

// Ledger returns what exists: resource groups and all top-level resources.
func (c *Cloud) Ledger() []sim.Resource {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []sim.Resource
	for _, rec := range c.sorted() {
		h := rec.head()
		found = append(found, sim.Resource{Kind: rec.kind.last(), ID: h.ID, Name: h.Name, Tags: copyTags(h.Tags)})
	}
	slices.SortStableFunc(found, func(a, b sim.Resource) int { return cmp.Compare(a.Kind, b.Kind) })
	return found
}

func copyTags(tags map[string]string) map[string]string {
	if len(tags) == 0 {
		return nil
	}
	to := make(map[string]string, len(tags))
	for k, v := range tags {
		to[k] = v
	}
	return to
}

// Vanish deletes a resource at once, whoever uses it, with what its owner would
// lose with it: the contents of a group, the parts of a machine that are to be
// deleted with it.
func (c *Cloud) Vanish(kind, id string) error {
	c.mu.Lock()
	rec := c.store[lower(id)]
	if rec == nil || !strings.EqualFold(rec.kind.last(), kind) {
		c.mu.Unlock()
		return fmt.Errorf("azuresim: no %s %s", kind, id)
	}
	recs := []*record{rec}
	if _, group := rec.model.(*resourceGroup); group {
		recs = append(recs, c.contents(rec)...)
	}
	wait := c.halt(recs)
	hosts := c.erase(rec)
	c.mu.Unlock()
	wait()
	return c.removeHosts(hosts)
}

// contents are the resources of a group.
func (c *Cloud) contents(group *record) (found []*record) {
	for _, rec := range c.sorted() {
		if rec != group && strings.EqualFold(rec.group(), group.head().Name) {
			found = append(found, rec)
		}
	}
	return found
}

// erase takes a resource and what goes with it out of the store, and returns the
// hosts that are to be removed.
func (c *Cloud) erase(rec *record) (hosts []string) {
	id := lower(rec.head().ID)
	if c.store[id] != rec {
		return nil // gone already
	}
	delete(c.store, id)
	switch m := rec.model.(type) {
	case *resourceGroup:
		for _, other := range c.contents(rec) {
			hosts = append(hosts, c.erase(other)...)
		}
	case *virtualMachine:
		hosts = append(hosts, m.Properties.VMID)
		c.eraseParts(m)
	}
	return hosts
}
