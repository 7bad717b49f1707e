package swarmboot_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/hostsmith/machine/swarmboot"
)

// hosts are machines with real engines by name.
type hosts map[string]swarmboot.Engine

func (h hosts) seen(ctx context.Context) map[string]swarmboot.Seen {
	seen := make(map[string]swarmboot.Seen)
	for name, e := range h {
		seen[name] = swarmboot.Inspect(ctx, e)
	}
	return seen
}

func logSteps(t *testing.T) swarmboot.StepFunc {
	return func(ctx context.Context, name string, fn func(context.Context) error) error {
		start := time.Now()
		err := fn(ctx)
		t.Logf("%s: %v (%s)", name, err, time.Since(start).Round(time.Millisecond))
		return err
	}
}

func TestRealSwarm(t *testing.T) {
	needLab(t, "dockerd")
	l := newLab(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	h := make(hosts)
	want := swarmboot.Swarm{Name: "prod", AddrPool: []string{"10.77.0.0/16"}}
	for i, name := range []string{"m1", "m2", "m3", "w1", "w2"} {
		l.host(i + 1)
		h[name] = l.engine(i + 1)
		n := swarmboot.Node{Name: name, Role: swarmboot.Manager, Advertise: l.addr(i + 1), Labels: map[string]string{"n": name}}
		if name[0] == 'w' {
			n.Role = swarmboot.Worker
		}
		if name == "m3" {
			n.Availability = "drain"
		}
		want.Nodes = append(want.Nodes, n)
	}
	actions, err := swarmboot.Plan(want, h.seen(ctx))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range actions {
		t.Log(a)
	}
	res, err := swarmboot.Apply(ctx, actions, h, nil, logSteps(t))
	if err != nil {
		t.Fatal(err)
	}
	ms, err := swarmboot.Members(ctx, h["m3"])
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range ms {
		t.Logf("%+v", m)
	}
	if len(ms) != 5 || len(res.NodeIDs) != 5 {
		t.Fatalf("got %d members and %d ids, want 5", len(ms), len(res.NodeIDs))
	}
	want.ID = res.ClusterID
	again, err := swarmboot.Plan(want, h.seen(ctx))
	if err != nil || len(again) != 0 {
		t.Fatalf("second plan: got %v, %v, want nothing to do", again, err)
	}
	for _, name := range []string{"m1", "w1"} {
		if err := swarmboot.Remove(ctx, res.NodeIDs[name], h[name], h["m2"], time.Minute, logSteps(t)); err != nil {
			t.Fatal(err)
		}
	}
	ms, err = swarmboot.Members(ctx, h["m2"])
	if err != nil || len(ms) != 3 {
		t.Fatalf("got %v, %v, want 3 members", ms, err)
	}
	fmt.Println(swarmboot.CountQuorum(ms))
}
