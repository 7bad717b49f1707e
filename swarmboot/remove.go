package swarmboot

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Remove takes a node out in good order: drain and wait until its tasks have ended (bounded by drainWait),
// demote, leave, remove from the node list. self is the node's engine, nil when it does not answer; manager is another
// manager's, nil when self is the last manager. Already out is no error; a self that falls silent meanwhile is done without.
//
// Tasks that outlast drainWait end the removal with an error that wraps ErrTasks; a
// drainWait of 0 does not wait for tasks. An interrupted removal is continued by doing it again.
// Whether the swarm can spare the node is not asked here: see CheckRemoval. A self that is
// another node (the machine was made anew) is left alone.
func Remove(ctx context.Context, id string, self, manager Engine, drainWait time.Duration, step StepFunc) error {
	r := removal{id: id, self: self, manager: manager, step: step}
	if self != nil {
		if err := r.look(ctx); err != nil {
			return err
		}
	}
	if manager == nil {
		if r.self == nil {
			return fmt.Errorf("remove node: %w: neither the node nor a manager", ErrNode)
		}
		return r.leave(ctx, true)
	}
	var n nodeObject
	err := poll(ctx, func(ctx context.Context) (ok bool, err error) {
		n, err = node(ctx, manager, id)
		return err == nil, err
	})
	switch {
	case gone(err):
		return r.leave(ctx, true) // the swarm has done with it; it may not know
	case err != nil:
		return fmt.Errorf("remove node: %w", err)
	}
	if err := r.drain(ctx, n, drainWait); err != nil {
		return err
	}
	if n.Spec.Role == Manager || n.ManagerStatus != nil {
		if err := r.demote(ctx); err != nil {
			return err
		}
	}
	if err := r.leave(ctx, false); err != nil {
		return err
	}
	return r.strike(ctx)
}

// removal is one Remove at work.
type removal struct {
	id            string
	self, manager Engine
	out           bool // self is in no swarm
	step          StepFunc
}

// look finds out whether self is the node still.
func (r *removal) look(ctx context.Context) error {
	i, err := info(ctx, r.self)
	if err != nil {
		if r.silent(ctx, err) {
			return nil
		}
		return fmt.Errorf("remove node: %w", err)
	}
	w := i.Swarm
	r.out = w.LocalNodeState == "inactive"
	if w.NodeID != "" && r.id != "" && w.NodeID != r.id {
		if r.manager == nil {
			return fmt.Errorf("remove node: %w: the host is node %s, not %s", ErrForeign, w.NodeID, r.id)
		}
		r.self = nil
	}
	return nil
}

func (r *removal) drain(ctx context.Context, n nodeObject, wait time.Duration) error {
	alive := r.self != nil && !r.out && n.Status.State == "ready"
	if !alive && n.Spec.Availability == drain {
		return nil
	}
	return stepped(ctx, r.step, "drain node", func(ctx context.Context) error {
		if !alive || wait <= 0 {
			return SetAvailability(ctx, r.manager, r.id, drain)
		}
		ctx, cancel := context.WithTimeoutCause(ctx, wait, fmt.Errorf("waited %s", wait))
		defer cancel()
		_, err := Drain(ctx, r.manager, r.id)
		return err
	})
}

func (r *removal) demote(ctx context.Context) error {
	return stepped(ctx, r.step, "demote manager", func(ctx context.Context) error {
		err := demoteNode(ctx, r.manager, r.id)
		if says(err, "raft memberlist") {
			return nil // has the role, but never came to vote
		}
		if err == nil {
			err = waitRole(ctx, r.manager, r.id, Worker)
		}
		if err == nil && r.self != nil && !r.out {
			err = r.demoted(ctx)
			if r.silent(ctx, err) {
				err = nil
			}
		}
		if err != nil {
			return fmt.Errorf("demote manager: %w", err)
		}
		return nil
	})
}

// demoted waits until the node itself has stopped being a manager: until then it refuses to leave.
func (r *removal) demoted(ctx context.Context) error {
	return poll(ctx, func(ctx context.Context) (bool, error) {
		i, err := info(ctx, r.self)
		return err == nil && !i.Swarm.ControlAvailable, err
	})
}

func (r *removal) leave(ctx context.Context, force bool) error {
	if r.self == nil || r.out {
		return nil
	}
	return stepped(ctx, r.step, "leave swarm", func(ctx context.Context) error {
		err := leave(ctx, r.self, force)
		if r.silent(ctx, err) {
			return nil
		}
		return err
	})
}

// silent reports whether err is that self fell silent, as one does whose host is being stopped. A manager
// can then do without it, as without one that did not answer from the start.
func (r *removal) silent(ctx context.Context, err error) bool {
	if err == nil || ctx.Err() != nil || status(err) != 0 || r.manager == nil {
		return false
	}
	r.self = nil
	return true
}

func demoteNode(ctx context.Context, manager Engine, id string) error {
	return updateNode(ctx, manager, id, func(s *nodeSpec) bool {
		changed := s.Role != Worker
		s.Role = Worker
		return changed
	})
}

// strike removes the node from the list.
func (r *removal) strike(ctx context.Context) error {
	return stepped(ctx, r.step, "remove node from the swarm", func(ctx context.Context) error {
		if err := deleteNode(ctx, r.manager, r.id); err != nil {
			return fmt.Errorf("remove node from the swarm: %w", err)
		}
		return nil
	})
}

// deleteNode strikes a node off the list. It is by force, because the managers see a node as down only
// after some missed heartbeats; those that come here have left or do not answer.
func deleteNode(ctx context.Context, manager Engine, id string) error {
	return poll(ctx, func(ctx context.Context) (bool, error) {
		err := call(ctx, manager, http.MethodDelete, "/nodes/"+url.PathEscape(id)+"?force=true", nil, nil)
		switch {
		case gone(err):
			return true, nil
		case says(err, "must be demoted"): // the managers' list is behind
			return false, nil
		}
		return err == nil, leaderless(err)
	})
}
