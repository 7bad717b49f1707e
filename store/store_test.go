package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPutGet(t *testing.T) {
	t.Parallel()
	s := Open(filepath.Join(t.TempDir(), "a", "b"))
	want := put(t, s, "m1")
	got, err := s.Get("m1")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, err := lockMachine(t, s, "m1").Get(); err != nil || !cmp.Equal(want, got) {
		t.Errorf("Txn.Get: got %v, %v", got, err)
	}
}

func TestOpenRelative(t *testing.T) {
	s := Open("some/where") // not parallel with what changes the working folder
	cwd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(cwd, "some", "where"); s.Root() != want {
		t.Errorf("Got %s, want %s", s.Root(), want)
	}
	if want := filepath.Join(s.Root(), "machines", "m1"); s.MachineDir("m1") != want {
		t.Errorf("Got %s, want %s", s.MachineDir("m1"), want)
	}
	if want := filepath.Join(s.Root(), "certs"); s.CertsDir() != want {
		t.Errorf("Got %s, want %s", s.CertsDir(), want)
	}
}

// A store that is carried elsewhere is as good as before.
func TestMovable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	here, there := Open(filepath.Join(dir, "here")), Open(filepath.Join(dir, "there"))
	want := put(t, here, "m1")
	for path := range files(t, here.Root()) {
		data, err := os.ReadFile(filepath.Join(here.Root(), path))
		if err == nil && strings.Contains(string(data), dir) {
			t.Errorf("%s holds the path of the store", path)
		}
	}
	if err := os.Rename(here.Root(), there.Root()); err != nil {
		t.Fatal(err)
	}
	got, err := there.Get("m1")
	if err != nil || !cmp.Equal(want, got) {
		t.Errorf("Got %v, %v", got, err)
	}
}

func TestModes(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has access lists instead")
	}
	s := Open(filepath.Join(t.TempDir(), "store"))
	txn := lockMachine(t, s, "m1")
	shared, err := s.LockShared(t.Context(), "machine test")
	if err != nil {
		t.Fatal(err)
	}
	swarm, err := s.LockCluster(t.Context(), "s1", "machine test")
	if err != nil {
		t.Fatal(err)
	}
	_, idErr := shared.EnsureID()
	if err := errors.Join(
		idErr,
		txn.Put(sample("m1")), txn.PutSecrets(json.RawMessage(`{}`)), txn.WriteFile("key.pem", []byte("k")),
		shared.WriteCert("ca-key.pem", []byte("k")), swarm.Put(Cluster{}),
	); err != nil {
		t.Fatal(err)
	}
	n := 0
	err = filepath.WalkDir(s.Root(), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode().Perm(), want)
		}
		n++
		return nil
	})
	if err != nil || n < 15 {
		t.Errorf("Saw %d files and folders: %v", n, err)
	}
	if err := errors.Join(txn.Close(), shared.Close(), swarm.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir())
	if names, err := s.Names(); err != nil || len(names) != 0 {
		t.Errorf("Of nothing: got %v, %v", names, err)
	}
	for _, name := range []string{"m10", "M2", "m1", "b", "a20", "A3"} {
		put(t, s, name)
	}
	// Names reads no record, so a broken one and none at all are names too.
	write(t, s, "machines/broken/config.json", "{")
	write(t, s, "machines/.hidden/config.json", "{}")
	write(t, s, "machines/file", "")
	if err := os.Mkdir(s.MachineDir("empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	names, err := s.Names()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"A3", "a20", "b", "broken", "empty", "m1", "M2", "m10"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestListOneBadRecordIsOneBadRow(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir())
	put(t, s, "m1")
	put(t, s, "m2")
	write(t, s, "machines/broken/config.json", "{")
	write(t, s, "machines/future/config.json", `{"ConfigVersion": 5, "Name": {"a": 1}}`)
	write(t, s, "machines/lost+found/x", "")
	write(t, s, "machines/m1.folder/config.json/x", "")
	if err := os.Mkdir(s.MachineDir("empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	want := map[string]error{
		"m1": nil, "m2": nil, "broken": ErrCorrupt, "future": ErrFuture, "lost+found": ErrName, "m1.folder": ErrCorrupt, "empty": ErrCorrupt,
	}
	entries, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		werr, ok := want[e.Name]
		if !ok || !errors.Is(e.Err, werr) || (e.Err == nil) != (werr == nil) {
			t.Errorf("%s: got %v, want %v", e.Name, e.Err, werr)
		}
		if e.Err == nil && e.Record.Name != e.Name {
			t.Errorf("%s: got record of %q", e.Name, e.Record.Name)
		}
		delete(want, e.Name)
	}
	if len(want) > 0 {
		t.Errorf("Left out: %v", want)
	}
}

func TestGetErrors(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir())
	write(t, s, "machines/large/config.json", `{"ConfigVersion":4}`+strings.Repeat(" ", maxRecord))
	for name, want := range map[string]error{
		"none": ErrNotExist, "../certs": ErrName, "": ErrName, ".": ErrName, "..": ErrName, "a/b": ErrName, `a\b`: ErrName, "large": ErrCorrupt,
	} {
		if _, err := s.Get(name); !errors.Is(err, want) {
			t.Errorf("%q: got %v, want %v", name, err, want)
		}
	}
	if _, err := s.Get("none"); !strings.Contains(err.Error(), `"none"`) {
		t.Errorf("Got %q without the name", err)
	}
}

// A reader leaves no trace, whatever it meets.
func TestReadersNeverWrite(t *testing.T) {
	t.Parallel()
	s := Open(filepath.Join(t.TempDir(), "store"))
	read := func() {
		t.Helper()
		_, _ = s.Names()
		entries, _ := s.List()
		for _, e := range append(entries, Entry{Name: "none"}) {
			_, _ = s.Get(e.Name)
			_, _ = s.Secrets(e.Name)
		}
		_, _ = s.Clusters()
		_, _ = s.Cluster("s1")
		_, _ = s.ID()
	}
	read()
	if _, err := os.Stat(s.Root()); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("Reading made the store: %v", err)
	}
	put(t, s, "m1")
	txn := lockMachine(t, s, "m2")
	if err := errors.Join(txn.Put(sample("m2")), txn.PutSecrets(json.RawMessage(`{}`))); err != nil {
		t.Fatal(err)
	}
	swarm, err := s.LockCluster(t.Context(), "s1", "machine test")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(swarm.Put(Cluster{}), swarm.Close()); err != nil {
		t.Fatal(err)
	}
	write(t, s, "machines/broken/config.json", "")
	write(t, s, "machines/old/config.json", v3)
	write(t, s, "machines/old/.tmp-config.json-123", "{")
	write(t, s, "swarms/broken.json", "")
	before := files(t, s.Root())
	read()
	if diff := cmp.Diff(before, files(t, s.Root())); diff != "" {
		t.Error(diff)
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir())
	if got, err := s.Secrets("m1"); got != nil || err != nil {
		t.Errorf("Got %s, %v", got, err)
	}
	txn := lockMachine(t, s, "m1")
	if err := txn.Put(sample("m1")); err != nil {
		t.Fatal(err)
	}
	if err := txn.PutSecrets(json.RawMessage(`{"token":"s3cret"}`)); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Secrets("m1"); string(got) != `{"token":"s3cret"}` || err != nil {
		t.Errorf("Got %s, %v", got, err)
	}
	if err := txn.PutSecrets(json.RawMessage(`{"token":`)); err == nil {
		t.Error("Took what is not JSON")
	}
	if err := txn.PutSecrets(nil); err != nil {
		t.Error(err)
	}
	if err := txn.PutSecrets(nil); err != nil {
		t.Errorf("Second removal: %v", err)
	}
	if got, err := s.Secrets("m1"); got != nil || err != nil {
		t.Errorf("After removal: got %s, %v", got, err)
	}
	write(t, s, "machines/m1/secrets.json", "s3cret")
	if _, err := s.Secrets("m1"); !errors.Is(err, ErrCorrupt) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("Got %v", err)
	}
	if _, err := s.Secrets("../m1"); !errors.Is(err, ErrName) {
		t.Errorf("Got %v", err)
	}
}

func TestErrorsCarryHints(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir())
	write(t, s, "machines/broken/config.json", "{")
	write(t, s, "machines/future/config.json", `{"ConfigVersion":9}`)
	write(t, s, "machines/bare/key.pem", "")
	write(t, s, "id", "x")
	put(t, s, "m1")
	lockMachine(t, s, "m1")
	errs := map[string]error{"full": writeError("write x", errFull()), "read-only": writeError("write x", fs.ErrPermission)}
	_, errs["corrupt"] = s.Get("broken")
	_, errs["future"] = s.Get("future")
	_, errs["bare"] = s.Get("bare")
	_, errs["locked"] = s.Lock(t.Context(), "m1", "machine test")
	_, errs["id"] = s.ID()
	seen := make(map[string]string)
	for name, err := range errs {
		var hint interface{ Hint() string }
		if !errors.As(err, &hint) || hint.Hint() == "" {
			t.Errorf("%s: no hint in %v", name, err)
		}
		if first := seen[err.Error()]; first != "" {
			t.Errorf("%s and %s say the same: %v", first, name, err)
		}
		seen[err.Error()] = name
	}
	if !errors.Is(errs["full"], ErrFull) || !errors.Is(errs["read-only"], ErrReadOnly) {
		t.Errorf("Got %v and %v", errs["full"], errs["read-only"])
	}
}

func benchStore(b *testing.B, machines int) *Store {
	b.Helper()
	s := Open(b.TempDir())
	for i := range machines {
		data, err := encode(sample(fmt.Sprint("m", i)))
		if err != nil {
			b.Fatal(err)
		}
		write(b, s, fmt.Sprintf("machines/m%d/config.json", i), string(data))
	}
	b.ResetTimer()
	return s
}

func BenchmarkList(b *testing.B) {
	for _, n := range []int{500, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := benchStore(b, n)
			for b.Loop() {
				if entries, err := s.List(); err != nil || len(entries) != n || entries[n-1].Err != nil {
					b.Fatal(len(entries), err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/record")
		})
	}
}

func BenchmarkNames(b *testing.B) {
	for _, n := range []int{500, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := benchStore(b, n)
			for b.Loop() {
				if names, err := s.Names(); err != nil || len(names) != n {
					b.Fatal(len(names), err)
				}
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	s := benchStore(b, 1)
	for b.Loop() {
		if _, err := s.Get("m0"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPut(b *testing.B) {
	s := benchStore(b, 1)
	txn := lockMachine(b, s, "m0")
	for b.Loop() {
		if err := txn.Put(sample("m0")); err != nil {
			b.Fatal(err)
		}
	}
}
