package etcd

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"time"

	"filippo.io/age"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hostsmith/machine/store"
)

const (
	locksDir = "locks"

	// maxValue is what etcd takes by its default settings, less what is around a value.
	maxValue = 1<<20 + 1<<18
)

// lock is a lock that is held: a key that goes with its lease. That the key is the one
// that was made here is a condition of each write, so that who lost it writes nothing.
type lock struct {
	b     *Backend
	key   string
	made  int64 // revision of etcd at which the key was made
	lease clientv3.LeaseID
	alive context.Context    // ends with the lock
	stop  context.CancelFunc // ends keeping the lease alive

	client  *clientv3.Client
	answers <-chan *clientv3.LeaseKeepAliveResponse
}

// held is the value of a lock's key.
type held struct {
	store.Holder
	Token string `json:"token"` // tells one try from another
}

// Acquire implements store.Backend.
func (b *Backend) Acquire(ctx context.Context, key, command string, wait bool) (store.Lock, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	value, err := b.holder(command)
	if err != nil {
		return nil, err
	}
	l := &lock{b: b, key: b.key(path.Join(locksDir, key))}
	for {
		other, err := l.try(value)
		if err != nil {
			return nil, err
		}
		if other == nil {
			return l, nil
		}
		var who held
		_ = json.Unmarshal(other.Value, &who)
		if !wait {
			return nil, &store.LockedError{Holder: who.Holder}
		}
		if l.gone(ctx, other.ModRevision); ctx.Err() != nil {
			return nil, &store.LockedError{Holder: who.Holder, Cause: context.Cause(ctx)}
		}
	}
}

func (b *Backend) holder(command string) ([]byte, error) {
	host, _ := os.Hostname()
	return json.Marshal(held{
		Holder: store.Holder{Command: command, PID: os.Getpid(), Host: host, User: b.config.User, Since: time.Now().Truncate(time.Second)},
		Token:  rand.Text(),
	})
}

// try takes the lock, or returns the key of who holds it.
func (l *lock) try(value []byte) (other *mvccpb.KeyValue, err error) {
	now, err := l.b.read("take a lock", clientv3.OpGet(l.key))
	if err != nil {
		return nil, err
	}
	if kvs := keyValues(now); len(kvs) > 0 {
		return kvs[0], nil // without a lease that nobody needs
	}
	if err := l.grant(); err != nil {
		return nil, err
	}
	other, err = l.claim(value)
	if err != nil || other != nil {
		l.giveUp()
	} else {
		go l.attend()
	}
	return other, err
}

// grant gets a lease, and keeps it.
func (l *lock) grant() error {
	client, err := l.b.kv()
	if err != nil {
		return err
	}
	ctx, stop := l.b.within(l.b.base)
	defer stop()
	for {
		lease, err := client.Grant(ctx, int64(l.b.config.Location.Lease/time.Second))
		if err == nil {
			l.lease = lease.ID
			break
		}
		if err = l.b.failed("get a lease", err); permanent(err) || !pause(ctx) {
			return err
		}
	}
	l.client = client
	l.alive, l.stop = context.WithCancel(l.b.base)
	if l.answers, err = client.KeepAlive(l.alive, l.lease); err != nil {
		l.stop()
		return l.b.failed("keep a lease", err)
	}
	return nil
}

// claim makes the key, if it is free. A claim without an answer is looked up.
func (l *lock) claim(value []byte) (other *mvccpb.KeyValue, err error) {
	client, err := l.b.kv()
	if err != nil {
		return nil, err
	}
	ctx, stop := l.b.within(l.b.base)
	defer stop()
	for {
		resp, err := client.Txn(ctx).
			If(clientv3.Compare(clientv3.CreateRevision(l.key), "=", 0)).
			Then(clientv3.OpPut(l.key, string(value), clientv3.WithLease(l.lease))).
			Else(clientv3.OpGet(l.key)).Commit()
		switch {
		case err == nil && resp.Succeeded:
			l.made = resp.Header.Revision
			return nil, nil
		case err == nil:
			kvs := keyValues(resp)
			if len(kvs) == 0 {
				continue
			}
			if bytes.Equal(kvs[0].Value, value) { // it was done, and the answer lost
				l.made = kvs[0].CreateRevision
				return nil, nil
			}
			return kvs[0], nil
		}
		if err = l.b.failed("take a lock", err); permanent(err) || !pause(ctx) {
			return nil, err
		}
	}
}

// gone waits until the key is removed, or a while. A watch that etcd ended, because what it
// was to begin with is compacted or because etcd was restarted, ends the wait: who waits
// looks again.
func (l *lock) gone(ctx context.Context, revision int64) {
	client, err := l.b.kv()
	if err != nil {
		return
	}
	// Who dies while etcd cannot be reached is not seen to by the watch.
	ctx, stop := context.WithTimeoutCause(ctx, l.b.config.Location.Lease, errors.New("looking again"))
	defer stop()
	for events := range client.Watch(clientv3.WithRequireLeader(ctx), l.key, clientv3.WithRev(revision+1)) {
		if events.Err() != nil {
			pause(ctx)
			return
		}
		for _, e := range events.Events {
			if e.Type == clientv3.EventTypeDelete {
				return
			}
		}
	}
	pause(ctx)
}

// giveUp gives the lease back; if that cannot be said, it ends by itself.
func (l *lock) giveUp() {
	l.stop()
	client, err := l.b.kv()
	if err != nil {
		return
	}
	ctx, stop := context.WithTimeoutCause(l.b.base, min(l.b.slow, 3*time.Second), errors.New("giving a lock back"))
	defer stop()
	_, _ = client.Revoke(ctx, l.lease)
}

// Release implements store.Lock. With the lease goes the key.
func (l *lock) Release(bool) { l.giveUp() }

// Sweep implements store.Lock.
func (l *lock) Sweep(dir, file string) {
	_ = l.b.locked(func() error {
		l.b.copy.Sweep(dir, file)
		return nil
	})
}

// Replace implements store.Lock.
func (l *lock) Replace(p string, data []byte) error {
	return l.ReplaceAll(parent(p), store.File{Name: path.Base(p), Data: data})
}

// ReplaceAll implements store.Lock: all keys change at one revision.
func (l *lock) ReplaceAll(dir string, files ...store.File) error {
	if len(files) == 0 {
		return nil
	}
	revision, err := l.commit(path.Join(dir, files[0].Name), func() (change, error) { return l.sealed(dir, files) })
	if err != nil {
		return err
	}
	return l.b.changed(dir, files, revision)
}

// Found implements store.Lock: all keys of a machine are there at one revision.
func (l *lock) Found(dir string, files map[string][]byte) error {
	var all []store.File
	for _, name := range slices.Sorted(maps.Keys(files)) {
		all = append(all, store.File{Name: name, Data: files[name]})
	}
	return l.ReplaceAll(dir, all...)
}

// Remove implements store.Lock.
func (l *lock) Remove(p string) error {
	revision, err := l.commit(p, func() (change, error) { return change{ops: []clientv3.Op{clientv3.OpDelete(l.b.key(p))}}, nil })
	if err != nil {
		return err
	}
	return l.b.removed(p, revision)
}

// RemoveAll implements store.Lock, all in one step.
func (l *lock) RemoveAll(dir string, last ...string) error {
	_, err := l.commit("", func() (change, error) {
		return change{ops: []clientv3.Op{clientv3.OpDelete(l.b.key(dir)+"/", clientv3.WithPrefix())}}, nil
	})
	if err != nil {
		return err
	}
	return l.b.locked(func() error { return l.b.copy.RemoveAll(dir, last...) })
}

// change is one write to etcd.
type change struct {
	ops   []clientv3.Op
	value []byte         // of the key that tells whether it was done; nil: the key is removed
	also  []clientv3.Cmp // what must be true besides
}

// done tells whether a change without an answer was done, by the key that tells it, seen at a revision before. One that
// has the value already and was not written since is one of several, of which others are still to be written.
func (c change) done(there *mvccpb.KeyValue, seen int64) bool {
	if there == nil || c.value == nil {
		return there == nil && c.value == nil
	}
	return there.ModRevision != seen && bytes.Equal(there.Value, c.value)
}

// sealed is the change that writes files, encrypted where they are secrets. That the first has its new value tells that
// all have.
func (l *lock) sealed(dir string, files []store.File) (change, error) {
	c := change{}
	size := 0
	for i, f := range files {
		p := path.Join(dir, f.Name)
		value := append([]byte{}, f.Data...) // not nil
		if secret(p, f.Data) {
			team, recipients, err := l.b.recipients()
			if err != nil {
				return c, fmt.Errorf("encrypt %s: %w", p, err)
			}
			if value, err = seal(f.Data, recipients); err != nil {
				return c, err
			}
			c.also = append(c.also, clientv3.Compare(clientv3.ModRevision(l.b.key(recipientsFile)), "=", team.revision))
		}
		if size += len(value); size > maxValue {
			return c, fmt.Errorf("write %s: %d bytes are more than etcd takes at once", p, size)
		}
		if i == 0 {
			c.value = value
		}
		c.ops = append(c.ops, clientv3.OpPut(l.b.key(p), string(value)))
	}
	return c, nil
}

// commit does a change while the lock is held, and at no time else. A change without an answer is
// looked up before it is tried again: it is bound to the revision that the key was seen at, so that
// a late copy of it changes nothing. It returns the revision at which it was done. p is empty if
// more than one key is meant.
func (l *lock) commit(p string, prepare func() (change, error)) (int64, error) {
	client, err := l.b.kv()
	if err != nil {
		return 0, err
	}
	ctx, stop := l.b.within(l.b.base)
	defer stop()
	c, err := prepare()
	if err != nil {
		return 0, err
	}
	seen := l.b.revisions(parent(p)).Files[path.Base(p)]
	for {
		conditions := append([]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(l.key), "=", l.made)}, c.also...)
		look := []clientv3.Op{clientv3.OpGet(l.key, clientv3.WithKeysOnly())}
		if p != "" {
			conditions = append(conditions, clientv3.Compare(clientv3.ModRevision(l.b.key(p)), "=", seen))
			look = append(look, clientv3.OpGet(l.b.key(p)))
		}
		resp, err := client.Txn(ctx).If(conditions...).Then(c.ops...).Else(look...).Commit()
		if err != nil {
			if err = l.b.failed("write", err); permanent(err) || !pause(ctx) {
				return 0, err
			}
			continue
		}
		if resp.Succeeded {
			return resp.Header.Revision, nil
		}
		found := keyValues(resp)
		if len(found) == 0 || string(found[0].Key) != l.key || found[0].CreateRevision != l.made {
			return 0, l.lost()
		}
		var there *mvccpb.KeyValue
		if len(found) > 1 {
			there = found[1]
		}
		switch {
		case p != "" && c.done(there, seen):
			if there == nil {
				return resp.Header.Revision, nil // it is gone
			}
			return there.ModRevision, nil
		case there != nil && there.ModRevision != seen:
			seen = there.ModRevision
		case there == nil && seen != 0:
			seen = 0
		default: // the recipients changed
			if c, err = prepare(); err != nil {
				return 0, err
			}
		}
		if err := context.Cause(ctx); err != nil {
			return 0, l.b.failed("write", err)
		}
	}
}

// team is whom secrets are encrypted for.
type team struct {
	revision int64
	Keys     []Recipient `json:"recipients"`
	Pending  bool        `json:"pending,omitempty"` // not all secrets are encrypted for exactly these
}

func (b *Backend) recipients() (team, []age.Recipient, error) {
	t, err := b.readTeam()
	if err != nil {
		return t, nil, err
	}
	if len(t.Keys) == 0 {
		return t, nil, &store.HintError{
			Err:    store.ErrNoRecipients,
			Advice: "say whom secrets are encrypted for; yourself first: machine store recipients add",
		}
	}
	keys := make([]string, len(t.Keys))
	for i, r := range t.Keys {
		keys[i] = r.Key
	}
	recipients, err := parseRecipients(keys)
	return t, recipients, err
}
