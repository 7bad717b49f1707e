package swarmboot

import (
	"context"
	"fmt"
	"maps"
	"time"
)

// Carry makes a change and waits until the swarm has it. self is the node's engine, nil when it does not answer; manager
// is that of a manager which stays one: another one for a demotion or a removal, nil only where the last node leaves. drainWait
// bounds the wait for tasks of a drain or a removal, 0: they are not waited for. What an interrupted Carry left, doing it
// again completes.
func Carry(ctx context.Context, c Change, self, manager Engine, drainWait time.Duration, step StepFunc) error {
	switch c.Verb {
	case VerbLeave, VerbStrike:
		return Remove(ctx, c.ID, self, manager, drainWait, step)
	case VerbDemote:
		r := removal{id: c.ID, self: self, manager: manager, step: step}
		return r.demote(ctx)
	}
	name := map[Verb]string{
		VerbPromote: "promote to manager", VerbDrain: "drain the node", VerbPause: "pause the node",
		VerbActivate: "activate the node", VerbLabel: "label the node",
	}[c.Verb]
	return stepped(ctx, step, name, func(ctx context.Context) error {
		switch c.Verb {
		case VerbPromote:
			return promote(ctx, c.ID, self, manager)
		case VerbDrain:
			return drainFor(ctx, c.ID, manager, drainWait)
		case VerbPause:
			return SetAvailability(ctx, manager, c.ID, pause)
		case VerbActivate:
			return SetAvailability(ctx, manager, c.ID, active)
		case VerbLabel:
			return updateNode(ctx, manager, c.ID, c.relabel)
		}
		return fmt.Errorf("change %s: unknown verb %q", c.Name, c.Verb)
	})
}

func promote(ctx context.Context, id string, self, manager Engine) error {
	err := updateNode(ctx, manager, id, func(s *nodeSpec) bool {
		changed := s.Role != Manager
		s.Role = Manager
		return changed
	})
	if err == nil {
		err = waitRole(ctx, manager, id, Manager)
	}
	if err == nil && self != nil {
		err = controls(ctx, self) // the next order may go through it
	}
	return err
}

func drainFor(ctx context.Context, id string, manager Engine, wait time.Duration) error {
	if wait <= 0 {
		return SetAvailability(ctx, manager, id, drain)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, wait, fmt.Errorf("waited %s", wait))
	defer cancel()
	return Vacate(ctx, manager, id)
}

// relabel changes the labels of a node object.
func (c Change) relabel(s *nodeSpec) bool {
	set, unset := relabel(Member{Labels: s.Labels}, c.Set, c.Unset)
	for _, k := range unset {
		delete(s.Labels, k)
	}
	if s.Labels == nil {
		s.Labels = make(map[string]string)
	}
	maps.Copy(s.Labels, set)
	return len(set)+len(unset) > 0
}
