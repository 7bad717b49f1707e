package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hostsmith/machine/swarmboot"
)

// LogLine is a line that a task of a swarm wrote.
type LogLine = swarmboot.LogLine

// LogsRequest asks for what the tasks of a service, or one task, wrote.
type LogsRequest struct {
	Swarm      string // or a machine in it; empty: the only one
	Of         string // a service or task, by name or id
	Follow     bool
	Tail       int // lines of each task; negative: all
	Since      time.Time
	Timestamps bool
	Note       func(text string) // told of what cannot be had
}

// SwarmLogs hands over lines as they come.
func (m *Manager) SwarmLogs(ctx context.Context, req LogsRequest, emit func(LogLine) error) error {
	c, err := m.findCluster(req.Swarm)
	if err != nil {
		return err
	}
	eng, _, err := m.aManager(ctx, c, "")
	if err != nil {
		return err
	}
	defer eng.close()
	w := swarmboot.LogsWish{Of: req.Of, Follow: req.Follow, Tail: req.Tail, Timestamps: req.Timestamps}
	if !req.Since.IsZero() {
		w.Since = max(req.Since.Unix(), 1)
	}
	if err := swarmboot.Logs(ctx, eng, w, emit, req.Note); err != nil {
		return fmt.Errorf("swarm %q: %w", c.Name, err)
	}
	return nil
}

// PruneRequest asks to free space on the nodes of a swarm.
type PruneRequest struct {
	Swarm     string // or a machine in it; empty: the only one
	AllImages bool   // all images that no container uses, not those without a name only
	Volumes   bool   // volumes that no container uses
	DryRun    bool
}

// Pruned is what went, or would go, on one node.
type Pruned struct {
	Machine string `json:"machine"`
	swarmboot.Pruned
	Error string `json:"error,omitempty"`
}

// pruneDeadline bounds the pruning of one node: many small files take long on slow disks.
const pruneDeadline = 30 * time.Minute

// SwarmPrune removes on all nodes at once what nothing uses. A node that does not answer has its error in the result, and
// is an error; it does not stop the others.
func (m *Manager) SwarmPrune(ctx context.Context, req PruneRequest) ([]Pruned, error) {
	c, err := m.findCluster(req.Swarm)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(c.Members))
	for name := range c.Members {
		names = append(names, name)
	}
	slices.Sort(names)
	var mu sync.Mutex
	var out []Pruned
	err = m.each(ctx, names, func(ctx context.Context, name string) error {
		p := Pruned{Machine: name}
		err := m.Step(ctx, map[bool]string{false: "prune", true: "ask for disk usage"}[req.DryRun], func(ctx context.Context) (err error) {
			p.Pruned, err = m.pruneOne(ctx, name, req)
			return err
		})
		if err != nil {
			p.Error = err.Error()
			err = &MachineError{Machine: name, Err: err}
		}
		mu.Lock()
		defer mu.Unlock()
		out = append(out, p)
		return err
	})
	slices.SortFunc(out, func(a, b Pruned) int { return cmp.Compare(a.Machine, b.Machine) })
	return out, err
}

func (m *Manager) pruneOne(ctx context.Context, name string, req PruneRequest) (swarmboot.Pruned, error) {
	x, err := m.view(name)
	if err != nil {
		return swarmboot.Pruned{}, err
	}
	eng, err := x.engine(ctx, nil)
	if err != nil {
		return swarmboot.Pruned{}, err
	}
	defer eng.close()
	if seen := inspectAll(ctx, map[string]swarmboot.Engine{name: eng})[name]; !seen.Reachable {
		return swarmboot.Pruned{}, fmt.Errorf("%w: %w", swarmboot.ErrNode, errors.New(seen.Err))
	}
	slow := eng.patient()
	defer slow.close()
	ctx, cancel := within(ctx, 0, pruneDeadline, "prune "+name)
	defer cancel()
	w := swarmboot.PruneWish{AllImages: req.AllImages, Volumes: req.Volumes}
	if req.DryRun {
		return swarmboot.Prunable(ctx, slow, w)
	}
	return swarmboot.Prune(ctx, slow, w)
}
