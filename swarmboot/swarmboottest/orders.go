package swarmboottest

import (
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"
)

func (e *Engine) init(body []byte) (any, error) {
	var req initRequest
	if err := json.Unmarshal(body, &req); err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	if e.state != "inactive" && !req.ForceNewCluster {
		return nil, errMember
	}
	if err := e.owns(req.AdvertiseAddr); err != nil {
		return nil, err
	}
	if req.ForceNewCluster && e.node != nil {
		return e.force(req)
	}
	if req.DataPathPort == 0 {
		req.DataPathPort = 4789
	}
	if req.DataPathPort < 1024 || req.DataPathPort > 49151 {
		return nil, refuse(http.StatusBadRequest, "Datapath port number is not in valid range (1024-49151) : %d", req.DataPathPort)
	}
	n := e.net
	c := &cluster{
		id: n.id("c"), version: 10, pool: req.DefaultAddrPool, subnet: req.SubnetSize, dataPath: req.DataPathPort,
		tokens:   make(map[string]string),
		services: make(map[string]string),
		spec:     map[string]any{"Name": "default", "Labels": map[string]string{}, "CAConfig": map[string]any{"NodeCertExpiry": 7776000000000000}},
		ca:       n.authority(),
	}
	if expiry := req.Spec.CAConfig.NodeCertExpiry; expiry != 0 {
		c.spec["CAConfig"] = map[string]any{"NodeCertExpiry": expiry}
	}
	c.rotate(n, "manager")
	c.rotate(n, "worker")
	n.clusters = append(n.clusters, c)
	e.enter(c, "manager", req.AdvertiseAddr, req.Availability)
	return e.node.id, nil
}

// owns is what engines check of an address.
func (e *Engine) owns(advertise string) error {
	switch ip := net.ParseIP(host(advertise)); {
	case ip != nil && ip.IsUnspecified():
		return refuse(http.StatusBadRequest, "advertise address must be a non-zero IP address")
	case ip == nil:
		return refuse(http.StatusBadRequest, "advertise address must be a non-zero IP address or network interface (with optional port number)")
	}
	return nil
}

func (e *Engine) enter(c *cluster, role, advertise, availability string) {
	if availability == "" {
		availability = "active"
	}
	managerAddr := advertise
	if _, _, err := net.SplitHostPort(advertise); err != nil {
		managerAddr = net.JoinHostPort(advertise, "2377")
	}
	e.node = &node{
		id: e.net.id("n"), role: role, availability: availability, version: 7, engine: e, addr: host(advertise),
		managerAddr: managerAddr, member: role == "manager", readyAt: time.Now().Add(e.net.ReadyDelay),
		ca: authority{root: c.ca.root, issuer: c.signer().issuer},
	}
	e.cluster, e.state, e.problem, e.pending = c, "active", "", nil
	c.nodes = append(c.nodes, e.node)
}

func (e *Engine) join(body []byte) error {
	var req joinRequest
	if err := json.Unmarshal(body, &req); err != nil {
		return refuse(http.StatusBadRequest, "%v", err)
	}
	if e.state != "inactive" {
		return errMember
	}
	if len(req.RemoteAddrs) == 0 {
		return refuse(http.StatusBadRequest, "at least 1 RemoteAddr is required to join")
	}
	if err := e.owns(req.AdvertiseAddr); err != nil {
		return err
	}
	e.pending, e.state = &req, "pending"
	e.attempt()
	if e.state == "error" {
		problem := e.problem
		e.state, e.problem, e.pending, e.ghost = "inactive", "", nil, nil
		return refuse(http.StatusInternalServerError, "%s", problem)
	}
	if e.state == "pending" {
		return errWaiting
	}
	return nil
}

// attempt goes on with a join that waits: at the first address only, as engines do.
func (e *Engine) attempt() {
	if e.pending == nil || e.down {
		return
	}
	peer := e.net.at(e.pending.RemoteAddrs[0])
	if peer == nil || !e.net.reach(e, peer) || peer.state != "active" {
		return
	}
	c := peer.cluster
	c.tick(e.net)
	if !peer.control() || c.leader(e.net, peer) == nil {
		return
	}
	role := ""
	for r, token := range c.tokens {
		if token == e.pending.JoinToken {
			role = r
		}
	}
	fail := func(text string) { e.state, e.problem = "error", text }
	switch {
	case role == "":
		fail("rpc error: code = InvalidArgument desc = A valid join token is necessary to join this cluster: " + e.pending.JoinToken)
		return
	case role == "manager":
		back := e.net.at(net.JoinHostPort(host(e.pending.AdvertiseAddr), "2377"))
		if back != e && e.ghost == nil {
			// The list has it, and keeps it, before the managers find that they cannot reach it.
			e.failAt = time.Now().Add(3 * time.Second)
			e.ghost = &node{id: e.net.id("n"), role: role, availability: "active", version: 7, engine: e, addr: e.addr, roleAt: time.Now().AddDate(9, 0, 0)}
			c.nodes = append(c.nodes, e.ghost)
			return
		}
		if back != e && time.Now().Before(e.failAt) {
			return
		}
		if back != e {
			fail("manager stopped: can't initialize raft node: rpc error: code = Unknown desc = could not connect to prospective " +
				"new cluster member using its advertised address: rpc error: code = DeadlineExceeded desc = context deadline exceeded")
			return
		}
	}
	e.enter(c, role, e.pending.AdvertiseAddr, e.pending.Availability)
}

func (e *Engine) leave(force bool) error {
	if e.state == "inactive" {
		return errNotMember
	}
	if e.state == "locked" && !force {
		return refuse(http.StatusServiceUnavailable, "Swarm is encrypted and locked. Please unlock it first or use `--force` to ignore this message.")
	}
	if e.control() && !force {
		return refuse(http.StatusServiceUnavailable, "You are attempting to leave the swarm on a node that is participating as a manager. "+
			"Use `--force` to suppress this message.")
	}
	if e.node != nil {
		e.node.leftAt = time.Now()
	}
	e.node, e.cluster, e.pending, e.ghost, e.state, e.problem, e.needs = nil, nil, nil, nil, "inactive", "", ""
	return nil
}

func (e *Engine) updateCluster(u *url.URL, body []byte) error {
	c := e.cluster
	if err := e.current(u, c.version); err != nil {
		return err
	}
	var spec map[string]any
	if err := json.Unmarshal(body, &spec); err != nil {
		return refuse(http.StatusBadRequest, "%v", err)
	}
	if err := e.secure(spec, truth(u, "rotateManagerUnlockKey")); err != nil {
		return err
	}
	c.spec = spec
	c.version++
	if truth(u, "rotateManagerToken") {
		c.rotate(e.net, "manager")
	}
	if truth(u, "rotateWorkerToken") {
		c.rotate(e.net, "worker")
	}
	return nil
}

func (e *Engine) updateNode(x *node, u *url.URL, body []byte) error {
	if err := e.current(u, x.version); err != nil {
		return err
	}
	var spec struct {
		Role, Availability string
		Labels             map[string]string
	}
	if err := json.Unmarshal(body, &spec); err != nil {
		return refuse(http.StatusBadRequest, "%v", err)
	}
	if spec.Role == "worker" && x.role == "manager" && !x.member {
		return refuse(http.StatusNotFound, "rpc error: code = NotFound desc = can't find manager in raft memberlist")
	}
	if spec.Role == "worker" && x.role == "manager" {
		left := slices.DeleteFunc(slices.Clone(e.cluster.nodes), func(m *node) bool { return m == x || m.role != "manager" })
		if len(left) == 0 {
			return refuse(http.StatusBadRequest, "rpc error: code = FailedPrecondition desc = attempting to demote the last manager of the swarm")
		}
		if !e.cluster.spares(e.net, x) {
			return refuse(http.StatusInternalServerError, "rpc error: code = FailedPrecondition desc = can't remove member from the raft: this would result in a loss of quorum")
		}
	}
	if spec.Role != x.role {
		x.role, x.roleAt = spec.Role, time.Now().Add(e.net.RoleDelay)
	}
	x.availability, x.labels = spec.Availability, spec.Labels
	x.version++
	return nil
}

func (e *Engine) deleteNode(x *node, force bool) error {
	if x.member {
		return refuse(http.StatusBadRequest, "rpc error: code = FailedPrecondition desc = node %s is a cluster manager and is a member of the raft cluster. "+
			"It must be demoted to worker before removal", x.id)
	}
	if !force && x.leftAt.IsZero() && x.alive(e.net, e) {
		return refuse(http.StatusBadRequest, "rpc error: code = FailedPrecondition desc = node %s is not down and can't be removed", x.id)
	}
	c := e.cluster
	c.nodes = slices.DeleteFunc(c.nodes, func(y *node) bool { return y == x })
	c.tasks = slices.DeleteFunc(c.tasks, func(t *task) bool { return t.node == x })
	return nil
}
