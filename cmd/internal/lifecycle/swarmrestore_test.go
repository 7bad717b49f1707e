package lifecycle

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/hostsmith/machine/cmd/internal/agefile"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// backedUp makes a swarm of m1 and w1, takes a backup of it, and loses m1.
func (w *world) backedUp() RestoreRequest {
	w.t.Helper()
	w.swarm([]string{"m1"}, nil)
	w.create(CreateRequest{Names: []string{"w1"}, Swarm: SwarmOptions{IsSwarm: true, Labels: []string{"disk=ssd"}}})
	return w.backUp()
}

// backUp takes a backup of the swarm of m1, loses m1, and makes r1 to restore it on.
func (w *world) backUp() RestoreRequest {
	w.t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		w.t.Fatal(err)
	}
	var file bytes.Buffer
	if _, _, err := w.manager().SwarmBackup(w.t.Context(), BackupRequest{File: "-", Out: &file, Recipients: []string{id.Recipient().String()}}); err != nil {
		w.t.Fatal(err)
	}
	w.create(CreateRequest{Names: []string{"r1"}})
	w.hosts["r1"].set(func(h *host) { h.backupOf = w.hosts["m1"].engine })
	w.hosts["m1"].setEngine(false)
	return RestoreRequest{
		Machine: "r1", Identity: id.String(),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(file.Bytes())), nil },
	}
}

func TestSwarmRestore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1", "r1")
	req := w.backedUp()
	id := w.record("w1").Swarm.NodeID
	m := w.manager()
	wrong := req
	wrong.Identity, wrong.Passphrase = "", "q"
	if _, err := m.SwarmRestore(t.Context(), wrong); !errors.Is(err, agefile.ErrKeys) {
		t.Errorf("got %v", err)
	}
	info, err := m.SwarmCheckBackup(req)
	if err != nil || info.Machine != "m1" || info.Swarm != "m1" {
		t.Errorf("got %+v, %v", info, err)
	}
	taken := req
	taken.Machine = "w1"
	if _, err := m.SwarmRestore(t.Context(), taken); !errors.Is(err, swarmboot.ErrForeign) {
		t.Errorf("on a member: %v", err)
	}
	req.Join, req.Prune = []string{"w1"}, true
	plan := req
	plan.DryRun = true
	if p, err := m.SwarmRestore(t.Context(), plan); err != nil || len(p) != 1 || !strings.Contains(strings.Join(p[0].Steps, "\n"), "w1 leave what it is in by force, and join as worker") {
		t.Errorf("got %+v, %v", p, err)
	}
	if _, err := m.SwarmRestore(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	st := w.status("m1")
	if st.Managers != 1 || len(st.Nodes) != 2 || st.AskedVia != "r1" || !listedBefore(st) || st.ID != info.ID {
		t.Errorf("got %+v", st)
	}
	if got := w.record("w1").Swarm; got.NodeID == "" || got.Name != "m1" {
		t.Errorf("w1 is %+v (%s before)", got, id)
	}
}

// TestKilledRestore kills a restore at each write, order and step on a host; the same command goes on.
func TestKilledRestore(t *testing.T) {
	t.Parallel()
	reqs := map[*world]RestoreRequest{}
	var lock = make(chan struct{}, 1)
	get := func(w *world) RestoreRequest {
		lock <- struct{}{}
		defer func() { <-lock }()
		return reqs[w]
	}
	k := killing{
		names: []string{"m1", "w1", "r1"},
		before: func(w *world) {
			req := w.backedUp()
			req.Join, req.Prune = []string{"w1"}, true
			lock <- struct{}{}
			reqs[w] = req
			<-lock
		},
		act: func(ctx context.Context, w *world) {
			for _, h := range w.hosts {
				h.set(func(h *host) { h.orders = true })
			}
			_, _ = w.manager().SwarmRestore(ctx, get(w))
			for _, h := range w.hosts {
				h.set(func(h *host) { h.orders = false })
			}
		},
		from:  "put record",
		kinds: "put engine ssh",
	}
	k.each(t, func(t *testing.T, w *world) {
		rec, err := store.Open(w.dir).Cluster("m1")
		if err != nil {
			t.Fatal(err)
		}
		if _, done := rec.Members["r1"]; !done || rec.Operation != nil {
			if _, err := w.manager().SwarmRestore(t.Context(), get(w)); err != nil {
				t.Fatalf("again: %v", err)
			}
		}
		st := w.status("m1")
		if st.Managers != 1 || len(st.Nodes) != 2 || !listedBefore(st) {
			t.Errorf("got %+v", st)
		}
		if got := w.label("r1", "w1", "disk"); got != "ssd" {
			t.Errorf("w1 has the label %q", got)
		}
		if rec, err := store.Open(w.dir).Cluster("m1"); err != nil || rec.Operation != nil || len(rec.Members) != 2 {
			t.Errorf("record %+v, %v", rec, err)
		}
	})
}

// TestRotatedBefore has a swarm whose authority was replaced once go on with one manager: the authority stays.
func TestRotatedBefore(t *testing.T) {
	t.Parallel()
	rotate := func(t *testing.T, w *world) {
		if _, _, err := w.manager().SwarmRotateCA(t.Context(), RotateCARequest{}); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("restore", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, "m1", "r1")
		w.swarm([]string{"m1"}, nil)
		rotate(t, w)
		if _, err := w.manager().SwarmRestore(t.Context(), w.backUp()); err != nil {
			t.Fatal(err)
		}
		if got := w.hosts["r1"].engine.Rotations(); got != 1 {
			t.Errorf("the authority was replaced %d times, want once, before the backup", got)
		}
		if c, err := w.manager().Store.Cluster("m1"); err != nil || c.Rotations != 1 {
			t.Errorf("recorded are %d rotations, %v", c.Rotations, err)
		}
	})
	t.Run("recover", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, "m1", "m2", "m3")
		w.swarm([]string{"m1", "m2", "m3"}, nil)
		rotate(t, w)
		w.hosts["m1"].setEngine(false)
		w.hosts["m3"].setEngine(false)
		if err := w.recover(RecoverRequest{}); err != nil {
			t.Fatal(err)
		}
		if got := w.hosts["m2"].engine.Rotations(); got != 1 {
			t.Errorf("the authority was replaced %d times, want once, before the loss", got)
		}
	})
}

// listedBefore reports whether the one problem of a swarm is that its manager is listed at the address of the backup.
func listedBefore(st SwarmStatus) bool {
	return len(st.Problems) == 1 && strings.Contains(st.Problems[0], "the swarm lists it at")
}

// TestRestoreJoinsNoSecondManager: at another address than that of the backup a second manager would take the quorum with it.
func TestRestoreJoinsNoSecondManager(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3", "r1")
	w.swarm([]string{"m1", "m2", "m3"}, nil)
	req := w.backUp()
	req.Join, req.Prune = []string{"m2"}, true
	if _, err := w.manager().SwarmRestore(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if got := w.record("m2").Swarm; got.Role != string(swarmboot.Worker) || got.NodeID == "" {
		t.Errorf("m2 is %+v, want a worker", got)
	}
	if st := w.status("m1"); st.Managers != 1 || len(st.Nodes) != 2 {
		t.Errorf("got %+v", st)
	}
}
