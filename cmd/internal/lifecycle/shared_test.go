package lifecycle

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/store"
)

// sharedFolder is a folder that is taken for a store which others write too.
type sharedFolder struct {
	*store.Folder
	sealing error
}

func (f sharedFolder) CanSeal() error { return f.sealing }

func (w *world) sharing(sealing error) *Manager {
	m := w.manager()
	m.Store = store.OpenBackend(sharedFolder{store.NewFolder(w.dir), sealing})
	return m
}

// watched notes which drivers are looked up.
type watched struct {
	drivers.Source
	seen *[]string
}

func (s watched) Lookup(name string) (drivers.Factory, error) {
	*s.seen = append(*s.seen, name)
	return s.Source.Lookup(name)
}

// A program that another operator put into a record is not looked for, let alone run.
func TestSharedRecordChoosesNoProgram(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.create(CreateRequest{Names: []string{"m1"}})
	rec := w.record("m1")
	rec.DriverName = filepath.Join(t.TempDir(), "docker-machine-driver-evil")
	own := w.manager()
	txn, err := own.Store.Lock(t.Context(), "m1", "test")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(txn.Put(rec), txn.Close()); err != nil {
		t.Fatal(err)
	}
	m := w.sharing(nil)
	var seen []string
	m.Drivers = watched{m.Drivers, &seen}
	rows, err := m.List(t.Context(), ListRequest{})
	if err != nil || len(rows) != 1 || rows[0].DriverName != rec.DriverName {
		t.Errorf("Got %+v, %v", rows, err)
	}
	for what, do := range map[string]func() error{
		"stop":   func() error { return m.Stop(t.Context(), []string{"m1"}) },
		"remove": func() error { _, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"m1"}}); return err },
		"create": func() error {
			_, err := m.Create(t.Context(), CreateRequest{Names: []string{"m2"}, Driver: "./docker-machine-driver-x"})
			return err
		},
	} {
		err := do()
		if !errors.Is(err, drivers.ErrUnknown) || !strings.Contains(HintOf(err), "shared store") {
			t.Errorf("%s: got %v, hint %q", what, err, HintOf(err))
		}
	}
	for _, name := range seen {
		if byPath(name) {
			t.Errorf("%s was looked for", name)
		}
	}
	if _, err := os.Stat(m.Store.MachineDir("m2")); err == nil {
		t.Error("m2 was recorded")
	}
	if err := chosenElsewhere(rec.DriverName); err == nil || chosenElsewhere(fake.Name) != nil {
		t.Errorf("Got %v", err)
	}
}

// Nothing is recorded and nothing made where no secret can be kept.
func TestCreateWithoutRecipients(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	m := w.sharing(store.ErrNoRecipients)
	_, err := m.Create(t.Context(), CreateRequest{Names: []string{"m1"}, Driver: fake.Name})
	if !errors.Is(err, store.ErrNoRecipients) || ReasonOf(err).ID != "STORE_NO_RECIPIENTS" {
		t.Errorf("Got %v", err)
	}
	if files := w.files(); len(files) > 0 {
		t.Errorf("Written: %v", files)
	}
	if _, all := w.made(); all > 0 {
		t.Errorf("%d resources were made", all)
	}
}
