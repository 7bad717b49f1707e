package lifecycle

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

var (
	// ErrFileExists: a file is not overwritten without being told to.
	ErrFileExists = errors.New("file exists")

	// ErrNoFolder: folders for what is written are not made.
	ErrNoFolder = errors.New("its folder does not exist")
)

// outFile is a file for the user that is written beside its place and moved there when it is whole.
type outFile struct {
	path string   // empty: to a stream
	file *os.File // nil: to a stream, or it is done with
	out  io.Writer
	sum  hash.Hash
	n    int64
}

// newOutFile opens a file at path, or takes out for "-".
func newOutFile(path string, out io.Writer, overwrite bool) (*outFile, error) {
	f := &outFile{sum: sha256.New(), out: out}
	if path == "-" {
		return f, nil
	}
	if _, err := os.Lstat(path); err == nil && !overwrite {
		return nil, fmt.Errorf("%w: %s", ErrFileExists, path)
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".machine-*") // readable for its owner alone
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrNoFolder
	}
	if err != nil {
		return nil, fileError("write", path, err)
	}
	f.path, f.file, f.out = path, file, file
	return f, nil
}

func (f *outFile) Write(p []byte) (int, error) {
	n, err := f.out.Write(p)
	f.sum.Write(p[:n])
	f.n += int64(n)
	if err != nil && f.file != nil {
		err = fileError("write", f.path, err)
	}
	return n, err
}

// finish makes the file durable, reads it again and puts it in its place.
func (f *outFile) finish() (int64, string, error) {
	want := hex.EncodeToString(f.sum.Sum(nil))
	if f.file == nil {
		return f.n, want, nil
	}
	if err := f.file.Sync(); err != nil {
		return 0, "", fileError("write", f.path, err)
	}
	again := sha256.New()
	_, err := f.file.Seek(0, io.SeekStart)
	if err == nil {
		_, err = io.Copy(again, f.file)
	}
	if err == nil && hex.EncodeToString(again.Sum(nil)) != want {
		err = errors.New("what was read is not what was written")
	}
	if err != nil {
		return 0, "", fileError("verify", f.path, err)
	}
	name := f.file.Name()
	if err := f.file.Close(); err != nil {
		return 0, "", fileError("write", f.path, err)
	}
	f.file = nil
	if err := os.Rename(name, f.path); err != nil {
		return 0, "", errors.Join(fileError("write", f.path, err), os.Remove(name))
	}
	return f.n, want, nil
}

// discard removes a file that did not get to its end.
func (f *outFile) discard() error {
	if f.file == nil {
		return nil
	}
	err := errors.Join(f.file.Close(), os.Remove(f.file.Name()))
	f.file = nil
	return err
}

// fileError names the file that the user knows, rather than the one beside it that is written first.
func fileError(verb, path string, err error) error {
	var at *fs.PathError
	var between *os.LinkError
	switch {
	case errors.As(err, &at):
		err = at.Err
	case errors.As(err, &between):
		err = between.Err
	}
	return fmt.Errorf("%s %s: %w", verb, path, err)
}
