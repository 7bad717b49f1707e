package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxCopied is the size up to which a file of the store is copied. Larger ones are disks and images of systems.
const maxCopied = 16 << 20

// copyTree copies a store's folder to one that does not exist, or is empty: complete, or not at all. Locks, logs and
// the cache are not copied, nor are files that are larger than maxCopied, which are returned.
func copyTree(ctx context.Context, from, to string) (left []string, err error) {
	if inside(from, to) {
		return nil, fmt.Errorf("%w: the folder is in the store itself", ErrUsage)
	}
	if entries, err := os.ReadDir(to); err == nil && len(entries) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrFileExists, to)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(to), ".tmp-"+filepath.Base(to)+"-*") // mode 0700
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	root := filepath.Join(tmp, "store")
	err = filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir() && slices.Contains([]string{"locks", "logs", "cache"}, rel), d.IsDir() && strings.HasPrefix(d.Name(), ".tmp-"):
			return filepath.SkipDir
		case d.IsDir():
			return os.Mkdir(filepath.Join(root, rel), 0o700)
		case d.Type()&fs.ModeSymlink != 0:
			return copyLink(path, filepath.Join(root, rel))
		case !d.Type().IsRegular():
			return nil // a socket of a running program
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Size() > maxCopied {
			left = append(left, path)
			return nil
		}
		return copyFile(path, filepath.Join(root, rel), info.Mode().Perm())
	})
	if err != nil {
		return nil, err
	}
	_ = os.Remove(to) // it may be there and empty
	return left, os.Rename(root, to)
}

// inside tells whether path is root or below it.
func inside(root, path string) bool {
	rel, err := filepath.Rel(root, path)
	return err == nil && (rel == "." || rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)))
}

func copyLink(from, to string) error {
	target, err := os.Readlink(from)
	if err != nil {
		return err
	}
	return os.Symlink(target, to)
}

func copyFile(from, to string, mode fs.FileMode) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Sync()
}
