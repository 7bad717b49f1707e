package lifecycle

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// TestClassicOfExisting makes machines that exist master and agent.
func TestClassicOfExisting(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1")
	w.create(CreateRequest{Names: []string{"m1", "w1"}})
	m, ctx := w.manager(), t.Context()
	o := SwarmOptions{Name: "prod", Agent: true}
	plans, err := m.SwarmInit(ctx, SwarmRequest{Names: []string{"m1"}, Classic: true, Options: o, DryRun: true})
	if err != nil || len(plans) != 1 || !strings.Contains(strings.Join(plans[0].Steps, "\n"), "good for a client too") || !strings.Contains(strings.Join(plans[0].Steps, "\n"), "pull image swarm:latest") {
		t.Errorf("got %v, %v", plans, err)
	}
	if isClassic(w.record("m1").HostOptions.SwarmOptions) {
		t.Error("a dry run was recorded")
	}
	if _, err := m.SwarmInit(ctx, SwarmRequest{Names: []string{"m1"}, Classic: true, Options: o}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.SwarmJoin(ctx, SwarmRequest{Names: []string{"w1"}, Classic: true, Options: SwarmOptions{Agent: true}}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.SwarmJoin(ctx, SwarmRequest{Names: []string{"m1"}, Classic: true, Options: SwarmOptions{Agent: true}}); !errors.Is(err, ErrUsage) {
		t.Errorf("a master is made a mere agent: %v", err)
	}
	if w.args("m1", swarmboot.ClassicMaster) == "" || w.args("m1", swarmboot.ClassicAgent) == "" || w.args("w1", swarmboot.ClassicAgent) == "" {
		t.Error("containers are missing")
	}
	if got := w.hosts["m1"].members(prodList); !slices.Equal(got, []string{"m1", "w1"}) {
		t.Errorf("listed %v", got)
	}
	for _, name := range []string{"m1", "w1"} {
		if err := w.answers(name); err != nil {
			t.Error(err)
		}
	}
	// The host comes back with another address: the arguments and the list follow.
	if err := m.Stop(ctx, []string{"w1"}); err != nil {
		t.Fatal(err)
	}
	w.hosts["w1"].set(func(h *host) { h.peer = "10.7.7.7" })
	if err := m.Start(ctx, []string{"w1"}); err != nil {
		t.Fatal(err)
	}
	if got := w.args("w1", swarmboot.ClassicAgent); !strings.Contains(got, "--advertise 10.7.7.7:2376") || !strings.Contains(w.hosts["m1"].files[prodList], "10.7.7.7:2376 # w1") {
		t.Errorf("got %s, list %s", got, w.hosts["m1"].files[prodList])
	}
	if _, err := m.SwarmLeave(ctx, SwarmRequest{Names: []string{"m1", "w1"}}); err != nil {
		t.Fatal(err)
	}
	if _, ok := w.hosts["m1"].files[prodList]; ok || len(w.hosts["m1"].engine.Containers()) != 0 || isClassic(w.record("m1").HostOptions.SwarmOptions) {
		t.Error("the master has not left")
	}
}

// TestKilledClassic ends a create of an agent, and its removal, at each event: the next command makes the list right.
func TestKilledClassic(t *testing.T) {
	t.Parallel()
	agent := CreateRequest{Names: []string{"w1"}, Driver: fake.Name, Classic: true, Swarm: SwarmOptions{Agent: true}}
	right := func(t *testing.T, w *world, want ...string) {
		t.Helper()
		if got := w.hosts["m1"].members(prodList); !slices.Equal(got, want) {
			t.Errorf("listed %v, want %v", got, want)
		}
	}
	t.Run("create", func(t *testing.T) {
		t.Parallel()
		killing{
			names: []string{"m1", "w1"},
			before: func(w *world) {
				w.classic(SwarmOptions{Name: "prod"}, "m1")
				w.hosts["w1"].set(func(h *host) { h.orders = true })
			},
			act:   func(ctx context.Context, w *world) { _, _ = w.manager().Create(ctx, agent) },
			from:  "after all that w1 did",
			kinds: "ssh put engine",
		}.each(t, func(t *testing.T, w *world) {
			if w.record("w1").Phase != store.Ready {
				if _, err := w.manager().Create(t.Context(), agent); err != nil {
					t.Fatal(err)
				}
			}
			if w.args("w1", swarmboot.ClassicAgent) == "" {
				t.Error("no agent")
			}
			right(t, w, "m1", "w1")
		})
	})
	t.Run("rm", func(t *testing.T) {
		t.Parallel()
		killing{
			names:  []string{"m1", "w1"},
			before: func(w *world) { w.classic(SwarmOptions{Name: "prod"}, "m1", "w1") },
			act: func(ctx context.Context, w *world) {
				_, _ = w.manager().Remove(ctx, RemoveRequest{Names: []string{"w1"}})
			},
			kinds: "put ssh provider delete",
		}.each(t, func(t *testing.T, w *world) {
			if w.manager().exist([]string{"w1"}) == nil {
				if _, err := w.manager().Remove(t.Context(), RemoveRequest{Names: []string{"w1"}}); err != nil {
					t.Fatal(err)
				}
			}
			right(t, w, "m1")
		})
	})
	t.Run("leave", func(t *testing.T) {
		t.Parallel()
		killing{
			names:  []string{"m1", "w1"},
			before: func(w *world) { w.classic(SwarmOptions{Name: "prod"}, "m1", "w1") },
			act: func(ctx context.Context, w *world) {
				_, _ = w.manager().SwarmLeave(ctx, SwarmRequest{Names: []string{"w1"}})
			},
			kinds: "put ssh",
		}.each(t, func(t *testing.T, w *world) {
			if isClassic(w.record("w1").HostOptions.SwarmOptions) {
				if _, err := w.manager().SwarmLeave(t.Context(), SwarmRequest{Names: []string{"w1"}}); err != nil {
					t.Fatal(err)
				}
			}
			if len(w.hosts["w1"].engine.Containers()) != 0 {
				t.Error("its containers are left")
			}
			right(t, w, "m1")
		})
	})
	t.Run("join", func(t *testing.T) {
		t.Parallel()
		join := SwarmRequest{Names: []string{"w1"}, Classic: true, Options: SwarmOptions{Agent: true}}
		killing{
			names: []string{"m1", "w1"},
			before: func(w *world) {
				w.classic(SwarmOptions{Name: "prod"}, "m1")
				w.create(CreateRequest{Names: []string{"w1"}})
				w.hosts["w1"].set(func(h *host) { h.orders = true })
			},
			act:   func(ctx context.Context, w *world) { _, _ = w.manager().SwarmJoin(ctx, join) },
			kinds: "put ssh engine",
		}.each(t, func(t *testing.T, w *world) {
			if _, err := w.manager().SwarmJoin(t.Context(), join); err != nil {
				t.Fatal(err)
			}
			if w.args("w1", swarmboot.ClassicAgent) == "" {
				t.Error("no agent")
			}
			right(t, w, "m1", "w1")
		})
	})
}

// TestClassicMasterAway: a master that is stopped keeps nobody from joining or going, and has the list made right later.
func TestClassicMasterAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "w1")
	w.classic(SwarmOptions{Name: "prod"}, "m1")
	w.create(CreateRequest{Names: []string{"m2"}, Classic: true, Swarm: SwarmOptions{Master: true, Name: "prod"}})
	if !strings.Contains(w.notes.take(), "know nothing of each other") {
		t.Error("several masters are not warned of")
	}
	m, ctx := w.manager(), t.Context()
	if err := m.Stop(ctx, []string{"m2"}); err != nil {
		t.Fatal(err)
	}
	w.create(CreateRequest{Names: []string{"w1"}, Classic: true, Swarm: SwarmOptions{Agent: true}})
	if said := w.notes.take(); !strings.Contains(said, "machine provision m2") {
		t.Errorf("said %s", said)
	}
	if err := m.Start(ctx, []string{"m2"}); err != nil {
		t.Fatal(err)
	}
	for _, master := range []string{"m1", "m2"} {
		if got := w.hosts[master].members(prodList); !slices.Equal(got, []string{"m1", "w1"}) {
			t.Errorf("%s lists %v", master, got)
		}
	}
	if err := m.Stop(ctx, []string{"m1", "m2"}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.SwarmLeave(ctx, SwarmRequest{Names: []string{"m1"}}); err == nil {
		t.Error("a master that is stopped leaves in good order")
	}
	if _, err := m.SwarmLeave(ctx, SwarmRequest{Names: []string{"m1"}, Force: true}); err != nil || isClassic(w.record("m1").HostOptions.SwarmOptions) {
		t.Errorf("by force: %v", err)
	}
	if _, err := m.Remove(ctx, RemoveRequest{Names: []string{"w1"}}); err != nil {
		t.Error(err)
	}
}

// TestClassicDeprovision takes everything away again from a host that is the user's own.
func TestClassicDeprovision(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "own")
	h := w.hosts["own"]
	req := w.ownHost("own")
	req.Options["generic-deprovision"] = []string{"true"}
	req.Classic, req.Swarm = true, SwarmOptions{Master: true, Agent: true, Name: "prod"}
	w.create(req)
	if got := h.members(prodList); !slices.Equal(got, []string{"own"}) || len(h.engine.Containers()) != 2 {
		t.Fatalf("listed %v, containers %v", got, h.engine.Containers())
	}
	if _, err := w.manager().Remove(t.Context(), RemoveRequest{Names: req.Names}); err != nil {
		t.Fatal(err)
	}
	if _, ok := h.files[prodList]; ok || len(h.engine.Containers()) != 0 {
		t.Errorf("left %v, %v", h.files, h.engine.Containers())
	}
}
