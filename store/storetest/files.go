package storetest

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hostsmith/machine/store"
)

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
