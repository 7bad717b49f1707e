package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// tmpPrefix begins the names of files and folders that are not finished. Readers
// do not see them; who takes the lock of their owner removes them.
const tmpPrefix = ".tmp-"

// replaceFiles makes data the content of files in dir, or changes nothing: readers see
// the old file or the new one, and after a crash one of the two is there. Several files
// are all on disk before the first takes its name, so that a reader of two of them meets
// a new one beside an old one for the moment between two renames only. dir must exist.
// Only the holder of the lock that covers the files may call it.
func replaceFiles(dir string, files ...File) (err error) {
	var staged []string // what has not taken its name
	defer func() {
		for _, tmp := range staged {
			_ = os.Remove(tmp)
		}
	}()
	for _, f := range files {
		tmp, err := stage(dir, f)
		if err != nil {
			return err
		}
		staged = append(staged, tmp)
	}
	for _, f := range files {
		if err := rename(staged[0], filepath.Join(dir, f.Name)); err != nil {
			return err
		}
		staged = staged[1:]
	}
	return syncDir(dir)
}

// stage writes a file beside its place and returns its path.
func stage(dir string, f File) (_ string, err error) {
	tmp, err := os.CreateTemp(dir, tmpPrefix+f.Name+"-*") // mode 0600
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			_ = tmp.Close()
			_ = os.Remove(tmp.Name())
		}
	}()
	if _, err := tmp.Write(f.Data); err != nil {
		return "", err
	}
	// The content must be on disk before the name is: a rename that survives a
	// power cut over data that does not is an empty file.
	if err := tmp.Sync(); err != nil {
		return "", err
	}
	// Windows does not rename an open file.
	return tmp.Name(), tmp.Close()
}

// removeFile removes dir/name for good; absent is no error.
func removeFile(dir, name string) error {
	err := os.Remove(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(dir)
}

// makeDir makes a folder that outlives a crash, and those above it.
func makeDir(path string) error {
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, fs.ErrNotExist) && filepath.Dir(path) != path {
		if err := makeDir(filepath.Dir(path)); err != nil {
			return err
		}
		err = os.Mkdir(path, 0o700)
	}
	switch {
	case err == nil:
		return syncDir(filepath.Dir(path))
	case isDir(path): // a read-only file system does not always say that it exists
		return nil
	default:
		return err
	}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// entryNames returns the names of all that is in a folder, in no order.
func entryNames(dir string) ([]string, error) {
	folder, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = folder.Close() }()
	return folder.Readdirnames(-1)
}

// sweep removes what killed writers left of name in dir; an empty name stands for
// all names. What cannot be removed stays: it is in nobody's way.
func sweep(dir, name string) {
	files, err := entryNames(dir)
	if err != nil {
		return
	}
	for _, file := range files {
		if isTemp(file, name) {
			_ = os.RemoveAll(filepath.Join(dir, file))
		}
	}
}

// isTemp tells whether file is an unfinished one of name, or of any name if that is
// empty. Names hold hyphens and digits, so only the whole rest decides.
func isTemp(file, name string) bool {
	rest, ok := strings.CutPrefix(file, tmpPrefix)
	if !ok || name == "" {
		return ok
	}
	rest, ok = strings.CutPrefix(rest, name+"-")
	return ok && rest != "" && strings.Trim(rest, "0123456789") == ""
}
