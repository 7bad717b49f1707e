package lifecycle

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/store"
)

// TestAdoptedMachineJoins is about a machine whose engine is reached through SSH alone.
func TestAdoptedMachineJoins(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "h1")
	w.create(CreateRequest{Names: []string{"m1"}, Swarm: SwarmOptions{Name: "prod", Master: true, IsSwarm: true}})
	m := w.manager()
	if _, err := m.Adopt(t.Context(), w.setUp("h1")); err != nil {
		t.Fatal(err)
	}
	if _, err := m.SwarmJoin(t.Context(), SwarmRequest{Names: []string{"h1"}, Options: SwarmOptions{Name: "prod", Advertise: "10.0.0.9"}}); err != nil {
		t.Fatal(err)
	}
	if rec := w.record("h1"); rec.Swarm.Name != "prod" || rec.Swarm.Role != "worker" || !rec.OverSSH {
		t.Errorf("record %+v", rec)
	}
	if did := w.hosts["h1"].done(); len(did) > 0 {
		t.Errorf("did %q on the host", did)
	}
	for _, n := range w.status("prod").Nodes {
		if n.Machine == "h1" && n.State != "ready" {
			t.Errorf("node %+v", n)
		}
	}
	if _, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"h1"}}); err != nil {
		t.Error(err)
	}
	if c := w.cluster("prod"); len(c.Members) != 1 {
		t.Errorf("members %v", c.Members)
	}
}

// forget takes a machine out of the store, and leaves its host in its swarm.
func (w *world) forget(t *testing.T, swarm, name string) {
	t.Helper()
	st := w.manager().Store
	txn, err := st.Lock(t.Context(), name, "test")
	if err == nil {
		err = txn.Delete()
	}
	if err != nil || txn.Close() != nil {
		t.Fatal(err)
	}
	all, err := st.LockCluster(t.Context(), swarm, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = all.Close() }()
	c, err := all.Get()
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(c.Members, func(member string, _ store.Member) bool { return member == name })
	if err := all.Put(c); err != nil {
		t.Fatal(err)
	}
}

// TestAdoptedMember is about a host that is a node of a swarm whose other nodes are machines of the store.
func TestAdoptedMember(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"worker", "manager"} {
		w := newWorld(t, "m1", "h1")
		w.create(CreateRequest{Names: []string{"m1"}, Swarm: SwarmOptions{Name: "prod", Master: true, IsSwarm: true}})
		m, req := w.manager(), w.setUp("h1")
		if _, err := m.Adopt(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		join := SwarmRequest{Names: []string{"h1"}, Options: SwarmOptions{Name: "prod", Advertise: w.hosts["h1"].peer, Master: role == "manager"}}
		if _, err := m.SwarmJoin(t.Context(), join); err != nil {
			t.Fatal(err)
		}
		want := w.cluster("prod").Members["h1"]
		w.forget(t, "prod", "h1")

		plan := req
		plan.DryRun = true
		res, err := m.Adopt(t.Context(), plan)
		if err != nil || !slices.Contains(res.Steps, "record it as the "+role+" of swarm prod that it is") || strings.Contains(strings.Join(res.Warnings, " "), "swarm") {
			t.Errorf("%s: plan %+v, %v", role, res, err)
		}
		if len(w.cluster("prod").Members) != 1 {
			t.Errorf("%s: looking has changed something", role)
		}
		if _, err := m.Adopt(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		if got := w.cluster("prod").Members["h1"]; got != want || got.Role != role {
			t.Errorf("%s: member %+v, want %+v", role, got, want)
		}
		if rec := w.record("h1"); rec.Swarm.Name != "prod" || rec.Swarm.NodeID != want.NodeID || rec.Swarm.Role != role {
			t.Errorf("%s: record %+v", role, rec.Swarm)
		}
		if did := w.hosts["h1"].done(); len(did) > 0 {
			t.Errorf("%s: did %q on the host", role, did)
		}
	}
}
