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
	lock Lock
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
		g.lock.Release(remove())
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
	lock, err := s.backend.Acquire(ctx, "machine-"+fold(name), command, false)
	if err != nil {
		return nil, err
	}
	t := &Txn{Name: name, grip: grip{lock: lock}, store: s, dir: dir}
	if err := s.prepareMachine(name); err != nil {
		_ = t.Close()
		return nil, err
	}
	lock.Sweep(machinePath(name), "")
	lock.Sweep(machinesDir, name)
	return t, nil
}

// prepareMachine makes the folder of machines and sees that a name is not that of another but
// for case. The lock is held.
func (s *Store) prepareMachine(name string) error {
	if err := makeDir(s.machinesDir()); err != nil {
		return writeError("make the folder of machines", err)
	}
	// A machine that cannot be read can be removed; Get says why nothing else can be done with it.
	if err := s.backend.Refresh(machinePath(name), 0); err != nil && !errors.As(err, new(*UnreadError)) {
		return fmt.Errorf("read the folder of %q: %w", name, err)
	}
	if isDir(s.MachineDir(name)) {
		return nil
	}
	if _, err := s.refreshMachines(); err != nil {
		return err
	}
	return onlyCase(s.machinesDir(), name)
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
			if err := t.lock.Found(machinePath(t.Name), map[string][]byte{recordFile: data}); err != nil {
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
		if err := t.lock.Replace(machinePath(t.Name, recordFile), data); err != nil {
			return t.failed(recordFile, err)
		}
		t.current = true
		return nil
	})
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
	return t.keep(old)
}

// PutSecrets stores secrets (0600); nil removes them.
func (t *Txn) PutSecrets(secrets json.RawMessage) error {
	if secrets != nil && !json.Valid(secrets) {
		return fmt.Errorf("write %s of %q: it is not JSON", secretsFile, t.Name)
	}
	return t.do(func() error {
		if secrets == nil {
			return t.failed(secretsFile, t.lock.Remove(machinePath(t.Name, secretsFile)))
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

// WriteFiles replaces files of the machine's folder that belong together, such as a key and its
// certificate, as Lock.ReplaceAll says it. Otherwise as WriteFile.
func (t *Txn) WriteFiles(files ...File) error {
	for _, f := range files {
		if err := ownFile(f.Name); err != nil {
			return err
		}
	}
	return t.do(func() error { return t.failed(fileNames(files), t.lock.ReplaceAll(machinePath(t.Name), files...)) })
}

// fileNames names files in an error.
func fileNames(files []File) string {
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = f.Name
	}
	return strings.Join(names, " and ")
}

// RemoveFile removes a file of the machine's folder; absent is no error.
func (t *Txn) RemoveFile(name string) error {
	if err := ownFile(name); err != nil {
		return err
	}
	return t.do(func() error { return t.failed(name, t.lock.Remove(machinePath(t.Name, name))) })
}

// ownFile returns why name cannot be a file that others than the store keep.
func ownFile(name string) error {
	if err := fileName(name); err != nil {
		return err
	}
	if folded := fold(name); folded == recordFile || folded == secretsFile || isBackup(folded) {
		return fmt.Errorf("%w of a file: %q is the store's", ErrName, name)
	}
	return nil
}

func (t *Txn) write(name string, data []byte) error {
	return t.failed(name, t.lock.Replace(machinePath(t.Name, name), data))
}

func (t *Txn) failed(name string, err error) error {
	return writeError("write "+name+" of "+t.Name, err)
}

// Delete removes the machine's folder as a whole, the record and the secrets last:
// until then, the machine is there and can be removed again. It needs no record;
// absent is no error.
func (t *Txn) Delete() error {
	return t.do(func() error {
		if err := t.lock.RemoveAll(machinePath(t.Name), recordFile, secretsFile); err != nil {
			return writeError("remove the folder of "+t.Name, err)
		}
		t.current = false
		return nil
	})
}

// Close releases the lock. It may be called twice.
func (t *Txn) Close() error {
	t.close(func() bool { return !isDir(t.dir) })
	return nil
}
