package etcd

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/hostsmith/machine/store"
)

const (
	machines = "machines"
	swarms   = "swarms"
	certs    = "certs"
	idFile   = "id"

	// revisionsFile says of which revision each file of a folder of the copy is. No file
	// of a store begins with a dot.
	revisionsFile = ".revisions.json"
)

// revisions is the state of a folder of the copy.
type revisions struct {
	Store  int64            // revision of etcd that the folder was last made equal to
	Files  map[string]int64 // by name: revision of the last change
	Unread map[string]int64 `json:",omitempty"` // of files that the copy lacks, because they could not be decrypted
}

func (b *Backend) exists(p string) bool {
	_, err := os.Stat(filepath.Join(b.Dir(), filepath.FromSlash(p)))
	return err == nil
}

// revisions reads the state of a folder of the copy.
func (b *Backend) revisions(dir string) revisions {
	var r revisions
	data, err := os.ReadFile(filepath.Join(b.Dir(), filepath.FromSlash(dir), revisionsFile))
	if err != nil || json.Unmarshal(data, &r) != nil || r.Files == nil {
		return revisions{Files: map[string]int64{}}
	}
	return r
}

// locked runs fn while nobody else of this user writes the copy.
func (b *Backend) locked(fn func() error) error {
	b.disk.Lock()
	defer b.disk.Unlock()
	if err := os.MkdirAll(b.Dir(), 0o700); err != nil {
		return err
	}
	file := flock.New(filepath.Join(b.Dir(), "copy.lock"))
	ctx, stop := b.within(b.base)
	defer stop()
	if _, err := file.TryLockContext(ctx, 5*time.Millisecond); err != nil {
		return fmt.Errorf("another command of yours writes it: %w", err)
	}
	defer func() { _ = file.Unlock() }()
	return fn()
}

// apply makes the copy what was seen. It tells whether a folder of the copy is newer already.
func (b *Backend) apply(seen *sight) (older bool, err error) {
	if !b.stale(seen) {
		return false, nil
	}
	err = b.locked(func() error {
		for _, dir := range slices.Sorted(maps.Keys(seen.files)) {
			late, err := b.applyDir(seen, dir)
			if err != nil {
				return err
			}
			older = older || late
		}
		for _, name := range b.gone(seen) {
			dir := path.Join(machines, name)
			if b.revisions(dir).Store > seen.revision { // made here since
				older = true
				continue
			}
			if err := b.drop(dir); err != nil {
				return err
			}
		}
		return nil
	})
	return older, err
}

// stale tells whether the copy is not what was seen.
func (b *Backend) stale(seen *sight) bool {
	if len(seen.data) > 0 || len(b.gone(seen)) > 0 {
		return true
	}
	for dir, files := range seen.files {
		have := b.revisions(dir)
		all := maps.Clone(have.Files)
		maps.Copy(all, have.Unread)
		if !maps.Equal(all, files) {
			return true
		}
	}
	return false
}

// gone returns the machines that the copy has and etcd has not.
func (b *Backend) gone(seen *sight) []string {
	if seen.scope != machines {
		if parent(seen.scope) == machines && len(seen.files[seen.scope]) == 0 && b.exists(seen.scope) {
			return []string{path.Base(seen.scope)}
		}
		return nil
	}
	entries, err := os.ReadDir(filepath.Join(b.Dir(), machines))
	if err != nil {
		return nil
	}
	var names []string
	for _, entry := range entries {
		if name := entry.Name(); name[0] != '.' && len(seen.files[path.Join(machines, name)]) == 0 {
			names = append(names, name)
		}
	}
	return names
}

func (b *Backend) applyDir(seen *sight, dir string) (older bool, err error) {
	have := b.revisions(dir)
	if have.Store > seen.revision {
		return true, nil
	}
	if len(seen.files[dir]) == 0 && len(have.Files) == 0 {
		return false, nil
	}
	now := revisions{Store: seen.revision, Files: map[string]int64{}, Unread: map[string]int64{}}
	var files []store.File
	for _, name := range inOrder(seen.files[dir]) {
		p := path.Join(dir, name)
		if seen.unread[p] != nil {
			now.Unread[name] = seen.files[dir][name]
		} else if data, ok := seen.data[p]; ok {
			files = append(files, store.File{Name: name, Data: data})
			now.Files[name] = seen.got[p]
		} else if have.Files[name] == seen.files[dir][name] {
			now.Files[name] = have.Files[name]
		}
	}
	if err := b.put(dir, files); err != nil {
		return false, err
	}
	if len(files) == 0 && len(now.Unread) > 0 {
		// A machine is there also for who can read nothing of it.
		if err := os.MkdirAll(filepath.Join(b.Dir(), filepath.FromSlash(dir)), 0o700); err != nil {
			return false, err
		}
	}
	for name := range have.Files {
		if _, ok := now.Files[name]; !ok {
			if err := b.copy.Remove(path.Join(dir, name)); err != nil {
				return false, err
			}
		}
	}
	return false, b.putRevisions(dir, now)
}

// inOrder puts the record first, and keys before certificates.
func inOrder(files map[string]int64) []string {
	rank := func(name string) int {
		switch {
		case name == "config.json":
			return 0
		case strings.HasSuffix(name, "key.pem"):
			return 1
		}
		return 2
	}
	return slices.SortedFunc(maps.Keys(files), func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
}

// put writes files of a folder of the copy together; a machine's folder appears with them in it.
func (b *Backend) put(dir string, files []store.File) error {
	if len(files) == 0 {
		return nil
	}
	if parent(dir) != machines || b.exists(dir) {
		return b.copy.ReplaceAll(dir, files...)
	}
	all := map[string][]byte{}
	for _, f := range files {
		all[f.Name] = f.Data
	}
	return b.copy.Found(dir, all)
}

func (b *Backend) putRevisions(dir string, r revisions) error {
	if dir != "" && !b.exists(dir) {
		return nil // of a machine that came and went
	}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return b.copy.Replace(path.Join(dir, revisionsFile), data)
}

// changed records that files of a folder of the copy are what was written at a revision.
func (b *Backend) changed(dir string, files []store.File, revision int64) error {
	return b.locked(func() error {
		r := b.revisions(dir)
		if err := b.put(dir, files); err != nil {
			return err
		}
		for _, f := range files {
			r.Files[f.Name] = revision
			delete(r.Unread, f.Name)
		}
		r.Store = max(r.Store, revision)
		return b.putRevisions(dir, r)
	})
}

// removed records that a file is gone.
func (b *Backend) removed(p string, revision int64) error {
	return b.locked(func() error {
		dir, name := parent(p), path.Base(p)
		r := b.revisions(dir)
		delete(r.Files, name)
		delete(r.Unread, name)
		if err := b.copy.Remove(p); err != nil {
			return err
		}
		r.Store = max(r.Store, revision)
		return b.putRevisions(dir, r)
	})
}
