package lifecycle

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/hostsmith/machine/store"
)

// The rights to write the store, as the use cases need them. They are the store's own; that they
// are interfaces lets a test end a command between any two writes, as kill -9 does.
type (
	machineTxn interface {
		Get() (store.Record, error)
		Put(store.Record) error
		Import(r store.Record, secrets json.RawMessage, files map[string][]byte) error
		PutSecrets(json.RawMessage) error
		ReadFile(name string) ([]byte, error)
		WriteFile(name string, data []byte) error
		WriteFiles(files ...store.File) error
		RemoveFile(name string) error
		Restore() error
		DropBackup() error
		DropBackups() error
		Delete() error
		Close() error
	}
	clusterTxn interface {
		Get() (store.Cluster, error)
		Put(store.Cluster) error
		Delete() error
		Close() error
	}
	sharedTxn interface {
		certFolder
		EnsureID() (string, error)
		Close() error
	}
)

// locks give these rights.
type locks interface {
	machine(ctx context.Context, name string) (machineTxn, error)
	cluster(ctx context.Context, name string) (clusterTxn, error)
	shared(ctx context.Context) (sharedTxn, error)
}

func (m *Manager) locks() locks {
	if m.testLocks != nil {
		return m.testLocks
	}
	return storeLocks{m.Store, m.Command}
}

// withTxn calls fn while a machine is locked, of which there need be no record.
func (m *Manager) withTxn(ctx context.Context, name string, fn func(machineTxn) error) (err error) {
	txn, err := m.locks().machine(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, txn.Close()) }()
	return fn(txn)
}

// withRecord calls fn while a machine is locked, with its record and without its driver: for work that its driver need not,
// or cannot yet, be opened for. See withLock for all else.
func (m *Manager) withRecord(ctx context.Context, name string, fn func(*machine) error) error {
	return m.withTxn(ctx, name, func(txn machineTxn) error {
		rec, err := txn.Get()
		if err != nil {
			return err
		}
		return fn(&machine{m: m, txn: txn, rec: rec})
	})
}

type storeLocks struct {
	store   *store.Store
	command string
}

func (l storeLocks) machine(ctx context.Context, name string) (machineTxn, error) {
	txn, err := l.store.Lock(ctx, name, l.command)
	if err != nil {
		return nil, err // not a nil pointer in an interface
	}
	return txn, nil
}

func (l storeLocks) cluster(ctx context.Context, name string) (clusterTxn, error) {
	txn, err := l.store.LockCluster(ctx, name, l.command)
	if err != nil {
		return nil, err
	}
	return txn, nil
}

func (l storeLocks) shared(ctx context.Context) (sharedTxn, error) {
	txn, err := l.store.LockShared(ctx, l.command)
	if err != nil {
		return nil, err
	}
	return txn, nil
}
