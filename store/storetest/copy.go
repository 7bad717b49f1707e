package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hostsmith/machine/store"
)

// Fill puts two machines, a swarm and an authority into a store.
func Fill(t *testing.T, s *store.Store) {
	t.Helper()
	txn := shared(t, s)
	_, err := txn.EnsureID()
	ok(t, err)
	for _, name := range []string{"ca-key.pem", "ca.pem", "key.pem", "cert.pem"} {
		ok(t, txn.WriteCert(name, []byte(name)))
	}
	ok(t, txn.Close())
	for _, name := range []string{"m1", "m2"} {
		txn := lock(t, s, name)
		ok(t, txn.Put(record(name)))
		ok(t, txn.PutSecrets(json.RawMessage(`{"of":"`+name+`"}`)))
		for _, file := range []string{"ca.pem", "cert.pem", "key.pem", "server-key.pem", "id_ed25519", "known_hosts"} {
			ok(t, txn.WriteFile(file, []byte(name+" "+file)))
		}
		ok(t, txn.WriteFile("empty", nil))
		ok(t, txn.Close())
	}
	swarm, err := s.LockCluster(t.Context(), "s1", "x")
	ok(t, err)
	ok(t, swarm.Put(store.Cluster{ID: "abc", Members: map[string]store.Member{"m1": {Role: "manager"}}}))
	ok(t, swarm.Close())
}

// RunCopy copies stores of this kind to a folder and back, and to their own kind.
func RunCopy(t *testing.T, fresh func(t *testing.T) Place) {
	folder := func(t *testing.T) Place {
		root := filepath.Join(t.TempDir(), "folder")
		return func() *store.Store { return store.Open(root) }
	}
	t.Run("ThereAndBack", func(t *testing.T) {
		t.Parallel()
		first, there, back := folder(t), fresh(t), folder(t)
		Fill(t, first())
		copyAll(t, first(), there())
		copyAll(t, there(), back())
		want(t, content(t, back()), content(t, first()))
		want(t, len(content(t, first())), 1+4+2*9+1)
		items, err := store.Copy(t.Context(), first(), there(), store.CopyRequest{Command: "copy"})
		ok(t, err)
		for _, item := range items {
			want(t, item.Action, store.CopySame)
		}
	})
	t.Run("Resumed", func(t *testing.T) {
		t.Parallel()
		from, to := fresh(t), fresh(t)
		Fill(t, from())
		ctx, stop := context.WithCancelCause(t.Context())
		why := errors.New("interrupted")
		_, err := store.Copy(ctx, from(), to(), store.CopyRequest{Command: "copy", Done: func(item store.CopyItem) {
			if strings.HasPrefix(item.Path, "machines/m1/") {
				stop(why)
			}
		}})
		wantErr(t, err, why)
		_, err = to().Get("m1")
		ok(t, err)
		_, err = to().Get("m2")
		wantErr(t, err, store.ErrNotExist)
		copyAll(t, from(), to())
		want(t, content(t, to()), content(t, from()))
	})
	t.Run("Differs", func(t *testing.T) {
		t.Parallel()
		from, to := fresh(t), fresh(t)
		Fill(t, from())
		put(t, to(), "m3")
		before := content(t, to())
		_, err := store.Copy(t.Context(), from(), to(), store.CopyRequest{Command: "copy"})
		wantErr(t, err, store.ErrDiffers)
		want(t, content(t, to()), before)
		_, err = store.Copy(t.Context(), from(), from(), store.CopyRequest{Command: "copy"})
		if err == nil {
			items, err := store.Copy(t.Context(), from(), from(), store.CopyRequest{Command: "copy", DryRun: true})
			ok(t, err)
			want(t, items[0].Action, store.CopySame) // another operator's view of the same
		}
	})
	t.Run("Locked", func(t *testing.T) {
		t.Parallel()
		from, to := fresh(t), fresh(t)
		Fill(t, from())
		txn := lock(t, from(), "m2")
		_, err := store.Copy(t.Context(), from(), to(), store.CopyRequest{Command: "copy"})
		wantErr(t, err, store.ErrLocked)
		ok(t, txn.Close())
		copyAll(t, from(), to())
	})
}

func copyAll(t *testing.T, from, to *store.Store) {
	t.Helper()
	dry, err := store.Copy(t.Context(), from, to, store.CopyRequest{Command: "copy", DryRun: true})
	ok(t, err)
	items, err := store.Copy(t.Context(), from, to, store.CopyRequest{Command: "copy"})
	ok(t, err)
	want(t, items, dry)
}

// content is what a store has, by path.
func content(t *testing.T, s *store.Store) map[string]string {
	t.Helper()
	_, err := s.List()
	ok(t, err)
	_, err = s.Clusters()
	ok(t, err)
	found := map[string]string{}
	err = filepath.WalkDir(s.Root(), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == "locks" {
			return fs.SkipDir
		}
		if d.IsDir() || d.Name()[0] == '.' || d.Name() == "copy.lock" {
			return nil
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(s.Root(), path)
		found[filepath.ToSlash(rel)] = string(data)
		return err
	})
	ok(t, err)
	return found
}
