package swarmboot_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/swarmboot"
	"github.com/hostsmith/machine/swarmboot/swarmboottest"
)

// crowd is a swarm of a manager and two workers, with a watch on a service.
type crowd struct {
	m1, w1, w2 *swarmboottest.Engine
}

func newCrowd(t *testing.T) crowd {
	t.Helper()
	n := swarmboottest.New()
	n.ReadyDelay, n.RoleDelay, n.DownDelay = 0, 0, 0
	c := crowd{n.Engine("m1", "10.0.0.1"), n.Engine("w1", "10.0.1.1"), n.Engine("w2", "10.0.1.2")}
	want := swarmboot.Swarm{Nodes: nodes{node("m1", mgr), node("w1", wrk), node("w2", wrk)}}
	engines := map[string]swarmboot.Engine{"m1": c.m1, "w1": c.w1, "w2": c.w2}
	seen := map[string]swarmboot.Seen{}
	for name, e := range engines {
		seen[name] = swarmboot.Inspect(t.Context(), e)
	}
	actions, err := swarmboot.Plan(want, seen)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := swarmboot.Apply(t.Context(), actions, engines, nil, nil); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c crowd) services(t *testing.T) []swarmboot.Workload {
	t.Helper()
	s, err := swarmboot.Workloads(t.Context(), c.m1)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (c crowd) members(t *testing.T) []swarmboot.Member {
	t.Helper()
	ms, err := swarmboot.Members(t.Context(), c.m1)
	if err != nil {
		t.Fatal(err)
	}
	return ms
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Second, errors.New("waited 2s"))
	t.Cleanup(cancel)
	return ctx
}

func TestDrainUntilServicesRunElsewhere(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	c.m1.AddService("web", swarmboottest.ServiceOptions{Replicas: 3, Start: 300 * time.Millisecond})
	c.m1.AddService("agent", swarmboottest.ServiceOptions{})
	before := swarmboot.RunningTasks(c.services(t))
	if _, err := swarmboot.Drain(t.Context(), c.m1, c.w1.NodeID()); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if homeless, err := swarmboot.WaitServices(t.Context(), c.m1, before, c.w1.NodeID()); err != nil || len(homeless) > 0 {
		t.Fatalf("got %q, %v", homeless, err)
	}
	if time.Since(begun) < 200*time.Millisecond {
		t.Error("did not wait until the new task runs")
	}
	if got := c.m1.Tasks("web"); got["w1"] > 0 || got["m1"]+got["w2"] != 3 {
		t.Errorf("web runs on %v", got)
	}
	// Back again: the global service has all its tasks only when the node has one.
	if _, err := swarmboot.WaitServices(soon(t), c.m1, before); !errors.Is(err, swarmboot.ErrReplicas) || !strings.Contains(err.Error(), "agent runs 2 of 3 tasks") {
		t.Errorf("got %v", err)
	}
	if err := swarmboot.SetAvailability(t.Context(), c.m1, c.w1.NodeID(), "active"); err != nil {
		t.Fatal(err)
	}
	if _, err := swarmboot.WaitServices(soon(t), c.m1, before); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestServicesThatCannotMove(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	c.m1.AddService("pinned", swarmboottest.ServiceOptions{Replicas: 2, Only: "w1"})
	before := swarmboot.RunningTasks(c.services(t))
	movable, bound := swarmboot.Crowded(c.services(t), c.members(t), c.w1.NodeID())
	if len(movable) > 0 || !slices.Equal(bound, []string{"pinned (no other active node with node.hostname==w1)"}) {
		t.Errorf("got %v and %q", movable, bound)
	}
	if _, err := swarmboot.Drain(t.Context(), c.m1, c.w1.NodeID()); err != nil {
		t.Fatal(err)
	}
	homeless, err := swarmboot.WaitServices(t.Context(), c.m1, before, c.w1.NodeID())
	if err != nil || len(homeless) != 2 || !strings.HasPrefix(homeless[0], "pinned.1: no suitable node") {
		t.Errorf("got %q, %v", homeless, err)
	}
}

func TestServiceThatDoesNotComeUpElsewhere(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	c.m1.AddService("web", swarmboottest.ServiceOptions{Replicas: 3})
	before := swarmboot.RunningTasks(c.services(t))
	c.m1.Break("web", true)
	if _, err := swarmboot.Drain(t.Context(), c.m1, c.w1.NodeID()); err != nil {
		t.Fatal(err)
	}
	_, err := swarmboot.WaitServices(soon(t), c.m1, before, c.w1.NodeID())
	if !errors.Is(err, swarmboot.ErrReplicas) || !strings.Contains(err.Error(), "web runs 2 of 3 tasks, waiting: web.") || !strings.Contains(err.Error(), "waited 2s") {
		t.Errorf("got %v", err)
	}
}

// spread pauses w1 and spreads web, all of whose tasks are there, while it is watched.
func (c crowd) spread(t *testing.T) (own swarmboot.UpdateConfig, least int, err error) {
	t.Helper()
	movable, bound := swarmboot.Crowded(c.services(t), c.members(t), c.w1.NodeID())
	if len(movable) != 1 || movable[0].Name != "web" || len(bound) > 0 {
		t.Fatalf("got %v and %q", movable, bound)
	}
	if err := swarmboot.SetAvailability(t.Context(), c.m1, c.w1.NodeID(), "pause"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int)
	go func() {
		least := 99
		for ctx.Err() == nil {
			n := 0
			for _, tasks := range c.m1.Tasks("web") {
				n += tasks
			}
			least = min(least, n)
			time.Sleep(5 * time.Millisecond)
		}
		done <- least
	}()
	err = swarmboot.Spread(t.Context(), c.m1, movable[0].ID, func(u swarmboot.UpdateConfig) error { own = u; return nil })
	cancel()
	least = <-done
	if rerr := swarmboot.RestoreUpdates(t.Context(), c.m1, movable[0].ID, own); rerr != nil {
		t.Errorf("restore: %v", rerr)
	}
	return own, least, err
}

func TestSpread(t *testing.T) {
	t.Parallel()
	for name, updates := range map[string]string{
		"none":    "",
		"all":     `{"Parallelism":0,"FailureAction":"continue","MaxFailureRatio":0.5,"Order":"stop-first"}`,
		"default": `{"Parallelism":1,"FailureAction":"pause","Monitor":5000000000,"MaxFailureRatio":0,"Order":"stop-first"}`,
		"start":   `{"Parallelism":2,"Delay":600000000000,"MaxFailureRatio":0,"Order":"start-first"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCrowd(t)
			c.m1.AddService("web", swarmboottest.ServiceOptions{Replicas: 2, On: c.w1, Start: 100 * time.Millisecond, Update: updates})
			before := c.m1.Spec("web")
			_, least, err := c.spread(t)
			if err != nil || least < 1 {
				t.Errorf("%d tasks ran at the least, %v", least, err)
			}
			if got := c.m1.Tasks("web"); !maps.Equal(got, map[string]int{"m1": 1, "w2": 1}) {
				t.Errorf("web runs on %v", got)
			}
			after := strings.Replace(c.m1.Spec("web"), `"TaskTemplate":{"ContainerSpec":{"Image":"web:1"},"ForceUpdate":1}`, `"TaskTemplate":{"ContainerSpec":{"Image":"web:1"}}`, 1)
			if after != before {
				t.Errorf("the specification was\n%s\nand is\n%s", before, after)
			}
		})
	}
}

// TestSpreadThatFails leaves the other task where it is, and the service as it was.
func TestSpreadThatFails(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	c.m1.AddService("web", swarmboottest.ServiceOptions{Replicas: 2, On: c.w1, Update: `{"Parallelism":0,"MaxFailureRatio":0,"Order":"stop-first"}`})
	before := c.m1.Spec("web")
	c.m1.Break("web", true)
	_, least, err := c.spread(t)
	if !errors.Is(err, swarmboot.ErrReplicas) || !strings.Contains(fmt.Sprint(err), "paused") || least < 1 {
		t.Errorf("%d tasks ran at the least, %v", least, err)
	}
	if got := c.m1.Tasks("web"); got["w1"] != 1 {
		t.Errorf("web runs on %v", got)
	}
	if after := c.m1.Spec("web"); after != before {
		t.Errorf("the specification was\n%s\nand is\n%s", before, after)
	}
}

func TestCrowdedAndAlone(t *testing.T) {
	t.Parallel()
	ms := nodesOf(member("m1", mgr), member("w1", wrk), member("w2", wrk))
	ms[2].Labels = map[string]string{"Disk": "ssd"}
	drained := slices.Clone(ms)
	drained[0].Availability, drained[2].State = "drain", "down"
	on := func(tasks map[string]int, replicas int, constraints ...string) []swarmboot.Workload {
		return []swarmboot.Workload{{ID: "s1", Name: "web", Replicas: replicas, Constraints: constraints, Running: tasks}}
	}
	all := map[string]int{"id-w1": 2}
	for name, tt := range map[string]struct {
		services []swarmboot.Workload
		members  []swarmboot.Member
		want     string
	}{
		"movable":          {on(all, 2), ms, "movable"},
		"of more replicas": {on(all, 5), ms, "movable"},
		"elsewhere too":    {on(map[string]int{"id-w1": 2, "id-w2": 1}, 3), ms, ""},
		"one of two":       {on(map[string]int{"id-w1": 1}, 2), ms, "alone"},
		"one":              {on(map[string]int{"id-w1": 1}, 1), ms, "alone"},
		"global":           {[]swarmboot.Workload{{Name: "web", Global: true, Running: map[string]int{"id-w1": 1}}}, ms, ""},
		"no other":         {on(all, 2), drained, "bound"},
		"role fits":        {on(all, 2, "node.role == worker"), ms, "movable"},
		"role":             {on(all, 2, "node.role==worker", "node.hostname != w2"), ms, "bound"},
		"id":               {on(all, 2, "node.id==id-w1"), ms, "bound"},
		"label fits":       {on(all, 2, "node.labels.Disk==ssd"), ms, "movable"},
		"label":            {on(all, 2, "node.labels.Disk==hdd"), ms, "bound"},
		"not known here":   {on(all, 2, "engine.labels.os==debian", "node.platform.os == linux"), ms, "movable"},
	} {
		movable, bound := swarmboot.Crowded(tt.services, tt.members, "id-w1")
		got := ""
		switch {
		case len(movable) > 0:
			got = "movable"
		case len(bound) > 0:
			got = "bound"
		case len(swarmboot.Alone(tt.services, "id-w1")) > 0:
			got = "alone"
		}
		if got != tt.want {
			t.Errorf("%s: got %q (%v, %q), want %q", name, got, movable, bound, tt.want)
		}
	}
}

func nodesOf(ms ...swarmboot.Member) []swarmboot.Member { return ms }
