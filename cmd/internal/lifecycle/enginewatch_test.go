package lifecycle

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/provision"
	"github.com/hostsmith/machine/store"
)

// telling is a host that says of its engine's unit what it is told to.
type telling string

func (s *telling) Run(_ context.Context, _ string, _ io.Reader, stdout io.Writer) error {
	_, err := io.WriteString(stdout, "ActiveState="+string(*s)+"\n")
	return err
}

func TestEngineWatch(t *testing.T) {
	t.Parallel()
	unit := telling("activating")
	now := time.Now()
	w := &engineWatch{host: &unit, limit: 30 * time.Millisecond, asked: now, alive: now}
	for range 4 {
		time.Sleep(10 * time.Millisecond)
		if err := w.hopeless(t.Context()); err != nil {
			t.Fatalf("an engine that is being started: %v", err)
		}
	}
	unit = "active"
	err := w.hopeless(t.Context())
	for begun := time.Now(); err == nil && time.Since(begun) < 5*time.Second; err = w.hopeless(t.Context()) {
		time.Sleep(time.Millisecond)
	}
	var late *DeadlineError
	if !errors.As(err, &late) || late.What != "wait for the engine" {
		t.Errorf("an engine that runs and does not answer: %v", err)
	}
	unit, w.alive = "failed", time.Now()
	if err := w.hopeless(t.Context()); !errors.Is(err, errEngineFailed) {
		t.Errorf("an engine that has failed: %v", err)
	}
}

// An engine that its host has given up is not waited for.
func TestEngineFailed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.create(CreateRequest{Names: []string{"m1"}})
	m := w.manager()
	m.Wait.Engine = 4 * time.Minute
	if err := m.Stop(t.Context(), []string{"m1"}); err != nil {
		t.Fatal(err)
	}
	w.hosts["m1"].set(func(h *host) { h.enabled, h.unit = false, "failed" })
	begun := time.Now()
	err := m.Start(t.Context(), []string{"m1"})
	var engine *EngineError
	if !errors.As(err, &engine) || !errors.Is(err, errEngineFailed) || ReasonOf(err).ID != "ENGINE_UNREACHABLE" {
		t.Fatalf("got %v", err)
	}
	if took := time.Since(begun); took > time.Minute {
		t.Errorf("it was waited for %v", took)
	}
	if !strings.Contains(strings.Join(engine.Evidence, " "), "fake evidence of m1") {
		t.Errorf("evidence %q", engine.Evidence)
	}
}

// An emulated host has more time, unless somebody says how much.
func TestEmulated(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	for _, slow := range []bool{false, true} {
		w.hosts["m1"].set(func(h *host) { h.slow = slow })
		factor := 1
		if slow {
			factor = emulation
		}
		m := w.manager()
		f, err := m.Drivers.Lookup(fake.Name)
		if err != nil {
			t.Fatal(err)
		}
		config, _, err := f.Configure(nil)
		if err != nil {
			t.Fatal(err)
		}
		x := &machine{m: m, rec: store.Record{Name: "m1", Driver: config}}
		if err := x.openWith(f, nil); err != nil {
			t.Fatal(err)
		}
		left := func(limit time.Duration) int {
			ctx, cancel := x.within(t.Context(), limit, time.Hour, "wait")
			defer cancel()
			at, _ := ctx.Deadline()
			return int(time.Until(at).Round(time.Hour).Hours())
		}
		if got := []int{left(0), left(2 * time.Hour), x.wanted().Slowness}; got[0] != factor || got[1] != 2 || got[2] != factor {
			t.Errorf("emulated %v: got %v", slow, got)
		}
		m.Wait.Engine = 0
		if got := x.watchEngine((*telling)(nil)).limit; got != engineDeadline*time.Duration(factor) {
			t.Errorf("emulated %v: got %v for the engine", slow, got)
		}
		facts := provision.Facts{ID: "debian", Init: "systemd", EngineState: "inactive", Dockerd: "/usr/sbin/dockerd", ExecStart: "/usr/sbin/dockerd", Version: "28.5.2", FreeVarMiB: 9000, FreeEtcMiB: 9000}
		steps, err := provision.Plan(facts, x.wanted(), provision.TLS{CA: []byte("a"), Cert: []byte("b"), Key: []byte("c")})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			if strings.HasPrefix(s.Name, "write TLS") && s.Limit != time.Minute*time.Duration(factor) {
				t.Errorf("emulated %v: %s has %v", slow, s.Name, s.Limit)
			}
			if seconds := []string{"120", "480"}; strings.HasPrefix(s.Run, "start_engine") && !strings.HasSuffix(s.Run, " "+seconds[min(factor, 2)-1]) {
				t.Errorf("emulated %v: %s", slow, s.Run)
			}
		}
	}
}
