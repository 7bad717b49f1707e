package swarmboot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// swarmPort is where managers listen for nodes.
const swarmPort = "2377"

// guide is a manager that lets nodes in.
type guide struct {
	engine  Engine
	cluster clusterInfo
	tokens  map[Role]joinToken
	addrs   []string // to join at, its own first
}

// ask makes a manager a guide. The addresses are those the manager itself gives out, because every
// node will be told the same ones once it has joined.
func (b *boot) ask(ctx context.Context, name string) (guide, error) {
	e := b.engines[name]
	if e == nil {
		return guide{}, fmt.Errorf("%s: no connection", name)
	}
	i, err := info(ctx, e)
	if err != nil {
		return guide{}, fmt.Errorf("%s: %w", name, err)
	}
	if !i.Swarm.ControlAvailable {
		return guide{}, fmt.Errorf("%s: is no manager (state %s)", name, i.Swarm.LocalNodeState)
	}
	var c clusterObject
	if err := call(ctx, e, http.MethodGet, "/swarm", nil, &c); err != nil {
		return guide{}, fmt.Errorf("%s: %w", name, leaderless(err))
	}
	g := guide{
		engine:  e,
		cluster: c.clusterInfo,
		tokens:  map[Role]joinToken{Manager: c.JoinTokens.Manager, Worker: c.JoinTokens.Worker},
	}
	g.addrs = i.joinAddrs()
	if len(g.addrs) == 0 && b.addrs[name] != "" {
		g.addrs = []string{withPort(b.addrs[name])}
	}
	if len(g.addrs) == 0 {
		return guide{}, fmt.Errorf("%s: says no address to join at", name)
	}
	return g, nil
}

// joinAddrs are where a manager and those that it knows take joins, its own address first. Of itself it may still tell an
// address of before, such as the one that the backup it was made of had.
func (i engineInfo) joinAddrs() []string {
	var own, others []string
	for _, m := range i.Swarm.RemoteManagers {
		if m.NodeID != i.Swarm.NodeID {
			others = append(others, m.Addr)
			continue
		}
		host, port, err := net.SplitHostPort(m.Addr)
		if now := i.Swarm.NodeAddr; err == nil && now != "" && now != host {
			m.Addr = net.JoinHostPort(now, port)
		}
		own = append(own, m.Addr)
	}
	return append(own, others...)
}

// guide returns the first of the managers that takes orders, and those after it. It waits while they elect a leader.
func (b *boot) guide(ctx context.Context, via []string) (g guide, rest []string, err error) {
	err = poll(ctx, func(ctx context.Context) (bool, error) {
		errs := []error{ErrNoManager}
		for i, name := range via {
			found, err := b.ask(ctx, name)
			if err == nil {
				g, rest = found, via[i+1:]
				return true, nil
			}
			errs = append(errs, err)
		}
		return false, &noGuide{errs}
	})
	return g, rest, err
}

// noGuide is why none of the managers takes orders: ErrNoManager and the reason of each.
type noGuide struct{ errs []error }

func (e *noGuide) Error() string {
	if len(e.errs) == 1 {
		return ErrNoManager.Error() + ": none is known"
	}
	why := make([]string, len(e.errs)-1)
	for i, err := range e.errs[1:] {
		why[i] = err.Error()
	}
	return ErrNoManager.Error() + ": " + strings.Join(why, "; ")
}

func (e *noGuide) Unwrap() []error { return e.errs }

// final: waiting for managers is for those that elect a leader.
func (e *noGuide) final() bool { return !errors.Is(e, ErrNoLeader) }

// join brings a node in. An engine tries only the first of the addresses it is given, so the managers
// are tried one after another.
func (b *boot) join(ctx context.Context, a Action) error {
	e := b.engines[a.Node.Name]
	if e == nil {
		return fmt.Errorf("%w: no connection", ErrNode)
	}
	reset, via := a.Reset, a.Via
	var unanswered []error
	for {
		g, rest, err := b.guide(ctx, via)
		if err != nil {
			return errors.Join(append(unanswered, err)...)
		}
		if reset {
			if err := leave(ctx, e, true); err != nil {
				return err
			}
		}
		for _, id := range a.Replaces {
			if err := Remove(ctx, id, nil, g.engine, 0, nil); err != nil {
				return fmt.Errorf("former node %s: %w", id, err)
			}
		}
		id, err := b.joinAt(ctx, e, a.Node, g, len(rest) > 0)
		if errors.Is(err, errUnanswered) {
			unanswered = append(unanswered, err)
			reset, via = true, rest
			continue
		}
		if err != nil {
			return errors.Join(append(unanswered, err)...)
		}
		b.reached(a.Node.Name, id, g.cluster.ID)
		return b.settle(ctx, g.engine, id, a.Node)
	}
}

// errUnanswered: the node got no answer at the manager's address, and another may be tried.
var errUnanswered = errors.New("no answer yet")

// joinAt joins at one manager and returns the node's id.
func (b *boot) joinAt(ctx context.Context, e Engine, n Node, g guide, another bool) (string, error) {
	watched := watchID(ctx, e)
	id, err := request(ctx, e, n, g, another)
	ghost := watched()
	if err == nil || ghost == "" {
		return id, err
	}
	if status(err) == 0 { // how it ended is not known
		b.haunted(n.Name, ghost)
		return id, err
	}
	if serr := strikeGhost(ctx, e, g.engine, ghost); serr != nil { // the manager may have died, which let the join fail
		b.haunted(n.Name, ghost)
		err = hint(fmt.Errorf("%w any more: %w", ErrNoManager, errors.Join(err, serr)), "see what the manager does: machine swarm status; then join again")
	}
	return id, err
}

// request asks the engine to join, and waits until it has.
func request(ctx context.Context, e Engine, n Node, g guide, another bool) (string, error) {
	req := joinRequest{
		ListenAddr:    listenAddr(n),
		AdvertiseAddr: n.Advertise,
		DataPathAddr:  n.DataPath,
		RemoteAddrs:   g.addrs,
		JoinToken:     g.tokens[n.Role],
		Availability:  n.Availability,
	}
	err := call(ctx, e, http.MethodPost, "/swarm/join", req, nil)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case inBackground(err):
		i, err := info(ctx, e)
		if err == nil && another && i.Swarm.LocalNodeState == "pending" && i.Swarm.NodeID == "" {
			return "", fmt.Errorf("%w: %s at %s: %w", ErrNetwork, n.Name, g.addrs[0], errUnanswered)
		}
	case status(err) != 0:
		return "", addressHint(err)
	default: // the answer got lost; the engine's state tells what it was
		if i, again := info(ctx, e); again != nil || i.Swarm.LocalNodeState == "inactive" {
			return "", err
		}
	}

	var last engineInfo
	err = poll(ctx, func(ctx context.Context) (bool, error) {
		i, err := info(ctx, e)
		if err != nil {
			return false, err
		}
		last = i
		w := i.Swarm
		switch w.LocalNodeState {
		case "active":
			return w.NodeID != "" && (n.Role == Worker || w.ControlAvailable), nil
		case "error", "inactive", "locked":
			return false, &apiError{status: http.StatusConflict, message: redact(orElse(w.Error, "the engine is "+w.LocalNodeState))}
		}
		return false, nil
	})
	if err != nil && last.Swarm.LocalNodeState == "pending" && last.Swarm.NodeID == "" {
		return "", hint(fmt.Errorf("%w: %s got no answer from the manager at %s: %w", ErrNetwork, n.Name, g.addrs[0], err),
			fmt.Sprintf("open 2377/tcp to the managers, and 7946/tcp, 7946/udp and %d/udp between all nodes", g.cluster.dataPathPort()))
	}
	if err != nil {
		return "", fmt.Errorf("wait for the node: %w", addressHint(err))
	}
	return last.Swarm.NodeID, nil
}

// watchID looks at the id that an engine has while it joins; the function it returns ends that and tells the id. An
// engine that fails to become a manager forgets the id, but the swarm goes on listing it.
func watchID(ctx context.Context, e Engine) func() string {
	ctx, cancel := context.WithCancel(ctx)
	id := make(chan string, 1)
	go func() {
		var last string
		_ = poll(ctx, func(ctx context.Context) (bool, error) {
			i, err := info(ctx, e)
			if err == nil && i.Swarm.NodeID != "" {
				last = i.Swarm.NodeID
			}
			return last != "", nil
		})
		id <- last
	}()
	return func() string {
		cancel()
		return <-id
	}
}

// strikeGhost removes what a refused join left in the list of nodes, unless it has come to vote. An engine that is
// not out of it, whatever it answered, keeps its node.
func strikeGhost(ctx context.Context, e, manager Engine, id string) error {
	if i, err := info(ctx, e); err != nil || i.Swarm.LocalNodeState != "inactive" {
		return nil
	}
	n, err := node(ctx, manager, id)
	if gone(err) || err == nil && n.ManagerStatus != nil {
		return nil
	}
	if err == nil {
		err = deleteNode(ctx, manager, id)
	}
	if err != nil {
		return fmt.Errorf("remove node %s, which did not come to be: %w", id, err)
	}
	return nil
}

// leave makes an engine leave and waits until it has. Not being in a swarm is fine.
func leave(ctx context.Context, e Engine, force bool) error {
	path := "/swarm/leave"
	if force {
		path += "?force=true"
	}
	if err := call(ctx, e, http.MethodPost, path, nil, nil); err != nil && !notInSwarm(err) {
		return fmt.Errorf("leave swarm: %w", err)
	}
	err := poll(ctx, func(ctx context.Context) (bool, error) {
		i, err := info(ctx, e)
		return err == nil && i.Swarm.LocalNodeState == "inactive", err
	})
	if err != nil {
		return fmt.Errorf("leave swarm: %w", err)
	}
	return nil
}

// spec brings labels and availability of a node object to what n wants.
func (n Node) spec(s *nodeSpec) (changed bool) {
	if n.Availability != "" && s.Availability != n.Availability {
		s.Availability, changed = n.Availability, true
	}
	for k, v := range n.Labels {
		if old, ok := s.Labels[k]; ok && old == v {
			continue
		}
		if s.Labels == nil {
			s.Labels = make(map[string]string)
		}
		s.Labels[k], changed = v, true
	}
	return changed
}

// listenAddr is where the node listens; it listens where it advertises, of IPv4 and IPv6.
func listenAddr(n Node) string {
	if n.Listen != "" {
		return withPort(n.Listen)
	}
	if ip := net.ParseIP(hostOf(n.Advertise)); ip != nil && ip.To4() == nil {
		return net.JoinHostPort("::", swarmPort)
	}
	return net.JoinHostPort("0.0.0.0", swarmPort)
}

func withPort(addr string) string {
	if _, _, err := net.SplitHostPort(addr); err == nil {
		return addr
	}
	return net.JoinHostPort(strings.Trim(addr, "[]"), swarmPort)
}

// addressHint adds advice to what engines say about addresses.
func addressHint(err error) error {
	switch {
	case says(err, "could not connect to prospective new cluster member"):
		return hint(fmt.Errorf("%w: %w", ErrNetwork, err), "open 2377/tcp from the other managers to this one, or give an address that they reach: --swarm-advertise-addr ADDRESS")
	case says(err, "advertise address", "advertised address", "could not find the system's IP", "must specify a listening address", "listen address"):
		return hint(fmt.Errorf("%w: %w", ErrAddress, err), "give an address of the machine that the other nodes reach: --swarm-advertise-addr ADDRESS")
	case says(err, "valid join token", "invalid join token"):
		return hint(err, "the tokens were replaced meanwhile; do it again")
	case says(err, "already part of a swarm"):
		return hint(fmt.Errorf("%w: %w", ErrForeign, err), "look again: the node has joined a swarm meanwhile")
	}
	return err
}
