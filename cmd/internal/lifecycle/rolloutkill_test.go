package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hostsmith/machine/swarmboot/swarmboottest"
)

// TestKilledSwarmUpgrade kills the upgrade at each of its events: the same command goes on, and in the end all is as after one
// that was not killed, the service included, which is spread and never without a task.
func TestKilledSwarmUpgrade(t *testing.T) {
	t.Parallel()
	const updates = `{"FailureAction":"continue","MaxFailureRatio":0,"Order":"stop-first","Parallelism":0}`
	k := killing{
		names: []string{"m1", "w1"}, // few, because each event has a world of its own
		before: func(w *world) {
			w.swarm([]string{"m1"}, []string{"w1"})
			w.newer("m1", "w1")
			w.availability("w1", "pause")
			w.hosts["m1"].engine.AddService("web", swarmboottest.ServiceOptions{Replicas: 2, On: w.hosts["w1"].engine, Update: updates})
		},
		act: func(ctx context.Context, w *world) {
			w.hosts["m1"].set(func(h *host) { h.orders = true })
			_, _ = w.manager().SwarmUpgrade(ctx, SwarmUpgradeRequest{Version: "29.0.1"})
			w.hosts["m1"].set(func(h *host) { h.orders = false })
		},
		from:  "put cluster", // the operation's beginning
		kinds: "put ssh before after engine",
	}
	k.each(t, func(t *testing.T, w *world) {
		least := w.served(t, "m1", "web")
		_, err := w.manager().SwarmUpgrade(t.Context(), SwarmUpgradeRequest{Version: "29.0.1"})
		if n := least(); err != nil || n < 1 {
			t.Fatalf("upgrade again: %d tasks of web at the least, %v", n, err)
		}
		w.over(t, "29.0.1", map[string]string{"w1": "pause"})
		if spec := w.hosts["m1"].engine.Spec("web"); !strings.Contains(spec, fmt.Sprintf(`"UpdateConfig":%s`, updates)) {
			t.Errorf("the service is %s", spec)
		}
		for name := range w.hosts {
			if v := w.record(name).HostOptions.EngineOptions.Version; v != "29.0.1" {
				t.Errorf("%s is pinned to %q", name, v)
			}
		}
	})
}

// TestAbandonedSwarmUpgrade gives an upgrade up that was killed while it spread a service: nodes and the service are as before.
func TestAbandonedSwarmUpgrade(t *testing.T) {
	t.Parallel()
	const updates = `{"FailureAction":"continue","MaxFailureRatio":0,"Order":"stop-first","Parallelism":0}`
	w := newWorld(t, "m1", "w1", "w2")
	w.swarm([]string{"m1"}, []string{"w1", "w2"})
	w.newer("w1")
	e := w.hosts["m1"].engine
	e.AddService("web", swarmboottest.ServiceOptions{Replicas: 2, On: w.hosts["w1"].engine, Update: updates, Start: 200 * time.Millisecond})
	k := killing{
		act: func(ctx context.Context, w *world) {
			w.hosts["m1"].set(func(h *host) { h.orders = true })
			_, _ = w.manager().SwarmUpgrade(ctx, SwarmUpgradeRequest{})
			w.hosts["m1"].set(func(h *host) { h.orders = false })
		},
		from: "engine of m1 is called: /services",
	}
	if where := k.kill(w, 2); where != "engine of m1 has answered" || strings.Contains(e.Spec("web"), updates) {
		t.Fatalf("killed where %q, and the service is %s", where, e.Spec("web"))
	}
	m := w.manager()
	plan, err := m.SwarmUpgrade(t.Context(), SwarmUpgradeRequest{Abandon: true, DryRun: true})
	if err != nil || len(plan.Plan) != 2 || plan.Plan[0].Machine != "w1" || plan.Plan[0].Steps[0] != "set it to active" {
		t.Errorf("plan %+v, %v", plan.Plan, err)
	}
	least := w.served(t, "m1", "web")
	if _, err := m.SwarmUpgrade(t.Context(), SwarmUpgradeRequest{Abandon: true}); err != nil {
		t.Fatal(err)
	}
	if n := least(); n < 1 || !strings.Contains(e.Spec("web"), updates) {
		t.Errorf("%d tasks of web at the least, and the service is %s", n, e.Spec("web"))
	}
	w.over(t, "28.5.2", nil)
}

// TestSwarmUpgradeWithoutTheLeader goes on with another manager when the one that it asks falls silent.
func TestSwarmUpgradeWithoutTheLeader(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3", "w1")
	w.swarm([]string{"m1", "m2", "m3"}, []string{"w1"})
	w.newer("m1", "m2", "m3", "w1")
	var once sync.Once
	w.hooks(func(step string) {
		if step == "w1: wait for the node to be ready" {
			once.Do(func() { w.hosts["m1"].setEngine(false) })
		}
		if step == "w1: activate the node" {
			w.hosts["m1"].setEngine(true)
		}
	}, nil)
	if _, err := w.manager().SwarmUpgrade(t.Context(), SwarmUpgradeRequest{}); err != nil {
		t.Fatal(err)
	}
	w.over(t, "29.0.1", nil)
}

// TestSwarmUpgradeWithBackup makes the backup first, of a manager that is drained for it, once, also when it is killed.
func TestSwarmUpgradeWithBackup(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3")
	w.swarm([]string{"m1", "m2", "m3"}, nil)
	w.newer("m3")
	w.hosts["m1"].engine.AddService("web", swarmboottest.ServiceOptions{Replicas: 2, On: w.hosts["m2"].engine, Start: 20 * time.Millisecond})
	file := filepath.Join(t.TempDir(), "prod.age")
	req := SwarmUpgradeRequest{Backup: &BackupRequest{File: file, Recipients: []string{"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"}}}
	dry := req
	dry.DryRun = true
	plan, err := w.manager().SwarmUpgrade(t.Context(), dry)
	if err != nil || len(plan.Plan) != 3 || plan.Plan[1].Machine != "m2" || !strings.HasPrefix(plan.Plan[1].Steps[0], "drain the node") || plan.Plan[2].Machine != "m3" {
		t.Errorf("plan %+v, %v", plan.Plan, err)
	}
	least := w.served(t, "m1", "web")
	w.hosts["m2"].set(func(h *host) { h.abrupt = true })
	if _, err := w.manager().SwarmUpgrade(t.Context(), req); err == nil {
		t.Error("half a backup is one")
	}
	if w.record("m3").Installed.Engine != "28.5.2" {
		t.Error("upgraded without the backup")
	}
	w.takeSteps("")
	got, err := w.manager().SwarmUpgrade(t.Context(), req)
	if n := least(); err != nil || n < 1 || got.Backup == nil || got.Backup.Machine != "m2" {
		t.Fatalf("got %+v, %d tasks of web at the least, %v", got, n, err)
	}
	if info, err := os.Stat(file); err != nil || info.Size() != got.Backup.Bytes {
		t.Errorf("backup: %v", err)
	}
	if c, err := w.manager().Store.Cluster("m1"); err != nil || len(c.Upgrade) > 0 || c.Operation != nil {
		t.Errorf("left in the record: journal %s, operation %+v, %v", c.Upgrade, c.Operation, err)
	}
	w.newer("m1", "m2")
	if _, err := w.manager().SwarmUpgrade(t.Context(), req); !errors.Is(err, ErrFileExists) {
		t.Errorf("a backup is overwritten: %v", err)
	}
	if c, err := w.manager().Store.Cluster("m1"); err != nil || c.Operation != nil {
		t.Errorf("what was refused has begun: %+v, %v", c.Operation, err)
	}
}
