package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// grip is a lock in the hand of a transaction. Its zero value is closed.
type grip struct {
	mu   sync.Mutex
	lock *lock
}

// do runs fn while the lock is held, and nothing else of the transaction.
func (g *grip) do(fn func() error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.lock == nil {
		return ErrClosed
	}
	return fn()
}

// close gives the lock back, once.
func (g *grip) close(remove func() bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.lock != nil {
		g.lock.release(remove())
		g.lock = nil
	}
}

// Txn is the right to write a machine. Close releases it; used after that, the
// methods return ErrClosed. They may be called concurrently.
type Txn struct {
	Name string

	grip
	store   *Store
	dir     string
	current bool // the record on disk is of our schema
}

// Lock takes the lock of a machine, which need not exist, and makes the store's
// folders if need be. It does not wait: if another command holds the lock the
// error wraps ErrLocked and says which command, process and since when (it is a
// *LockedError). A name that differs only by case from that of another machine
// is refused with ErrExist. command is this command's name, told to others that
// meet the lock.
func (s *Store) Lock(ctx context.Context, name, command string) (*Txn, error) {
	if err := usableName(name); err != nil {
		return nil, err
	}
	dir := s.MachineDir(name)
	if !isDir(dir) {
		if err := ValidName(name); err != nil {
			return nil, err
		}
	}
	if err := makeDir(s.machinesDir()); err != nil {
		return nil, writeError("make the folder of machines", err)
	}
	lock, err := s.acquire(ctx, "machine-"+fold(name), command, false)
	if err != nil {
		return nil, err
	}
	t := &Txn{Name: name, grip: grip{lock: lock}, store: s, dir: dir}
	if err := onlyCase(s.machinesDir(), name); err != nil {
		_ = t.Close()
		return nil, err
	}
	sweep(dir, "")
	sweep(s.machinesDir(), name)
	return t, nil
}

// onlyCase returns ErrExist if dir has no entry called name but one that is the
// same where case does not count.
func onlyCase(dir, name string) error {
	names, err := entryNames(dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", dir, err)
	}
	other := ""
	for _, there := range names {
		if there == name {
			return nil
		}
		if strings.EqualFold(there, name) {
			other = there
		}
	}
	if other == "" {
		return nil
	}
	return &HintError{
		Err:    fmt.Errorf("%w: %q is %q but for case", ErrExist, name, other),
		Advice: fmt.Sprintf("say %q if you mean that one, or take another name", other),
	}
}

// Get returns the record as it is on disk now; ErrNotExist if there is none.
// Otherwise as Store.Get.
func (t *Txn) Get() (r Record, err error) {
	err = t.do(func() error {
		r, err = t.store.Get(t.Name)
		return err
	})
	return r, err
}

// Put makes the record durable. The first write over an older schema keeps the
// old file as config.json.bak, and so does a write over a file that cannot be
// read; one by a newer version of the program is refused with ErrFuture. Name and
// ConfigVersion are set here. A new machine's folder appears with its record in it.
func (t *Txn) Put(r Record) error {
	r.Name, r.ConfigVersion = t.Name, Version
	data, err := encode(r)
	if err != nil {
		return fmt.Errorf("encode record of %q: %w", t.Name, err)
	}
	return t.do(func() error {
		if !isDir(t.dir) {
			if err := t.found(data); err != nil {
				return writeError("make the folder of "+t.Name, err)
			}
			t.current = true
			return nil
		}
		if !t.current {
			if err := t.backup(); err != nil {
				return err
			}
		}
		if err := replaceFile(t.dir, recordFile, data); err != nil {
			return t.failed(recordFile, err)
		}
		t.current = true
		return nil
	})
}

// found makes the machine's folder with the record in it, in one step for readers.
func (t *Txn) found(data []byte) (err error) {
	parent := t.store.machinesDir()
	tmp, err := os.MkdirTemp(parent, tmpPrefix+t.Name+"-*") // mode 0700
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(tmp)
		}
	}()
	if err := replaceFile(tmp, recordFile, data); err != nil {
		return err
	}
	if err := rename(tmp, t.dir); err != nil {
		return err
	}
	return syncDir(parent)
}

// backup keeps a record that Put is about to replace by one of our schema.
func (t *Txn) backup() error {
	old, err := readBounded(filepath.Join(t.dir, recordFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s of %q: %w: %w", recordFile, t.Name, ErrCorrupt, err)
	}
	version, err := versionOf(old)
	switch {
	case err == nil && version == Version:
		return nil
	case err == nil && version > Version:
		return fmt.Errorf("write %s of %q: %w", recordFile, t.Name, future(version, Version))
	}
	if err := replaceFile(t.dir, backupFile, old); err != nil {
		return t.failed(backupFile, err)
	}
	return nil
}

// PutSecrets stores secrets (0600); nil removes them.
func (t *Txn) PutSecrets(secrets json.RawMessage) error {
	if secrets != nil && !json.Valid(secrets) {
		return fmt.Errorf("write %s of %q: it is not JSON", secretsFile, t.Name)
	}
	return t.do(func() error {
		if secrets == nil {
			return t.failed(secretsFile, removeFile(t.dir, secretsFile))
		}
		return t.write(secretsFile, secrets)
	})
}

// ReadFile reads a file of the machine's folder; the error wraps fs.ErrNotExist.
func (t *Txn) ReadFile(name string) (data []byte, err error) {
	if err := fileName(name); err != nil {
		return nil, err
	}
	err = t.do(func() error {
		data, err = os.ReadFile(filepath.Join(t.dir, name))
		return err
	})
	return data, err
}

// WriteFile replaces a file of the machine's folder, mode 0600. The record and the
// secrets have methods of their own. Until the first Put, a list shows the folder
// as a machine without record: put first.
func (t *Txn) WriteFile(name string, data []byte) error {
	if err := ownFile(name); err != nil {
		return err
	}
	return t.do(func() error { return t.write(name, data) })
}

// RemoveFile removes a file of the machine's folder; absent is no error.
func (t *Txn) RemoveFile(name string) error {
	if err := ownFile(name); err != nil {
		return err
	}
	return t.do(func() error { return t.failed(name, removeFile(t.dir, name)) })
}

// ownFile returns why name cannot be a file that others than the store keep.
func ownFile(name string) error {
	if err := fileName(name); err != nil {
		return err
	}
	switch fold(name) {
	case recordFile, backupFile, secretsFile:
		return fmt.Errorf("%w of a file: %q is the store's", ErrName, name)
	}
	return nil
}

func (t *Txn) write(name string, data []byte) error {
	if err := makeDir(t.dir); err != nil {
		return t.failed(name, err)
	}
	return t.failed(name, replaceFile(t.dir, name, data))
}

func (t *Txn) failed(name string, err error) error {
	return writeError("write "+name+" of "+t.Name, err)
}

// Delete removes the machine's folder as a whole, the record and the secrets last:
// until then, the machine is there and can be removed again. It needs no record;
// absent is no error.
func (t *Txn) Delete() error {
	return t.do(func() error {
		if err := t.delete(); err != nil {
			return writeError("remove the folder of "+t.Name, err)
		}
		t.current = false
		return nil
	})
}

func (t *Txn) delete() error {
	entries, err := os.ReadDir(t.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.Name() == recordFile || entry.Name() == secretsFile {
			continue
		}
		if err := os.RemoveAll(filepath.Join(t.dir, entry.Name())); err != nil {
			return err
		}
	}
	// What is left goes out of sight in one step, so that no reader meets a folder
	// without a record.
	parent := t.store.machinesDir()
	if tmp, err := os.MkdirTemp(parent, tmpPrefix+t.Name+"-*"); err == nil {
		if rename(t.dir, filepath.Join(tmp, t.Name)) == nil {
			err = syncDir(parent)
		}
		if err := errors.Join(err, os.RemoveAll(tmp)); err != nil {
			return err
		}
	}
	// Nothing to do, unless there was no space for the step or a file is open.
	if err := os.RemoveAll(t.dir); err != nil {
		return err
	}
	return syncDir(parent)
}

// Close releases the lock. It may be called twice.
func (t *Txn) Close() error {
	t.close(func() bool { return !isDir(t.dir) })
	return nil
}
