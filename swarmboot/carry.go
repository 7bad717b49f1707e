package swarmboot

import (
	"context"
	"fmt"
	"maps"
	"strings"
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
	if err != nil {
		return err
	}
	if self == nil {
		return waitRole(ctx, manager, id, Manager)
	}
	waiting, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	go func() {
		if err := stuck(waiting, self); err != nil {
			giveUp(err)
		}
	}()
	if err := waitRole(waiting, manager, id, Manager); err != nil {
		return err
	}
	return controls(waiting, self) // the next order may go through it
}

// stuckAfter is how long an engine may fail to become a manager. It tries again after 0.1 s, 0.2 s and so on.
const stuckAfter = 6 * time.Second

// stuck returns when an engine has failed to become a manager for some time, or ctx ends; then nil. An engine that has run since
// it joined tries to become one through the manager that it joined at, whether that is gone or not, and never another.
func stuck(ctx context.Context, self Engine) (err error) {
	var since time.Time
	_ = poll(ctx, func(ctx context.Context) (bool, error) {
		i, ierr := info(ctx, self)
		switch w := i.Swarm; {
		case ierr != nil:
		case w.LocalNodeState == "error" && strings.Contains(w.Error, "can't initialize raft node"):
			if since.IsZero() {
				since = time.Now()
			}
			if time.Since(since) > stuckAfter {
				err = hint(fmt.Errorf("%w: its engine says: %s", ErrStuck, redact(w.Error)),
					"machine swarm recover has it leave and join again, as a manager")
				return true, nil
			}
		case w.ControlAvailable:
			return true, nil
		}
		return false, nil
	})
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
