package lifecycle

import (
	"errors"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot/swarmboottest"
)

// TestRepeatedCreateOfSeveral has one machine of a swarm fail: the same command makes it good.
func TestRepeatedCreateOfSeveral(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3")
	req := CreateRequest{Names: []string{"m1", "m2", "m3"}, Driver: fake.Name, Swarm: SwarmOptions{Master: true}, RemoveOnFailure: true}
	w.create(CreateRequest{Names: []string{"m1"}, Swarm: req.Swarm})
	w.hosts["m3"].set(func(h *host) { h.fail["start_engine"] = 79 })
	got, err := w.manager().Create(t.Context(), req)
	if err == nil || got[0].Error+got[1].Error != "" || got[2].Error == "" || !got[0].Resumed {
		t.Fatalf("%+v, %v", got, err)
	}
	w.hosts["m3"].set(func(h *host) { delete(h.fail, "start_engine") })
	starts := w.hosts["m1"].starts
	got = w.create(req)
	for i, r := range got {
		if r.Error != "" || r.Swarm != "m1" || r.Role != "manager" || r.URL == "" || r.Resumed != (i < 2) || w.record(r.Name).Phase != store.Ready {
			t.Errorf("result %+v", r)
		}
	}
	if st := w.status("m1"); st.Managers != 3 || len(st.Problems) != 0 {
		t.Errorf("status %+v", st)
	}
	if w.hosts["m1"].starts != starts {
		t.Error("a machine that was ready was worked on")
	}
	if planned, err := w.manager().PlanCreate(t.Context(), req); err != nil || !strings.Contains(strings.Join(planned[0].Steps, ""), "nothing") {
		t.Errorf("plan %+v, %v", planned, err)
	}
	// A single name is taken, and so is one of another kind.
	_, err = w.manager().Create(t.Context(), CreateRequest{Names: []string{"m1"}, Driver: fake.Name, Swarm: req.Swarm})
	if !errors.Is(err, store.ErrExist) {
		t.Errorf("one: %v", err)
	}
	req.Engine.Labels = []string{"tier=a"}
	if _, err = w.manager().Create(t.Context(), req); !errors.Is(err, store.ErrExist) {
		t.Errorf("another kind: %v", err)
	}
	if w.record("m1").Phase != store.Ready {
		t.Error("m1 was removed")
	}
}

// TestLabelStepThatFails has a node that joined and whose labels were refused: it is not ready,
// the other one is, and the same command gives it the labels.
func TestLabelStepThatFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1", "w2")
	w.swarm([]string{"m1"}, nil)
	refusal := &swarmboottest.Error{Code: 400, Text: "the engine will not"}
	w.hosts["m1"].engine.Fail("POST /nodes/", refusal)
	req := CreateRequest{Names: []string{"w1", "w2"}, Driver: fake.Name, Swarm: SwarmOptions{IsSwarm: true, Labels: []string{"disk=ssd"}}}
	got, err := w.manager().Create(t.Context(), req)
	if err == nil || !strings.Contains(err.Error(), refusal.Text) {
		t.Fatalf("got %v", err)
	}
	failures := 0
	for _, r := range got {
		rec := w.record(r.Name)
		if rec.Swarm.NodeID == "" || (r.Error != "") != (rec.Phase != store.Ready) || (r.Error != "") != (rec.Problem != nil) {
			t.Errorf("%+v, phase %s, problem %+v, %+v", r, rec.Phase, rec.Problem, rec.Swarm)
		}
		if r.Error != "" {
			failures++
			if !strings.Contains(r.Error, "join "+r.Name) {
				t.Errorf("%s is told of another: %s", r.Name, r.Error)
			}
		}
	}
	if failures != 1 {
		t.Errorf("%d are not ready, want 1", failures)
	}
	for _, r := range w.create(req) {
		if r.Error != "" || w.record(r.Name).Phase != store.Ready {
			t.Errorf("again: %+v", r)
		}
	}
}

// TestRemoveOnFailureKeepsWhatWasReady has a machine that was ready before fail in a repeated create.
func TestRemoveOnFailureKeepsWhatWasReady(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2")
	c := &contexts{of: map[string][2]string{}}
	req := CreateRequest{Names: []string{"m1"}, Driver: fake.Name, DockerContext: true, RemoveOnFailure: true}
	if _, err := w.managerWith(c).Create(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	c.of["m1"] = [2]string{"the user's own by now", "host=ssh://prod"}
	req.Names = []string{"m1", "m2"}
	got, err := w.managerWith(c).Create(t.Context(), req)
	if !errors.Is(err, drivers.ErrConflict) || got[0].Error == "" || got[1].Error != "" {
		t.Errorf("%+v, %v", got, err)
	}
	if hosts, _ := w.made(); hosts != 2 || w.record("m1").Phase != store.Ready {
		t.Errorf("%d hosts, m1 %+v", hosts, w.record("m1"))
	}
}
