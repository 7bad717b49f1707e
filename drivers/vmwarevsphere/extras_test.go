package vmwarevsphere

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/vmware/govmomi/vapi/tags"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim/vspheresim"
)

// TestTags finds tags by name, by category and name, and says which are not clear.
func TestTags(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	m0 := newMachine(t, c, c.values, "m0")
	d := m0.open()
	vc, err := d.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	client, err := vc.vapi(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	manager, ids := tags.NewManager(client), map[string]string{}
	for _, category := range []string{"owner", "stage"} {
		id, err := manager.CreateCategory(t.Context(), &tags.Category{Name: category, Cardinality: "MULTIPLE", AssociableTypes: []string{machineType}})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"both", "only-" + category} {
			if ids[category+"/"+name], err = manager.CreateTag(t.Context(), &tags.Tag{Name: name, CategoryID: id}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := client.Logout(t.Context()); err != nil { // as if it had idled
		t.Fatal(err)
	}
	m := newMachine(t, c, c.with(drivers.Values{"vmwarevsphere-tag": {"only-owner", "stage/both", ids["stage/only-stage"]}}), "m1")
	m.factory = m0.factory // and session
	if err := m.open().Create(t.Context(), request(t)); err != nil {
		t.Fatal(err)
	}
	if client, err = vc.vapi(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := tags.NewManager(client).ListAttachedTags(t.Context(), vmRef(m.open().state.Value.VM))
	want := []string{ids["owner/only-owner"], ids["stage/both"], ids["stage/only-stage"]}
	slices.Sort(got)
	slices.Sort(want)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	unclear := newMachine(t, c, c.with(drivers.Values{"vmwarevsphere-tag": {"both"}}), "m2")
	if err := unclear.open().Check(t.Context()); !errors.Is(err, drivers.ErrOption) {
		t.Errorf("of two categories: got %v", err)
	}
}

// TestNoDRS has a cluster that does not choose a host.
func TestNoDRS(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	m := newMachine(t, c, c.with(drivers.Values{"vmwarevsphere-cluster": {vspheresim.Cluster}}), "m1")
	d := m.open()
	vc, err := d.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := d.plan(t.Context(), vc)
	if err != nil {
		t.Fatal(err)
	}
	for _, on := range []bool{true, false} {
		off := types.ClusterConfigSpecEx{DrsConfig: &types.ClusterDrsConfigInfo{Enabled: &on}}
		if err := vc.do(t.Context(), d.pace, "DRS", func(ctx context.Context) (reference, error) {
			res, err := methods.ReconfigureComputeResource_Task(ctx, vc.client, &types.ReconfigureComputeResource_Task{This: p.place.compute.ref, Spec: &off, Modify: true})
			if err != nil {
				return reference{}, err
			}
			return res.Returnval, nil
		}); err != nil {
			t.Fatal(err)
		}
		p.place.host = nil
		if err := d.chooseHost(t.Context(), p); err != nil || (p.place.host == nil) != on {
			t.Errorf("DRS %v: got host %v, %v", on, p.place.host, err)
		}
	}
	if err := d.Create(t.Context(), request(t)); err != nil {
		t.Fatal(err)
	}
	if notes := strings.Join(m.notes, "\n"); !strings.Contains(notes, "has no DRS") {
		t.Errorf("notes: %q", notes)
	}
}
