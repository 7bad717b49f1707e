package lifecycle

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/store"
)

// away has the record say that a machine lives on another computer.
func (w *world) away(name string) {
	w.t.Helper()
	txn, err := w.manager().Store.Lock(w.t.Context(), name, "test")
	if err != nil {
		w.t.Fatal(err)
	}
	rec := w.record(name)
	rec.Computer = "ann@laptop"
	if err := errors.Join(txn.Put(rec), txn.Close()); err != nil {
		w.t.Fatal(err)
	}
}

// A machine that lives on another computer is left alone, but its record can be removed.
func TestMachineElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.create(CreateRequest{Names: []string{"m1"}})
	w.away("m1")
	m := w.manager()
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

// containers is a driver whose hosts are here, unless their configuration says otherwise.
type containers struct{ drivers.Factory }

func (containers) Name() string { return "docker" }

func (containers) Open(config, _, _ json.RawMessage, _ func(json.RawMessage) error, _ drivers.Env) (drivers.Driver, error) {
	return container{here: string(config) == `{}`}, nil
}

type container struct {
	drivers.Driver
	here bool
}

func (c container) Local() bool { return c.here }

// A machine of this computer that is copied to a shared store is told from those that all can use.
func TestCopyRecordsWhereMachinesLive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.setenv("MACHINE_COMPUTER", "laptop")
	m := w.manager()
	m.Drivers = drivers.Table{containers{}}
	for name, config := range map[string]string{"here": `{}`, "there": `{"Host":"ssh://elsewhere"}`} {
		txn, err := m.Store.Lock(t.Context(), name, "test")
		if err != nil {
			t.Fatal(err)
		}
		rec := store.Record{DriverName: "docker", Driver: json.RawMessage(config), Phase: store.Ready}
		if err := errors.Join(txn.Put(rec), txn.Close()); err != nil {
			t.Fatal(err)
		}
	}
	before := w.files()
	root := filepath.Join(t.TempDir(), "shared")
	to := store.OpenBackend(sharedFolder{Folder: store.NewFolder(root)})
	for _, action := range []string{store.CopyNew, store.CopySame} {
		items, err := m.CopyStore(t.Context(), m.Store, to, store.CopyRequest{Command: "test"})
		if err != nil || len(items) != 2 || items[0].Action != action {
			t.Errorf("Got %v, %v", items, err)
		}
	}
	for name, want := range map[string]string{"here": "ada@laptop", "there": ""} {
		if rec, err := to.Get(name); err != nil || rec.Computer != want {
			t.Errorf("%s is on %q, want %q: %v", name, rec.Computer, want, err)
		}
	}
	if after := w.files(); len(after) != len(before) || after["machines/here/config.json"] != before["machines/here/config.json"] {
		t.Errorf("The store that was copied has changed: %v", after)
	}
	if _, err := m.CopyStore(t.Context(), to, store.Open(filepath.Join(t.TempDir(), "back")), store.CopyRequest{Command: "test"}); err != nil {
		t.Error(err)
	}
}
