package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

const idFile = "id"

// ID returns the store's identity, empty if nothing was ever written.
func (s *Store) ID() (string, error) {
	id, err := s.readID(time.Hour) // for good, once there is one
	if err == nil && id == "" {
		return s.readID(0)
	}
	return id, err
}

func (s *Store) readID(age time.Duration) (string, error) {
	if err := s.backend.Refresh(idFile, age); err != nil {
		return "", fmt.Errorf("read the store's id: %w", err)
	}
	data, err := readBounded(filepath.Join(s.root, idFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the store's id: %w", err)
	}
	id := strings.TrimSpace(string(data))
	if raw, err := hex.DecodeString(id); err != nil || len(raw) != 16 {
		return "", &HintError{
			Err:    fmt.Errorf("read the store's id: %w: %s is not 32 hexadecimal digits", ErrCorrupt, filepath.Join(s.root, idFile)),
			Advice: "put a backup of the file in its place; without one remove it, then what was made before is no longer known as this store's",
		}
	}
	return id, nil
}

// SharedTxn is the right to write what all machines share. Used after Close, the
// methods return ErrClosed. They may be called concurrently.
type SharedTxn struct {
	grip
	store *Store
}

// LockShared takes the lock of what all machines share (certs, id), waiting for
// other holders until ctx ends; then the error is a *LockedError with ctx's cause.
func (s *Store) LockShared(ctx context.Context, command string) (*SharedTxn, error) {
	lock, err := s.backend.Acquire(ctx, "shared", command, true)
	if err != nil {
		return nil, err
	}
	if err := s.backend.Refresh(certsDir, 0); err != nil {
		lock.Release(false)
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	lock.Sweep(certsDir, "")
	lock.Sweep("", idFile)
	return &SharedTxn{grip: grip{lock: lock}, store: s}, nil
}

// ReadCert reads a file of the certs folder; the error wraps fs.ErrNotExist.
func (t *SharedTxn) ReadCert(name string) (data []byte, err error) {
	if err := fileName(name); err != nil {
		return nil, err
	}
	err = t.do(func() error {
		data, err = os.ReadFile(filepath.Join(t.store.root, certsDir, name))
		return err
	})
	return data, err
}

// WriteCert replaces a file of the certs folder, mode 0600.
func (t *SharedTxn) WriteCert(name string, data []byte) error {
	if err := fileName(name); err != nil {
		return err
	}
	return t.do(func() error {
		return writeError("write "+name, t.lock.Replace(path.Join(certsDir, name), data))
	})
}

// WriteCerts replaces files of the certs folder that belong together, such as a key and its
// certificate, as Lock.ReplaceAll says it.
func (t *SharedTxn) WriteCerts(files ...File) error {
	for _, f := range files {
		if err := fileName(f.Name); err != nil {
			return err
		}
	}
	return t.do(func() error {
		return writeError("write "+fileNames(files), t.lock.ReplaceAll(certsDir, files...))
	})
}

// RemoveCert removes a file of the certs folder; absent is no error.
func (t *SharedTxn) RemoveCert(name string) error {
	if err := fileName(name); err != nil {
		return err
	}
	return t.do(func() error {
		return writeError("remove "+name, t.lock.Remove(path.Join(certsDir, name)))
	})
}

// EnsureID returns the store's identity and makes it if there is none: 128 random
// bits in hexadecimal.
func (t *SharedTxn) EnsureID() (id string, err error) {
	err = t.do(func() error {
		if id, err = t.store.ID(); err != nil || id != "" {
			return err
		}
		raw := make([]byte, 16)
		if _, err := rand.Read(raw); err != nil {
			return fmt.Errorf("make the store's id: %w", err)
		}
		id = hex.EncodeToString(raw)
		return writeError("write the store's id", t.lock.Replace(idFile, []byte(id+"\n")))
	})
	if err != nil {
		return "", err
	}
	return id, nil
}

// Close releases the lock. It may be called twice.
func (t *SharedTxn) Close() error {
	t.close(func() bool { return false })
	return nil
}
