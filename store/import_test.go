package store_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/hostsmith/machine/store"
)

func TestImport(t *testing.T) {
	t.Parallel()
	s := store.Open(t.TempDir())
	txn, err := s.Lock(t.Context(), "m1", "import")
	if err != nil {
		t.Fatal(err)
	}
	defer txn.Close()
	rec := store.Record{Name: "other", DriverName: "generic", Driver: json.RawMessage(`{"IPAddress":"192.0.2.1"}`), Phase: store.Ready}
	for name, files := range map[string]map[string][]byte{
		"a path":       {"../x": nil},
		"the record":   {"config.json": nil},
		"its secrets":  {"Secrets.JSON": nil},
		"a hidden one": {".tmp-x": nil},
	} {
		if err := txn.Import(rec, nil, files); !errors.Is(err, store.ErrName) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := txn.Import(rec, json.RawMessage(`{`), nil); err == nil {
		t.Error("secrets that are no JSON were taken")
	}
	if names, err := s.Names(); err != nil || len(names) > 0 {
		t.Errorf("what was refused left %v, %v", names, err)
	}
	if err := txn.Import(rec, json.RawMessage(`{"token":"x"}`), map[string][]byte{"ssh_key": []byte("key"), "known_hosts": nil}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Get("m1")
	if err != nil || got.Name != "m1" || got.DriverName != "generic" {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, file := range []string{"config.json", "secrets.json", "ssh_key", "known_hosts"} {
		info, err := os.Stat(filepath.Join(s.MachineDir("m1"), file))
		if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
	if err := txn.Import(rec, nil, nil); !errors.Is(err, store.ErrExist) {
		t.Errorf("over a machine: got %v", err)
	}
	if err := txn.Put(got); err != nil {
		t.Error(err)
	}
}

func TestRecordsOutsideOfAStore(t *testing.T) {
	t.Parallel()
	old := []byte(`{"ConfigVersion":3,"DriverName":"generic","Driver":{"IPAddress":"192.0.2.1","SSHKeyPath":"C:\\Users\\ada\\.docker\\machine\\machines\\m1\\id_rsa"}}`)
	rec, err := store.DecodeRecord("m1", old, func(string) bool { return true })
	if err != nil || rec.ConfigVersion != store.Version || rec.SSH.Key != "id_rsa" || rec.Address.Host != "192.0.2.1" {
		t.Errorf("got %+v, %v", rec, err)
	}
	data, err := store.EncodeRecord(rec)
	if err != nil {
		t.Fatal(err)
	}
	again, err := store.DecodeRecord("m1", data, func(string) bool { return false })
	if err != nil || again.SSH.Key != "id_rsa" {
		t.Errorf("got %+v, %v", again, err)
	}
	if _, err := store.DecodeRecord("../m1", data, nil); !errors.Is(err, store.ErrName) {
		t.Errorf("got %v", err)
	}
	if _, err := store.DecodeRecord("m1", []byte(`{"ConfigVersion":99}`), nil); !errors.Is(err, store.ErrFuture) {
		t.Errorf("got %v", err)
	}
	swarm, err := store.EncodeCluster(store.Cluster{Name: "prod", ID: "c1", Members: map[string]store.Member{"m1": {Role: "manager"}}})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := store.DecodeCluster(swarm); err != nil || c.ID != "c1" || c.Members["m1"].Role != "manager" {
		t.Errorf("got %+v, %v", c, err)
	}
	if _, err := store.DecodeCluster([]byte(`[]`)); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}
