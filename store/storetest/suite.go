// Package storetest is the suite that every kind of store passes.
package storetest

import (
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
