package vmwarevsphere

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim/vspheresim"
)

// TestOrphans finds and releases what no record claims.
func TestOrphans(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	kept, lost := newMachine(t, c, c.values, "kept"), newMachine(t, c, c.values, "lost")
	for _, m := range []*testMachine{kept, lost} {
		if err := m.open().Create(t.Context(), request(t)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.plant(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	d := kept.open()
	if place, err := d.Place(t.Context()); err != nil || !strings.HasSuffix(place, "/"+vspheresim.Datacenter) {
		t.Errorf("place: %q, %v", place, err)
	}
	all, err := d.Tagged(t.Context())
	if err != nil || len(all) != 2 {
		t.Fatalf("got %v, %v", all, err)
	}
	for _, r := range all {
		if got := d.Claims(r); got != (r.Machine == "kept") {
			t.Errorf("claims %v: %v", r, got)
		}
		if !d.Claims(r) {
			for range 2 {
				if err := d.Release(t.Context(), r); err != nil {
					t.Error(err)
				}
			}
		}
	}
	for _, r := range c.machines() {
		if r.Tags[markStore] == "another" {
			if err := d.Release(t.Context(), drivers.Resource{Kind: kindMachine, ID: r.ID}); !errors.Is(err, drivers.ErrConflict) {
				t.Errorf("release of another store's: %v", err)
			}
		}
	}
	if got := len(c.machines()); got != 2 {
		t.Errorf("%d machines are left, want kept and other", got)
	}
}

// TestOrphanISO releases what was uploaded for a machine too.
func TestOrphanISO(t *testing.T) {
	t.Parallel()
	iso := filepath.Join(t.TempDir(), "boot.iso")
	if err := os.WriteFile(iso, []byte("an ISO"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newCloud(t)
	lost := newMachine(t, c, c.with(drivers.Values{"vmwarevsphere-boot2docker-url": {iso}, "vmwarevsphere-clone-from": nil}), "lost")
	if err := lost.open().Create(t.Context(), request(t)); err != nil {
		t.Fatal(err)
	}
	d := newMachine(t, c, c.values, "another").open()
	all, err := d.Tagged(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("got %v, %v", all, err)
	}
	if err := d.Release(t.Context(), all[0]); err != nil {
		t.Fatal(err)
	}
	for _, r := range c.Ledger() {
		if r.Kind == vspheresim.KindVM || strings.Contains(r.ID, "boot.iso") {
			t.Errorf("left: %v", r)
		}
	}
}

// TestCopy demands that a copy which somebody made of a machine is no orphan.
func TestCopy(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	m := newMachine(t, c, c.values, "m1")
	if err := m.open().Create(t.Context(), request(t)); err != nil {
		t.Fatal(err)
	}
	d := m.open()
	vc, err := d.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := d.plan(t.Context(), vc)
	if err != nil {
		t.Fatal(err)
	}
	pool := p.place.pool.ref
	copied, err := vc.cloneVM(t.Context(), vmRef(d.state.Value.VM), p.place.folder.ref, "copy", types.VirtualMachineCloneSpec{
		Location: types.VirtualMachineRelocateSpec{Pool: &pool},
		Config:   &types.VirtualMachineConfigSpec{ExtraConfig: marks(d.env, d.state.Value.Token)}, // as a vCenter copies them
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vc.finish(t.Context(), d.pace, copied, "the copy"); err != nil {
		t.Fatal(err)
	}
	if all, err := d.Tagged(t.Context()); err != nil || len(all) != 1 || all[0].Name != "m1" {
		t.Errorf("got %v, %v, want m1 alone", all, err)
	}
}
