package swarmboottest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

type joinRequest struct {
	ListenAddr, AdvertiseAddr, DataPathAddr, Availability, JoinToken string
	RemoteAddrs                                                      []string
}

type initRequest struct {
	ListenAddr, AdvertiseAddr, DataPathAddr, Availability string
	DefaultAddrPool                                       []string
	SubnetSize, DataPathPort                              int
	Spec                                                  struct {
		CAConfig struct {
			NodeCertExpiry int64
			ForceRotate    uint64
		}
	}
	ForceNewCluster bool
}

// errWaiting: the join has neither been done nor been refused yet.
var errWaiting = errors.New("joining")

func refuse(code int, format string, args ...any) error {
	return &Error{code, fmt.Sprintf(format, args...)}
}

var (
	errNotMember  = &Error{http.StatusServiceUnavailable, "This node is not part of a swarm"}
	errMember     = &Error{http.StatusServiceUnavailable, "This node is already part of a swarm. Use \"docker swarm leave\" to leave this swarm and join another one."}
	errNotManager = &Error{http.StatusServiceUnavailable, "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. " +
		"Please run this command on a manager node or promote the current node to a manager."}
	errNoLeader = &Error{http.StatusInternalServerError, "rpc error: code = Unknown desc = The swarm does not have a leader. " +
		"It's possible that too few managers are online. Make sure more than half of the managers are online."}
	errSequence = &Error{http.StatusInternalServerError, "rpc error: code = Unknown desc = update out of sequence"}
)

func (e *Engine) route(method, path string, body []byte) (any, error) {
	defer e.lock()()
	e.calls = append(e.calls, method+" "+path)
	if len(body) > 0 {
		e.bodies = append(e.bodies, string(body))
	}
	if e.down {
		return nil, ErrDown
	}
	if i := slices.IndexFunc(e.faults, func(f fault) bool { return strings.HasPrefix(method+" "+path, f.prefix) }); i >= 0 {
		err := e.faults[i].err
		e.faults = slices.Delete(e.faults, i, i+1)
		return nil, err
	}
	u, err := url.Parse(path)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	e.attempt()
	if e.cluster != nil {
		e.cluster.tick(e.net)
	}
	switch call := method + " " + u.Path; call {
	case "GET /info":
		return e.info(), nil
	case "GET /version":
		return map[string]string{"Version": e.version, "ApiVersion": "1.52", "MinAPIVersion": e.minAPI}, nil
	case "GET /_ping":
		return "OK", nil
	case "POST /swarm/init":
		return e.init(body)
	case "POST /swarm/join":
		return nil, e.join(body)
	case "POST /swarm/unlock":
		return nil, e.unlock(body)
	case "POST /swarm/leave":
		return nil, e.leave(truth(u, "force"))
	default:
		if strings.HasPrefix(u.Path, "/containers/") || strings.HasPrefix(u.Path, "/images/") {
			return e.local(method, u, body)
		}
		if err := e.leads(); err != nil {
			return nil, err
		}
		return e.ordered(call, u, body)
	}
}

func truth(u *url.URL, key string) bool {
	v := u.Query().Get(key)
	return v == "1" || v == "true"
}

// struck: the swarm has removed the node while it was away.
func (e *Engine) struck() bool { return e.node != nil && !slices.Contains(e.cluster.nodes, e.node) }

func (e *Engine) control() bool {
	if e.node == nil || e.state != "active" && e.state != "pending" {
		return false
	}
	if e.struck() {
		return !e.node.memberAt.IsZero() // a former manager does not know that it is one no more
	}
	if at := e.node.memberAt; !at.IsZero() && time.Since(at) < e.net.RoleDelay/2 {
		return !e.node.member
	}
	return e.node.member
}

// leads is why the engine takes no orders for its swarm.
func (e *Engine) leads() error {
	switch {
	case e.state == "locked":
		return refuse(http.StatusServiceUnavailable, "Swarm is encrypted and needs to be unlocked before it can be used. Please use \"docker swarm unlock\" to unlock it.")
	case e.node == nil:
		return refuse(http.StatusServiceUnavailable, "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.")
	case !e.control():
		return errNotManager
	case e.struck(), e.cluster.leader(e.net, e) == nil:
		return errNoLeader
	}
	return nil
}

// ordered answers what only a manager with a leader answers.
func (e *Engine) ordered(call string, u *url.URL, body []byte) (any, error) {
	c := e.cluster
	switch call {
	case "GET /swarm":
		return map[string]any{"ID": c.id, "Version": index(c.version), "Spec": c.spec, "DefaultAddrPool": c.pool, "SubnetSize": c.subnet, "DataPathPort": c.dataPath,
			"TLSInfo": c.signer().tls(c.ca.root), "RootRotationInProgress": c.next != nil,
			"JoinTokens": map[string]string{"Worker": c.tokens["worker"], "Manager": c.tokens["manager"]}}, nil
	case "GET /swarm/unlockkey":
		return map[string]string{"UnlockKey": c.lockKey()}, nil
	case "POST /swarm/update":
		return nil, e.updateCluster(u, body)
	case "GET /nodes":
		list := []any{}
		for _, x := range c.nodes {
			list = append(list, e.object(x))
		}
		return list, nil
	case "GET /tasks":
		return e.tasks(u)
	case "GET /services":
		list := []any{}
		for _, id := range slices.Sorted(maps.Keys(c.services)) {
			if s := c.service(id); s != nil {
				list = append(list, s.object())
				continue
			}
			list = append(list, map[string]any{"ID": id, "Spec": map[string]string{"Name": c.services[id]}})
		}
		return list, nil
	}
	method, path, _ := strings.Cut(call, " ")
	part := strings.Split(strings.TrimPrefix(path, "/"), "/")
	switch s := c.service(part[min(1, len(part)-1)]); {
	case s != nil && len(part) == 2 && method == http.MethodGet:
		return s.object(), nil
	case s != nil && len(part) == 3 && method == http.MethodPost && part[2] == "update":
		return nil, e.updateService(s, u, body)
	case part[0] == "services" && len(part) == 2 && method == http.MethodGet:
		name, ok := c.services[part[1]]
		if !ok {
			return nil, refuse(http.StatusNotFound, "service %s not found", part[1])
		}
		return map[string]any{"ID": part[1], "Spec": map[string]string{"Name": name}}, nil
	case part[0] != "nodes" || len(part) < 2:
		return nil, refuse(http.StatusNotFound, "page not found")
	}
	x := c.find(part[1])
	switch {
	case x == nil:
		return nil, refuse(http.StatusNotFound, "node %s not found", part[1])
	case method == http.MethodGet && len(part) == 2:
		return e.object(x), nil
	case method == http.MethodPost && len(part) == 3 && part[2] == "update":
		return nil, e.updateNode(x, u, body)
	case method == http.MethodDelete && len(part) == 2:
		return nil, e.deleteNode(x, truth(u, "force"))
	}
	return nil, refuse(http.StatusNotFound, "page not found")
}

func index(v uint64) map[string]uint64 { return map[string]uint64{"Index": v} }

func (e *Engine) info() any {
	s := map[string]any{"LocalNodeState": e.state, "Error": e.problem, "ControlAvailable": e.control()}
	if e.struck() && e.control() {
		s["LocalNodeState"] = "pending"
	}
	switch {
	case e.node != nil && e.state != "locked" && e.state != "error" && e.state != "inactive":
		s["NodeID"], s["NodeAddr"] = e.node.id, e.node.addr
		var ms []map[string]string
		for _, x := range e.cluster.managers() {
			ms = append(ms, map[string]string{"NodeID": x.id, "Addr": x.managerAddr})
		}
		s["RemoteManagers"] = ms
		if e.leads() == nil {
			s["Cluster"] = map[string]any{"ID": e.cluster.id, "DataPathPort": e.cluster.dataPath}
		}
	case e.pending != nil:
		s["NodeAddr"] = host(e.pending.AdvertiseAddr)
		s["RemoteManagers"] = []map[string]string{{"NodeID": "", "Addr": e.pending.RemoteAddrs[0]}}
		if e.ghost != nil {
			s["NodeID"] = e.ghost.id
		}
	}
	info := map[string]any{"DockerRootDir": "/var/lib/docker", "ServerVersion": e.version, "Name": e.hostname, "Swarm": s}
	maps.Copy(info, e.more)
	return info
}

func host(addr string) string {
	if h, _, err := net.SplitHostPort(addr); err == nil {
		return h
	}
	return addr
}

func (e *Engine) object(x *node) any {
	state := "ready"
	switch {
	case !x.leftAt.IsZero() && time.Since(x.leftAt) > e.net.DownDelay, x.leftAt.IsZero() && !x.alive(e.net, e):
		state = "down"
	case time.Now().Before(x.readyAt):
		state = "unknown"
	}
	o := map[string]any{
		"ID": x.id, "Version": index(x.version),
		"Spec":        map[string]any{"Role": x.role, "Availability": x.availability, "Labels": x.labels},
		"Description": map[string]any{"Hostname": x.engine.hostname, "Engine": map[string]string{"EngineVersion": x.engine.version}, "TLSInfo": x.ca.tls(x.ca.root)},
		"Status":      map[string]string{"State": state, "Addr": x.addr},
	}
	if x.member {
		reachability := "unreachable"
		if x.alive(e.net, e) {
			reachability = "reachable"
		}
		o["ManagerStatus"] = map[string]any{"Leader": x == e.cluster.leader(e.net, e), "Reachability": reachability, "Addr": x.managerAddr}
	}
	return o
}

func (e *Engine) tasks(u *url.URL) (any, error) {
	var f map[string]map[string]bool
	if q := u.Query().Get("filters"); q != "" {
		if err := json.Unmarshal([]byte(q), &f); err != nil {
			return nil, refuse(http.StatusBadRequest, "invalid filter: %v", err)
		}
	}
	list := []any{}
	for _, t := range e.cluster.tasks {
		state, desired, id, why := "running", "running", "", ""
		switch {
		case t.node == nil:
			state, why = "pending", "no suitable node (scheduling constraints not satisfied)"
		case t.kept && t.stopAt.IsZero() && !t.runs():
			state = "starting"
		}
		if t.node != nil {
			id = t.node.id
		}
		if !t.stopAt.IsZero() {
			desired = "shutdown"
			if time.Now().After(t.stopAt) {
				state = "shutdown"
			}
		}
		if ids := f["node"]; len(ids) > 0 && !ids[id] {
			continue
		}
		if ds := f["desired-state"]; len(ds) > 0 && !ds[desired] {
			continue
		}
		list = append(list, map[string]any{"ID": t.id, "ServiceID": t.service, "NodeID": id, "Slot": t.slot,
			"Status": map[string]string{"State": state, "Err": why}, "DesiredState": desired})
	}
	return list, nil
}

// current takes a version as an update gives it.
func (e *Engine) current(u *url.URL, version uint64) error {
	v, err := strconv.ParseUint(u.Query().Get("version"), 10, 64)
	if err != nil {
		return refuse(http.StatusBadRequest, "invalid version '%s': %v", u.Query().Get("version"), err)
	}
	if v != version || e.conflicts > 0 {
		e.conflicts = max(0, e.conflicts-1)
		return errSequence
	}
	return nil
}
