package etcd

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hostsmith/machine/store"
)

func record(name string) store.Record {
	return store.Record{Name: name, DriverName: "none", Driver: json.RawMessage(`{}`), Phase: store.Ready}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("Got %v, want %v", got, want)
	}
}

func eventually(t *testing.T, what string, fn func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); {
		if err = fn(); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%s: %v", what, err)
}

// vanish ends a command without a word, as kill -9 does: its lease is no longer kept.
func vanish(b *Backend) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = b.client.Close()
}

func TestDeadHolderBlocksNobodyForLong(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	location := s.location()
	dead := operator(t, location, "none")
	txn, err := store.OpenBackend(dead).Lock(t.Context(), "m1", "machine rm")
	ok(t, err)
	ok(t, txn.Put(record("m1")))
	vanish(dead)
	other := store.OpenBackend(operator(t, location, "none"))
	_, err = other.Lock(t.Context(), "m1", "machine rm")
	wantErr(t, err, store.ErrLocked)
	if !strings.Contains(err.Error(), "ann@") {
		t.Errorf("It does not say who: %v", err)
	}
	began := time.Now()
	eventually(t, "the lock of a dead holder", func() error {
		txn, err := other.Lock(t.Context(), "m1", "machine rm")
		if err == nil {
			err = txn.Close()
		}
		return err
	})
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("It took %v", took)
	}
	if _, err := other.Get("m1"); err != nil {
		t.Error(err)
	}
}

// Who was cut off for longer than the lease writes nothing any more, whoever holds the lock now.
func TestLostLockIsFenced(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	location := s.location()
	file := identity(t, location)
	told := make(chan error, 9)
	slow := operator(t, location, file, func(c *Config) { c.Lost = func(err error) { told <- err } })
	slowStore := store.OpenBackend(slow)
	txn, err := slowStore.Lock(t.Context(), "m1", "machine slow")
	ok(t, err)
	ok(t, txn.Put(record("m1")))
	shared, err := slowStore.LockShared(t.Context(), "machine slow")
	ok(t, err)
	given, err := slowStore.Lock(t.Context(), "m2", "machine slow")
	ok(t, err)
	ok(t, given.Close()) // one that is given back is not lost
	// As if the process had slept: its leases end, and its connection comes back.
	admin := admin(t, s)
	leases, err := admin.Leases(t.Context())
	ok(t, err)
	for _, lease := range leases.Leases {
		_, err := admin.Revoke(t.Context(), lease.ID)
		ok(t, err)
	}
	for range 2 { // at the next answer about each lease, whatever its holder does
		wantErr(t, <-told, store.ErrLockLost)
	}
	other := store.OpenBackend(operator(t, location, file))
	next, err := other.Lock(t.Context(), "m1", "machine next")
	ok(t, err)
	r := record("m1")
	r.Creator = "next"
	ok(t, next.Put(r))
	late := record("m1")
	late.Creator = "late"
	for what, write := range map[string]func() error{
		"put":     func() error { return txn.Put(late) },
		"secrets": func() error { return txn.PutSecrets(json.RawMessage(`{}`)) },
		"file":    func() error { return txn.WriteFile("key.pem", []byte("x")) },
		"files":   func() error { return txn.WriteFiles(store.File{Name: "key.pem"}, store.File{Name: "cert.pem"}) },
		"remove":  func() error { return txn.RemoveFile("key.pem") },
		"delete":  txn.Delete,
		"certs":   func() error { return shared.WriteCerts(store.File{Name: "key.pem"}, store.File{Name: "cert.pem"}) },
		"cert":    func() error { return shared.WriteCert("ca.pem", []byte("x")) },
		"id":      func() error { _, err := shared.EnsureID(); return err },
	} {
		if err := write(); !errors.Is(err, store.ErrLockLost) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	ok(t, txn.Close())
	ok(t, next.Put(r)) // closing the lost lock did not give back that of the other
	got, err := other.Get("m1")
	ok(t, err)
	if got.Creator != "next" {
		t.Errorf("Got %q", got.Creator)
	}
	ok(t, next.Close())
	ok(t, slow.Close())
	select {
	case err := <-told:
		t.Errorf("Told once more: %v", err)
	default:
	}
}

func admin(t *testing.T, s *server) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{"http://" + s.addr}, DialTimeout: 10 * time.Second})
	ok(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// A pair of files is one change of etcd's, so that no copy is made of half of it.
func TestFilesChangeAtOneRevision(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	location := s.location()
	b := operator(t, location, identity(t, location))
	txn, err := store.OpenBackend(b).Lock(t.Context(), "m1", "x")
	ok(t, err)
	ok(t, txn.Put(record("m1")))
	admin := admin(t, s)
	for range 2 { // as new files, and over others
		ok(t, txn.WriteFiles(store.File{Name: "key.pem", Data: []byte("k")}, store.File{Name: "cert.pem", Data: []byte("c")}))
		var at []int64
		for _, name := range []string{"key.pem", "cert.pem"} {
			got, err := admin.Get(t.Context(), b.key("machines/m1/"+name))
			ok(t, err)
			if len(got.Kvs) != 1 {
				t.Fatalf("%s is not there", name)
			}
			at = append(at, got.Kvs[0].ModRevision)
		}
		if at[0] != at[1] {
			t.Errorf("Changed at revisions %v", at)
		}
	}
}

// waitShared waits for the lock that another operator holds. What it returns sees that it waits
// still, gives back the lock and waits for it to be had.
func waitShared(t *testing.T, s *store.Store) (end func(held *store.SharedTxn)) {
	t.Helper()
	waited := make(chan error, 1)
	go func() {
		txn, err := s.LockShared(t.Context(), "machine wait")
		if err == nil {
			err = txn.Close()
		}
		waited <- err
	}()
	return func(held *store.SharedTxn) {
		t.Helper()
		select {
		case err := <-waited:
			t.Fatalf("Did not wait: %v", err)
		default:
		}
		ok(t, held.Close())
		ok(t, <-waited)
	}
}

func TestRestartedServer(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	location := s.location() + "0s"
	location = strings.ReplaceAll(location, "lease=3s0s", "lease=30s")
	a, b := store.OpenBackend(operator(t, location, "none")), store.OpenBackend(operator(t, location, "none"))
	txn, err := a.Lock(t.Context(), "m1", "machine test")
	ok(t, err)
	ok(t, txn.Put(record("m1")))
	shared, err := a.LockShared(t.Context(), "machine test")
	ok(t, err)
	waited := waitShared(t, b)
	s.kill()
	s.again()
	r := record("m1")
	r.Creator = "after"
	ok(t, txn.Put(r))
	eventually(t, "reading after the restart", func() error { _, err := b.Get("m1"); return err })
	_, err = b.Lock(t.Context(), "m1", "x")
	wantErr(t, err, store.ErrLocked)
	waited(shared)
	ok(t, txn.Close())
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	s := store.OpenBackend(operator(t, "etcd://"+freePort(t)+"/x", "none", func(c *Config) { c.Patience = time.Second }))
	began := time.Now()
	_, err := s.List()
	wantErr(t, err, store.ErrUnreachable)
	if !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("It does not say why: %v", err)
	}
	_ = s.CertsDir()
	_, err = s.Lock(t.Context(), "m1", "x")
	wantErr(t, err, store.ErrUnreachable)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("It took %v", took)
	}
}

// Waiting goes on when what a watch began with is compacted away, and ends with the lock.
func TestCompactedUnderWatch(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	location := s.location()
	a, b := store.OpenBackend(operator(t, location, "none")), store.OpenBackend(operator(t, location, "none"))
	shared, err := a.LockShared(t.Context(), "machine first")
	ok(t, err)
	waited := waitShared(t, b)
	admin := admin(t, s)
	for range 5 {
		resp, err := admin.Put(t.Context(), "/else", "x")
		ok(t, err)
		_, err = admin.Compact(t.Context(), resp.Header.Revision, clientv3.WithCompactPhysical())
		ok(t, err)
		_, err = admin.Defragment(t.Context(), "http://"+s.addr)
		ok(t, err)
	}
	waited(shared)
	txn, err := a.Lock(t.Context(), "m1", "x")
	ok(t, err)
	ok(t, txn.Put(record("m1")))
	_, err = b.Get("m1")
	ok(t, err)
}

func TestUnsafeConfiguration(t *testing.T) {
	t.Parallel()
	l, err := Parse("etcd://192.0.2.1/x")
	ok(t, err)
	if _, err := New(t.Context(), Config{Location: l}); err == nil || !strings.Contains(err.Error(), "TLS") {
		t.Errorf("Got %v", err)
	}
	for _, c := range []Config{{Location: l, Plain: true}, {Location: l, CACert: "ca.pem"}} {
		if _, err := New(t.Context(), c); err != nil {
			t.Error(err)
		}
	}
	if _, err := New(t.Context(), Config{Location: l, Cert: "x"}); err == nil {
		t.Error("A certificate without its key was taken")
	}
}

// What somebody puts under the prefix is never written outside of the copy.
func TestForeignKeys(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	location := s.location()
	b := operator(t, location, "none")
	admin := admin(t, s)
	for _, key := range []string{"machines/../../x", "machines/m1/../../y", "machines/m1/.revisions.json", "certs/a/b", "machines/m1", "machines//x", `certs/..\z`, "swarms/.x"} {
		_, err := admin.Put(t.Context(), b.key(key), "x")
		ok(t, err)
	}
	st := store.OpenBackend(b)
	all, err := st.List()
	if err != nil || len(all) != 0 {
		t.Errorf("Got %v, %v", all, err)
	}
	_, err = st.Clusters()
	ok(t, err)
	_ = st.CertsDir()
	beside, err := os.ReadDir(filepath.Dir(b.Dir()))
	ok(t, err)
	ok(t, os.MkdirAll(b.Dir(), 0o700))
	inside, err := os.ReadDir(b.Dir())
	ok(t, err)
	for _, entry := range slices.Concat(beside, inside) {
		if name := entry.Name(); name != filepath.Base(b.Dir()) && !slices.Contains([]string{machines, certs, swarms, "copy.lock", revisionsFile}, name) {
			t.Errorf("%s was written", name)
		}
	}
}

// Who looked before a machine was made here does not take its folder away, in which its driver may have put a disk.
func TestMachineIsMadeWhileOthersLook(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	location := s.location()
	maker := operator(t, location, "none")
	looker := operator(t, location, "none", func(c *Config) { c.Dir = maker.Dir() })
	for _, scope := range []string{machines, machines + "/m1"} {
		seen, err := looker.look(scope)
		ok(t, err)
		st := store.OpenBackend(maker)
		txn, err := st.Lock(t.Context(), "m1", "machine create")
		ok(t, err)
		ok(t, txn.Put(record("m1")))
		disk := filepath.Join(st.MachineDir("m1"), "disk.img")
		ok(t, os.WriteFile(disk, []byte("data"), 0o600))
		ok(t, looker.fetch(seen))
		older, err := looker.apply(seen)
		ok(t, err)
		if !older {
			t.Errorf("%s: what was seen is not known to be older", scope)
		}
		_, err = os.Stat(disk)
		ok(t, err)
		ok(t, txn.Delete())
		ok(t, txn.Close())
	}
}
