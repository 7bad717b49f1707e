package lifecycle

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/hostsmith/machine/swarmboot"
)

// checkEngines asks the engines of those that are to join for what does not go with a swarm, and notes what may not.
func (m *Manager) checkEngines(ctx context.Context, f *forming) error {
	var fatal []string
	for _, finding := range swarmboot.EngineFindings(m.engineFacts(ctx, f)) {
		if finding.Fatal {
			fatal = append(fatal, finding.String())
			continue
		}
		m.Note(OnMachine(ctx, finding.From), "warning: "+finding.String())
	}
	if len(fatal) > 0 {
		return fmt.Errorf("%w: %s", swarmboot.ErrEngine, strings.Join(fatal, "; "))
	}
	return nil
}

// engineFacts asks those that are to join; of nodes that are in the swarm the managers know the version, which is all
// that is needed. An engine that does not answer is left out: whether it can join is found elsewhere.
func (m *Manager) engineFacts(ctx context.Context, f *forming) []swarmboot.EngineFacts {
	ctx, cancel := within(ctx, 0, versionDeadline, "ask the engines what they are")
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	asked := map[string]swarmboot.EngineFacts{}
	for _, n := range f.nodes {
		name := n.rec.Name
		if !f.joins(name) {
			continue
		}
		wg.Go(func() {
			facts, err := swarmboot.AskEngine(ctx, f.engines[name])
			if err != nil {
				m.Log.Info("engine not asked what it is", "machine", name, "err", err)
				return
			}
			facts.Name, facts.Joining = name, true
			m.Log.Debug("engine", "machine", name, "facts", facts)
			mu.Lock()
			defer mu.Unlock()
			asked[name] = facts
		})
	}
	wg.Wait()
	var all []swarmboot.EngineFacts
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		all = append(all, asked[name])
	}
	members := map[string]swarmboot.Member{}
	for _, seen := range f.seen {
		for _, member := range seen.Nodes {
			members[member.ID] = member
		}
	}
	for _, id := range slices.Sorted(maps.Keys(members)) {
		all = append(all, swarmboot.EngineFacts{Name: members[id].Hostname, Version: members[id].Version})
	}
	return all
}
