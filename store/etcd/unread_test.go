package etcd

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/hostsmith/machine/store"
)

// unreadStore is a store with machines m1, which has secrets, and m2, which has none, a swarm and an authority.
func unreadStore(t *testing.T) (s *server, location, identityFile string) {
	t.Helper()
	s = startServer(t)
	location = s.location()
	identityFile = identity(t, location)
	a := store.OpenBackend(operator(t, location, identityFile))
	for _, name := range []string{"m1", "m2"} {
		txn, err := a.Lock(t.Context(), name, "x")
		ok(t, err)
		ok(t, txn.Put(record(name)))
		if name == "m1" {
			ok(t, txn.PutSecrets(json.RawMessage(`{"a":"hush"}`)))
			ok(t, txn.WriteFile("key.pem", []byte("hush")))
		}
		ok(t, txn.WriteFile("cert.pem", []byte("open")))
		ok(t, txn.Close())
	}
	swarm, err := a.LockCluster(t.Context(), "s1", "x")
	ok(t, err)
	ok(t, swarm.Put(store.Cluster{ID: "abc"}))
	ok(t, swarm.Close())
	shared, err := a.LockShared(t.Context(), "x")
	ok(t, err)
	ok(t, shared.WriteCert("ca-key.pem", []byte("hush")))
	ok(t, shared.Close())
	return s, location, identityFile
}

// checkList sees that m1 is listed with its record and this error, and m2 without any.
func checkList(t *testing.T, s *store.Store, want error) {
	t.Helper()
	all, err := s.List()
	ok(t, err)
	if len(all) != 2 || all[0].Name != "m1" || all[0].Record.DriverName != "none" || all[1].Err != nil {
		t.Errorf("Got %+v", all)
	}
	wantErr(t, all[0].Err, want)
	names, err := s.Names()
	if err != nil || len(names) != 2 {
		t.Errorf("Got %v, %v", names, err)
	}
	_, err = s.Get("m2")
	ok(t, err)
	_, err = s.Get("m1")
	wantErr(t, err, want)
	_, err = s.Secrets("m1")
	wantErr(t, err, want)
	_, err = s.Clusters()
	ok(t, err)
}

// A value that nobody can decrypt is the trouble of its machine alone, which can be removed.
func TestUnreadableValueIsItsMachinesTrouble(t *testing.T) {
	t.Parallel()
	s, location, file := unreadStore(t)
	b := operator(t, location, file)
	st := store.OpenBackend(b)
	_, err := st.List() // the copy has the former value
	ok(t, err)
	_, err = admin(t, s).Put(t.Context(), b.key("machines/m1/secrets.json"), sealedPrefix+"torn")
	ok(t, err)
	checkList(t, st, store.ErrCorrupt)
	if _, err := os.Stat(st.MachineDir("m1") + "/secrets.json"); err == nil {
		t.Error("The former value is still there")
	}
	checkList(t, store.OpenBackend(operator(t, location, file)), store.ErrCorrupt)
	for _, name := range []string{"m2", "m3"} {
		txn, err := st.Lock(t.Context(), name, "x")
		ok(t, err)
		ok(t, txn.Put(record(name)))
		ok(t, txn.WriteFile("key.pem", []byte("hush")))
		ok(t, txn.Close())
	}
	txn, err := st.Lock(t.Context(), "m1", "machine rm")
	ok(t, err)
	_, err = txn.Get()
	wantErr(t, err, store.ErrCorrupt)
	ok(t, txn.Delete())
	ok(t, txn.Close())
	_, err = st.Get("m1")
	wantErr(t, err, store.ErrNotExist)
	_, err = st.List()
	ok(t, err)
}

// Who is no recipient sees what is not encrypted, and is told how to see the rest.
func TestStrangerLists(t *testing.T) {
	t.Parallel()
	_, location, file := unreadStore(t)
	bob := operator(t, location, t.TempDir()+"/bob.txt")
	st := store.OpenBackend(bob)
	checkList(t, st, store.ErrSealed) // without an identity
	key, err := bob.OwnRecipient(true)
	ok(t, err)
	checkList(t, st, store.ErrSealed)
	_, err = st.Get("m1")
	var hint interface{ Hint() string }
	if !errors.As(err, &hint) || !strings.Contains(hint.Hint(), key) {
		t.Errorf("It is not said how to become a recipient: %v", err)
	}
	wantErr(t, st.CanSeal(), store.ErrSealed)
	_, err = st.LockShared(t.Context(), "x")
	wantErr(t, err, store.ErrSealed)
	_, err = store.Copy(t.Context(), st, store.Open(t.TempDir()), store.CopyRequest{Command: "copy"})
	wantErr(t, err, store.ErrSealed)
	_, err = operator(t, location, file).SetRecipients(t.Context(), "x", func(all []Recipient) ([]Recipient, error) {
		return append(all, Recipient{Key: key}), nil
	})
	ok(t, err)
	checkList(t, st, nil)
	ok(t, st.CanSeal())
}
