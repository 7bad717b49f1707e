package lifecycle

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hostsmith/machine/swarmboot"
)

// spread moves tasks of services that have all of two or more on one node, before it is drained: a drain ends them together.
// The node is paused for it, so that it gets none of them again, and drained from there.
func (r *rolling) spread(ctx context.Context, x *machine, eng *guide) error {
	id := x.rec.Swarm.NodeID
	services, err := swarmboot.Workloads(ctx, eng)
	if err != nil {
		return err
	}
	members, err := swarmboot.Members(ctx, eng)
	if err != nil {
		return err
	}
	movable, bound := swarmboot.Crowded(services, members, id)
	if len(bound) > 0 {
		r.m.Note(ctx, "services that run nowhere else stop meanwhile: "+strings.Join(bound, ", "))
	}
	i := slices.IndexFunc(members, func(n swarmboot.Member) bool { return n.ID == id })
	if len(movable) == 0 || i < 0 || members[i].Availability == "drain" {
		return nil
	}
	if r.owed(x.rec.Name) == "" {
		if err := r.remember(ctx, x, eng, members); err != nil {
			return err
		}
		if err := r.owe(x.rec.Name, members[i].Availability); err != nil {
			return err
		}
	}
	if err := swarmboot.SetAvailability(ctx, eng, id, "pause"); err != nil {
		return err
	}
	for _, s := range movable {
		limit := r.m.drainLimit() * time.Duration(s.Replicas) // one after another
		wait, cancel := within(ctx, limit, 0, "wait for tasks of service "+s.Name+" to run on other nodes")
		err := r.m.Step(wait, "spread service "+s.Name+", which has all its tasks here", func(ctx context.Context) error {
			return swarmboot.Spread(ctx, eng, s.ID, func(own swarmboot.UpdateConfig) error { return r.keepUpdates(s.ID, own) })
		})
		cancel()
		if rerr := r.restoreUpdates(ctx); err == nil {
			err = rerr
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// keepUpdates records a service's own update configuration, to be put back.
func (r *rolling) keepUpdates(id string, own swarmboot.UpdateConfig) error {
	if r.op.State.Updates == nil {
		r.op.State.Updates = map[string]json.RawMessage{}
	}
	if _, known := r.op.State.Updates[id]; known {
		return nil // by a command that was interrupted, before it changed anything
	}
	if own == nil {
		own = json.RawMessage("null")
	}
	r.op.State.Updates[id] = own
	return r.op.save()
}

// restoreUpdates puts update configurations back that were changed to spread services.
func (r *rolling) restoreUpdates(ctx context.Context) error {
	if len(r.op.State.Updates) == 0 {
		return nil
	}
	eng, err := r.guided(ctx)
	if err != nil {
		return err
	}
	defer eng.close()
	for _, id := range slices.Sorted(maps.Keys(r.op.State.Updates)) {
		own := r.op.State.Updates[id]
		if string(own) == "null" {
			own = nil
		}
		wait, cancel := within(ctx, r.m.Wait.Drain, drainDeadline, "wait for the update of a service to end")
		err := r.m.Step(wait, "give the spread service its own update configuration back", func(ctx context.Context) error {
			return swarmboot.RestoreUpdates(ctx, eng, id, own)
		})
		cancel()
		if err != nil {
			return err
		}
		delete(r.op.State.Updates, id)
		if err := r.op.save(); err != nil {
			return err
		}
	}
	return nil
}
