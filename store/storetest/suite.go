// Package storetest is the suite that every kind of store passes.
package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/store"
)

// Place is where a store is. Each call of it opens the store as another operator does, who
// shares nothing with the others but the store.
type Place = func() *store.Store

// Run runs the suite. fresh makes a place where no store is yet.
func Run(t *testing.T, fresh func(t *testing.T) Place) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Place)
	}{
		{"Empty", empty},
		{"RecordComesBack", recordComesBack},
		{"OthersSeeAtOnce", othersSeeAtOnce},
		{"Order", order},
		{"Names", names},
		{"CaseOfNames", caseOfNames},
		{"Secrets", secrets},
		{"Files", files},
		{"Certs", certFiles},
		{"FilesTogether", filesTogether},
		{"ID", identity},
		{"Clusters", clusters},
		{"Delete", deletes},
		{"Import", imports},
		{"MachineIsLocked", machineIsLocked},
		{"LocksAreTheirOwn", locksAreTheirOwn},
		{"SharedWaits", sharedWaits},
		{"WaitEnds", waitEnds},
		{"NobodyLosesAnUpdate", nobodyLosesAnUpdate},
		{"ReadersSeeWholeRecords", readersSeeWholeRecords},
		{"Closed", closed},
		{"OldRecord", oldRecord},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, fresh(t))
		})
	}
}

// record is one with something in each of its parts.
func record(name string) store.Record {
	return store.Record{
		ConfigVersion: store.Version, Name: name, DriverName: "generic",
		Driver:      json.RawMessage(`{"IPAddress":"192.0.2.7","Note":"a \u003c b && c"}`),
		DriverState: json.RawMessage(`{"id":"i-1"}`),
		Phase:       store.Ready,
		Created:     time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
		Address:     store.Address{Host: "192.0.2.7", User: "root", SSHPort: 22, EnginePort: 2376},
		HostOptions: store.HostOptions{EngineOptions: store.EngineOptions{Labels: []string{"a=b"}}},
	}
}

func lock(t *testing.T, s *store.Store, name string) *store.Txn {
	t.Helper()
	txn, err := s.Lock(t.Context(), name, "machine test")
	ok(t, err)
	t.Cleanup(func() { _ = txn.Close() })
	return txn
}

func put(t *testing.T, s *store.Store, name string) {
	t.Helper()
	txn := lock(t, s, name)
	ok(t, txn.Put(record(name)))
	ok(t, txn.Close())
}

func shared(t *testing.T, s *store.Store) *store.SharedTxn {
	t.Helper()
	txn, err := s.LockShared(t.Context(), "machine test")
	ok(t, err)
	t.Cleanup(func() { _ = txn.Close() })
	return txn
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want[T any](t *testing.T, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("Got %+v, want %+v", got, want)
	}
}

func wantErr(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("Got %v, want %v", got, want)
	}
}

func empty(t *testing.T, open Place) {
	s := open()
	got, err := s.Names()
	ok(t, err)
	want(t, len(got), 0)
	all, err := s.List()
	ok(t, err)
	want(t, len(all), 0)
	_, err = s.Get("m1")
	wantErr(t, err, store.ErrNotExist)
	_, err = s.Cluster("s1")
	wantErr(t, err, store.ErrNoCluster)
	id, err := s.ID()
	ok(t, err)
	want(t, id, "")
	secrets, err := s.Secrets("m1")
	ok(t, err)
	want(t, len(secrets), 0)
}

func recordComesBack(t *testing.T, open Place) {
	s := open()
	txn := lock(t, s, "m1")
	_, err := txn.Get()
	wantErr(t, err, store.ErrNotExist)
	ok(t, txn.Put(record("m1")))
	got, err := txn.Get()
	ok(t, err)
	want(t, got, record("m1"))
	changed := record("m1")
	changed.Phase = store.Removing
	ok(t, txn.Put(changed))
	ok(t, txn.Close())
	got, err = open().Get("m1")
	ok(t, err)
	want(t, got, changed)
}

func othersSeeAtOnce(t *testing.T, open Place) {
	a, b := open(), open()
	put(t, a, "m1")
	_, err := b.Get("m1")
	ok(t, err)
	txn := lock(t, b, "m1")
	r := record("m1")
	for i := range 5 {
		r.Creator = strconv.Itoa(i)
		ok(t, txn.Put(r))
		got, err := a.Get("m1")
		ok(t, err)
		want(t, got.Creator, r.Creator)
		all, err := a.List()
		ok(t, err)
		want(t, all[0].Record.Creator, r.Creator)
	}
	ok(t, txn.Delete())
	_, err = a.Get("m1")
	wantErr(t, err, store.ErrNotExist)
	all, err := a.List()
	ok(t, err)
	want(t, len(all), 0)
	ok(t, txn.Close())
	put(t, a, "m1")
	_, err = b.Get("m1")
	ok(t, err)
}

func order(t *testing.T, open Place) {
	s := open()
	for _, name := range []string{"m10", "b", "M2", "a"} {
		put(t, s, name)
	}
	got, err := open().Names()
	ok(t, err)
	want(t, got, []string{"a", "b", "M2", "m10"})
}

func names(t *testing.T, open Place) {
	s := open()
	for _, name := range []string{"", "-a", "a/b", "..", "a b", strings.Repeat("x", 64)} {
		_, err := s.Lock(t.Context(), name, "x")
		wantErr(t, err, store.ErrName)
	}
	txn := lock(t, s, "m1")
	ok(t, txn.Put(record("m1")))
	for _, file := range []string{"", "..", ".hidden", "a/b", `a\b`, "config.json", "secrets.json", "Config.JSON"} {
		wantErr(t, txn.WriteFile(file, nil), store.ErrName)
	}
	wantErr(t, shared(t, s).WriteCert("../x", nil), store.ErrName)
}

func caseOfNames(t *testing.T, open Place) {
	a, b := open(), open()
	put(t, a, "m1")
	_, err := b.Lock(t.Context(), "M1", "x")
	wantErr(t, err, store.ErrExist)
	txn, err := a.LockCluster(t.Context(), "s1", "x")
	ok(t, err)
	ok(t, txn.Put(store.Cluster{}))
	ok(t, txn.Close())
	_, err = b.LockCluster(t.Context(), "S1", "x")
	wantErr(t, err, store.ErrExist)
}

func secrets(t *testing.T, open Place) {
	a, b := open(), open()
	txn := lock(t, a, "m1")
	ok(t, txn.Put(record("m1")))
	ok(t, txn.PutSecrets(json.RawMessage(`{"token":"t0p"}`)))
	got, err := b.Secrets("m1")
	ok(t, err)
	want(t, string(got), `{"token":"t0p"}`)
	ok(t, txn.PutSecrets(nil))
	got, err = open().Secrets("m1")
	ok(t, err)
	want(t, len(got), 0)
	if err := txn.PutSecrets(json.RawMessage(`{"token":t0p`)); err == nil || strings.Contains(err.Error(), "t0p") {
		t.Fatalf("Got %v", err)
	}
}

// What a program reads in a folder is there, readable for its user alone.
func files(t *testing.T, open Place) {
	a, b := open(), open()
	txn := lock(t, a, "m1")
	ok(t, txn.Put(record("m1")))
	_, err := txn.ReadFile("id_ed25519")
	wantErr(t, err, fs.ErrNotExist)
	for _, data := range []string{"one", "", "longer than before", "short"} {
		ok(t, txn.WriteFile("id_ed25519", []byte(data)))
		got, err := txn.ReadFile("id_ed25519")
		ok(t, err)
		want(t, string(got), data)
		_, err = b.Get("m1")
		ok(t, err)
		path := filepath.Join(b.MachineDir("m1"), "id_ed25519")
		got, err = os.ReadFile(path)
		ok(t, err)
		want(t, string(got), data)
		info, err := os.Stat(path)
		ok(t, err)
		if info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
			t.Fatalf("Others may read %s: %v", path, info.Mode())
		}
	}
	ok(t, txn.RemoveFile("id_ed25519"))
	ok(t, txn.RemoveFile("id_ed25519"))
	_, err = b.Get("m1")
	ok(t, err)
	_, err = os.Stat(filepath.Join(b.MachineDir("m1"), "id_ed25519"))
	wantErr(t, err, fs.ErrNotExist)
}

func certFiles(t *testing.T, open Place) {
	a, b := open(), open()
	txn := shared(t, a)
	_, err := txn.ReadCert("ca.pem")
	wantErr(t, err, fs.ErrNotExist)
	ok(t, txn.WriteCert("ca-key.pem", []byte("key")))
	ok(t, txn.WriteCert("ca.pem", []byte("cert")))
	ok(t, txn.Close())
	got, err := os.ReadFile(filepath.Join(b.CertsDir(), "ca-key.pem"))
	ok(t, err)
	want(t, string(got), "key")
	txn = shared(t, b)
	got, err = txn.ReadCert("ca.pem")
	ok(t, err)
	want(t, string(got), "cert")
	ok(t, txn.RemoveCert("ca.pem"))
	ok(t, txn.RemoveCert("ca.pem"))
	ok(t, txn.Close())
	txn = shared(t, a)
	_, err = txn.ReadCert("ca.pem")
	wantErr(t, err, fs.ErrNotExist)
}

// Files that belong together change together, or none of them does.
func filesTogether(t *testing.T, open Place) {
	a, b := open(), open()
	txn, certs := lock(t, a, "m1"), shared(t, a)
	ok(t, txn.Put(record("m1")))
	for _, data := range []string{"one", "", "another"} {
		pair := []store.File{{Name: "key.pem", Data: []byte(data + " key")}, {Name: "cert.pem", Data: []byte(data)}}
		ok(t, txn.WriteFiles(pair...))
		ok(t, certs.WriteCerts(pair...))
		_, err := b.Get("m1")
		ok(t, err)
		for _, dir := range []string{a.MachineDir("m1"), b.MachineDir("m1"), a.CertsDir(), filepath.Join(b.Root(), "certs")} {
			for _, f := range pair {
				got, err := os.ReadFile(filepath.Join(dir, f.Name))
				ok(t, err)
				want(t, string(got), string(f.Data))
			}
		}
	}
	before := content(t, b)
	for _, bad := range []string{"../x", "config.json", ""} {
		wantErr(t, txn.WriteFiles(store.File{Name: "key.pem"}, store.File{Name: bad}), store.ErrName)
	}
	wantErr(t, certs.WriteCerts(store.File{Name: "key.pem"}, store.File{Name: "../x"}), store.ErrName)
	want(t, content(t, b), before)
	ok(t, errors.Join(txn.Close(), certs.Close()))
	wantErr(t, txn.WriteFiles(store.File{Name: "key.pem"}), store.ErrClosed)
	wantErr(t, certs.WriteCerts(store.File{Name: "key.pem"}), store.ErrClosed)
}

func identity(t *testing.T, open Place) {
	a, b := open(), open()
	id, err := b.ID()
	ok(t, err)
	want(t, id, "")
	txn := shared(t, a)
	made, err := txn.EnsureID()
	ok(t, err)
	want(t, len(made), 32)
	again, err := txn.EnsureID()
	ok(t, err)
	want(t, again, made)
	id, err = b.ID()
	ok(t, err)
	want(t, id, made)
}

func clusters(t *testing.T, open Place) {
	a, b := open(), open()
	c := store.Cluster{Name: "s1", ID: "abc", Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Members: map[string]store.Member{"m1": {Role: "manager", NodeID: "n"}}}
	txn, err := a.LockCluster(t.Context(), "s1", "x")
	ok(t, err)
	defer func() { _ = txn.Close() }()
	ok(t, txn.Put(c))
	got, err := b.Cluster("s1")
	ok(t, err)
	want(t, got, c)
	all, err := b.Clusters()
	ok(t, err)
	want(t, all, []store.Cluster{c})
	c.ID = "def"
	ok(t, txn.Put(c))
	got, err = b.Cluster("s1")
	ok(t, err)
	want(t, got, c)
	ok(t, txn.Delete())
	_, err = b.Cluster("s1")
	wantErr(t, err, store.ErrNoCluster)
	ok(t, txn.Delete())
}

func deletes(t *testing.T, open Place) {
	a, b := open(), open()
	txn := lock(t, a, "m1")
	ok(t, txn.Delete())
	ok(t, txn.Put(record("m1")))
	ok(t, txn.WriteFile("cert.pem", []byte("x")))
	ok(t, txn.PutSecrets(json.RawMessage(`{}`)))
	_, err := b.Get("m1")
	ok(t, err)
	ok(t, txn.Delete())
	ok(t, txn.Delete())
	_, err = b.Get("m1")
	wantErr(t, err, store.ErrNotExist)
	_, err = os.Stat(b.MachineDir("m1"))
	wantErr(t, err, fs.ErrNotExist)
	ok(t, txn.Put(record("m1")))
	_, err = txn.ReadFile("cert.pem")
	wantErr(t, err, fs.ErrNotExist)
	got, err := b.Get("m1")
	ok(t, err)
	want(t, got, record("m1"))
}

func imports(t *testing.T, open Place) {
	a, b := open(), open()
	txn := lock(t, a, "m1")
	ok(t, txn.Import(record("m1"), json.RawMessage(`{"a":"b"}`), map[string][]byte{"key.pem": []byte("key"), "ca.pem": nil}))
	wantErr(t, txn.Import(record("m1"), nil, nil), store.ErrExist)
	got, err := b.Get("m1")
	ok(t, err)
	want(t, got, record("m1"))
	secrets, err := b.Secrets("m1")
	ok(t, err)
	want(t, string(secrets), `{"a":"b"}`)
	key, err := os.ReadFile(filepath.Join(b.MachineDir("m1"), "key.pem"))
	ok(t, err)
	want(t, string(key), "key")
	ok(t, txn.Put(record("m1")))
}

func machineIsLocked(t *testing.T, open Place) {
	a, b := open(), open()
	txn := lock(t, a, "m1")
	for _, s := range []*store.Store{a, b} {
		_, err := s.Lock(t.Context(), "m1", "machine other")
		var locked *store.LockedError
		if !errors.As(err, &locked) {
			t.Fatalf("Got %v", err)
		}
		want(t, locked.Holder.Command, "machine test")
		want(t, locked.Holder.PID, os.Getpid())
		if time.Since(locked.Holder.Since) > time.Minute || !strings.Contains(locked.Hint(), strconv.Itoa(os.Getpid())) {
			t.Fatalf("Got %+v, hint %q", locked.Holder, locked.Hint())
		}
	}
	ok(t, txn.Close())
	ok(t, txn.Close())
	ok(t, lock(t, b, "m1").Close())
	_, err := a.Get("m1")
	wantErr(t, err, store.ErrNotExist) // a lock makes nothing
}

func locksAreTheirOwn(t *testing.T, open Place) {
	s := open()
	lock(t, s, "m1")
	lock(t, s, "m2")
	lock(t, s, "m1.json")
	lock(t, s, "shared")
	shared(t, s)
	_, err := s.LockCluster(t.Context(), "m1", "x")
	ok(t, err)
}

func sharedWaits(t *testing.T, open Place) {
	a, b := open(), open()
	first := shared(t, a)
	got := make(chan error, 1)
	go func() {
		second, err := b.LockShared(t.Context(), "machine second")
		if err == nil {
			err = second.Close()
		}
		got <- err
	}()
	select {
	case err := <-got:
		t.Fatalf("Did not wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	ok(t, first.Close())
	ok(t, <-got)
}

func waitEnds(t *testing.T, open Place) {
	s := open()
	shared(t, s)
	why := errors.New("waited long enough")
	ctx, stop := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, why)
	defer stop()
	_, err := s.LockShared(ctx, "machine second")
	wantErr(t, err, store.ErrLocked)
	wantErr(t, err, why)
	if !strings.Contains(err.Error(), "machine test") {
		t.Fatalf("Got %v", err)
	}
	_, err = s.Lock(ctx, "m1", "x")
	wantErr(t, err, why)
}

// Counters are written under locks that are waited for and locks that are not.
func nobodyLosesAnUpdate(t *testing.T, open Place) {
	const operators, times = 4, 5
	done := make(chan error, operators)
	for range operators {
		s := open()
		go func() {
			var err error
			for i := 0; i < times && err == nil; i++ {
				err = errors.Join(count(t.Context(), s), countCluster(t.Context(), s))
			}
			done <- err
		}()
	}
	for range operators {
		ok(t, <-done)
	}
	s := open()
	r, err := s.Get("counter")
	ok(t, err)
	want(t, r.HostOptions.SwarmOptions.SubnetSize, operators*times)
	c, err := s.Cluster("counter")
	ok(t, err)
	want(t, c.DataPathPort, operators*times)
}

func count(ctx context.Context, s *store.Store) error {
	txn, err := s.Lock(ctx, "counter", "machine count")
	for errors.Is(err, store.ErrLocked) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(5 * time.Millisecond):
		}
		txn, err = s.Lock(ctx, "counter", "machine count")
	}
	if err != nil {
		return err
	}
	r, err := txn.Get()
	if errors.Is(err, store.ErrNotExist) {
		r, err = record("counter"), nil
	}
	if err == nil {
		r.HostOptions.SwarmOptions.SubnetSize++
		err = txn.Put(r)
	}
	return errors.Join(err, txn.Close())
}

func countCluster(ctx context.Context, s *store.Store) error {
	txn, err := s.LockCluster(ctx, "counter", "machine count")
	if err != nil {
		return err
	}
	c, err := txn.Get()
	if errors.Is(err, store.ErrNoCluster) {
		err = nil
	}
	if err == nil {
		c.DataPathPort++
		err = txn.Put(c)
	}
	return errors.Join(err, txn.Close())
}

// A list meets a machine with its record or not at all, while machines come and go.
func readersSeeWholeRecords(t *testing.T, open Place) {
	writer, reader := open(), open()
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if err := comeAndGo(t.Context(), writer, "m"+strconv.Itoa(i%3)); err != nil {
				done <- err
				return
			}
		}
	}()
	for range 30 {
		all, err := reader.List()
		ok(t, err)
		for _, e := range all {
			ok(t, e.Err)
		}
		if _, err := reader.Get("m1"); err != nil {
			wantErr(t, err, store.ErrNotExist)
		}
	}
	close(stop)
	ok(t, <-done)
}

func comeAndGo(ctx context.Context, s *store.Store, name string) error {
	txn, err := s.Lock(ctx, name, "machine come")
	if err != nil {
		return err
	}
	return errors.Join(txn.Put(record(name)), txn.WriteFile("cert.pem", []byte("x")), txn.Delete(), txn.Close())
}

func closed(t *testing.T, open Place) {
	s := open()
	txn := lock(t, s, "m1")
	ok(t, txn.Close())
	_, err := txn.Get()
	wantErr(t, err, store.ErrClosed)
	wantErr(t, txn.Put(record("m1")), store.ErrClosed)
	wantErr(t, txn.Delete(), store.ErrClosed)
	wantErr(t, txn.WriteFile("x", nil), store.ErrClosed)
}

// A record of docker-machine, as another program put it there, is kept beside its successor.
func oldRecord(t *testing.T, open Place) {
	s := open()
	put(t, s, "m1")
	txn := lock(t, s, "m1")
	old := `{"ConfigVersion":3,"DriverName":"generic","Driver":{"IPAddress":"192.0.2.9","SSHKeyPath":""},"HostOptions":{}}`
	ok(t, os.WriteFile(filepath.Join(s.MachineDir("m1"), "config.json"), []byte(old), 0o600))
	r, err := s.Get("m1")
	if err != nil || r.Address.Host != "192.0.2.9" {
		t.Skip("the place is not its folder")
	}
	ok(t, txn.Put(r))
	names, err := os.ReadDir(s.MachineDir("m1"))
	ok(t, err)
	if !slices.ContainsFunc(names, func(e os.DirEntry) bool { return e.Name() == "config.json.bak" }) {
		t.Fatalf("Got %v", names)
	}
}
