package lifecycle

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// TestAdviceOfStatusIsTrue brings a swarm out of order by hand, does what the status advises, and looks again.
func TestAdviceOfStatusIsTrue(t *testing.T) {
	t.Parallel()
	call := func(w *world, name, path string, in any) {
		w.t.Helper()
		if err := w.hosts[name].engine.Do(w.t.Context(), "POST", path, in, nil); err != nil {
			w.t.Fatal(err)
		}
	}
	strike := func(w *world, id string) {
		w.t.Helper()
		if err := w.hosts["m1"].engine.Do(w.t.Context(), "DELETE", "/nodes/"+id+"?force=true", nil, nil); err != nil {
			w.t.Fatal(err)
		}
	}
	rejoin := func(w *world, name string) {
		_, token := w.hosts["m1"].engine.Tokens()
		peer := w.record(name).Address.Peer
		call(w, name, "/swarm/join", map[string]any{"AdvertiseAddr": peer, "RemoteAddrs": []string{w.record("m1").Address.Peer + ":2377"}, "JoinToken": token})
	}
	join := func(w *world) error {
		_, err := w.manager().SwarmJoin(w.t.Context(), SwarmRequest{Names: []string{"w1"}, Options: SwarmOptions{Name: "m1"}})
		return err
	}
	leave := func(w *world) error {
		_, err := w.manager().SwarmLeave(w.t.Context(), SwarmRequest{Names: []string{"w1"}, Force: true})
		return err
	}
	id := func(w *world) string { return w.hosts["w1"].engine.NodeID() }
	for name, tt := range map[string]struct {
		harm   func(w *world)
		kind   string
		advice string
		mend   func(w *world) error
		nodes  int
	}{
		"removed, taken in again": {func(w *world) {
			node := id(w)
			call(w, "w1", "/swarm/leave", nil)
			strike(w, node)
		}, removedNode, "machine swarm join --swarm-name m1 w1 takes it in again", join, 4},
		"removed, forgotten": {func(w *world) {
			node := id(w)
			call(w, "w1", "/swarm/leave", nil)
			strike(w, node)
		}, removedNode, "machine swarm leave --force w1 forgets it", leave, 3},
		"struck off while it is in": {func(w *world) { strike(w, id(w)) }, removedNode, "machine swarm leave --force w1 makes it free", func(w *world) error {
			if err := leave(w); err != nil {
				return err
			}
			return join(w)
		}, 4},
		"left and still listed": {func(w *world) { call(w, "w1", "/swarm/leave", nil) }, removedNode, "machine swarm join --swarm-name m1 w1", join, 4},
		"joined again by hand": {func(w *world) {
			node := id(w)
			call(w, "w1", "/swarm/leave", nil)
			strike(w, node)
			rejoin(w, "w1")
		}, otherNode, "machine swarm join --swarm-name m1 w1 records it", join, 4},
		"promoted": {func(w *world) {
			var node struct {
				Version struct{ Index uint64 }
				Spec    map[string]any
			}
			if err := w.hosts["m1"].engine.Do(w.t.Context(), "GET", "/nodes/"+id(w), nil, &node); err != nil {
				w.t.Fatal(err)
			}
			node.Spec["Role"] = "manager"
			call(w, "m1", fmt.Sprintf("/nodes/%s/update?version=%d", id(w), node.Version.Index), node.Spec)
		}, roleChanged, "machine swarm demote w1 undoes it", func(w *world) error {
			_, err := w.manager().SwarmNodes(w.t.Context(), NodesRequest{Verb: swarmboot.VerbDemote, Names: []string{"w1"}})
			return err
		}, 4},
		"record lost": {func(w *world) {
			txn, c, err := w.manager().lockCluster(w.t.Context(), "m1")
			if err != nil {
				w.t.Fatal(err)
			}
			delete(c.Members, "w1")
			if err := txn.Put(c); err != nil {
				w.t.Fatal(err)
			}
			if err := txn.Close(); err != nil {
				w.t.Fatal(err)
			}
		}, unrecorded, "machine swarm join --swarm-name m1 w1", join, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "m1", "m2", "m3", "w1")
			w.swarm([]string{"m1", "m2", "m3"}, []string{"w1"})
			tt.harm(w)
			st := w.status("m1")
			advice := ""
			for _, f := range st.Findings {
				if f.Kind == tt.kind && f.Subject == "w1" {
					advice = f.Advice
				}
			}
			if !strings.Contains(advice, tt.advice) {
				t.Fatalf("advice %q, want %q, of %+v", advice, tt.advice, st.Findings)
			}
			if err := tt.mend(w); err != nil {
				t.Fatal(err)
			}
			st = w.status("m1")
			left := []string{}
			for _, n := range st.Nodes {
				if n.State != "down" { // a former node may be listed still
					left = append(left, n.Name())
				}
			}
			if len(left) != tt.nodes {
				t.Errorf("nodes %q, want %d: %+v", left, tt.nodes, st.Findings)
			}
			for _, f := range st.Findings {
				if f.Kind != ghostNode {
					t.Errorf("after that: %+v", f)
				}
			}
			if rec := w.record("w1"); tt.nodes == 3 && rec.Swarm != (store.Swarm{}) {
				t.Errorf("record %+v", rec.Swarm)
			}
		})
	}
}
