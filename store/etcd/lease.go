package etcd

import (
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hostsmith/machine/store"
)

// attend takes the answers by which the lease is kept. Should they end before the lock is given
// back, etcd is asked whether it is held still, as it can be after a restart. If it is not, or
// nobody answers, the command is told that it may not be alone any more.
func (l *lock) attend() {
	for {
		for range l.answers { //nolint:revive // they have to be taken
		}
		held := l.isHeld()
		if l.over() {
			return
		}
		if held {
			var err error
			l.answers, err = l.client.KeepAlive(l.alive, l.lease)
			held = err == nil
		}
		if !held {
			if l.b.config.Lost != nil {
				l.b.config.Lost(l.lost())
			}
			return
		}
		if !pause(l.alive) {
			return
		}
	}
}

// over tells whether nobody wants the lock any more.
func (l *lock) over() bool { return l.alive.Err() != nil || l.client.Ctx().Err() != nil }

// isHeld asks whether the lock's key is there as it was made.
func (l *lock) isHeld() bool {
	ctx, stop := l.b.within(l.alive)
	defer stop()
	for {
		got, err := l.client.Get(ctx, l.key, clientv3.WithKeysOnly())
		if err == nil {
			return len(got.Kvs) > 0 && got.Kvs[0].CreateRevision == l.made
		}
		if permanent(l.b.failed("ask for a lock", err)) || l.over() || !pause(ctx) {
			return false
		}
	}
}

func (l *lock) lost() error {
	return &store.HintError{
		Err: fmt.Errorf("%w: nothing was heard of this command for more than %v, so that others may go on; nothing is written any more",
			store.ErrLockLost, l.b.config.Location.Lease),
		Advice: "see what the others did, with machine ls, then run the command again: it goes on from what is recorded",
	}
}
