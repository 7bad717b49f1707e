package swarmboot

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Staying is a task that keeps a node from being empty, or that found no other place.
type Staying struct {
	Task   string // such as web.1
	State  string // of the task, or of what shall replace it
	Reason string // what the swarm says of it; may be empty
}

func (s Staying) String() string {
	if s.Reason == "" {
		return s.Task + " (" + s.State + ")"
	}
	return s.Task + " (" + s.State + ": " + s.Reason + ")"
}

// Vacate drains a node and waits until none of its tasks runs there and each of them runs elsewhere, has ended for good, or is
// wanted no more. When ctx ends before, the error wraps ErrTasks and the context's cause, and tells of each task what the swarm
// says of it; the node stays drained. Doing it again waits for the same tasks. A wait of a context that has no deadline
// may never end: constraints can rule all other nodes out.
func Vacate(ctx context.Context, manager Engine, id string) error {
	all, err := listTasks(ctx, manager)
	if err != nil {
		return fmt.Errorf("drain node: %w", err)
	}
	slots := all.slotsOf(id)
	if err := SetAvailability(ctx, manager, id, drain); err != nil {
		return fmt.Errorf("drain node: %w", err)
	}
	err = settleTasks(ctx, func(ctx context.Context) ([]Staying, error) {
		now, err := listTasks(ctx, manager)
		return append(now.on(id), now.homeless(id, slots)...), err
	})
	if err != nil {
		return fmt.Errorf("drain node: %w", err)
	}
	return nil
}

// Left returns the tasks of a node that a drain would wait for, or that found no other place after one.
func Left(ctx context.Context, manager Engine, id string) ([]Staying, error) {
	all, err := listTasks(ctx, manager)
	return append(all.on(id), all.homeless(id, all.slotsOf(id))...), err
}

// settleTasks waits until left tells of no task.
func settleTasks(ctx context.Context, left func(context.Context) ([]Staying, error)) error {
	var last []Staying
	err := poll(ctx, func(ctx context.Context) (bool, error) {
		now, err := left(ctx)
		if err == nil {
			last = now
		}
		return err == nil && len(now) == 0, err
	})
	if err == nil || len(last) == 0 {
		return err
	}
	words := make([]string, len(last))
	for i, s := range last {
		words[i] = s.String()
	}
	slices.Sort(words)
	return hint(fmt.Errorf("%w: %s: %w", ErrTasks, strings.Join(slices.Compact(words), ", "), err),
		"their services' stop grace period may be longer than the wait; the node takes no new tasks, so wait longer by doing it again")
}

// taskList is all tasks of a swarm, those of the past too as far as it remembers them.
type taskList struct {
	tasks   []taskObject
	service func(id string) string // its name
}

func listTasks(ctx context.Context, manager Engine) (taskList, error) {
	names := make(map[string]string)
	l := taskList{service: func(id string) string {
		if _, ok := names[id]; !ok {
			names[id] = serviceName(ctx, manager, id)
		}
		return names[id]
	}}
	err := call(ctx, manager, http.MethodGet, "/tasks", nil, &l.tasks)
	return l, leaderless(err)
}

// ended: the task will never run again.
func (t taskObject) ended() bool {
	switch t.Status.State {
	case "complete", "shutdown", "failed", "rejected", "remove", "orphaned":
		return true
	}
	return false
}

// wanted: the swarm means the task to run, or to have run to its end.
func (t taskObject) wanted() bool {
	switch t.DesiredState {
	case "shutdown", "remove", "failed", "rejected", "orphaned":
		return false
	}
	return true
}

// place is what tasks that replace each other share; empty: nothing replaces the task on another node.
func (t taskObject) place() string {
	if t.Slot == 0 {
		return ""
	}
	return t.ServiceID + "." + strconv.Itoa(t.Slot)
}

func (l taskList) name(t taskObject) string {
	slot := t.ID
	if t.Slot > 0 {
		slot = strconv.Itoa(t.Slot)
	}
	return l.service(t.ServiceID) + "." + slot
}

func (l taskList) staying(t taskObject) Staying {
	return Staying{Task: l.name(t), State: t.Status.State, Reason: redact(t.Status.Err)}
}

// on returns the tasks that have not ended on a node, those included that shall end.
func (l taskList) on(id string) []Staying {
	var out []Staying
	for _, t := range l.tasks {
		if t.NodeID == id && !t.ended() {
			out = append(out, l.staying(t))
		}
	}
	return out
}

// slotsOf returns the places that a node's tasks have, and those that it was the last to fill before it was drained.
func (l taskList) slotsOf(id string) map[string]bool {
	last := make(map[string]taskObject)
	slots := make(map[string]bool)
	for _, t := range l.tasks {
		p := t.place()
		switch {
		case p == "":
		case t.NodeID == id && !t.ended():
			slots[p] = true
		case t.ended() && t.Version.Index >= last[p].Version.Index:
			last[p] = t
		}
	}
	for p, t := range last {
		if t.NodeID == id && t.Status.State == "shutdown" {
			slots[p] = true
		}
	}
	return slots
}

// homeless returns what shall fill places elsewhere and does not run. What ended there last tells why, if it has
// nothing to say itself.
func (l taskList) homeless(id string, slots map[string]bool) []Staying {
	now, before := make(map[string]taskObject), make(map[string]taskObject)
	for _, t := range l.tasks {
		p := t.place()
		switch {
		case !slots[p] || t.NodeID == id:
		case t.ended() && t.Version.Index >= before[p].Version.Index:
			before[p] = t
		case !t.ended() && t.wanted() && t.Version.Index >= now[p].Version.Index:
			now[p] = t
		}
	}
	var out []Staying
	for _, t := range now {
		if t.Status.State == "running" {
			continue
		}
		s := l.staying(t)
		if s.Reason == "" {
			s.Reason = redact(before[t.place()].Status.Err)
		}
		out = append(out, s)
	}
	return out
}

// serviceName is for messages only: without a name the id has to do.
func serviceName(ctx context.Context, manager Engine, id string) string {
	var s struct{ Spec struct{ Name string } }
	if err := call(ctx, manager, http.MethodGet, "/services/"+url.PathEscape(id), nil, &s); err != nil || s.Spec.Name == "" {
		return id
	}
	return s.Spec.Name
}
