package etcd

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/hostsmith/machine/store"
)

// The disk of a machine that another operator removed is kept for some time, and not for ever.
func TestDiskOfRemovedMachineIsKeptForATime(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	location := s.location()
	here := operator(t, location, "none")
	st := store.OpenBackend(here)
	txn, err := st.Lock(t.Context(), "m.1", "x")
	ok(t, err)
	ok(t, txn.Put(record("m.1")))
	ok(t, txn.Close())
	ok(t, os.WriteFile(filepath.Join(st.MachineDir("m.1"), "disk.img"), []byte("data"), 0o600))
	stamp := func(age time.Duration) string { return strconv.FormatInt(time.Now().Add(-age).UnixNano(), 36) }
	young, old, foreign := "m2."+stamp(leftFor-time.Hour), "m2."+stamp(leftFor+time.Hour), "mine"
	for _, name := range []string{young, old, foreign} {
		ok(t, os.MkdirAll(filepath.Join(here.Dir(), leftDir, name), 0o700))
		ok(t, os.WriteFile(filepath.Join(here.Dir(), leftDir, name, "disk.img"), []byte("data"), 0o600))
	}
	txn, err = store.OpenBackend(operator(t, location, "none")).Lock(t.Context(), "m.1", "machine rm")
	ok(t, err)
	ok(t, txn.Delete())
	ok(t, txn.Close())
	_, err = st.List()
	ok(t, err)
	left, err := filepath.Glob(filepath.Join(here.Dir(), leftDir, "*", "disk.img"))
	ok(t, err)
	var names []string
	for _, path := range left {
		names = append(names, filepath.Base(filepath.Dir(path)))
	}
	if len(names) != 3 || !slices.Contains(names, young) || !slices.Contains(names, foreign) || names[0][:4] != "m.1." {
		t.Errorf("Left: %v", names)
	}
}
