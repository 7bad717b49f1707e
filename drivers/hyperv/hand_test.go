package hyperv

import (
	"errors"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm/vmtest"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/hypervsim"
)

func TestByHand(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	m := b.machine("m1", b.with("nat", "192.168.144.0/24"))
	m.Create()
	id := saved(m).ID
	stop := func() {
		t.Helper()
		if err := m.Open().Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	starts := func(what string) {
		t.Helper()
		if err := m.Open().Start(t.Context()); err != nil || m.Status().State != drivers.Running {
			t.Errorf("%s: %v", what, err)
		}
	}
	for state, want := range map[string]drivers.State{"Paused": drivers.Paused, "Saved": drivers.Saved, "OffCritical": drivers.Error, "Saving": drivers.Stopping} {
		if err := b.SetState(t.Context(), id, state); err != nil || m.Status().State != want {
			t.Errorf("%s: %v, %v", state, m.Status().State, err)
		}
		if want == drivers.Paused || want == drivers.Saved {
			starts(state)
		}
	}
	if err := b.SetState(t.Context(), id, "RunningCritical"); err != nil {
		t.Fatal(err)
	}
	vmtest.Refused(t, m.Open().Start(t.Context()), nil, "RunningCritical", "out of reach")
	if err := b.SetState(t.Context(), id, "Off"); err != nil {
		t.Fatal(err)
	}
	mac := saved(m).MAC
	if err := b.SetMAC(t.Context(), id, "020000000001"); err != nil {
		t.Fatal(err)
	}
	vmtest.Refused(t, m.Open().Start(t.Context()), nil, "edited by hand", "static MAC address")
	if err := b.SetMAC(t.Context(), id, mac); err != nil {
		t.Fatal(err)
	}
	starts("mended")
	stop()
	if err := b.Vanish(t.Context(), hypervsim.KindSwitch, saved(m).Switch.ID); err != nil {
		t.Fatal(err)
	}
	starts("without its switch")
	if got := m.Status().Host; got != "192.168.144.20" || b.count(hypervsim.KindSwitch) != 1 {
		t.Errorf("at %q, with %v", got, b.ledger())
	}
	if err := b.Rename(t.Context(), id, "it's $mine"); err != nil {
		t.Fatal(err)
	}
	starts("renamed")
	if !m.Noted(`renamed to "it's $mine"`) {
		t.Errorf("notes: %q", m.Notes)
	}
	m.Remove()
	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func TestDeletedByHand(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	m := b.machine("m1", b.with())
	m.Create()
	if err := b.Vanish(t.Context(), hypervsim.KindMachine, saved(m).ID); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Open().Status(t.Context()); !errors.Is(err, drivers.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	m.Create() // anew
	m.Remove()
	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// TestDeaf has a guest that ignores what it is told.
func TestDeaf(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	m := b.machine("m1", b.with("stop-timeout", "1"))
	m.Create()
	b.Deafen(saved(m).ID)
	if err := m.Open().Stop(t.Context()); err != nil || m.Status().State != drivers.Stopped || !m.Noted("did not shut down within 1 s") {
		t.Errorf("%v, %q", err, m.Notes)
	}
	if err := m.Open().Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Inject(sim.Fault{Action: opShutDown, Nth: 1, Mode: sim.Fail, Code: "OperationFailed,StopVM", Text: "The shutdown service is not there."}); err != nil {
		t.Fatal(err)
	}
	if err := m.Open().Stop(t.Context()); err != nil || !m.Noted("The shutdown service is not there.") {
		t.Errorf("%v, %q", err, m.Notes)
	}
	if err := m.Open().Kill(t.Context()); err != nil {
		t.Error(err)
	}
}
