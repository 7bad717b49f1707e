package lifecycle

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// TestEngineThatDoesNotFitIsRefusedBeforeTheJoin has engines that say what does not go with a swarm.
func TestEngineThatDoesNotFitIsRefusedBeforeTheJoin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "x1")
	w.swarm([]string{"m1"}, nil)
	w.create(CreateRequest{Names: []string{"x1"}})
	w.hosts["x1"].engine.Describe(map[string]any{"SecurityOptions": []string{"name=seccomp,profile=builtin", "name=rootless"}, "FirewallBackend": map[string]string{"Driver": "nftables"}})
	w.hosts["x1"].engine.SetVersion("29.1.3")
	m := w.manager()
	_, err := m.SwarmJoin(t.Context(), SwarmRequest{Names: []string{"x1"}})
	if !errors.Is(err, swarmboot.ErrEngine) || ReasonOf(err).ID != "SWARM_ENGINE" || !strings.Contains(err.Error(), "rootless") || !strings.Contains(err.Error(), "nftables") {
		t.Errorf("got %v", err)
	}
	joined := func(c string) bool { return strings.HasPrefix(c, "POST /swarm/join") }
	if slices.ContainsFunc(w.hosts["x1"].engine.Calls(), joined) || w.record("x1").Swarm != (store.Swarm{}) {
		t.Error("the join was tried")
	}
	w.hosts["x1"].engine.Describe(nil)
	if _, err := m.SwarmJoin(t.Context(), SwarmRequest{Names: []string{"x1"}}); err != nil {
		t.Fatal(err)
	}
	if !w.noted("encrypted pass nothing between x1 (29.1.3) and m1 (28.5.2)") {
		t.Errorf("notes %q", w.notes.text)
	}
}

// TestSkewedClockIsRefusedBeforeTheJoin has a worker whose clock is a minute ahead.
func TestSkewedClockIsRefusedBeforeTheJoin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2")
	req := CreateRequest{Names: []string{"m1", "m2"}, Driver: fake.Name, Swarm: SwarmOptions{Master: true}}
	w.hosts["m2"].ahead = time.Minute
	_, err := w.manager().Create(t.Context(), req)
	if !errors.Is(err, swarmboot.ErrClock) || errors.Is(err, swarmboot.ErrNetwork) || !strings.Contains(err.Error(), "m2 to m1: clock skewed") || !strings.Contains(HintOf(err), "NTP") {
		t.Errorf("got %v, hint %q", err, HintOf(err))
	}
	if w.hosts["m1"].engine.NodeID() != "" {
		t.Error("the swarm was begun")
	}
	w.hosts["m2"].set(func(h *host) { h.ahead = 0 })
	w.create(req)
}

// TestProvidersFirewallIsOpenedForExistingMachines makes a swarm with a port that nobody knew of when the machines were made.
func TestProvidersFirewallIsOpenedForExistingMachines(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "w1")
	w.create(CreateRequest{Names: []string{"m1", "m2", "w1"}})
	w.hosts["m2"].closed = errors.New("no permission to open ports")
	if w.hosts["m1"].opened != nil {
		t.Error("a create opened ports a second time")
	}
	m := w.manager()
	if _, err := m.SwarmInit(t.Context(), SwarmRequest{Names: []string{"m1", "m2"}, Options: SwarmOptions{DataPathPort: 7789}}); err != nil {
		t.Fatal(err)
	}
	if !w.noted("warning: the provider's firewall was not opened for the swarm: no permission to open ports") {
		t.Errorf("notes %q", w.notes.text)
	}
	if _, err := m.SwarmJoin(t.Context(), SwarmRequest{Names: []string{"w1"}}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"m1", "w1"} {
		if got := w.hosts[name].opened; !slices.Equal(got, swarmPorts(7789)) {
			t.Errorf("%s: opened %v", name, got)
		}
	}
	// Joining again changes nothing there.
	w.hosts["w1"].set(func(h *host) { h.opened = nil })
	if _, err := m.SwarmJoin(t.Context(), SwarmRequest{Names: []string{"w1"}}); err != nil || w.hosts["w1"].opened != nil {
		t.Errorf("opened %v, %v", w.hosts["w1"].opened, err)
	}
}
