package etcd

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hostsmith/machine/store"
)

// batch is how many questions etcd takes at once.
const batch = 100

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
		f.times = nil // what was so a moment ago may not be any more
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
			return seen.failure()
		}
	}
}

// failure is that of files below what was asked for. Of the others, who needs them is told.
func (s *sight) failure() error {
	e := &store.UnreadError{Files: map[string]error{}}
	for p, err := range s.unread {
		if p == s.scope || strings.HasPrefix(p, s.scope+"/") {
			e.Files[p] = err
		}
	}
	if len(e.Files) == 0 {
		return nil
	}
	return e
}

// sight is what etcd has at a revision.
type sight struct {
	scope    string
	revision int64
	files    map[string]map[string]int64 // revision of the last change, by folder and name
	data     map[string][]byte           // what the copy lacks, by path
	got      map[string]int64            // and of which revision that is
	unread   map[string]error            // why it still lacks something
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
	seen.data, seen.got, seen.unread = map[string][]byte{}, map[string]int64{}, map[string]error{}
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
			if errors.Is(err, store.ErrSealed) || errors.Is(err, store.ErrCorrupt) {
				seen.unread[p] = err
				continue
			}
			if err != nil {
				return err
			}
			seen.data[p], seen.got[p] = data, kv.ModRevision
		}
	}
	return nil
}
