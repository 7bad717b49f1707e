package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// aManager returns the engine of a manager of the swarm that answers and has access to the
// swarm's state, prefer first, and the machine it is of. The error tells why each did not.
func (m *Manager) aManager(ctx context.Context, c store.Cluster, prefer string, not ...string) (*engine, *machine, error) {
	var managers, workers []string
	for name, member := range c.Members {
		switch {
		case slices.Contains(not, name):
		case member.Role == string(swarmboot.Manager):
			managers = append(managers, name)
		default:
			workers = append(workers, name)
		}
	}
	eng, x, err := m.askManagers(ctx, c, prefer, managers)
	if err != nil && len(workers) > 0 {
		// Roles may have been changed by other means since they were recorded.
		if eng, x, werr := m.askManagers(ctx, c, prefer, workers); werr == nil {
			return eng, x, nil
		}
	}
	return eng, x, err
}

// preferFor is how long a manager that answers waits for one that comes before it in order.
const preferFor = 500 * time.Millisecond

// askManagers asks the engines of names at once and returns the first, in order, that manages.
func (m *Manager) askManagers(ctx context.Context, c store.Cluster, prefer string, names []string) (*engine, *machine, error) {
	sort.Slice(names, func(i, j int) bool {
		if (names[i] == prefer) != (names[j] == prefer) {
			return names[i] == prefer
		}
		return names[i] < names[j]
	})
	type answer struct {
		x   *machine
		eng *engine
		err error
	}
	answers := make([]answer, len(names))
	var wg sync.WaitGroup
	ctx, cancel := within(ctx, 0, 15*time.Second, "find a manager that answers")
	defer cancel()
	for i, name := range names {
		wg.Go(func() {
			a := &answers[i]
			if a.x, a.err = m.view(name); a.err != nil {
				return
			}
			if a.eng, a.err = a.x.engine(ctx, nil); a.err != nil {
				return
			}
			switch seen := swarmboot.Inspect(ctx, a.eng); {
			case !seen.Reachable:
				a.err = errors.New(seen.Err)
			case seen.Locked():
				a.err = fmt.Errorf("%w and waits for its key", swarmboot.ErrLocked)
			case !seen.Control:
				a.err = fmt.Errorf("is no manager with access to the swarm's state (%s)", seen.State)
			case c.ID != "" && seen.ClusterID != "" && seen.ClusterID != c.ID:
				a.err = fmt.Errorf("%w: %s", swarmboot.ErrForeign, seen.ClusterID)
			case i == 0:
				cancel() // the first of all; the others need not answer
			default:
				time.AfterFunc(preferFor, cancel)
			}
		})
	}
	wg.Wait()
	var found *answer
	var why []string
	locked := ""
	for i := range answers {
		a := &answers[i]
		switch {
		case a.err != nil:
			why = append(why, names[i]+": "+a.err.Error())
			if errors.Is(a.err, swarmboot.ErrLocked) {
				locked = c.Name
			}
		case found == nil:
			found = a
			continue
		}
		if a.eng != nil {
			a.eng.close()
		}
	}
	if found == nil {
		if len(why) == 0 {
			why = append(why, "no manager is recorded")
		}
		if locked != "" {
			return nil, nil, &swarmboot.HintError{
				Err:    fmt.Errorf("ask swarm %q: %w: %w: %s", c.Name, swarmboot.ErrNoManager, swarmboot.ErrLocked, strings.Join(why, "; ")),
				Advice: "machine swarm unlock " + locked,
			}
		}
		return nil, nil, fmt.Errorf("ask swarm %q: %w: %s", c.Name, swarmboot.ErrNoManager, strings.Join(why, "; "))
	}
	return found.eng, found.x, nil
}
