package lifecycle

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
)

// ErrFileExists: a file is not overwritten without being told to.
var ErrFileExists = errors.New("file exists")

// backupFile is written beside its place and moved there when it is whole.
type backupFile struct {
	path string   // empty: to a stream
	file *os.File // nil: to a stream, or it is done with
	out  io.Writer
	sum  hash.Hash
	n    int64
}

// newBackupFile opens a file at path, or takes out for "-".
func newBackupFile(path string, out io.Writer, overwrite bool) (*backupFile, error) {
	b := &backupFile{sum: sha256.New(), out: out}
	if path == "-" {
		return b, nil
	}
	if _, err := os.Lstat(path); err == nil && !overwrite {
		return nil, fmt.Errorf("%w: %s", ErrFileExists, path)
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".machine-backup-*") // readable for its owner alone
	if err != nil {
		return nil, fmt.Errorf("write backup: %w", err)
	}
	b.path, b.file, b.out = path, file, file
	return b, nil
}

func (b *backupFile) Write(p []byte) (int, error) {
	n, err := b.out.Write(p)
	b.sum.Write(p[:n])
	b.n += int64(n)
	return n, err
}

// finish makes the file durable, reads it again and puts it in its place.
func (b *backupFile) finish() (int64, string, error) {
	want := hex.EncodeToString(b.sum.Sum(nil))
	if b.file == nil {
		return b.n, want, nil
	}
	if err := b.file.Sync(); err != nil {
		return 0, "", fmt.Errorf("write backup: %w", err)
	}
	again := sha256.New()
	_, err := b.file.Seek(0, io.SeekStart)
	if err == nil {
		_, err = io.Copy(again, b.file)
	}
	if err == nil && hex.EncodeToString(again.Sum(nil)) != want {
		err = errors.New("what was read is not what was written")
	}
	if err != nil {
		return 0, "", fmt.Errorf("verify backup: %w", err)
	}
	name := b.file.Name()
	if err := b.file.Close(); err != nil {
		return 0, "", fmt.Errorf("write backup: %w", err)
	}
	b.file = nil
	if err := os.Rename(name, b.path); err != nil {
		return 0, "", errors.Join(fmt.Errorf("write backup: %w", err), os.Remove(name))
	}
	return b.n, want, nil
}

// discard removes a file that did not get to its end.
func (b *backupFile) discard() error {
	if b.file == nil {
		return nil
	}
	err := errors.Join(b.file.Close(), os.Remove(b.file.Name()))
	b.file = nil
	return err
}
