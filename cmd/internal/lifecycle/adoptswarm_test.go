package lifecycle

import (
	"testing"
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
