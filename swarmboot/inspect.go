package swarmboot

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
)

// Seen is what an engine says of itself.
type Seen struct {
	Reachable    bool
	Err          string   // why not reachable, or what is wrong with its part in the swarm
	State        string   // inactive, pending, active, error, locked
	ClusterID    string   // of managers
	DataPathPort int      // of managers: the UDP port of traffic between containers
	NodeID       string   // may also be given for a node that is not reachable, from what is known of it
	NodeAddr     string   // the address it advertises, without port
	ListedAddr   string   // of managers: where the swarm's list has it, without port; another than NodeAddr is one of before
	Control      bool     // is a manager with access to the store
	Managers     []string // addresses of managers it knows
	Nodes        []Member // of managers: the nodes of the swarm (Tasks is not counted); empty when it has no leader
	Hostname     string   // the host's own name
	Version      string   // engine version
	Root         string   // the engine's folder on the host
}

// manages reports whether the engine can take orders for its swarm.
func (s Seen) manages() bool {
	return s.Reachable && s.State == "active" && s.Control && s.ClusterID != "" && len(s.Nodes) > 0
}

// Inspect asks an engine for its part in a swarm. It does not fail: an engine
// that does not answer is seen as not reachable, with the reason.
func Inspect(ctx context.Context, e Engine) Seen {
	i, err := info(ctx, e)
	if err != nil {
		return Seen{Err: err.Error()}
	}
	w := i.Swarm
	s := Seen{
		Reachable: true,
		Err:       redact(w.Error),
		State:     w.LocalNodeState,
		NodeID:    w.NodeID,
		NodeAddr:  w.NodeAddr,
		Control:   w.ControlAvailable,
		Hostname:  i.Name,
		Version:   i.ServerVersion,
		Root:      i.DockerRootDir,
	}
	for _, m := range w.RemoteManagers {
		s.Managers = append(s.Managers, m.Addr)
		if host, _, err := net.SplitHostPort(m.Addr); err == nil && m.NodeID == w.NodeID {
			s.ListedAddr = host
		}
	}
	slices.Sort(s.Managers)
	if w.Cluster != nil {
		s.ClusterID = w.Cluster.ID
		s.DataPathPort = w.Cluster.dataPathPort()
	}
	if s.Control {
		nodes, err := nodes(ctx, e)
		if err != nil {
			s.Err = leaderless(err).Error()
		}
		s.Nodes = nodes
	}
	return s
}

// Member is a node as a manager sees it.
type Member struct {
	ID, Hostname string
	Role         Role
	Availability string // active, pause, drain
	State        string // ready, down, unknown, disconnected
	Addr         string
	Version      string
	Leader       bool
	Reachability string // of managers: reachable, unreachable, unknown
	Labels       map[string]string
	Tasks        int    // running
	Issuer       string // of its certificate: the public key, base64
	TrustRoot    string // the authority that it trusts, PEM
}

func (n nodeObject) member() Member {
	m := Member{
		ID:           n.ID,
		Hostname:     n.Description.Hostname,
		Role:         n.Spec.Role,
		Availability: n.Spec.Availability,
		State:        n.Status.State,
		Addr:         n.Status.Addr,
		Version:      n.Description.Engine.EngineVersion,
		Labels:       n.Spec.Labels,
		Issuer:       n.Description.TLSInfo.CertIssuerPublicKey,
		TrustRoot:    n.Description.TLSInfo.TrustRoot,
	}
	if s := n.ManagerStatus; s != nil {
		m.Leader = s.Leader
		m.Reachability = s.Reachability
	}
	return m
}

// nodes lists the swarm's nodes, ordered by hostname and id.
func nodes(ctx context.Context, e Engine) ([]Member, error) {
	var list []nodeObject
	if err := call(ctx, e, http.MethodGet, "/nodes", nil, &list); err != nil {
		return nil, err
	}
	ms := make([]Member, len(list))
	for i, n := range list {
		ms[i] = n.member()
	}
	slices.SortFunc(ms, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.Hostname, b.Hostname), cmp.Compare(a.ID, b.ID))
	})
	return ms, nil
}

// Members lists the nodes of the swarm that manager e is in, ordered by hostname and id.
// An engine that is no manager, or has no leader, is an error.
func Members(ctx context.Context, e Engine) ([]Member, error) {
	ms, err := nodes(ctx, e)
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", leaderless(err))
	}
	var tasks []taskObject
	path := "/tasks?filters=" + url.QueryEscape(`{"desired-state":{"running":true}}`)
	if err := call(ctx, e, http.MethodGet, path, nil, &tasks); err != nil {
		return nil, fmt.Errorf("list tasks: %w", leaderless(err))
	}
	running := make(map[string]int)
	for _, t := range tasks {
		if t.Status.State == "running" {
			running[t.NodeID]++
		}
	}
	for i := range ms {
		ms[i].Tasks = running[ms[i].ID]
	}
	return ms, nil
}
