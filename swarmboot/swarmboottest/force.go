package swarmboottest

import (
	"maps"
	"slices"
	"time"
)

// force makes a swarm of one manager of what the engine knows: its workers follow it, the other managers stay behind in
// the former one, without a leader. An engine in the state inactive that has a node is one that was started without
// being told that it is in a swarm, and finds its data.
func (e *Engine) force(req initRequest) (any, error) {
	if e.state != "inactive" && !e.control() {
		return nil, errNotManager
	}
	old, now := e.cluster, time.Now()
	c := &cluster{id: old.id, version: old.version + 1, tokens: old.tokens, spec: old.spec, pool: old.pool, subnet: old.subnet,
		dataPath: old.dataPath, services: maps.Clone(old.services),
		ca: old.ca, next: old.next, rotatedAt: old.rotatedAt, forced: old.forced, rotations: old.rotations}
	if asked := req.Spec.CAConfig.ForceRotate; asked != c.forced { // as real engines do, whoever meant it
		made := e.net.authority()
		c.next, c.rotatedAt, c.forced = &made, now, asked
		c.rotations++
	}
	copies := map[*node]*node{}
	for _, x := range old.nodes {
		y := *x
		copies[x] = &y
		c.nodes = append(c.nodes, &y)
		switch {
		case x == e.node:
			y.member, y.role, y.addr = true, "manager", host(req.AdvertiseAddr) // managerAddr stays: engines do not look at it
		case x.role == "manager":
			y.member, y.memberAt, y.roleAt = false, now, now.AddDate(9, 0, 0)
			continue
		}
		if x.engine.node == x {
			x.engine.node, x.engine.cluster = &y, c
		}
	}
	for _, t := range old.tasks {
		u := *t
		u.node = copies[t.node]
		c.tasks = append(c.tasks, &u)
	}
	c.tasks = slices.DeleteFunc(c.tasks, func(t *task) bool { return t.node == nil })
	e.net.clusters = append(e.net.clusters, c)
	e.state, e.problem = "active", ""
	return e.node.id, nil
}

// Restore puts the data of another engine into the engine's folder. It knows nothing of them until it is told to force a
// new cluster.
func (e *Engine) Restore(from *Engine) {
	defer e.lock()()
	c, self := *from.cluster, *from.node
	self.engine = e
	c.nodes = nil
	for _, x := range from.cluster.nodes {
		if x == from.node {
			c.nodes = append(c.nodes, &self)
		} else {
			c.nodes = append(c.nodes, x)
		}
	}
	c.tasks = nil
	e.cluster, e.node, e.state, e.problem = &c, &self, "inactive", ""
}
