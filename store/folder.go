package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Folder is a Backend that is a folder of this computer. Its locks are the kernel's.
type Folder struct {
	root  string
	swept sync.Once // of what killed commands left
}

// NewFolder returns the folder at root, which need not exist. It writes nothing.
func NewFolder(root string) *Folder {
	if abs, err := filepath.Abs(root); err == nil {
		root = abs
	}
	return &Folder{root: root}
}

// Dir returns the folder, absolute.
func (f *Folder) Dir() string { return f.root }

// Refresh does nothing: what is in the folder is the store.
func (f *Folder) Refresh(string, time.Duration) error { return nil }

// Acquire implements Backend.
func (f *Folder) Acquire(ctx context.Context, key, command string, wait bool) (Lock, error) {
	l, err := acquire(ctx, f.path("locks"), key, command, wait)
	if err != nil {
		return nil, err
	}
	f.swept.Do(f.sweepLeft)
	return folderLock{Folder: f, lock: l}, nil
}

// folderLock is a lock on files of a folder.
type folderLock struct {
	*Folder
	lock *lock
}

// Release implements Lock.
func (l folderLock) Release(gone bool) { l.lock.release(gone) }

func (f *Folder) path(path string) string { return filepath.Join(f.root, filepath.FromSlash(path)) }

// Replace makes data the content of a file, mode 0600, as Lock says it. Only the holder of the
// lock that covers the file may call it, as all that follows.
func (f *Folder) Replace(path string, data []byte) error {
	dir, file := filepath.Split(f.path(path))
	return replaceInDir(filepath.Clean(dir), File{file, data})
}

// ReplaceAll replaces files of one folder. All of them are written and on disk before the first takes its name.
func (f *Folder) ReplaceAll(dir string, files ...File) error {
	return replaceInDir(f.path(dir), files...)
}

func replaceInDir(dir string, files ...File) error {
	if err := makeDir(dir); err != nil {
		return err
	}
	return replaceFiles(dir, files...)
}

// Remove removes a file for good; absent is no error.
func (f *Folder) Remove(path string) error {
	return removeFile(filepath.Split(f.path(path)))
}

// Found makes a folder with files in it, in one step for readers.
func (f *Folder) Found(path string, files map[string][]byte) (err error) {
	dir := f.path(path)
	parent, name := filepath.Dir(dir), filepath.Base(dir)
	if err := makeDir(parent); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(parent, tmpPrefix+name+"-*") // mode 0700
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(tmp)
		}
	}()
	for name, data := range files {
		if err := replaceFiles(tmp, File{name, data}); err != nil {
			return err
		}
	}
	if err := rename(tmp, dir); err != nil {
		return err
	}
	return syncDir(parent)
}

// RemoveAll removes a folder with all that is in it.
func (f *Folder) RemoveAll(path string, last ...string) error {
	dir := f.path(path)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if slices.Contains(last, entry.Name()) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	// What is left goes out of sight in one step, so that no reader meets a folder
	// without a record.
	parent, name := filepath.Dir(dir), filepath.Base(dir)
	if tmp, err := os.MkdirTemp(parent, tmpPrefix+name+"-*"); err == nil {
		if rename(dir, filepath.Join(tmp, name)) == nil {
			err = syncDir(parent)
		}
		if err := errors.Join(err, os.RemoveAll(tmp)); err != nil {
			return err
		}
	}
	// Nothing to do, unless there was no space for the step or a file is open.
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return syncDir(parent)
}

// Sweep implements Lock.
func (f *Folder) Sweep(dir, file string) { sweep(f.path(dir), file) }
