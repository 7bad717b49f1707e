package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/store/storetest"
)

func TestCopy(t *testing.T) {
	t.Parallel()
	storetest.RunCopy(t, func(t *testing.T) storetest.Place {
		root := filepath.Join(t.TempDir(), "store")
		return func() *store.Store { return store.Open(root) }
	})
}

// A machine whose disk is in its folder can be used on this computer alone.
func TestCopyLeavesLocalMachines(t *testing.T) {
	t.Parallel()
	from, to := store.Open(filepath.Join(t.TempDir(), "a")), store.Open(filepath.Join(t.TempDir(), "b"))
	storetest.Fill(t, from)
	disk := filepath.Join(from.MachineDir("m1"), "disk.qcow2")
	if err := os.WriteFile(disk, make([]byte, 1<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Copy(t.Context(), from, to, store.CopyRequest{}); !errors.Is(err, store.ErrStays) {
		t.Fatalf("Got %v", err)
	}
	if names, err := to.Names(); err != nil || len(names) > 0 {
		t.Fatalf("Got %v, %v", names, err)
	}
	if _, err := store.Copy(t.Context(), from, to, store.CopyRequest{SkipLocal: true}); err != nil {
		t.Fatal(err)
	}
	if names, err := to.Names(); err != nil || len(names) != 1 || names[0] != "m2" {
		t.Fatalf("Got %v, %v", names, err)
	}
}
