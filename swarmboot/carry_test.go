package swarmboot_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/swarmboot"
)

// TestCarry promotes and demotes, the leader too, and changes availabilities and labels.
func TestCarry(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFleet(3, 1)
		res, err := f.apply(t.Context(), t)
		if err != nil {
			t.Fatal(err)
		}
		do := func(verb swarmboot.Verb, name, via string, set map[string]string, unset ...string) {
			t.Helper()
			ms, err := swarmboot.Members(t.Context(), f.made[via])
			if err != nil {
				t.Fatal(err)
			}
			plan, err := swarmboot.PlanChanges([]swarmboot.Wish{{Verb: verb, Name: name, ID: res.NodeIDs[name], Set: set, Unset: unset}}, ms)
			if err != nil || len(plan.Changes) != 1 {
				t.Fatalf("%s %s: got %v, %v", verb, name, plan, err)
			}
			for range 2 { // again, as after a kill, it finds it done
				if err := swarmboot.Carry(t.Context(), plan.Changes[0], f.made[name], f.made[via], time.Minute, nil); err != nil {
					t.Fatalf("%s %s: %v", verb, name, err)
				}
			}
		}
		state := func(via, name string) string {
			t.Helper()
			ms, err := swarmboot.Members(t.Context(), f.made[via])
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range ms {
				if m.ID == res.NodeIDs[name] {
					return fmt.Sprintf("%s %s %s %v", m.Role, m.Reachability, m.Availability, m.Labels)
				}
			}
			return "gone"
		}
		do(swarmboot.VerbPromote, "w1", "m2", nil)
		do(swarmboot.VerbDemote, "m1", "m2", nil) // the leader
		do(swarmboot.VerbLabel, "w1", "m2", map[string]string{"a": "1", "b": "2"})
		do(swarmboot.VerbLabel, "w1", "m2", map[string]string{"b": "3"}, "a")
		do(swarmboot.VerbPause, "w1", "m2", nil)
		do(swarmboot.VerbDrain, "m1", "w1", nil)
		if got := state("m2", "w1"); got != "manager reachable pause map[b:3]" {
			t.Errorf("w1 is %s", got)
		}
		if got := state("m2", "m1"); got != "worker  drain map[]" {
			t.Errorf("m1 is %s", got)
		}
		do(swarmboot.VerbActivate, "m1", "w1", nil)
		if got := state("m2", "m1"); got != "worker  active map[]" {
			t.Errorf("m1 is %s", got)
		}
		do(swarmboot.VerbLeave, "m1", "w1", nil)
	})
}

// tasked is an engine that answers with tasks, step by step.
type tasked struct {
	t     *testing.T
	tasks []string // lists in JSON; the last one stays
	set   bool     // the node was drained
}

func (e *tasked) Do(_ context.Context, method, path string, in, out any) error {
	answer := `{}`
	switch {
	case method == "POST":
		body, err := json.Marshal(in)
		if err != nil || !strings.Contains(string(body), `"Availability":"drain"`) {
			e.t.Errorf("got %s %v, want it drained", body, err)
		}
		e.set = true
	case strings.HasPrefix(path, "/tasks"):
		answer = e.tasks[0]
		if len(e.tasks) > 1 {
			e.tasks = e.tasks[1:]
		}
	case strings.HasPrefix(path, "/services/"):
		answer = `{"Spec":{"Name":"` + strings.TrimPrefix(path, "/services/") + `"}}`
	case strings.HasPrefix(path, "/nodes/"):
		answer = `{"ID":"n1","Spec":{"Role":"worker","Availability":"active"}}`
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal([]byte(answer), out)
}

func TestVacate(t *testing.T) {
	t.Parallel()
	const (
		here    = `{"ID":"a","Version":{"Index":1},"ServiceID":"web","Slot":1,"NodeID":"n1","DesiredState":"running","Status":{"State":"running"}}`
		over    = `{"ID":"a","Version":{"Index":5},"ServiceID":"web","Slot":1,"NodeID":"n1","DesiredState":"shutdown","Status":{"State":"shutdown"}}`
		stops   = `{"ID":"a","Version":{"Index":5},"ServiceID":"web","Slot":1,"NodeID":"n1","DesiredState":"shutdown","Status":{"State":"running"}}`
		pending = `{"ID":"b","Version":{"Index":6},"ServiceID":"web","Slot":1,"DesiredState":"running","Status":{"State":"pending","Err":"no suitable node (scheduling constraints not satisfied on 2 nodes)"}}`
		starts  = `{"ID":"b","Version":{"Index":7},"ServiceID":"web","Slot":1,"NodeID":"n2","DesiredState":"running","Status":{"State":"starting"}}`
		there   = `{"ID":"b","Version":{"Index":8},"ServiceID":"web","Slot":1,"NodeID":"n2","DesiredState":"running","Status":{"State":"running"}}`
		reject  = `{"ID":"b","Version":{"Index":8},"ServiceID":"web","Slot":1,"NodeID":"n2","DesiredState":"shutdown","Status":{"State":"rejected","Err":"No such image: web:1"}}`
		ready   = `{"ID":"c","Version":{"Index":9},"ServiceID":"web","Slot":1,"NodeID":"n2","DesiredState":"ready","Status":{"State":"ready"}}`
		global  = `{"ID":"g","Version":{"Index":2},"ServiceID":"log","NodeID":"n1","DesiredState":"running","Status":{"State":"running"}}`
		globalX = `{"ID":"g","Version":{"Index":3},"ServiceID":"log","NodeID":"n1","DesiredState":"shutdown","Status":{"State":"shutdown"}}`
		other   = `{"ID":"o","Version":{"Index":1},"ServiceID":"sick","Slot":1,"DesiredState":"running","Status":{"State":"pending","Err":"no suitable node"}}`
	)
	for name, c := range map[string]struct {
		tasks []string
		left  string
	}{
		"moves":                  {[]string{here, here, stops + "," + pending, over + "," + starts, over + "," + there}, ""},
		"is wanted no more":      {[]string{here, over}, ""},
		"global ends":            {[]string{global, globalX}, ""},
		"others do not matter":   {[]string{here + "," + other, over + "," + there + "," + other}, ""},
		"does not stop":          {[]string{here, stops + "," + there}, "web.1 (running)"},
		"has no place":           {[]string{here, over + "," + pending}, "web.1 (pending: no suitable node (scheduling constraints not satisfied on 2 nodes))"},
		"has no place, again":    {[]string{over + "," + pending}, "web.1 (pending: no suitable node (scheduling constraints not satisfied on 2 nodes))"},
		"does not start":         {[]string{here, over + "," + reject + "," + ready}, "web.1 (ready: No such image: web:1)"},
		"was the past of others": {[]string{over + "," + reject + "," + ready}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				e := &tasked{t: t}
				for _, list := range c.tasks {
					e.tasks = append(e.tasks, "["+list+"]")
				}
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("waited a minute"))
				defer cancel()
				err := swarmboot.Vacate(ctx, e, "n1")
				switch {
				case !e.set:
					t.Error("the node was not drained")
				case c.left == "" && err != nil:
					t.Error(err)
				case c.left != "" && (!errors.Is(err, swarmboot.ErrTasks) || !strings.HasSuffix(err.Error(), ": "+c.left+": waited a minute")):
					t.Errorf("got %v, want %s", err, c.left)
				}
			})
		})
	}
}

// TestPromotionIsStuck promotes a worker whose engine looks for a manager that is gone. One whose engine fails only
// at first goes on.
func TestPromotionIsStuck(t *testing.T) {
	const failed = `{"Swarm":{"LocalNodeState":"error","Error":"manager stopped: can't initialize raft node: dial tcp 10.0.0.1:2377: connect: no route to host"}}`
	node := func(manager string) string {
		return `{"ID":"id-w1","Spec":{"Role":"manager"},"Status":{"State":"ready"}` + manager + `}`
	}
	promote := func(ctx context.Context, self, manager swarmboot.Engine) error {
		return swarmboot.Carry(ctx, swarmboot.Change{Wish: swarmboot.Wish{Verb: swarmboot.VerbPromote, ID: "id-w1", Name: "w1"}}, self, manager, 0, nil)
	}
	t.Run("for good", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			begun := time.Now()
			err := promote(ctx, &answers{by: map[string]string{"GET /info": failed}}, &answers{by: map[string]string{"GET /nodes/id-w1": node("")}})
			if !errors.Is(err, swarmboot.ErrStuck) || !strings.Contains(err.Error(), "no route to host") {
				t.Errorf("got %v", err)
			}
			if took := time.Since(begun); took > 15*time.Second {
				t.Errorf("it was told after %s", took)
			}
		})
	})
	t.Run("at first", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			self := &changing{until: time.Now().Add(3 * time.Second), first: failed, then: `{"Swarm":{"LocalNodeState":"active","ControlAvailable":true}}`}
			manager := &changing{until: time.Now().Add(10 * time.Second), first: node(""), then: node(`,"ManagerStatus":{"Reachability":"reachable"}`)}
			if err := promote(t.Context(), self, manager); err != nil {
				t.Error(err)
			}
		})
	})
}

// changing answers one thing at first and another one then.
type changing struct {
	until       time.Time
	first, then string
}

func (c *changing) Do(_ context.Context, _, _ string, _, out any) error {
	if time.Now().Before(c.until) {
		return json.Unmarshal([]byte(c.first), out)
	}
	return json.Unmarshal([]byte(c.then), out)
}
