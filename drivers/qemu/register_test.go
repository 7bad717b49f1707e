package qemu

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
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

func TestGroupAndMAC(t *testing.T) {
	t.Parallel()
	if a, b := group("store a"), group("store a"); a != b || a == group("store b") {
		t.Errorf("groups are %s, %s, %s", a, b, group("store b"))
	}
	at, err := netip.ParseAddrPort(group("x"))
	if err != nil || !at.Addr().IsMulticast() || at.Port() < 1024 {
		t.Errorf("group is %v, %v", at, err)
	}
	if mac("s", "m", "nat") == mac("s", "m", "lan") || mac("s", "m", "nat") != mac("s", "m", "nat") || mac("s", "m1", "nat") == mac("s", "m", "1nat") {
		t.Error("MAC addresses are not one's own, or not the same each time")
	}
}

// TestRegister gives each of many machines an address of its own, at once.
func TestRegister(t *testing.T) {
	t.Parallel()
	cache, subnet := t.TempDir(), netip.MustParsePrefix("10.9.8.0/27")
	var wg sync.WaitGroup
	for i := range 10 {
		b := newBench(t, factory(newFakeHost().world()), fmt.Sprintf("m%d", i), cache, drivers.Values{"qemu-lan-subnet": {subnet.String()}})
		if err := os.MkdirAll(b.env.Dir, 0o700); err != nil {
			t.Fatal(err)
		}
		d := b.open()
		d.state.Value.UUID = fmt.Sprintf("uuid%d", i)
		wg.Go(func() {
			for range 3 { // again is the same
				if err := d.enter(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	all, err := readRegister(cache)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[netip.Addr]bool{}
	for _, l := range all {
		seen[l.Address] = subnet.Contains(l.Address)
	}
	if len(seen) != 10 || !seen[netip.MustParseAddr("10.9.8.11")] || !seen[netip.MustParseAddr("10.9.8.20")] {
		t.Errorf("leases are %v", all)
	}
}

func TestTake(t *testing.T) {
	t.Parallel()
	subnet := netip.MustParsePrefix("10.9.8.0/28") // .11 to .14
	all := register{}
	take := func(uuid, wanted string) string {
		a, _ := netip.ParseAddr(wanted)
		got, err := all.take(subnet, uuid, entry{Machine: uuid}, a)
		if err != nil {
			return err.Error()
		}
		return got.String()
	}
	for _, c := range [][3]string{
		{"a", "", "10.9.8.11"}, {"b", "", "10.9.8.12"}, {"a", "", "10.9.8.11"},
		{"c", "10.9.8.12", "taken by something that is not ours: 10.9.8.12 is the address of machine b"},
		{"c", "10.9.8.5", "10.9.8.5"}, {"a", "10.9.8.14", "10.9.8.14"}, {"d", "", "10.9.8.11"}, {"e", "", "10.9.8.13"},
		{"f", "", "quota exhausted: all addresses of 10.9.8.0/28 are taken"},
	} {
		if got := take(c[0], c[1]); got != c[2] {
			t.Errorf("%s wants %q: got %s, want %s", c[0], c[1], got, c[2])
		}
	}
	gone := register{"x": {Dir: "/nonexistent/machine"}, "y": {Dir: t.TempDir()}}
	if gone.prune(func(string) bool { return false }); len(gone) != 1 {
		t.Errorf("left are %v", gone)
	}
}

// TestRegisterUnreadable begins anew rather than keeping machines from starting.
func TestRegisterUnreadable(t *testing.T) {
	t.Parallel()
	b := fakeBench(t, newFakeHost(), nil)
	path := filepath.Join(b.env.Cache, Name, "machines.json")
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("{"), 0o600)); err != nil {
		t.Fatal(err)
	}
	b.must("create", b.create())
	b.is(drivers.Running)
}
