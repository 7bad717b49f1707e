package hyperv

import (
	"errors"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/hypervsim"
)

func TestByHand(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	m := b.machine("m1", b.with("nat", "192.168.144.0/24"))
	m.create()
	id := m.recorded().ID
	stop := func() {
		t.Helper()
		if err := m.open().Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	starts := func(what string) {
		t.Helper()
		if err := m.open().Start(t.Context()); err != nil || m.status().State != drivers.Running {
			t.Errorf("%s: %v", what, err)
		}
	}
	for state, want := range map[string]drivers.State{"Paused": drivers.Paused, "Saved": drivers.Saved, "OffCritical": drivers.Error, "Saving": drivers.Stopping} {
		if err := b.SetState(t.Context(), id, state); err != nil || m.status().State != want {
			t.Errorf("%s: %v, %v", state, m.status().State, err)
		}
		if want == drivers.Paused || want == drivers.Saved {
			starts(state)
		}
	}
	if err := b.SetState(t.Context(), id, "RunningCritical"); err != nil {
		t.Fatal(err)
	}
	refused(t, m.open().Start(t.Context()), nil, "RunningCritical", "out of reach")
	if err := b.SetState(t.Context(), id, "Off"); err != nil {
		t.Fatal(err)
	}
	mac := m.recorded().MAC
	if err := b.SetMAC(t.Context(), id, "020000000001"); err != nil {
		t.Fatal(err)
	}
	refused(t, m.open().Start(t.Context()), nil, "edited by hand", "static MAC address")
	if err := b.SetMAC(t.Context(), id, mac); err != nil {
		t.Fatal(err)
	}
	starts("mended")
	stop()
	if err := b.Vanish(t.Context(), hypervsim.KindSwitch, m.recorded().Switch.ID); err != nil {
		t.Fatal(err)
	}
	starts("without its switch")
	if got := m.status().Host; got != "192.168.144.20" || b.count(hypervsim.KindSwitch) != 1 {
		t.Errorf("at %q, with %v", got, b.ledger())
	}
	if err := b.Rename(t.Context(), id, "it's $mine"); err != nil {
		t.Fatal(err)
	}
	starts("renamed")
	if !m.noted(`renamed to "it's $mine"`) {
		t.Errorf("notes: %q", m.notes)
	}
	m.remove()
	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func TestDeletedByHand(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	m := b.machine("m1", b.with())
	m.create()
	if err := b.Vanish(t.Context(), hypervsim.KindMachine, m.recorded().ID); err != nil {
		t.Fatal(err)
	}
	if _, err := m.open().Status(t.Context()); !errors.Is(err, drivers.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	m.create() // anew
	m.remove()
	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// TestDeaf has a guest that ignores what it is told.
func TestDeaf(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	m := b.machine("m1", b.with("stop-timeout", "1"))
	m.create()
	b.Deafen(m.recorded().ID)
	if err := m.open().Stop(t.Context()); err != nil || m.status().State != drivers.Stopped || !m.noted("did not shut down within 1 s") {
		t.Errorf("%v, %q", err, m.notes)
	}
	if err := m.open().Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Inject(sim.Fault{Action: opShutDown, Nth: 1, Mode: sim.Fail, Code: "OperationFailed,StopVM", Text: "The shutdown service is not there."}); err != nil {
		t.Fatal(err)
	}
	if err := m.open().Stop(t.Context()); err != nil || !m.noted("The shutdown service is not there.") {
		t.Errorf("%v, %q", err, m.notes)
	}
	if err := m.open().Kill(t.Context()); err != nil {
		t.Error(err)
	}
}
