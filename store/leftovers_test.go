package store

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestLeftovers has another command clean up after ones that were killed on machines which nobody will name again.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	s := Open(root)
	there, err := s.Lock(t.Context(), "There", "create")
	if err != nil {
		t.Fatal(err)
	}
	if err := there.Put(Record{DriverName: "none"}); err != nil {
		t.Fatal(err)
	}
	_ = there.Close()
	held, err := s.Lock(t.Context(), "held", "create") // not recorded yet
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	leave := func(age time.Duration, paths ...string) {
		t.Helper()
		for _, path := range paths {
			path = filepath.Join(root, path)
			err := os.MkdirAll(filepath.Dir(path), 0o700)
			if err == nil {
				err = os.WriteFile(path, []byte(`{"Command":"create","PID":1}`), 0o600)
			}
			for ; err == nil && path != filepath.Join(root, "machines") && path != filepath.Join(root, "locks"); path = filepath.Dir(path) {
				err = os.Chtimes(path, time.Time{}, time.Now().Add(-age))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	const long = 2 * leftAge
	leave(long, "locks/machine-killed.lock", "locks/machine-killed.json", "machines/.tmp-killed-12/config.json")
	leave(long, "machines/.tmp-Removed-7/Removed/config.json") // its lock is gone already
	leave(long, "machines/.tmp-There-7/There/config.json")
	leave(long, "locks/machine-held.lock", "machines/.tmp-held-7/config.json")
	leave(long, "locks/machine-there.lock", "locks/shared.lock", "locks/swarm-x.lock", "machines/.tmp-odd/file")
	leave(0, "locks/machine-young.lock", "machines/.tmp-young-7/config.json")

	other, err := Open(root).Lock(t.Context(), "other", "rm")
	if err != nil {
		t.Fatal(err)
	}
	_ = other.Close()
	for dir, want := range map[string][]string{
		"machines": {".tmp-held-7", ".tmp-odd", ".tmp-young-7", "There"},
		"locks":    {"machine-held.json", "machine-held.lock", "machine-there.lock", "machine-young.lock", "shared.lock", "swarm-x.lock"},
	} {
		got, err := entryNames(filepath.Join(root, dir))
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q, %v", dir, got, want, err)
		}
	}
	if _, err := Open(root).Get("There"); err != nil {
		t.Error(err)
	}
}
