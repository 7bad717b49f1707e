package store

import (
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestShared(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir())
	if id, err := s.ID(); id != "" || err != nil {
		t.Errorf("Got %q, %v", id, err)
	}
	txn, err := s.LockShared(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	id, err := txn.EnsureID()
	if err != nil || len(id) != 32 {
		t.Errorf("Got %q, %v", id, err)
	}
	again, err := txn.EnsureID()
	if err != nil || again != id {
		t.Errorf("Got %q, %v", again, err)
	}
	if read, err := s.ID(); err != nil || read != id {
		t.Errorf("Got %q, %v", read, err)
	}
	if _, err := txn.ReadCert("ca.pem"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Got %v", err)
	}
	if err := txn.WriteCert("ca.pem", []byte("c")); err != nil {
		t.Fatal(err)
	}
	if got, err := txn.ReadCert("ca.pem"); err != nil || string(got) != "c" {
		t.Errorf("Got %q, %v", got, err)
	}
	if err := errors.Join(txn.RemoveCert("ca.pem"), txn.RemoveCert("ca.pem")); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"../id", "", ".."} {
		if err := txn.WriteCert(name, nil); !errors.Is(err, ErrName) {
			t.Errorf("%q: got %v", name, err)
		}
	}
	write(t, s, "id", "no id")
	if _, err := txn.EnsureID(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Got %v", err)
	}
	if err := txn.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestClusters(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir())
	if got, err := s.Clusters(); len(got) != 0 || err != nil {
		t.Errorf("Got %v, %v", got, err)
	}
	if _, err := s.Cluster("s1"); !errors.Is(err, ErrNoCluster) {
		t.Errorf("Got %v", err)
	}
	want := Cluster{Name: "s1", ID: "abc", Members: map[string]Member{"m1": {Role: "manager", NodeID: "n1"}}, DataPathPort: 7789, Upgrade: json.RawMessage(`{"to":"28"}`)}
	for _, name := range []string{"s10", "s1", "s2"} {
		txn, err := s.LockCluster(t.Context(), name, "x")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := txn.Get(); !errors.Is(err, ErrNoCluster) {
			t.Errorf("Got %v", err)
		}
		if err := errors.Join(txn.Put(want)); err != nil {
			t.Fatal(err)
		}
		if _, err := txn.Get(); err != nil {
			t.Error(err)
		}
		if name == "s2" {
			if err := errors.Join(txn.Delete(), txn.Delete()); err != nil {
				t.Error(err)
			}
		}
		if err := txn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.Cluster("s1"); err != nil || !cmp.Equal(want, got) {
		t.Errorf("Got %v, %v", got, err)
	}
	write(t, s, "swarms/bad.json", "{")
	write(t, s, "swarms/new.json", `{"ConfigVersion":2,"ID":[]}`)
	write(t, s, "swarms/none.json", `{}`)
	write(t, s, "swarms/notes.txt", "")
	got, err := s.Clusters()
	if len(got) != 2 || got[0].Name != "s1" || got[1].Name != "s10" {
		t.Errorf("Got %v", got)
	}
	if !errors.Is(err, ErrCorrupt) || !errors.Is(err, ErrFuture) || !strings.Contains(err.Error(), `"none"`) {
		t.Errorf("Got %v", err)
	}
	txn, err := s.LockCluster(t.Context(), "new", "x")
	if err != nil {
		t.Fatal(err)
	}
	if err := txn.Put(Cluster{}); !errors.Is(err, ErrFuture) {
		t.Errorf("Over a newer record: got %v", err)
	}
	if err := txn.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.LockCluster(t.Context(), "../x", "x"); !errors.Is(err, ErrName) {
		t.Errorf("Got %v", err)
	}
}
