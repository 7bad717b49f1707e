package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Previous is how a machine is recorded, and how it was before this program changed it.
type Previous struct {
	Version int    // ConfigVersion of the record
	Backup  int    // ConfigVersion of the backup that Restore puts back; -1: there is none
	File    string // name of the backup
	Same    bool   // the backup is what the record is: somebody began to go back
}

// Previous returns what schema a machine's record has, and which backup of an older schema
// there is. It wraps ErrNotExist, ErrCorrupt or ErrName; of a corrupt record the backup is
// told all the same.
func (s *Store) Previous(name string) (Previous, error) {
	if _, err := s.Get(name); errors.Is(err, ErrNotExist) || errors.Is(err, ErrName) {
		return Previous{Backup: -1}, err
	}
	p := Previous{Backup: -1}
	for _, file := range backups(s.MachineDir(name)) {
		if v, err := s.versionIn(name, file); err == nil && v < Version && v > p.Backup {
			p.Backup, p.File = v, file
		}
	}
	var err error
	if p.Version, err = s.versionIn(name, recordFile); err == nil && p.Backup >= 0 {
		now, nerr := readBounded(filepath.Join(s.MachineDir(name), recordFile))
		was, werr := readBounded(filepath.Join(s.MachineDir(name), p.File))
		p.Same = nerr == nil && werr == nil && bytes.Equal(now, was)
	}
	return p, err
}

// versionIn returns the schema of a record in a file of a machine's folder.
func (s *Store) versionIn(name, file string) (int, error) {
	data, err := readBounded(filepath.Join(s.MachineDir(name), file))
	if err != nil {
		return 0, fmt.Errorf("read %s of %q: %w: %w", file, name, ErrCorrupt, err)
	}
	if _, err := decode(name, data, func(string) bool { return false }); err != nil {
		return 0, fmt.Errorf("read %s of %q: %w", file, name, err)
	}
	return versionOf(data)
}

// backups returns the names of a machine's backups: config.json.bak, and those of before it
// as config.json.bak.1 and so on, the oldest first.
func backups(dir string) []string {
	var names []string
	for n := range maxBackups {
		name := backupName(n)
		there := isFile(filepath.Join(dir, name))
		if there {
			names = append(names, name)
		}
		if n > 0 && !there {
			break
		}
	}
	return names
}

// maxBackups bounds the number of backups: each is of a file that somebody else wrote.
const maxBackups = 100

// backupName returns the name of the n-th backup; 0 is the newest, the others are oldest first.
func backupName(n int) string {
	if n == 0 {
		return backupFile
	}
	return backupFile + "." + strconv.Itoa(n)
}

// isBackup tells whether a file's name, in lower case, is that of a backup.
func isBackup(name string) bool { return strings.HasPrefix(name, backupFile) }

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// keep makes data the newest backup. One that was there, of docker-machine perhaps, stays
// under another name. The same again changes nothing.
func (t *Txn) keep(data []byte) error {
	old, err := readBounded(filepath.Join(t.dir, backupFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err == nil && string(old) == string(data):
		return nil
	case err != nil:
		return t.failed(backupFile, err)
	default:
		n := 1
		for n < maxBackups-1 && isFile(filepath.Join(t.dir, backupName(n))) {
			n++
		}
		if err := t.lock.Replace(machinePath(t.Name, backupName(n)), old); err != nil {
			return t.failed(backupName(n), err)
		}
	}
	return t.failed(backupFile, t.lock.Replace(machinePath(t.Name, backupFile), data))
}

// Restore puts the backup of the newest older schema back, byte for byte, for docker-machine
// to go on with. The backup stays, and so do secrets; see PutSecrets and DropBackup. Without
// one the error wraps ErrNoBackup.
func (t *Txn) Restore() error {
	p, err := t.store.Previous(t.Name)
	if err != nil && !errors.Is(err, ErrCorrupt) {
		return err
	}
	if p.Backup < 0 {
		return fmt.Errorf("restore %s of %q: %w", recordFile, t.Name, ErrNoBackup)
	}
	data, err := readBounded(filepath.Join(t.dir, p.File))
	if err != nil {
		return t.failed(recordFile, err)
	}
	return t.do(func() error {
		t.current = false
		return t.failed(recordFile, t.lock.Replace(machinePath(t.Name, recordFile), data))
	})
}

// DropBackups removes all backups, of whatever is in them; none is no error. There is no way back then.
func (t *Txn) DropBackups() error {
	return t.do(func() error {
		left := backups(t.dir)
		slices.Reverse(left) // without a gap between those that are left
		for _, name := range left {
			if err := t.lock.Remove(machinePath(t.Name, name)); err != nil {
				return t.failed(name, err)
			}
		}
		return nil
	})
}

// DropBackup removes the backup that Restore would put back; none is no error. The one
// before it, if there is one, takes its place.
func (t *Txn) DropBackup() error {
	p, err := t.store.Previous(t.Name)
	if err != nil && !errors.Is(err, ErrCorrupt) || p.Backup < 0 {
		return err
	}
	return t.do(func() error {
		if err := t.lock.Remove(machinePath(t.Name, p.File)); err != nil {
			return t.failed(p.File, err)
		}
		left := backups(t.dir)
		if p.File != backupFile || len(left) == 0 {
			return nil
		}
		last := left[len(left)-1]
		data, err := readBounded(filepath.Join(t.dir, last))
		if err == nil {
			err = t.lock.Replace(machinePath(t.Name, backupFile), data)
		}
		if err == nil {
			err = t.lock.Remove(machinePath(t.Name, last))
		}
		return t.failed(last, err)
	})
}
