package swarmboot

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The kinds of actions.
const (
	kindInit        = "init"
	kindJoinManager = "join-manager"
	kindJoinWorker  = "join-worker"
	kindUpdate      = "update"
)

// Action is one thing Apply does.
type Action struct {
	Kind         string // init, join-manager, join-worker, update (labels, availability, role)
	Node         Node
	Via          []string // managers (names) that may give the token or the order; for joins also their addresses are used
	Pool         []string
	SubnetSize   int
	DataPathPort int           // of an init; 0: the engine's default
	CertExpiry   time.Duration // of an init; 0: the engine's default
	Reset        bool          // the node first leaves what is left of a join that did not end, or of a membership that did
	Replaces     []string      // ids that the node had before; the swarm still lists them as down
	NodeID       string        // of an update
	Changes      []string      // of an update, for people
}

// Name is the action as the name of a step, such as "join m2 as manager".
func (a Action) Name() string {
	switch a.Kind {
	case kindInit:
		return "init swarm on " + a.Node.Name
	case kindJoinManager, kindJoinWorker:
		return "join " + a.Node.Name + " as " + string(a.Node.Role)
	default:
		return a.Kind + " " + a.Node.Name
	}
}

// String renders the action for a dry run, without any secret.
func (a Action) String() string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if a.Kind == kindUpdate {
		return a.Name() + ": " + strings.Join(a.Changes, ", ")
	}
	if a.Reset {
		add("after it leaves what is left of a former attempt or membership")
	}
	if len(a.Replaces) > 0 {
		add("in place of its former node %s", strings.Join(a.Replaces, " "))
	}
	if len(a.Via) > 0 {
		add("via %s", strings.Join(a.Via, " or "))
	}
	add("advertise %s", a.Node.Advertise)
	if a.Node.Listen != "" {
		add("listen %s", a.Node.Listen)
	}
	if a.Node.DataPath != "" {
		add("data path %s", a.Node.DataPath)
	}
	if len(a.Pool) > 0 {
		add("address pool %s", strings.Join(a.Pool, " "))
	}
	if a.SubnetSize > 0 {
		add("subnets /%d", a.SubnetSize)
	}
	if a.DataPathPort > 0 {
		add("data path port %d/udp", a.DataPathPort)
	}
	if a.CertExpiry > 0 {
		add("certificates of nodes good for %s", a.CertExpiry)
	}
	if v := a.Node.Availability; v != "" && v != active {
		add("availability %s", v)
	}
	if l := labels(a.Node.Labels); l != "" {
		add("labels %s", l)
	}
	return a.Name() + ": " + strings.Join(parts, ", ")
}

func labels(m map[string]string) string {
	var kv []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		kv = append(kv, k+"="+m[k])
	}
	return strings.Join(kv, " ")
}
