package swarmboot

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Spread restarts the tasks of a service one after another, so that they are placed anew. A node that they shall leave is paused
// by the caller first. Each new task runs before the next old one ends, whatever the service says of its updates: the
// next old one stays where the new one does not come up, and the error tells.
//
// It is what "docker service update --force" does, with an update configuration for this one time: one task at once, no delay, a
// stop at the first failure, and the service's own order, because one that stops first may not bear two tasks of a slot. keep
// is given the service's own configuration before anything is changed; RestoreUpdates puts it back, also after a Spread
// that failed or was interrupted. What remains is a higher ForceUpdate in the task template, as after any forced update.
func Spread(ctx context.Context, manager Engine, id string, keep func(UpdateConfig) error) error {
	err := updateService(ctx, manager, id, "", func(spec serviceSpec) (bool, error) {
		own := spec["UpdateConfig"]
		if err := keep(own); err != nil {
			return false, err
		}
		calm, err := careful(own)
		if err != nil {
			return false, err
		}
		if spec["UpdateConfig"], err = json.Marshal(calm); err != nil {
			return false, err
		}
		return true, spec.force()
	})
	if err == nil {
		err = waitUpdated(ctx, manager, id, 0)
	}
	if err != nil {
		return fmt.Errorf("spread service: %w", err)
	}
	return nil
}

// RestoreUpdates gives a service its own update configuration back, once the update that is under way has ended. One
// that has stopped at a failure is rolled back, because an engine takes a new configuration as an order to go on. A
// service that was removed, or that has another configuration than Spread gives, is left alone.
func RestoreUpdates(ctx context.Context, manager Engine, id string, own UpdateConfig) error {
	err := restoreUpdates(ctx, manager, id, own)
	if err != nil && !gone(err) {
		return fmt.Errorf("restore update configuration: %w", err)
	}
	return nil
}

func restoreUpdates(ctx context.Context, manager Engine, id string, own UpdateConfig) error {
	calm, err := careful(own)
	if err != nil {
		return err
	}
	spread := false
	err = updateService(ctx, manager, id, "", func(spec serviceSpec) (bool, error) {
		now, err := decodeUpdates(spec["UpdateConfig"])
		spread = now == calm
		return false, err
	})
	if err != nil || !spread {
		return err
	}
	err = waitUpdated(ctx, manager, id, unbegunFor)
	var stopped *stoppedError
	if errors.As(err, &stopped) && stopped.state == "paused" {
		return updateService(ctx, manager, id, "&rollback=previous", func(serviceSpec) (bool, error) { return true, nil })
	}
	if err != nil && stopped == nil {
		return err
	}
	return updateService(ctx, manager, id, "", func(spec serviceSpec) (bool, error) {
		if now, err := decodeUpdates(own); err == nil && now == calm && len(own) > 0 {
			return false, nil
		}
		if len(own) == 0 {
			delete(spec, "UpdateConfig")
		} else {
			spec["UpdateConfig"] = own
		}
		return true, nil
	})
}

// unbegunFor is how long an update that shows no state may be one that the engine has not begun.
const unbegunFor = 5 * time.Second

// UpdateConfig is how a service is updated, as the engine writes it; empty: by the engine's defaults.
type UpdateConfig = json.RawMessage

// updateConfig is what can be said about updates.
type updateConfig struct {
	Parallelism     uint64
	Delay           time.Duration `json:",omitempty"`
	FailureAction   string        `json:",omitempty"`
	Monitor         time.Duration `json:",omitempty"`
	MaxFailureRatio float32
	Order           string
}

func decodeUpdates(raw UpdateConfig) (c updateConfig, err error) {
	if len(raw) > 0 {
		err = json.Unmarshal(raw, &c)
	}
	if err != nil {
		return c, fmt.Errorf("read update configuration: %w", err)
	}
	return c, nil
}

// careful is the configuration under which a service of two or more tasks never stands without one.
func careful(own UpdateConfig) (updateConfig, error) {
	const monitor = 5 * time.Second // the engine's default
	c, err := decodeUpdates(own)
	if c.Monitor <= 0 || c.Monitor > monitor {
		c.Monitor = monitor
	}
	return updateConfig{Parallelism: 1, FailureAction: "pause", Monitor: c.Monitor, Order: cmp.Or(c.Order, "stop-first")}, err
}

// serviceSpec is sent back as it came but for what is changed, so that nothing in it is lost.
type serviceSpec map[string]json.RawMessage

// force raises what makes the engine restart tasks whose template is the same.
func (s serviceSpec) force() error {
	var task map[string]json.RawMessage
	if err := json.Unmarshal(s["TaskTemplate"], &task); err != nil {
		return fmt.Errorf("read task template: %w", err)
	}
	var n uint64
	if raw := task["ForceUpdate"]; len(raw) > 0 {
		if err := json.Unmarshal(raw, &n); err != nil {
			return fmt.Errorf("read task template: %w", err)
		}
	}
	task["ForceUpdate"] = json.RawMessage(strconv.FormatUint(n+1, 10))
	raw, err := json.Marshal(task)
	s["TaskTemplate"] = raw
	return err
}

// updateService changes a service, reading it again when others changed it in between. change reports whether there
// is anything to change. query is added to the order.
func updateService(ctx context.Context, manager Engine, id, query string, change func(serviceSpec) (bool, error)) error {
	var refused error
	err := poll(ctx, func(ctx context.Context) (bool, error) {
		var s struct {
			Version objectVersion
			Spec    serviceSpec
		}
		if err := call(ctx, manager, http.MethodGet, "/services/"+url.PathEscape(id), nil, &s); err != nil {
			return false, leaderless(err)
		}
		var ok bool
		if ok, refused = change(s.Spec); refused != nil || !ok {
			return true, nil
		}
		path := "/services/" + url.PathEscape(id) + "/update?version=" + strconv.FormatUint(s.Version.Index, 10) + query
		err := call(ctx, manager, http.MethodPost, path, s.Spec, nil)
		if outOfSequence(err) {
			return false, nil
		}
		return err == nil, leaderless(err)
	})
	if refused != nil {
		return refused
	}
	return err
}

// waitUpdated waits until the update of a service has come to its end. One that has stopped by itself is an error. An
// update without state has not begun; after unbegun there is none (0: there is one).
func waitUpdated(ctx context.Context, manager Engine, id string, unbegun time.Duration) error {
	state, since := "not begun", time.Now()
	var stopped *stoppedError
	err := poll(ctx, func(ctx context.Context) (bool, error) {
		var s struct {
			UpdateStatus *struct{ State, Message string }
		}
		if err := call(ctx, manager, http.MethodGet, "/services/"+url.PathEscape(id), nil, &s); err != nil {
			return false, leaderless(err)
		}
		if s.UpdateStatus == nil || s.UpdateStatus.State == "" {
			return unbegun > 0 && time.Since(since) > unbegun, nil
		}
		switch state = s.UpdateStatus.State; state {
		case "paused", "rollback_paused", "rollback_completed":
			stopped = &stoppedError{state, s.UpdateStatus.Message}
			return true, nil
		}
		return state == "completed", nil
	})
	switch {
	case stopped != nil:
		return stopped
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("%w: its update is %s: %w", ErrReplicas, state, err)
	}
	return err
}

// stoppedError is an update that the engine has given up.
type stoppedError struct{ state, said string }

func (e *stoppedError) Error() string {
	return fmt.Sprintf("%s: its update is %s: %s", ErrReplicas, e.state, e.said)
}

func (e *stoppedError) Unwrap() error { return ErrReplicas }
