package etcd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

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

	// leftDir is where goes what a machine that is gone has on this computer besides: disks.
	leftDir = "left"

	// batch is how many questions etcd takes at once.
	batch = 100
)

// revisions is the state of a folder of the copy.
type revisions struct {
	Store int64            // revision of etcd that the folder was last made equal to
	Files map[string]int64 // by name: revision of the last change
}

// freshness remembers when what was last brought up to date.
type freshness struct {
	mu     sync.Mutex
	times  map[string]time.Time
	failed time.Time // the last time that nobody answered
	why    error
}

func (f *freshness) younger(path string, age time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for ; ; path = parent(path) {
		if t, ok := f.times[path]; ok && time.Since(t) < age {
			return true
		}
		if path == "" {
			return false
		}
	}
}

// parent returns the folder of a path; that of the whole is empty.
func parent(p string) string {
	if dir := path.Dir(p); dir != "." {
		return dir
	}
	return ""
}

// lately returns why nobody answered since less than age.
func (f *freshness) lately(age time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.failed) < age {
		return f.why
	}
	return nil
}

func (f *freshness) note(paths []string, at time.Time, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if errors.Is(err, store.ErrUnreachable) {
		f.failed, f.why = time.Now(), err
	}
	if err != nil {
		return
	}
	f.failed = time.Time{}
	if f.times == nil {
		f.times = map[string]time.Time{}
	}
	for _, p := range paths {
		f.times[p] = at
	}
}

// Refresh brings the copy up to date: one question tells what changed, and only that is
// fetched. The authority's folder and the id are looked at with every question.
func (b *Backend) Refresh(p string, age time.Duration) error {
	again := time.Second // a command asks several things one after the other: it waits once
	if age > 0 {
		if b.fresh.younger(p, age) {
			return nil
		}
		again = 3 * time.Second // who asks like this can do with what is there
	}
	if err := b.fresh.lately(again); err != nil {
		return err
	}
	scope := p
	if parent(p) == swarms {
		scope = swarms
	}
	at := time.Now()
	err := b.bring(scope)
	b.fresh.note([]string{scope, certs, idFile}, at, err)
	return err
}

func (b *Backend) bring(scope string) error {
	for try := 0; ; try++ {
		seen, err := b.look(scope)
		if err != nil {
			return err
		}
		if err := b.fetch(seen); err != nil {
			return err
		}
		older, err := b.apply(seen)
		if err != nil {
			return fmt.Errorf("write the copy of the shared store: %w", err)
		}
		if !older || try == 5 {
			return nil
		}
	}
}

// sight is what etcd has at a revision.
type sight struct {
	scope    string
	revision int64
	files    map[string]map[string]int64 // revision of the last change, by folder and name
	data     map[string][]byte           // what the copy lacks, by path
	got      map[string]int64            // and of which revision that is
}

// look asks for names and revisions.
func (b *Backend) look(scope string) (*sight, error) {
	ops := []clientv3.Op{
		clientv3.OpGet(b.key(idFile), clientv3.WithKeysOnly()),
		clientv3.OpGet(b.key(certs)+"/", clientv3.WithPrefix(), clientv3.WithKeysOnly()),
	}
	if scope != certs && scope != idFile {
		ops = append(ops, clientv3.OpGet(b.key(scope)+"/", clientv3.WithPrefix(), clientv3.WithKeysOnly()))
	}
	resp, err := b.read("read the shared store", ops...)
	if err != nil {
		return nil, err
	}
	seen := &sight{scope: scope, revision: resp.Header.Revision, files: map[string]map[string]int64{"": {}, certs: {}}}
	if scope == swarms {
		seen.files[swarms] = map[string]int64{}
	}
	if parent(scope) == machines {
		seen.files[scope] = map[string]int64{}
	}
	for _, kv := range keyValues(resp) {
		p := b.path(kv.Key)
		dir := parent(p)
		if !known(p) {
			continue
		}
		if seen.files[dir] == nil {
			seen.files[dir] = map[string]int64{}
		}
		seen.files[dir][path.Base(p)] = kv.ModRevision
	}
	return seen, nil
}

func keyValues(resp *clientv3.TxnResponse) []*mvccpb.KeyValue {
	var all []*mvccpb.KeyValue
	for _, r := range resp.Responses {
		if r, ok := r.Response.(*etcdserverpb.ResponseOp_ResponseRange); ok {
			all = append(all, r.ResponseRange.Kvs...)
		}
	}
	return all
}

// known tells whether a key is one that can be a file of the copy: nobody who can write to
// etcd can have files written elsewhere.
func known(p string) bool {
	parts := strings.Split(p, "/")
	for _, part := range parts {
		if part == "" || part[0] == '.' || !filepath.IsLocal(part) || strings.ContainsAny(part, `\:`) {
			return false
		}
	}
	switch parts[0] {
	case idFile:
		return len(parts) == 1
	case certs, swarms:
		return len(parts) == 2
	case machines:
		return len(parts) == 3
	}
	return false
}

// fetch gets what the copy lacks, and decrypts it.
func (b *Backend) fetch(seen *sight) error {
	var want []string
	for dir, files := range seen.files {
		have := b.revisions(dir)
		for name, revision := range files {
			p := path.Join(dir, name)
			if have.Files[name] == revision && b.exists(p) {
				continue
			}
			want = append(want, p)
		}
	}
	slices.Sort(want)
	seen.data, seen.got = map[string][]byte{}, map[string]int64{}
	for some := range slices.Chunk(want, batch) {
		var ops []clientv3.Op
		for _, p := range some {
			ops = append(ops, clientv3.OpGet(b.key(p)))
		}
		resp, err := b.read("read the shared store", ops...)
		if err != nil {
			return err
		}
		for _, kv := range keyValues(resp) {
			p := b.path(kv.Key)
			data, err := b.open(p, kv.Value)
			if err != nil {
				return err
			}
			seen.data[p], seen.got[p] = data, kv.ModRevision
		}
	}
	return nil
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
		if !maps.Equal(b.revisions(dir).Files, files) {
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
	now := revisions{Store: seen.revision, Files: map[string]int64{}}
	var files []store.File
	for _, name := range inOrder(seen.files[dir]) {
		p := path.Join(dir, name)
		if data, ok := seen.data[p]; ok {
			files = append(files, store.File{Name: name, Data: data})
			now.Files[name] = seen.got[p]
		} else if have.Files[name] == seen.files[dir][name] {
			now.Files[name] = have.Files[name]
		}
	}
	if err := b.put(dir, files); err != nil {
		return false, err
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

// drop removes a machine from the copy. What its driver keeps on this computer besides is
// set aside, not removed: another operator may not know of it.
func (b *Backend) drop(dir string) error {
	var own []string
	entries, err := os.ReadDir(filepath.Join(b.Dir(), filepath.FromSlash(dir)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	have := b.revisions(dir)
	for _, entry := range entries {
		if _, ok := have.Files[entry.Name()]; !ok && entry.Name()[0] != '.' {
			own = append(own, entry.Name())
		}
	}
	if len(own) > 0 {
		to := filepath.Join(b.Dir(), leftDir, path.Base(dir)+"."+strconv.FormatInt(time.Now().UnixNano(), 36))
		if err := os.MkdirAll(to, 0o700); err != nil {
			return err
		}
		for _, name := range own {
			if err := os.Rename(filepath.Join(b.Dir(), filepath.FromSlash(dir), name), filepath.Join(to, name)); err != nil {
				return err
			}
		}
	}
	return b.copy.RemoveAll(dir, "config.json")
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
		if err := b.copy.Remove(p); err != nil {
			return err
		}
		r.Store = max(r.Store, revision)
		return b.putRevisions(dir, r)
	})
}
