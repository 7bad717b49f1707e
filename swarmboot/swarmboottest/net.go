// Package swarmboottest has engines in memory that behave in Swarm mode as
// Docker Engines do: several share clusters with tokens, object versions, a
// quorum of managers and delays. What they say and refuse is what engines of
// release 20.10 were seen to say. There is no store, no network and no container.
package swarmboottest

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// Net is a network of hosts with an engine each. Its methods and those of its
// engines may be called concurrently.
type Net struct {
	// How long things take. They may be set before the first call.
	JoinTimeout time.Duration // until a join without answer returns: 20 s
	ReadyDelay  time.Duration // from join to ready: 100 ms
	RoleDelay   time.Duration // from a change of role to its effect: 1 s
	DownDelay   time.Duration // from leaving to being seen as down: 10 s

	mu       sync.Mutex
	engines  []*Engine
	clusters []*cluster
	cuts     map[[2]*Engine]bool
	serial   int
}

// New returns an empty network.
func New() *Net {
	return &Net{
		JoinTimeout: 20 * time.Second,
		ReadyDelay:  100 * time.Millisecond,
		RoleDelay:   time.Second,
		DownDelay:   10 * time.Second,
		cuts:        make(map[[2]*Engine]bool),
	}
}

// Engine adds a host with an engine that is in no swarm.
func (n *Net) Engine(hostname, addr string) *Engine {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := &Engine{net: n, hostname: hostname, addr: addr, state: "inactive", version: "28.5.2"}
	n.engines = append(n.engines, e)
	return e
}

// Cut makes two hosts unable to reach each other; Heal undoes it.
func (n *Net) Cut(a, b *Engine) { n.cut(a, b, true) }

// Heal lets two hosts reach each other again.
func (n *Net) Heal(a, b *Engine) { n.cut(a, b, false) }

func (n *Net) cut(a, b *Engine, is bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts[[2]*Engine{a, b}] = is
	n.cuts[[2]*Engine{b, a}] = is
}

// reach: a gets answers from b.
func (n *Net) reach(a, b *Engine) bool {
	return a == b || !a.down && !b.down && !n.cuts[[2]*Engine{a, b}]
}

// at returns the host at an address with port; nil: none.
func (n *Net) at(addr string) *Engine {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil
	}
	for _, e := range n.engines {
		if e.addr == host {
			return e
		}
	}
	return nil
}

func (n *Net) id(kind string) string {
	n.serial++
	return fmt.Sprintf("%s%024d", kind, n.serial)
}

// cluster is what the managers of a swarm agree on.
type cluster struct {
	id       string
	version  uint64
	tokens   map[string]string // by role
	spec     map[string]any
	pool     []string
	subnet   int
	dataPath int
	nodes    []*node // in the order they joined
	services map[string]string
	running  []*service // those of services whose tasks are kept running
	tasks    []*task

	ca        authority
	next      *authority // while a rotation goes on
	forced    uint64
	rotatedAt time.Time
	locks     bool
	key       string // of locked managers

	rotations int
}

type node struct {
	id, role, availability string
	labels                 map[string]string
	version                uint64
	engine                 *Engine
	addr, managerAddr      string
	member                 bool // of the managers, which follows role after a while
	roleAt                 time.Time
	memberAt               time.Time // of the last change of member; the node itself follows a little later
	readyAt                time.Time
	leftAt                 time.Time
	ca                     authority // of its certificate; its root is the one that it trusts
}

type task struct {
	id, service string
	slot        int
	node        *node // nil: none may take it
	stopAfter   time.Duration
	stopAt      time.Time // zero: it shall run
	runsAt      time.Time
	kept        bool // it is replaced when it ends
	broken      bool // it never runs
}

// tick brings what takes time up to date.
func (c *cluster) tick(n *Net) {
	now := time.Now()
	for _, x := range c.nodes {
		if (x.role == "manager") == x.member || now.Before(x.roleAt) {
			continue
		}
		if x.role == "worker" && !c.spares(n, x) {
			continue // the managers refuse to lose their quorum
		}
		x.member, x.memberAt = x.role == "manager", now
	}
	c.certify(n)
	c.takeKeys(n)
	for _, t := range c.tasks {
		if t.stopAt.IsZero() && t.node != nil && t.node.availability == "drain" {
			t.stopAt = now.Add(t.stopAfter)
		}
	}
	c.keep(n)
}

func (c *cluster) managers() (ms []*node) {
	for _, x := range c.nodes {
		if x.member {
			ms = append(ms, x)
		}
	}
	return ms
}

// alive: the node's engine runs, is still that node, and is seen by the engine from.
func (x *node) alive(n *Net, from *Engine) bool {
	return x.leftAt.IsZero() && x.engine.node == x && x.engine.state == "active" && !x.engine.down && n.reach(from, x.engine)
}

// leader is the manager that leads as e sees it; nil: there is no quorum.
func (c *cluster) leader(n *Net, e *Engine) *node {
	var first *node
	ms, up := c.managers(), 0
	for _, x := range ms {
		if x.alive(n, e) {
			up++
			if first == nil {
				first = x
			}
		}
	}
	if up < len(ms)/2+1 {
		return nil
	}
	return first
}

// spares reports whether the managers keep a quorum without x.
func (c *cluster) spares(n *Net, x *node) bool {
	up, all := 0, 0
	for _, m := range c.managers() {
		if m == x {
			continue
		}
		all++
		if m.alive(n, m.engine) {
			up++
		}
	}
	return all > 0 && up >= all/2+1
}

func (c *cluster) find(id string) *node {
	i := slices.IndexFunc(c.nodes, func(x *node) bool { return x.id == id })
	if i < 0 {
		return nil
	}
	return c.nodes[i]
}

func (c *cluster) rotate(n *Net, role string) {
	n.serial++
	c.tokens[role] = fmt.Sprintf("SWMTKN-1-%048d-%s%019d", len(c.id), role[:6], n.serial)
}
