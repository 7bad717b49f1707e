package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// oldRecord is a record of testdata/old.
type oldRecord struct {
	version, name string // such as v3, amazonec2
	data          string
}

// oldRecords returns the golden records of docker-machine and rancher-machine; see testdata/old/README.md.
func oldRecords(t testing.TB) []oldRecord {
	t.Helper()
	paths, err := filepath.Glob("testdata/old/*/*.json")
	if err != nil || len(paths) < 60 {
		t.Fatalf("%d old records, %v", len(paths), err)
	}
	var all []oldRecord
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, oldRecord{filepath.Base(filepath.Dir(path)), strings.TrimSuffix(filepath.Base(path), ".json"), string(data)})
	}
	return all
}

// contents returns the files below a folder, locks aside.
func contents(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		rel, rerr := filepath.Rel(root, path)
		found[filepath.ToSlash(rel)] = string(data)
		return errors.Join(err, rerr)
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestOldRecords reads what each version wrote for each driver. One line of the golden file says what became of it.
func TestOldRecords(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, old := range oldRecords(t) {
		r, err := decode(old.name, []byte(old.data), func(file string) bool { return file == "id_rsa" })
		if err != nil {
			t.Errorf("%s %s: %v", old.version, old.name, err)
			continue
		}
		o := r.HostOptions
		_, _ = fmt.Fprintf(&b, "%s %s: driver %s, %s@%s ports %d %d, key %q %q, engine %v %v %v %v %v %q, SANs %v, script %q\n", old.version, old.name, r.DriverName,
			r.Address.User, r.Address.Host, r.Address.SSHPort, r.Address.EnginePort, r.SSH.Key, r.SSH.Elsewhere,
			o.EngineOptions.ArbitraryFlags, o.EngineOptions.Env, o.EngineOptions.Labels, o.EngineOptions.InsecureRegistry, o.EngineOptions.RegistryMirror, o.EngineOptions.StorageDriver,
			o.AuthOptions.ServerCertSANs, o.CustomInstallScript)
		if !o.EngineOptions.TLSVerify || r.Phase != Ready || len(r.Driver) == 0 {
			t.Errorf("%s %s: got %+v", old.version, old.name, r)
		}
	}
	golden := filepath.Join("testdata", "old", "read.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Error(diff)
	}
}

// TestThereAndBack migrates each old record and goes back: every byte of it is there again.
func TestThereAndBack(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir())
	for _, old := range oldRecords(t) {
		name := old.version + "-" + old.name
		file := write(t, s, "machines/"+name+"/config.json", old.data)
		before := contents(t, filepath.Dir(file))
		version := map[string]int{"v0": 0, "v1": 1, "v2": 2, "v3": 3, "rancher": 3}[old.version]
		if p, err := s.Previous(name); err != nil || p != (Previous{Version: version, Backup: -1}) {
			t.Fatalf("%s: got %+v, %v", name, p, err)
		}
		txn := lockMachine(t, s, name)
		r, err := txn.Get()
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := txn.Put(r); err != nil {
				t.Fatal(err)
			}
		}
		if p, err := s.Previous(name); err != nil || p != (Previous{Version: Version, Backup: version, File: "config.json.bak"}) {
			t.Errorf("%s: got %+v, %v", name, p, err)
		}
		if err := txn.Restore(); err != nil {
			t.Fatal(err)
		}
		if p, err := s.Previous(name); err != nil || !p.Same || p.Version != version {
			t.Errorf("%s: got %+v, %v", name, p, err)
		}
		if err := txn.DropBackup(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, contents(t, filepath.Dir(file))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if err := txn.Restore(); !errors.Is(err, ErrNoBackup) {
			t.Errorf("%s: got %v", name, err)
		}
		if err := errors.Join(txn.DropBackup(), txn.Close()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBackupsOfOthersStay keeps what docker-machine had kept of a still older record, and what could not be read.
func TestBackupsOfOthersStay(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir())
	file := write(t, s, "machines/m1/config.json", v3)
	write(t, s, "machines/m1/config.json.bak", v1)
	before := contents(t, filepath.Dir(file))
	if p, err := s.Previous("m1"); err != nil || p.Version != 3 || p.Backup != 1 || p.Same {
		t.Errorf("got %+v, %v", p, err)
	}
	txn := lockMachine(t, s, "m1")
	put := func() {
		t.Helper()
		r, err := txn.Get()
		if err != nil {
			r = sample("m1")
		}
		if err := txn.Put(r); err != nil {
			t.Fatal(err)
		}
	}
	put()
	if got := contents(t, filepath.Dir(file)); got["config.json.bak"] != v3 || got["config.json.bak.1"] != v1 {
		t.Errorf("got %v", got)
	}
	write(t, s, "machines/m1/config.json", "{ oops")
	txn.current = false
	put()
	if got := contents(t, filepath.Dir(file)); got["config.json.bak"] != "{ oops" || got["config.json.bak.1"] != v1 || got["config.json.bak.2"] != v3 {
		t.Errorf("got %v", got)
	}
	if p, err := s.Previous("m1"); err != nil || p.Backup != 3 || p.File != "config.json.bak.2" {
		t.Errorf("got %+v, %v", p, err)
	}
	write(t, s, "machines/m1/config.json", "{ worse") // the backup helps all the same
	if err := errors.Join(txn.Restore(), txn.DropBackup()); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, filepath.Dir(file)); got["config.json"] != v3 {
		t.Errorf("got %v", got)
	}
	for _, name := range []string{"config.json.bak", "config.json.bak.1", "Config.JSON.bak.2"} {
		if err := txn.WriteFile(name, nil); !errors.Is(err, ErrName) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	// Without the damage between, all is as it was.
	s = Open(t.TempDir())
	file = write(t, s, "machines/m1/config.json", v3)
	write(t, s, "machines/m1/config.json.bak", v1)
	txn = lockMachine(t, s, "m1")
	put()
	if err := errors.Join(txn.Restore(), txn.DropBackup()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, contents(t, filepath.Dir(file))); diff != "" {
		t.Error(diff)
	}
}

// TestStrangeEntries are in the way of nothing.
func TestStrangeEntries(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir())
	write(t, s, "machines/m1/config.json", v3)
	write(t, s, "machines/.DS_Store", "x")
	write(t, s, "machines/notes.txt", "x")
	write(t, s, "machines/.hidden/config.json", v3)
	write(t, s, "machines/M1/config.json", v3)
	write(t, s, "certs/ca.pem", "x")
	for _, dir := range []string{"machines/empty", "machines/.Trashes", "cache"} {
		if err := os.MkdirAll(filepath.Join(s.Root(), filepath.FromSlash(dir)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	before := contents(t, s.Root())
	names, err := s.Names()
	if err != nil || !slices.Equal(names, []string{"empty", "M1", "m1"}) {
		t.Errorf("got %q, %v", names, err)
	}
	entries, err := s.List()
	if err != nil || len(entries) != 3 || !errors.Is(entries[0].Err, ErrCorrupt) || entries[1].Err != nil || entries[2].Err != nil {
		t.Errorf("got %+v, %v", entries, err)
	}
	if diff := cmp.Diff(before, contents(t, s.Root())); diff != "" {
		t.Error(diff)
	}
	// Names that differ by case share a lock, and each can be worked on.
	txn := lockMachine(t, s, "M1")
	if _, err := s.Lock(t.Context(), "m1", "x"); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v", err)
	}
	if err := errors.Join(txn.Put(entries[1].Record), txn.Close()); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(filepath.Join(s.MachineDir("m1"), "config.json")); err != nil || string(data) != v3 {
		t.Errorf("the other one became %s, %v", data, err)
	}
	if err := lockMachine(t, s, "empty").Delete(); err != nil || isDir(s.MachineDir("empty")) {
		t.Errorf("got %v", err)
	}
}
