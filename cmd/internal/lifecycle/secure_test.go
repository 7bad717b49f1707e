package lifecycle

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/swarmboot"
	"github.com/hostsmith/machine/swarmboot/swarmboottest"
)

func TestSwarmRotateCA(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3", "w1")
	w.swarm([]string{"m1", "m2", "m3"}, []string{"w1"})
	m := w.manager()
	_, planned, err := m.SwarmRotateCA(t.Context(), RotateCARequest{DryRun: true, Expiry: 48 * time.Hour})
	want := []string{
		"have the managers make a new authority", "make certificates of nodes good for 48h0m0s instead of 2160h0m0s",
		"wait until all 4 nodes have a certificate of it and trust it alone",
	}
	if err != nil || len(planned) != 1 || !slices.Equal(planned[0].Steps, want) || w.hosts["m1"].engine.Rotations() != 0 {
		t.Errorf("plan %+v, %v", planned, err)
	}
	// A refusal is no rotation that could be gone on with.
	w.hosts["m1"].engine.Fail("POST /swarm/update", &swarmboottest.Error{Code: 400, Text: "certificate key mismatch"})
	if _, _, err := m.SwarmRotateCA(t.Context(), RotateCARequest{}); err == nil || !strings.Contains(err.Error(), "key mismatch") {
		t.Errorf("got %v", err)
	}
	if c, err := m.Store.Cluster("m1"); err != nil || c.Operation != nil {
		t.Errorf("left %+v, %v", c.Operation, err)
	}
	before, _ := w.hosts["m1"].engine.Tokens()
	got, _, err := m.SwarmRotateCA(t.Context(), RotateCARequest{Swarm: "w1", Expiry: 48 * time.Hour})
	if err != nil || got.Swarm != "m1" || got.Nodes != 4 || got.Resumed || !strings.HasPrefix(got.Root, "sha256:") {
		t.Fatalf("got %+v, %v", got, err)
	}
	if after, _ := w.hosts["m1"].engine.Tokens(); after == before || w.hosts["m1"].engine.Rotations() != 1 {
		t.Error("nothing was rotated, or more than once")
	}

	// A node that is down holds it up; meanwhile other long work is refused, and the same command goes on.
	w.hosts["w1"].setEngine(false)
	m.Wait.Swarm = 3 * time.Second
	_, _, err = m.SwarmRotateCA(t.Context(), RotateCARequest{})
	if !errors.Is(err, swarmboot.ErrRotation) || !strings.Contains(err.Error(), "3 of 4 nodes have a new certificate; waiting for w1 (down)") || ReasonOf(err).ID != "SWARM_ROTATION" {
		t.Fatalf("got %v", err)
	}
	if !w.noted("3 of 4 nodes have a new certificate; waiting for w1 (down)") {
		t.Errorf("notes %q", w.notes.text)
	}
	if _, _, err := m.SwarmAutolock(t.Context(), AutolockRequest{On: true, Deliver: (&keyring{}).take}); !errors.Is(err, ErrOperation) {
		t.Errorf("autolock meanwhile: got %v", err)
	}
	_, planned, err = m.SwarmRotateCA(t.Context(), RotateCARequest{DryRun: true})
	if err != nil || !strings.Contains(planned[0].Steps[0], "go on with the rotation") || !strings.Contains(planned[0].Steps[1], "w1 (down)") {
		t.Errorf("plan %+v, %v", planned, err)
	}
	if _, _, err := m.SwarmRotateCA(t.Context(), RotateCARequest{Cert: "no certificate"}); !errors.Is(err, ErrUsage) {
		t.Errorf("got %v", err)
	}
	w.hosts["w1"].setEngine(true)
	m.Wait.Swarm = 0
	if got, _, err := m.SwarmRotateCA(t.Context(), RotateCARequest{}); err != nil || !got.Resumed || w.hosts["m1"].engine.Rotations() != 2 {
		t.Errorf("got %+v, %v after %d rotations", got, err, w.hosts["m1"].engine.Rotations())
	}
	if c, err := m.Store.Cluster("m1"); err != nil || c.Operation != nil {
		t.Errorf("left %+v, %v", c.Operation, err)
	}
}

// TestKilledRotateCA kills a rotation at each event: the same command ends it, and it is not ordered twice.
func TestKilledRotateCA(t *testing.T) {
	t.Parallel()
	k := killing{
		names:  []string{"m1", "w1"},
		before: func(w *world) { w.swarm([]string{"m1"}, []string{"w1"}) },
		act: func(ctx context.Context, w *world) {
			w.hosts["m1"].set(func(h *host) { h.orders = true })
			_, _, _ = w.manager().SwarmRotateCA(ctx, RotateCARequest{})
			w.hosts["m1"].set(func(h *host) { h.orders = false })
		},
		kinds: "put engine",
	}
	k.each(t, func(t *testing.T, w *world) {
		m := w.manager()
		c, err := m.Store.Cluster("m1")
		if err != nil {
			t.Fatal(err)
		}
		if c.Operation == nil && w.hosts["m1"].engine.Rotations() == 1 {
			return // it was through
		}
		if _, _, err := m.SwarmRotateCA(t.Context(), RotateCARequest{}); err != nil {
			t.Fatal(err)
		}
		if n := w.hosts["m1"].engine.Rotations(); n != 1 {
			t.Errorf("%d rotations, want 1", n)
		}
		if c, err := m.Store.Cluster("m1"); err != nil || c.Operation != nil {
			t.Errorf("left %+v, %v", c.Operation, err)
		}
	})
}

func TestSwarmCertExpiry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1", "x1")
	w.create(CreateRequest{Names: []string{"m1"}, Swarm: SwarmOptions{Master: true, CertExpiry: 2 * time.Hour}})
	m := w.manager()
	for _, tt := range []struct {
		expiry time.Duration
		want   []string
	}{
		{2 * time.Hour, nil},
		{4 * time.Hour, []string{"make certificates that nodes of swarm m1 get from now on good for 4h0m0s instead of 2h0m0s"}},
	} {
		_, planned, err := m.SwarmCertExpiry(t.Context(), CertExpiryRequest{Expiry: tt.expiry, DryRun: true})
		if err != nil || !slices.Equal(planned[0].Steps, tt.want) {
			t.Errorf("plan %+v, %v, want %q", planned, err, tt.want)
		}
		if _, _, err := m.SwarmCertExpiry(t.Context(), CertExpiryRequest{Expiry: tt.expiry}); err != nil {
			t.Error(err)
		}
	}
	if _, planned, err := m.SwarmCertExpiry(t.Context(), CertExpiryRequest{Expiry: 4 * time.Hour, DryRun: true}); err != nil || len(planned[0].Steps) != 0 {
		t.Errorf("plan %+v, %v", planned, err)
	}
	// A round of joins that ends with other tokens.
	manager, worker := w.hosts["m1"].engine.Tokens()
	w.create(CreateRequest{Names: []string{"w1"}, Swarm: SwarmOptions{IsSwarm: true}, RotateTokens: true})
	if m2, w2 := w.hosts["m1"].engine.Tokens(); m2 == manager || w2 == worker {
		t.Error("a token is the same after the join")
	}
	w.create(CreateRequest{Names: []string{"x1"}})
	join := SwarmRequest{Names: []string{"x1"}, RotateTokens: true, DryRun: true}
	if planned, err := m.SwarmJoin(t.Context(), join); err != nil || len(planned) != 1 || planned[0].Steps[len(planned[0].Steps)-1] != "replace both join tokens of swarm m1" {
		t.Errorf("plan %+v, %v", planned, err)
	}
	_, worker = w.hosts["m1"].engine.Tokens()
	join.DryRun = false
	if _, err := m.SwarmJoin(t.Context(), join); err != nil {
		t.Fatal(err)
	}
	if _, w2 := w.hosts["m1"].engine.Tokens(); w2 == worker {
		t.Error("the token of workers is the same after the join")
	}
	if _, planned, err := m.SwarmRotateTokens(t.Context(), RotateTokensRequest{Role: "worker", DryRun: true}); err != nil || planned[0].Steps[0] != "replace the join token of workers of swarm m1" {
		t.Errorf("plan %+v, %v", planned, err)
	}
}

// keyring is where the unlock keys of a test go, and come from.
type keyring struct{ keys []UnlockKey }

func (k *keyring) take(_ context.Context, _ string, key UnlockKey) error {
	k.keys = append(k.keys, key)
	return nil
}

func (k *keyring) last() UnlockKey { return k.keys[len(k.keys)-1] }

func (k *keyring) give(context.Context, string) (UnlockKey, error) { return k.last(), nil }

// reboot restarts engines as a failure of power does, behind the program's back.
func (w *world) reboot(names ...string) {
	for _, name := range names {
		w.hosts[name].setEngine(false)
	}
	for _, name := range names {
		w.hosts[name].setEngine(true)
	}
}

func TestAutolock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3")
	w.swarm([]string{"m1", "m2", "m3"}, nil)
	m, keys := w.manager(), &keyring{}
	if _, _, err := m.SwarmUnlockKey(t.Context(), UnlockKeyRequest{Deliver: keys.take}); !errors.Is(err, swarmboot.ErrNotLocking) {
		t.Errorf("a key of a swarm that does not lock: got %v", err)
	}
	_, planned, err := m.SwarmAutolock(t.Context(), AutolockRequest{On: true, DryRun: true})
	if err != nil || len(planned[0].Steps) != 3 || w.hosts["m1"].engine.Needs() != "" {
		t.Errorf("plan %+v, %v", planned, err)
	}
	if got, _, err := m.SwarmAutolock(t.Context(), AutolockRequest{On: true, Deliver: keys.take}); err != nil || !got.Autolock || len(got.Behind) != 0 || len(keys.keys) != 1 {
		t.Fatalf("got %+v, %v", got, err)
	}

	// Restarts by the program need nobody.
	if err := m.Restart(t.Context(), []string{"m1", "m2", "m3"}); err != nil {
		t.Fatal(err)
	}
	for _, h := range w.hosts {
		h.set(func(h *host) { h.newest = "29.0.1" })
	}
	if err := m.Upgrade(t.Context(), UpgradeRequest{Names: []string{"m1", "m2", "m3"}}); err != nil {
		t.Fatal(err)
	}
	if st := w.status(""); st.Reachable != 3 {
		t.Errorf("status %+v", st)
	}

	// One that was rebooted is told of; the others go on.
	if err := m.Stop(t.Context(), []string{"m3"}); err != nil {
		t.Fatal(err)
	}
	if err := m.Start(t.Context(), []string{"m3"}); err != nil || !w.noted("m3 runs and waits for the unlock key: machine swarm unlock m3") {
		t.Errorf("start: %v, notes %q", err, w.notes.text)
	}

	// All of them: nothing can be asked, and the error says what to do.
	w.reboot("m1", "m2", "m3")
	if _, err := m.SwarmStatus(t.Context(), ""); !errors.Is(err, swarmboot.ErrLocked) || ReasonOf(err).ID != "SWARM_LOCKED" || HintOf(err) != "machine swarm unlock m1" {
		t.Errorf("status of a locked swarm: %v, hint %q", err, HintOf(err))
	}
	if err := m.Restart(t.Context(), []string{"m1", "m2"}); !errors.Is(err, swarmboot.ErrLocked) || !strings.Contains(err.Error(), "m2: not begun") {
		t.Errorf("restart of a locked swarm: %v", err)
	}
	wrong := func(context.Context, string) (UnlockKey, error) {
		return "SWMKEY-1-7c37Cc8654o6p38HnroywCi19pllOnGtbdZEgtKxZu8", nil
	}
	_, _, err = m.SwarmUnlock(t.Context(), UnlockRequest{Key: wrong})
	if !errors.Is(err, swarmboot.ErrUnlockKey) || ReasonOf(err).ID != "SWARM_UNLOCK_KEY" {
		t.Errorf("another key: got %v", err)
	}
	_, planned, err = m.SwarmUnlock(t.Context(), UnlockRequest{Names: []string{"m2", "m3"}, DryRun: true})
	if err != nil || len(planned) != 2 || planned[0].Machine != "m2" {
		t.Errorf("plan %+v, %v", planned, err)
	}
	got, _, err := m.SwarmUnlock(t.Context(), UnlockRequest{Key: keys.give})
	if err != nil || !slices.Equal(got.Machines, []string{"m1", "m2", "m3"}) {
		t.Fatalf("got %+v, %v", got, err)
	}
	asked := false
	if got, _, err := m.SwarmUnlock(t.Context(), UnlockRequest{Key: func(context.Context, string) (UnlockKey, error) { asked = true; return "", nil }}); err != nil || len(got.Machines) != 0 || asked {
		t.Errorf("nothing to unlock: got %+v, %v", got, err)
	}

	// Another key, while one is away.
	w.hosts["m3"].setEngine(false)
	again, _, err := m.SwarmUnlockKey(t.Context(), UnlockKeyRequest{Rotate: true, Deliver: keys.take})
	if err != nil || !slices.Equal(again.Behind, []string{"m3"}) || len(keys.keys) != 2 || keys.keys[0] == keys.keys[1] {
		t.Errorf("got %+v, %v", again, err)
	}
	w.hosts["m3"].setEngine(true)
	if _, _, err := m.SwarmUnlock(t.Context(), UnlockRequest{Key: func(context.Context, string) (UnlockKey, error) { return keys.keys[0], nil }}); err != nil {
		t.Errorf("the former key: %v", err)
	}
	if got, _, err := m.SwarmAutolock(t.Context(), AutolockRequest{Swarm: "m2"}); err != nil || got.Autolock || len(got.Behind) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	w.reboot("m1", "m2", "m3")
	if st := w.status(""); st.Reachable != 3 {
		t.Errorf("status %+v", st)
	}

	said := w.log.String() + strings.Join(w.notes.text, "\n") + strings.Join(w.steps, "\n")
	for _, text := range w.files() {
		said += text
	}
	if strings.Contains(said, "SWMKEY") {
		t.Error("an unlock key is in the store, the log, a note or a step")
	}
}

// TestUndeliveredKey has nobody to take the key: it is not lost.
func TestUndeliveredKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.swarm([]string{"m1"}, nil)
	full := errors.New("no space left")
	_, _, err := w.manager().SwarmAutolock(t.Context(), AutolockRequest{On: true, Deliver: func(context.Context, string, UnlockKey) error { return full }})
	if !errors.Is(err, full) || HintOf(err) != "machine swarm unlock-key m1 hands it out again, as long as a manager is not locked" {
		t.Errorf("got %v, hint %q", err, HintOf(err))
	}
	keys := &keyring{}
	if _, _, err := w.manager().SwarmUnlockKey(t.Context(), UnlockKeyRequest{Deliver: keys.take}); err != nil || len(keys.keys) != 1 || string(keys.last()) != w.hosts["m1"].engine.Needs() {
		t.Errorf("got %v", err)
	}
}

func TestUpgradeOfASwarmThatLocks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3", "w1")
	w.swarm([]string{"m1", "m2", "m3"}, []string{"w1"})
	if _, _, err := w.manager().SwarmAutolock(t.Context(), AutolockRequest{On: true, Deliver: (&keyring{}).take}); err != nil {
		t.Fatal(err)
	}
	for _, h := range w.hosts {
		h.set(func(h *host) { h.newest = "29.0.1" })
	}
	if _, err := w.manager().SwarmUpgrade(t.Context(), SwarmUpgradeRequest{NoBackup: true}); err != nil {
		t.Fatal(err)
	}
	for _, n := range w.status("").Nodes {
		if n.Engine != "29.0.1" || n.State != "ready" || n.Availability != "active" || n.Role == "manager" && n.Reachability != "reachable" {
			t.Errorf("node %+v", n)
		}
	}
}

// TestKilledRestartOfALockingManager leaves a manager that waits for its key: the same command unlocks it with the help of
// the others.
func TestKilledRestartOfALockingManager(t *testing.T) {
	t.Parallel()
	k := killing{
		names: []string{"m1", "m2", "m3"},
		before: func(w *world) {
			w.swarm([]string{"m1", "m2", "m3"}, nil)
			if _, _, err := w.manager().SwarmAutolock(w.t.Context(), AutolockRequest{On: true, Deliver: (&keyring{}).take}); err != nil {
				w.t.Fatal(err)
			}
		},
		act: func(ctx context.Context, w *world) {
			w.hosts["m2"].set(func(h *host) { h.orders = true })
			_ = w.manager().Restart(ctx, []string{"m2"})
			w.hosts["m2"].set(func(h *host) { h.orders = false })
		},
		kinds: "provider engine",
	}
	k.each(t, func(t *testing.T, w *world) {
		m := w.manager()
		if err := m.Start(t.Context(), []string{"m2"}); err != nil && !errors.Is(err, ErrAlready) {
			t.Fatal(err)
		}
		if err := m.Provision(t.Context(), ProvisionRequest{Names: []string{"m2"}}); err != nil {
			t.Fatal(err)
		}
		if st := w.status(""); st.Reachable != 3 {
			t.Errorf("status %+v", st)
		}
	})
}
