package swarmboot

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Workload is a service and what runs of it. Jobs, whose tasks come to an end, are none.
type Workload struct {
	ID, Name    string
	Global      bool
	Replicas    int            // wanted; of a global service 0
	Constraints []string       // such as node.role==worker
	Running     map[string]int // tasks by the id of their node
	Waiting     []string       // tasks that shall run and do not yet, with their state
	Homeless    []string       // those of them that no node may take, with the reason
}

func (s Workload) running() int {
	n := 0
	for _, tasks := range s.Running {
		n += tasks
	}
	return n
}

type workloadObject struct {
	ID   string
	Spec struct {
		Name string
		Mode struct {
			Replicated *struct{ Replicas *uint64 }
			Global     *struct{}
		}
		TaskTemplate struct {
			Placement *struct{ Constraints []string }
		}
	}
}

// Workloads lists the services of the swarm that a manager is in, ordered by name.
func Workloads(ctx context.Context, manager Engine) ([]Workload, error) {
	var list []workloadObject
	if err := call(ctx, manager, http.MethodGet, "/services", nil, &list); err != nil {
		return nil, fmt.Errorf("list services: %w", leaderless(err))
	}
	var tasks []taskObject
	if err := call(ctx, manager, http.MethodGet, "/tasks", nil, &tasks); err != nil {
		return nil, fmt.Errorf("list tasks: %w", leaderless(err))
	}
	var out []Workload
	for _, o := range list {
		s := Workload{ID: o.ID, Name: o.Spec.Name, Global: o.Spec.Mode.Global != nil, Running: map[string]int{}}
		if r := o.Spec.Mode.Replicated; r != nil && r.Replicas != nil {
			s.Replicas = int(*r.Replicas)
		} else if !s.Global {
			continue
		}
		if p := o.Spec.TaskTemplate.Placement; p != nil {
			s.Constraints = p.Constraints
		}
		for _, t := range tasks {
			if t.ServiceID == s.ID {
				s.count(t)
			}
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Workload) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return out, nil
}

func (s *Workload) count(t taskObject) {
	if t.DesiredState != "running" && t.DesiredState != "ready" {
		return
	}
	name := t.ID
	if t.Slot > 0 {
		name = fmt.Sprintf("%s.%d", s.Name, t.Slot)
	}
	switch {
	case t.Status.State == "running" && t.DesiredState == "running":
		s.Running[t.NodeID]++
	case strings.Contains(t.Status.Err, "no suitable node"):
		s.Homeless = append(s.Homeless, name+": "+t.Status.Err)
	default:
		s.Waiting = append(s.Waiting, name+" ("+strings.TrimSuffix(t.Status.State+": "+t.Status.Err, ": ")+")")
	}
}

// RunningTasks counts what runs of services, by their ids. It is what WaitServices gets to know of the time before.
func RunningTasks(services []Workload) map[string]int {
	before := map[string]int{}
	for _, s := range services {
		if n := s.running(); n > 0 {
			before[s.ID] = n
		}
	}
	return before
}

// lacking says of each service that runs fewer tasks than before what is missing. away are nodes that are to have no
// tasks: global services do not run there. Services that were removed or scaled down meanwhile lack nothing for it.
// helpless are those that are missing because no node may take them.
func lacking(before map[string]int, now []Workload, away []string) (missing, helpless []string) {
	for _, s := range now {
		want := before[s.ID]
		if s.Global && len(away) > 0 {
			continue
		}
		if !s.Global {
			want = min(want, s.Replicas)
		}
		n := s.running()
		for _, id := range away {
			n -= s.Running[id]
		}
		switch {
		case n >= want:
		case n+len(s.Homeless) >= want:
			helpless = append(helpless, s.Homeless...)
		default:
			missing = append(missing, fmt.Sprintf("%s runs %d of %d tasks%s", s.Name, n, want, because(slices.Concat(s.Waiting, s.Homeless))))
		}
	}
	return missing, helpless
}

func because(states []string) string {
	if len(states) == 0 {
		return ""
	}
	return ", waiting: " + strings.Join(states, ", ")
}

// homelessFor is how long a task has to have no node that may take it until nobody waits for it: the port or the memory
// that it needs may be free in a moment.
const homelessFor = 5 * time.Second

// WaitServices waits until services run as many tasks as before, healthy where they are checked, on other nodes than those that
// are away. Tasks that no node may take are not waited for and returned, with the reason. When ctx ends the error
// wraps ErrReplicas and its cause, and says what is missing.
func WaitServices(ctx context.Context, manager Engine, before map[string]int, away ...string) (homeless []string, err error) {
	var missing []string
	var since time.Time // nothing but homeless tasks is missing since then
	err = poll(ctx, func(ctx context.Context) (bool, error) {
		services, err := Workloads(ctx, manager)
		if err != nil {
			return false, err
		}
		missing, homeless = lacking(before, services, away)
		if len(missing) > 0 || len(homeless) == 0 {
			since = time.Time{}
			return len(missing) == 0, nil
		}
		if since.IsZero() {
			since = time.Now()
		}
		return time.Since(since) >= homelessFor, nil
	})
	if err != nil && len(missing)+len(homeless) > 0 {
		return nil, fmt.Errorf("wait for services: %w: %s: %w", ErrReplicas, strings.Join(slices.Concat(missing, homeless), "; "), err)
	}
	if err != nil {
		return nil, fmt.Errorf("wait for services: %w", err)
	}
	return homeless, nil
}

// Crowded are the replicated services of two or more tasks that would be away while a node is drained, because all
// of them run there: those that may run elsewhere, and those that may not, by name with the reason.
func Crowded(services []Workload, members []Member, node string) (movable []Workload, bound []string) {
	for _, s := range services {
		if s.Global || s.Replicas < 2 || s.Running[node] < 2 || s.Running[node] != s.running() {
			continue
		}
		free := slices.ContainsFunc(members, func(m Member) bool { return m.ID != node && m.takesTasks() && s.fits(m) })
		if free {
			movable = append(movable, s)
		} else {
			bound = append(bound, s.Name+" (no other active node"+strings.TrimSuffix(" with "+strings.Join(s.Constraints, ", "), " with ")+")")
		}
	}
	return movable, bound
}

// fits tells whether a node meets the placement constraints, as far as the list of nodes tells: what it does
// not know is taken as met.
func (s Workload) fits(m Member) bool {
	for _, c := range s.Constraints {
		key, want, equal := strings.Cut(c, "==")
		if !equal {
			var unequal bool
			if key, want, unequal = strings.Cut(c, "!="); !unequal {
				continue
			}
		}
		has, known := m.attribute(strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(key))
		if known && strings.EqualFold(has, strings.TrimSpace(want)) != equal {
			return false
		}
	}
	return true
}

func (m Member) attribute(key, asWritten string) (value string, known bool) {
	switch key {
	case "node.id":
		return m.ID, true
	case "node.hostname":
		return m.Hostname, true
	case "node.role":
		return string(m.Role), true
	}
	if strings.HasPrefix(key, "node.labels.") {
		return m.Labels[asWritten[len("node.labels."):]], true
	}
	return "", false
}

// Alone names the services of which one task runs, and that one on a node: they are away while it moves.
func Alone(services []Workload, node string) []string {
	names := map[string]bool{}
	for _, s := range services {
		if !s.Global && s.running() == 1 && s.Running[node] == 1 {
			names[s.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// LastHere tells whether a node has all running tasks of a service that is meant to have several: no second node may be
// drained then that has them.
func LastHere(services []Workload, node string) bool {
	return slices.ContainsFunc(services, func(s Workload) bool {
		return (s.Global || s.Replicas > 1) && s.Running[node] > 0 && s.Running[node] == s.running()
	})
}
