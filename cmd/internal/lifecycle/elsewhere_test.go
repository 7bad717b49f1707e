package lifecycle

import (
	"errors"
	"testing"

	"github.com/hostsmith/machine/store"
)

// A machine that lives on another computer is left alone, but its record can be removed.
func TestMachineElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.create(CreateRequest{Names: []string{"m1"}})
	m := w.manager()
	txn, err := m.Store.Lock(t.Context(), "m1", "test")
	if err != nil {
		t.Fatal(err)
	}
	rec := w.record("m1")
	rec.Computer = "ann@laptop"
	if err := errors.Join(txn.Put(rec), txn.Close()); err != nil {
		t.Fatal(err)
	}
	for what, do := range map[string]func() error{
		"inspect": func() error { _, err := m.Inspect(t.Context(), "m1"); return err },
		"dial":    func() error { _, err := m.Login(t.Context(), "m1"); return err },
		"remove":  func() error { _, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"m1"}}); return err },
	} {
		if err := do(); !errors.Is(err, ErrElsewhere) || ReasonOf(err).ID != "MACHINE_ELSEWHERE" {
			t.Errorf("%s: got %v", what, err)
		}
	}
	w.setenv("MACHINE_COMPUTER", "laptop")
	if _, err := m.Inspect(t.Context(), "m1"); err != nil {
		t.Errorf("There: %v", err)
	}
	w.setenv("MACHINE_COMPUTER", "")
	if _, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"m1"}, Force: true}); err != nil {
		t.Error(err)
	}
	if _, err := m.Store.Get("m1"); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("Got %v", err)
	}
}
