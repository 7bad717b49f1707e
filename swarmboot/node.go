package swarmboot

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

func node(ctx context.Context, manager Engine, id string) (nodeObject, error) {
	var n nodeObject
	err := call(ctx, manager, http.MethodGet, "/nodes/"+url.PathEscape(id), nil, &n)
	return n, leaderless(err)
}

// updateNode changes a node object, reading it again when others changed it in between. change
// reports whether there is anything to change.
func updateNode(ctx context.Context, manager Engine, id string, change func(*nodeSpec) bool) error {
	err := poll(ctx, func(ctx context.Context) (bool, error) {
		n, err := node(ctx, manager, id)
		if err != nil || !change(&n.Spec) {
			return err == nil, err
		}
		path := "/nodes/" + url.PathEscape(id) + "/update?version=" + strconv.FormatUint(n.Version.Index, 10)
		err = call(ctx, manager, http.MethodPost, path, n.Spec, nil)
		if outOfSequence(err) {
			return false, nil
		}
		return err == nil, leaderless(err)
	})
	if err != nil {
		return fmt.Errorf("update node: %w", err)
	}
	return nil
}

// SetAvailability sets active, pause or drain. Nothing is written when the node has it already.
func SetAvailability(ctx context.Context, manager Engine, id, availability string) error {
	_, err := setAvailability(ctx, manager, id, availability)
	return err
}

func setAvailability(ctx context.Context, manager Engine, id, availability string) (former string, err error) {
	err = updateNode(ctx, manager, id, func(s *nodeSpec) bool {
		if former == "" {
			former = s.Availability
		}
		if s.Availability == availability {
			return false
		}
		s.Availability = availability
		return true
	})
	return former, err
}

// Drain sets a node to drain and waits until no task runs there, or ctx ends: then the
// error wraps ErrTasks and the context's cause, and names the tasks. former is the availability that
// the node had before, also when the wait failed; empty: the node was not reached.
func Drain(ctx context.Context, manager Engine, id string) (former string, err error) {
	former, err = setAvailability(ctx, manager, id, drain)
	if err != nil {
		return former, fmt.Errorf("drain node: %w", err)
	}
	err = settleTasks(ctx, func(ctx context.Context) ([]Staying, error) {
		all, err := listTasks(ctx, manager)
		return all.on(id), err
	})
	if err != nil {
		return former, fmt.Errorf("drain node: %w", err)
	}
	return former, nil
}

// WaitReady waits until a node is ready (and, if a manager, reachable), or ctx ends; the
// error says what state it was seen in last.
func WaitReady(ctx context.Context, manager Engine, id string) error {
	return waitNode(ctx, manager, id, "ready", func(n nodeObject) bool {
		return n.Status.State == "ready" &&
			(n.Spec.Role != Manager || n.ManagerStatus != nil && n.ManagerStatus.Reachability == "reachable")
	})
}

// waitRole waits until a change of role is through: the managers change their
// membership after the order, one by one.
func waitRole(ctx context.Context, manager Engine, id string, role Role) error {
	if role == Manager {
		return WaitReady(ctx, manager, id)
	}
	return waitNode(ctx, manager, id, "a worker", func(n nodeObject) bool {
		// A leader that has just taken over does not know yet who is there.
		return n.Spec.Role == Worker && n.ManagerStatus == nil && n.Status.State != "unknown"
	})
}

// waitNode waits for a condition of a node. A node that the manager does not list is waited
// for too: a manager that follows learns of it after the leader.
func waitNode(ctx context.Context, manager Engine, id, what string, ok func(nodeObject) bool) error {
	seen := "not listed"
	err := poll(ctx, func(ctx context.Context) (bool, error) {
		n, err := node(ctx, manager, id)
		if status(err) == http.StatusNotFound {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		seen = n.Status.State
		if m := n.ManagerStatus; m != nil {
			seen += ", manager " + m.Reachability
		}
		if n.Status.Message != "" {
			seen += " (" + n.Status.Message + ")"
		}
		return ok(n), nil
	})
	if err != nil {
		return fmt.Errorf("wait for node %s to be %s, last seen %s: %w", id, what, seen, err)
	}
	return nil
}

// gone reports whether a manager does not know the node any more.
func gone(err error) bool {
	var a *apiError
	return errors.As(err, &a) && a.status == http.StatusNotFound
}
