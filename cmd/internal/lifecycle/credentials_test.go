package lifecycle

import (
	"context"
	"crypto/tls"
	"errors"
	"path/filepath"
	"testing"

	"github.com/hostsmith/machine/certs"
)

// tear leaves a machine's folder as a command does that is killed after the client's key and before its certificate.
func (w *world) tear(name string) {
	w.t.Helper()
	m := w.manager()
	a, err := m.readAuthority()
	if err != nil {
		w.t.Fatal(err)
	}
	other, err := a.ca.Client("ada", m.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	txn, err := m.Store.Lock(w.t.Context(), name, "test")
	if err == nil {
		err = errors.Join(txn.WriteFile(keyFile, other.Key), txn.Close())
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// whole tells why docker could not use what is in the machine's folder.
func (w *world) whole(name string) error {
	dir := w.manager().Store.MachineDir(name)
	_, err := tls.LoadX509KeyPair(filepath.Join(dir, certFile), filepath.Join(dir, keyFile))
	return err
}

func TestTornClientPairIsMendedByTheNextCommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "w1")
	w.swarm([]string{"m1"}, []string{"w1"})
	for what, do := range map[string]func(ctx context.Context, m *Manager) error{
		"env":     func(ctx context.Context, m *Manager) error { _, err := m.Endpoint(ctx, "m1", false); return err },
		"env -s":  func(ctx context.Context, m *Manager) error { _, err := m.Endpoint(ctx, "m1", true); return err },
		"version": func(ctx context.Context, m *Manager) error { _, err := m.EngineVersion(ctx, "m1"); return err },
		"ls": func(ctx context.Context, m *Manager) error {
			rows, err := m.List(ctx, ListRequest{})
			for _, r := range rows {
				if r.Error != "" {
					err = errors.Join(err, errors.New(r.Error))
				}
			}
			return err
		},
		"swarm status": func(ctx context.Context, m *Manager) error { _, err := m.SwarmStatus(ctx, "m1"); return err },
		"stop, start": func(ctx context.Context, m *Manager) error {
			return errors.Join(m.Stop(ctx, []string{"m1"}), m.Start(ctx, []string{"m1"}))
		},
		"upgrade": func(ctx context.Context, m *Manager) error {
			return m.Upgrade(ctx, UpgradeRequest{Names: []string{"m1"}})
		},
	} {
		w.tear("m1")
		if w.whole("m1") == nil {
			t.Fatal("it is not torn")
		}
		if err := do(t.Context(), w.manager()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if err := w.whole("m1"); err != nil {
			t.Errorf("after %s: %v", what, err)
		}
	}
}

// TestClientPairThatIsBeingWritten has another command between its two writes.
func TestClientPairThatIsBeingWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.create(CreateRequest{Names: []string{"m1"}})
	w.tear("m1")
	m := w.manager()
	a, err := m.readAuthority()
	if err != nil {
		t.Fatal(err)
	}
	txn, err := m.Store.Lock(t.Context(), "m1", "another command")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan error, 1)
	go func() {
		_, err := w.manager().Endpoint(t.Context(), "m1", false)
		asked <- err
	}()
	if err := txn.WriteFile(keyFile, a.client.Key); err != nil {
		t.Fatal(err)
	}
	if err := <-asked; err != nil { // with the lock still held
		t.Error(err)
	}
	if err := txn.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestTornClientPairOfTheStore is mended also for machines that have none of their own.
func TestTornClientPairOfTheStore(t *testing.T) {
	t.Parallel()
	m, _ := newManager(t, urlFactory())
	createURL(t, m, []string{"u1"}, stubEngine(t, m, versionAPI))
	a, err := m.readAuthority()
	if err != nil {
		t.Fatal(err)
	}
	var other certs.Pair
	if other, err = a.ca.Client("ada", m.Now()); err != nil {
		t.Fatal(err)
	}
	if err := m.shared(t.Context(), func(txn sharedTxn) error { return txn.WriteCert(keyFile, other.Key) }); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Endpoint(t.Context(), "u1", false); err != nil {
		t.Error(err)
	}
}
