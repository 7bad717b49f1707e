package qemu

import (
	"os"
	"testing"

	"github.com/hostsmith/machine/drivers"
)

// TestOrphanWithoutFolder finds and ends a process whose machine's folder somebody deleted.
func TestOrphanWithoutFolder(t *testing.T) {
	t.Parallel()
	h := newFakeHost()
	b := fakeBench(t, h, nil)
	b.must("create", b.create())
	h.only(t)
	b.must("delete the folder", os.RemoveAll(b.env.Dir))

	other := newBench(t, b.factory, "m2", b.env.Cache, drivers.Values{"qemu-image": {testImage(t)}})
	b.must("create another", other.create())
	found, err := other.open().Tagged(t.Context())
	if err != nil || len(found) != 2 || found[0].Machine != "m1" || other.open().Claims(found[0]) || !other.open().Claims(found[1]) {
		t.Fatalf("found %+v, %v", found, err)
	}
	b.must("release", other.open().Release(t.Context(), found[0]))
	if h.only(t).dir != other.env.Dir {
		t.Error("the other machine was ended")
	}
	if found, err = other.open().Tagged(t.Context()); err != nil || len(found) != 1 {
		t.Errorf("found %+v, %v", found, err)
	}
}

// TestOrphanOfSameFolder leaves the files to the machine that has the folder now.
func TestOrphanOfSameFolder(t *testing.T) {
	t.Parallel()
	h := newFakeHost()
	b := fakeBench(t, h, nil)
	b.must("create", b.create())
	lost := h.only(t)
	b.must("delete the files", os.RemoveAll(b.env.Dir))
	lost.dir = "/deleted"
	b.state = nil
	b.must("create again", b.create())
	found, err := b.open().Tagged(t.Context())
	if err != nil || len(found) != 2 {
		t.Fatalf("found %+v, %v", found, err)
	}
	for _, r := range found {
		if !b.open().Claims(r) {
			b.must("release", b.open().Release(t.Context(), r))
		}
	}
	b.is(drivers.Running)
	if q := h.only(t); q == lost || !isFile(b.open().path(diskFile)) {
		t.Error("the machine was harmed, or the lost process is still there")
	}
}
