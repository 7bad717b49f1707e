// Package store keeps the records of machines and swarms on disk.
//
//	<root>/
//	  certs/ca.pem ca-key.pem cert.pem key.pem
//	  machines/<name>/config.json ...
//	  swarms/<name>.json
//	  locks/
//	  id
//
// Reading needs no lock and writes nothing. Writing needs a transaction, and
// the only way to one is a lock. A file is replaced as a whole: written beside
// its place, synced, renamed, and its folder synced. The store may be moved: a
// record holds no absolute path. It knows nothing of drivers, SSH, certificates
// or swarms: what they store is opaque here.
package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fvbommel/sortorder/casefolded"
)

const (
	recordFile  = "config.json"
	backupFile  = "config.json.bak"
	secretsFile = "secrets.json"

	machinesDir = "machines"
	certsDir    = "certs"
)

// Store is a folder of records. Its methods may be called concurrently, and several
// processes may work on one folder.
type Store struct {
	root    string
	backend Backend
}

// Open returns the store at root, which need not exist. It writes nothing.
func Open(root string) *Store { return OpenBackend(NewFolder(root)) }

// OpenBackend returns the store that is kept by a backend.
func OpenBackend(b Backend) *Store { return &Store{root: b.Dir(), backend: b} }

// Shared tells whether the store is one that several computers share.
func (s *Store) Shared() bool {
	_, folder := s.backend.(*Folder)
	return !folder
}

// CanSeal returns why the user can keep no secrets in the store: of a shared one, because there
// is nobody to encrypt for or because the authority is encrypted for others.
func (s *Store) CanSeal() error {
	sealer, ok := s.backend.(Sealer)
	if !ok {
		return nil
	}
	if err := sealer.CanSeal(); err != nil {
		return err
	}
	return s.backend.Refresh(certsDir, 0)
}

// Root returns the store's folder on this computer, absolute.
func (s *Store) Root() string { return s.root }

// MachineDir returns the folder of a machine, absolute; it need not exist. name
// must be one that Get takes. What is in it is as of the last Get, List or Lock.
func (s *Store) MachineDir(name string) string { return filepath.Join(s.machinesDir(), name) }

// CacheDir returns the folder of what can be had again, such as images of
// systems. It may not exist.
func (s *Store) CacheDir() string { return filepath.Join(s.root, "cache") }

// CertsDir returns the folder of the authority and the client pair. What cannot be brought
// up to date is as it was: who is to write it meets the reason at the lock.
func (s *Store) CertsDir() string {
	_ = s.backend.Refresh(certsDir, recent)
	return filepath.Join(s.root, certsDir)
}

func (s *Store) machinesDir() string { return filepath.Join(s.root, machinesDir) }

// Entry is a machine as a list shows it: a record, or why it cannot be read. Of a machine whose
// record alone can be read there are both.
type Entry struct {
	Name   string
	Record Record
	Err    error
}

// Names returns the names of all machines in natural order, case folded: the
// folders under machines/ that are not hidden, whatever is in them.
func (s *Store) Names() ([]string, error) {
	names, _, err := s.names()
	return names, err
}

// refreshMachines brings all machines up to date, and returns of which files that could not be done.
func (s *Store) refreshMachines() (*UnreadError, error) {
	err := s.backend.Refresh(machinesDir, 0)
	unread := &UnreadError{}
	if err == nil || errors.As(err, &unread) {
		return unread, nil
	}
	return nil, fmt.Errorf("list machines: %w", err)
}

// names is Names, and says what of the machines cannot be read.
func (s *Store) names() ([]string, *UnreadError, error) {
	unread, err := s.refreshMachines()
	if err != nil {
		return nil, nil, err
	}
	names, err := s.folders()
	return names, unread, err
}

// folders are the machines of the folder as it is.
func (s *Store) folders() ([]string, error) {
	folder, err := os.Open(s.machinesDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list machines: %w", err)
	}
	defer func() { _ = folder.Close() }()
	entries, err := folder.ReadDir(-1) // os.ReadDir would sort them in another order
	if err != nil {
		return nil, fmt.Errorf("list machines: %w", err)
	}
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		if entry.IsDir() && !strings.HasPrefix(entry.Name(), ".") {
			names = append(names, entry.Name())
		}
	}
	slices.SortFunc(names, naturally)
	return names, nil
}

// naturally puts m2 before m10 and does not care for case, unless nothing else differs.
func naturally(a, b string) int {
	switch {
	case casefolded.NaturalLess(a, b):
		return -1
	case casefolded.NaturalLess(b, a):
		return 1
	default:
		return strings.Compare(a, b)
	}
}

// List returns all machines in the order of Names. A record that cannot be read
// is an Entry with Err; the error is for the store as a whole. A machine that is
// removed meanwhile is left out.
func (s *Store) List() ([]Entry, error) {
	names, unread, err := s.names()
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(names))
	for _, name := range names {
		record, err := s.get(name)
		if errors.Is(err, ErrNotExist) {
			continue
		}
		if cause := unread.below(machinePath(name)); cause != nil {
			err = fmt.Errorf("read files of %q: %w", name, cause)
		}
		entries = append(entries, Entry{Name: name, Record: record, Err: err})
	}
	return entries, nil
}

// Get returns a machine's record, migrated in memory if it is older. The error
// wraps ErrNotExist, ErrCorrupt, ErrFuture or ErrName. A folder without a record is
// ErrCorrupt: something was there, or is about to be.
func (s *Store) Get(name string) (Record, error) {
	if err := usableName(name); err != nil {
		return Record{}, err
	}
	if err := s.backend.Refresh(machinePath(name), 0); err != nil {
		return Record{}, fmt.Errorf("read %s of %q: %w", recordFile, name, err)
	}
	return s.get(name)
}

// machinePath returns the folder of a machine, relative to the store's.
func machinePath(name string, file ...string) string {
	return path.Join(append([]string{machinesDir, name}, file...)...)
}

// get reads the record from the folder as it is.
func (s *Store) get(name string) (Record, error) {
	if err := usableName(name); err != nil {
		return Record{}, err
	}
	dir := s.MachineDir(name)
	data, err := readBounded(filepath.Join(dir, recordFile))
	if errors.Is(err, fs.ErrNotExist) && isDir(dir) {
		// The folder may have come after the first look, with its record.
		data, err = readBounded(filepath.Join(dir, recordFile))
	}
	if errors.Is(err, fs.ErrNotExist) {
		if !isDir(dir) {
			return Record{}, fmt.Errorf("%w: %q", ErrNotExist, name)
		}
		return Record{}, &HintError{
			Err:    fmt.Errorf("read %s of %q: %w: the folder has none", recordFile, name, ErrCorrupt),
			Advice: "put a backup of the file in its place, or remove the machine: the folder is all there is of it",
		}
	}
	if err != nil {
		return Record{}, &HintError{
			Err:    fmt.Errorf("read %s of %q: %w: %w", recordFile, name, ErrCorrupt, err),
			Advice: "see who owns the file, and what it is: it must be a readable file of JSON",
		}
	}
	record, err := decode(name, data, func(file string) bool {
		info, err := os.Stat(filepath.Join(dir, file))
		return err == nil && info.Mode().IsRegular()
	})
	if err != nil {
		return Record{}, fmt.Errorf("read %s of %q: %w", recordFile, name, err)
	}
	return record, nil
}

// Secrets returns the secrets stored for a machine; nil if there are none.
func (s *Store) Secrets(name string) (json.RawMessage, error) {
	if err := usableName(name); err != nil {
		return nil, err
	}
	if err := s.backend.Refresh(machinePath(name), recent); err != nil {
		return nil, fmt.Errorf("read %s of %q: %w", secretsFile, name, err)
	}
	data, err := readBounded(filepath.Join(s.MachineDir(name), secretsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && !json.Valid(data) {
		err = errors.New("it is not JSON") // and nothing of what it is
	}
	if err != nil {
		return nil, fmt.Errorf("read %s of %q: %w: %w", secretsFile, name, ErrCorrupt, err)
	}
	return data, nil
}
