package lifecycle

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/all"
	"github.com/hostsmith/machine/store"
)

// migrating is a manager with the drivers that there are.
func (w *world) migrating() *Manager {
	m := w.manager()
	m.Drivers = all.Table()
	return m
}

func TestMigrateThereAndBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	names := w.oldStore()
	w.put("machines/new/config.json", `{"ConfigVersion":4,"Name":"new","DriverName":"none","Driver":{"URL":"tcp://127.0.0.1:1"},"Phase":"ready"}`)
	w.put("machines/broken/config.json", `{ oops`)
	m, ctx, before := w.migrating(), t.Context(), w.files()

	plan, err := m.Migrate(ctx, MigrateRequest{Check: true})
	if !errors.Is(err, ErrDue) || !errors.Is(err, store.ErrCorrupt) || len(plan) != len(names)+2 || !maps.Equal(before, w.files()) {
		t.Fatalf("check: %d machines, %v", len(plan), err)
	}
	for _, p := range plan {
		want := MigrateRecord
		if p.Machine == "new" || p.Machine == "broken" {
			want = LeaveRecord
		}
		_, lerr := m.Drivers.Lookup(p.Driver)
		if p.Action != want || p.Done || (p.Without != "") != (errors.Is(lerr, drivers.ErrUnknown) && p.Machine != "broken") {
			t.Errorf("check: %+v", p)
		}
	}

	backup := filepath.Join(t.TempDir(), "copies", "store")
	if _, err := m.Migrate(ctx, MigrateRequest{Copy: backup}); !errors.Is(err, store.ErrCorrupt) || errors.Is(err, ErrDue) {
		t.Fatal(err)
	}
	after := w.files()
	for _, name := range names {
		dir := "machines/" + name + "/"
		rec := w.record(name)
		if after[dir+"config.json.bak"] != before[dir+"config.json"] || rec.DriverName != mustGet(t, backup, name).DriverName {
			t.Errorf("%s: no backup, or another driver: %s", name, rec.DriverName)
		}
		f, err := m.Drivers.Lookup(rec.DriverName)
		if err != nil {
			continue
		}
		had := strings.Contains(before[dir+"config.json"], "SECRET-")
		if _, ok := f.(drivers.Heir); ok && (strings.Contains(after[dir+"config.json"], "SECRET-") || had != strings.Contains(after[dir+"secrets.json"], "SECRET-") || len(rec.DriverState) == 0) {
			t.Errorf("%s: secrets are not apart, or the host is nobody's", name)
		}
	}
	if after["machines/broken/config.json"] != "{ oops" {
		t.Error("what could not be read was written")
	}
	// The copy is a store of its own, as it was.
	for path, data := range before {
		if got, err := os.ReadFile(filepath.Join(backup, path)); err != nil || string(got) != data {
			t.Errorf("copy of %s: %v", path, err)
		}
	}
	if _, err := m.Migrate(ctx, MigrateRequest{Copy: backup}); !errors.Is(err, ErrFileExists) {
		t.Errorf("a second copy: %v", err)
	}
	if _, err := m.Migrate(ctx, MigrateRequest{Copy: filepath.Join(w.dir, "copy")}); !errors.Is(err, ErrUsage) {
		t.Errorf("a copy in the store: %v", err)
	}
	// Again changes nothing.
	if done, _ := m.Migrate(ctx, MigrateRequest{}); slices.ContainsFunc(done, func(p Migrated) bool { return p.Action != LeaveRecord }) || !maps.Equal(after, w.files()) {
		t.Errorf("again: %+v", done)
	}
	if _, err := m.Migrate(ctx, MigrateRequest{Names: names, Check: true}); err != nil {
		t.Errorf("check of what is done: %v", err)
	}
	// And back.
	if _, err := m.Migrate(ctx, MigrateRequest{Undo: true, Check: true}); !errors.Is(err, ErrDue) {
		t.Errorf("check of the way back: %v", err)
	}
	done, err := m.Migrate(ctx, MigrateRequest{Undo: true})
	if !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("undo: %v", err)
	}
	if now := w.files(); !maps.Equal(before, now) {
		for _, path := range slices.Sorted(maps.Keys(now)) {
			if now[path] != before[path] {
				t.Errorf("undo left %s: %s", path, now[path])
			}
		}
	}
	for _, p := range done {
		if p.Done != slices.Contains(names, p.Machine) {
			t.Errorf("undo: %+v", p)
		}
	}
	if _, err := m.Migrate(ctx, MigrateRequest{Names: []string{"nobody"}}); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("a machine that there is not: %v", err)
	}
	// A backup mends what was damaged since.
	if _, err := m.Migrate(ctx, MigrateRequest{Names: names[:1]}); err != nil {
		t.Fatal(err)
	}
	w.put("machines/"+names[0]+"/config.json", "{")
	if _, err := m.Migrate(ctx, MigrateRequest{Names: names[:1], Undo: true}); err != nil || !maps.Equal(before, w.files()) {
		t.Errorf("undo of a damaged record: %v", err)
	}
}

func mustGet(t *testing.T, dir, name string) store.Record {
	t.Helper()
	rec, err := store.Open(dir).Get(name)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// oldThree puts three old machines into the store: of a driver that takes records apart, of one that is not here,
// and of one that has nothing to hide.
func (w *world) oldThree() []string {
	names := []string{"amazonec2", "google", "none"}
	for _, name := range names {
		data, err := os.ReadFile("../../../store/testdata/old/v3/" + name + ".json")
		if err != nil {
			w.t.Fatal(err)
		}
		w.put("machines/"+name+"/config.json", string(data))
	}
	return names
}

func TestKilledMigrate(t *testing.T) {
	t.Parallel()
	k := killing{
		before: func(w *world) { w.oldThree() },
		act: func(ctx context.Context, w *world) {
			m := w.migrating()
			m.Limit = 1
			_, _ = m.Migrate(ctx, MigrateRequest{})
		},
		kinds: "put",
	}
	k.each(t, func(t *testing.T, w *world) {
		m := w.migrating()
		for _, name := range []string{"amazonec2", "google", "none"} {
			if x, err := m.view(name); err != nil || x.rec.DriverName != name {
				t.Errorf("%s after the kill: %v", name, err)
			}
		}
		if _, err := m.Migrate(t.Context(), MigrateRequest{}); err != nil {
			t.Fatal(err)
		}
		files := w.files()
		if strings.Contains(files["machines/amazonec2/config.json"], "SECRET-") || !strings.Contains(files["machines/amazonec2/secrets.json"], "SECRET-amazonec2") ||
			!strings.Contains(string(w.record("amazonec2").DriverState), "i-0123456789abcdef0") {
			t.Error("a secret is in the record, or lost; or the instance is")
		}
		if _, err := m.Migrate(t.Context(), MigrateRequest{Undo: true}); err != nil {
			t.Fatal(err)
		}
		w.isOldThree(t)
	})
}

func TestKilledUndo(t *testing.T) {
	t.Parallel()
	k := killing{
		before: func(w *world) {
			w.oldThree()
			if _, err := w.migrating().Migrate(w.t.Context(), MigrateRequest{}); err != nil {
				w.t.Fatal(err)
			}
		},
		act: func(ctx context.Context, w *world) {
			m := w.migrating()
			m.Limit = 1
			_, _ = m.Migrate(ctx, MigrateRequest{Undo: true})
		},
		kinds: "restore put drop",
	}
	k.each(t, func(t *testing.T, w *world) {
		m := w.migrating()
		for _, name := range []string{"amazonec2", "google", "none"} {
			if _, err := m.view(name); err != nil {
				t.Errorf("%s after the kill: %v", name, err)
			}
		}
		if _, err := m.Migrate(t.Context(), MigrateRequest{Undo: true}); err != nil {
			t.Fatal(err)
		}
		w.isOldThree(t)
	})
}

// isOldThree demands the store that oldThree made, and nothing more.
func (w *world) isOldThree(t *testing.T) {
	t.Helper()
	fresh := newWorld(t)
	fresh.oldThree()
	if got, want := w.files(), fresh.files(); !maps.Equal(got, want) {
		t.Errorf("got %q, want %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}
