package store

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLockMakesNoMachine(t *testing.T) {
	t.Parallel()
	s := Open(filepath.Join(t.TempDir(), "store"))
	txn := lockMachine(t, s, "m1")
	if _, err := txn.Get(); !errors.Is(err, ErrNotExist) {
		t.Errorf("Got %v", err)
	}
	if names, err := s.Names(); err != nil || len(names) != 0 {
		t.Errorf("Got %v, %v", names, err)
	}
	if err := txn.Close(); err != nil {
		t.Fatal(err)
	}
	var left []string
	for path := range files(t, s.Root()) {
		left = append(left, path)
	}
	sort.Strings(left)
	if diff := cmp.Diff([]string{".", "locks", "machines"}, left); diff != "" {
		t.Error(diff)
	}
}

func TestLockNames(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir())
	for _, name := range []string{"", "..", "a/b", "con", "a..b", strings.Repeat("a", 64)} {
		if _, err := s.Lock(t.Context(), name, "x"); !errors.Is(err, ErrName) {
			t.Errorf("%q: got %v", name, err)
		}
	}
	// What docker-machine let pass can be used and removed, though not made anew.
	long := strings.Repeat("a", 80)
	write(t, s, "machines/"+long+"/config.json", v3)
	txn := lockMachine(t, s, long)
	if err := errors.Join(txn.Put(sample(long)), txn.Delete()); err != nil {
		t.Error(err)
	}
}

func TestCaseIsOneName(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir())
	put(t, s, "Web-1")
	_, err := s.Lock(t.Context(), "web-1", "machine create")
	if !errors.Is(err, ErrExist) || !strings.Contains(err.Error(), `"Web-1"`) {
		t.Errorf("Got %v", err)
	}
	lockMachine(t, s, "Web-1") // the refused one left no lock
	if _, err := s.Lock(t.Context(), "WEB-1", "machine create"); !errors.Is(err, ErrLocked) {
		t.Errorf("While it is locked: got %v", err)
	}
	first, err := s.LockCluster(t.Context(), "S1", "x")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(first.Put(Cluster{}), first.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.LockCluster(t.Context(), "s1", "x"); !errors.Is(err, ErrExist) || !strings.Contains(err.Error(), "S1") {
		t.Errorf("Got %v", err)
	}
}

// Readers that look while a machine is made or removed see all of it or nothing.
func TestMachineAppearsWithItsRecord(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir())
	put(t, s, "other")
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			entries, err := s.List()
			for _, e := range entries {
				err = errors.Join(err, e.Err)
			}
			if err != nil {
				done <- err
				return
			}
		}
	}()
	for range 50 {
		txn := lockMachine(t, s, "m1")
		if err := errors.Join(
			txn.Put(sample("m1")), txn.PutSecrets(json.RawMessage(`{}`)), txn.WriteFile("key.pem", nil), txn.Delete(), txn.Close(),
		); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir())
	txn := lockMachine(t, s, "m1")
	if _, err := txn.ReadFile("key.pem"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Got %v", err)
	}
	for _, text := range []string{"one", "", "three"} {
		if err := txn.WriteFile("key.pem", []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := txn.ReadFile("key.pem"); err != nil || string(got) != text {
			t.Errorf("Got %q, %v", got, err)
		}
	}
	if err := errors.Join(txn.RemoveFile("key.pem"), txn.RemoveFile("key.pem")); err != nil {
		t.Error(err)
	}
	if _, err := txn.ReadFile("key.pem"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Got %v", err)
	}
	for _, name := range []string{"", ".", "..", "../x", "a/b", `a\b`, "/x", ".hidden", "config.json", "Config.JSON", "secrets.json", "config.json.bak"} {
		if err := txn.WriteFile(name, nil); !errors.Is(err, ErrName) {
			t.Errorf("Write %q: got %v", name, err)
		}
		if err := txn.RemoveFile(name); !errors.Is(err, ErrName) {
			t.Errorf("Remove %q: got %v", name, err)
		}
	}
	for _, name := range []string{"", "..", "../../id", "a/b"} {
		if _, err := txn.ReadFile(name); !errors.Is(err, ErrName) {
			t.Errorf("Read %q: got %v", name, err)
		}
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir())
	for name, make := range map[string]func(*Txn) error{
		"full":      func(x *Txn) error { return errors.Join(x.Put(sample("full")), x.WriteFile("key.pem", nil)) },
		"no-record": func(x *Txn) error { return x.WriteFile("key.pem", nil) },
		"empty":     func(x *Txn) error { return os.Mkdir(s.MachineDir("empty"), 0o700) },
		"absent":    func(*Txn) error { return nil },
		"nested": func(x *Txn) error {
			write(t, s, "machines/nested/disks/a/disk.vmdk", "x")
			return x.Put(sample("nested"))
		},
		"corrupt": func(*Txn) error {
			write(t, s, "machines/corrupt/config.json", "{")
			return nil
		},
	} {
		txn := lockMachine(t, s, name)
		if err := make(txn); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(txn.Delete(), txn.Delete()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := txn.Get(); !errors.Is(err, ErrNotExist) {
			t.Errorf("%s: got %v", name, err)
		}
		// The lock goes on, and the name can be used again.
		if err := errors.Join(txn.Put(sample(name)), txn.Delete(), txn.Close()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	var left []string
	for path := range files(t, s.Root()) {
		left = append(left, path)
	}
	sort.Strings(left)
	if diff := cmp.Diff([]string{".", "locks", "machines"}, left); diff != "" {
		t.Error(diff)
	}
}

// What cannot be removed keeps its record, so that rm can be called again.
func TestDeleteKeepsRecordOnFailure(t *testing.T) {
	t.Parallel()
	s := Open(whereModesApply(t))
	want := put(t, s, "m1")
	stuck := filepath.Dir(write(t, s, "machines/m1/disks/disk.vmdk", "x"))
	if err := os.Chmod(stuck, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(stuck, 0o700) })
	if err := lockMachine(t, s, "m1").Delete(); !errors.Is(err, ErrReadOnly) {
		t.Errorf("Got %v", err)
	}
	if got, err := s.Get("m1"); err != nil || !cmp.Equal(want, got) {
		t.Errorf("Got %v, %v", got, err)
	}
}

func TestPutRefuses(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir())
	path := write(t, s, "machines/m1/config.json", `{"ConfigVersion":5,"Name":"m1"}`)
	before := files(t, filepath.Dir(path))
	if err := lockMachine(t, s, "m1").Put(sample("m1")); !errors.Is(err, ErrFuture) {
		t.Errorf("Over a newer record: got %v", err)
	}
	if diff := cmp.Diff(before, files(t, filepath.Dir(path))); diff != "" {
		t.Error(diff)
	}
	want := put(t, s, "m2")
	txn := lockMachine(t, s, "m2")
	bad := sample("m2")
	bad.Driver = json.RawMessage(`{"a":`)
	if err := txn.Put(bad); err == nil {
		t.Error("Took a configuration that is not JSON")
	}
	bad = sample("m2")
	bad.Problem.Message = strings.Repeat("x", maxRecord)
	if err := txn.Put(bad); err == nil {
		t.Error("Took a record that could not be read again")
	}
	if got, err := s.Get("m2"); err != nil || !cmp.Equal(want, got) {
		t.Errorf("Got %v, %v", got, err)
	}
}

func TestPutKeepsBackupOnce(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir())
	for name, old := range map[string]string{"m0": v0, "m3": v3, "broken": "{ oops"} {
		write(t, s, "machines/"+name+"/config.json", old)
		txn := lockMachine(t, s, name)
		r, err := txn.Get()
		if err != nil {
			r = sample(name)
		}
		backup := filepath.Join(s.MachineDir(name), "config.json.bak")
		for i := range 3 {
			r.Phase = []Phase{Ready, Removing, Pending}[i]
			if err := txn.Put(r); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(backup); err != nil || string(got) != old {
				t.Errorf("%s: after write %d the backup is %q, %v", name, i, got, err)
			}
		}
		if err := txn.Close(); err != nil {
			t.Fatal(err)
		}
		// Another command writes over our own schema.
		if err := os.Remove(backup); err != nil {
			t.Fatal(err)
		}
		put(t, s, name)
		if _, err := os.Stat(backup); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a backup of our own schema: %v", name, err)
		}
	}
}

func TestUseAfterClose(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir())
	put(t, s, "m1")
	txn := lockMachine(t, s, "m1")
	shared, err := s.LockShared(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	swarm, err := s.LockCluster(t.Context(), "s1", "x")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := errors.Join(txn.Close(), shared.Close(), swarm.Close()); err != nil {
			t.Fatal(err)
		}
	}
	before := files(t, s.Root())
	_, e1 := txn.Get()
	_, e2 := txn.ReadFile("a")
	_, e3 := shared.ReadCert("a")
	_, e4 := shared.EnsureID()
	_, e5 := swarm.Get()
	var zero Txn
	for i, err := range []error{
		e1, e2, e3, e4, e5,
		txn.Put(sample("m1")), txn.PutSecrets(nil), txn.PutSecrets(json.RawMessage(`{}`)), txn.WriteFile("a", nil), txn.RemoveFile("a"), txn.Delete(),
		shared.WriteCert("a", nil), shared.RemoveCert("a"), swarm.Put(Cluster{}), swarm.Delete(), zero.Put(Record{}),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%d: got %v", i, err)
		}
	}
	if diff := cmp.Diff(before, files(t, s.Root())); diff != "" {
		t.Error(diff)
	}
}

// What a killed writer left is nobody's business, and goes with the next lock.
func TestSweep(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir())
	put(t, s, "m1")
	gone := []string{
		write(t, s, "machines/m1/.tmp-config.json-123", "{"),
		filepath.Dir(write(t, s, "machines/.tmp-m1-77/config.json", "{")),
		write(t, s, "certs/.tmp-ca.pem-9", ""),
		write(t, s, "swarms/.tmp-s1.json-1", ""),
		write(t, s, ".tmp-id-5", ""),
	}
	kept := []string{ // of others, who may be at work
		filepath.Dir(write(t, s, "machines/.tmp-m1-a-77/config.json", "{")),
		filepath.Dir(write(t, s, "machines/.tmp-m2-77/config.json", "{")),
		write(t, s, "swarms/.tmp-s1.json-x.json-1", ""),
		write(t, s, "machines/m1/config.json.tmp123", ""),
	}
	if entries, err := s.List(); err != nil || len(entries) != 1 || entries[0].Err != nil {
		t.Errorf("Got %v, %v", entries, err)
	}
	if got, err := s.Clusters(); err != nil || len(got) != 0 {
		t.Errorf("Got %v, %v", got, err)
	}
	lockMachine(t, s, "m1")
	shared, err := s.LockShared(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	swarm, err := s.LockCluster(t.Context(), "s1", "x")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(shared.Close(), swarm.Close()); err != nil {
		t.Fatal(err)
	}
	for _, path := range gone {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is there: %v", path, err)
		}
	}
	for _, path := range kept {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}
