package etcd

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hostsmith/machine/store"
)

func TestSecretsAreSealed(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	location := s.location()
	nobody := store.OpenBackend(operator(t, location, "none"))
	txn, err := nobody.Lock(t.Context(), "m1", "x")
	ok(t, err)
	ok(t, txn.Put(record("m1")))
	wantErr(t, nobody.CanSeal(), store.ErrNoRecipients)
	wantErr(t, txn.PutSecrets(json.RawMessage(`{"a":"hush"}`)), store.ErrNoRecipients)
	ok(t, txn.Close())

	ann := identity(t, location)
	a := store.OpenBackend(operator(t, location, ann))
	txn, err = a.Lock(t.Context(), "m1", "x")
	ok(t, err)
	ok(t, txn.PutSecrets(json.RawMessage(`{"a":"hush"}`)))
	for _, name := range []string{"id_ed25519", "key.pem", "server-key.pem", "ssh_key", "host_ed25519", "whatever"} {
		ok(t, txn.WriteFile(name, []byte("hush")))
	}
	ok(t, txn.WriteFile("cert.pem", []byte("open")))
	ok(t, txn.Close())
	for name, change := range map[string]func(*store.Record){
		"p1": func(r *store.Record) { r.Driver = json.RawMessage(`{"StorePath":"/x","Token":"hush"}`) },
		"p2": func(r *store.Record) { r.DriverState = json.RawMessage(`{"MachineName":"p2","Token":"hush"}`) },
		"p3": func(r *store.Record) { r.HostOptions.EngineOptions.HTTPSProxy = "http://ann:hush@proxy:3128" },
	} {
		txn, err = a.Lock(t.Context(), name, "x")
		ok(t, err)
		r := record(name)
		change(&r)
		ok(t, txn.Put(r))
		ok(t, txn.Close())
		got, err := a.Get(name)
		ok(t, err)
		if got.DriverName != "none" {
			t.Errorf("Got %v", got)
		}
	}
	shared, err := a.LockShared(t.Context(), "x")
	ok(t, err)
	ok(t, shared.WriteCert("ca-key.pem", []byte("hush")))
	ok(t, shared.Close())

	all, err := admin(t, s).Get(t.Context(), "/", clientv3.WithPrefix())
	ok(t, err)
	open := 0
	for _, kv := range all.Kvs {
		if bytes.Contains(kv.Value, []byte("hush")) {
			t.Errorf("%s is not encrypted", kv.Key)
		}
		if string(kv.Value) == "open" {
			open++
		}
	}
	if open != 1 {
		t.Error("The certificate is encrypted")
	}

	bob := operator(t, location, t.TempDir()+"/bob.txt")
	key, err := bob.OwnRecipient(true)
	ok(t, err)
	_, err = store.OpenBackend(bob).Get("m1")
	wantErr(t, err, store.ErrSealed)
	_, err = bob.SetRecipients(t.Context(), "x", func(all []Recipient) ([]Recipient, error) {
		return append(all, Recipient{Key: key}), nil
	})
	wantErr(t, err, store.ErrSealed)
	annBackend := operator(t, location, ann)
	if all, pending, err := annBackend.Recipients(); err != nil || pending || len(all) != 1 {
		t.Errorf("A stranger changed the recipients: %v, %v, %v", all, pending, err)
	}
	n, err := annBackend.SetRecipients(t.Context(), "x", func(all []Recipient) ([]Recipient, error) {
		return append(all, Recipient{Key: key, Name: "bob"}), nil
	})
	ok(t, err)
	if n != 11 {
		t.Errorf("%d were encrypted again", n)
	}
	bobStore := store.OpenBackend(bob)
	got, err := bobStore.Secrets("m1")
	ok(t, err)
	if string(got) != `{"a":"hush"}` {
		t.Errorf("Got %s", got)
	}
	data, err := os.ReadFile(bobStore.MachineDir("m1") + "/id_ed25519")
	if err != nil || string(data) != "hush" {
		t.Errorf("Got %q, %v", data, err)
	}

	only := func(keys ...string) func([]Recipient) ([]Recipient, error) {
		return func(all []Recipient) ([]Recipient, error) {
			var left []Recipient
			for _, r := range all {
				for _, k := range keys {
					if r.Key == k {
						left = append(left, r)
					}
				}
			}
			return left, nil
		}
	}
	_, err = annBackend.SetRecipients(t.Context(), "x", only(key))
	wantErr(t, err, store.ErrSealed) // she would shut herself out
	_, err = annBackend.SetRecipients(t.Context(), "x", only())
	wantErr(t, err, store.ErrNoRecipients)
	_, err = bob.SetRecipients(t.Context(), "x", only(key))
	ok(t, err)
	_, err = store.OpenBackend(operator(t, location, ann)).Get("m1")
	wantErr(t, err, store.ErrSealed)
}

// A writer that knows the recipients of before writes for those of now.
func TestRecipientsChangeUnderWriters(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	location := s.location()
	ann := identity(t, location)
	a := store.OpenBackend(operator(t, location, ann))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	txn, err := a.Lock(ctx, "m1", "x")
	ok(t, err)
	ok(t, txn.Put(record("m1")))
	go func() {
		var err error
		for err == nil && ctx.Err() == nil {
			err = txn.WriteFile("key.pem", []byte("hush"))
		}
		done <- err
	}()
	keeper := operator(t, location, ann)
	for range 5 {
		bob := operator(t, location, t.TempDir()+"/bob.txt")
		key, err := bob.OwnRecipient(true)
		ok(t, err)
		_, err = keeper.SetRecipients(t.Context(), "x", func(all []Recipient) ([]Recipient, error) {
			return append(all, Recipient{Key: key}), nil
		})
		ok(t, err)
		_, err = store.OpenBackend(bob).Get("m1")
		ok(t, err)
	}
	stop()
	ok(t, <-done)
}
