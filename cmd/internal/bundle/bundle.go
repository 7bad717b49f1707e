// Package bundle is the file format of machines on their way from one store to another: a tar archive, encrypted with
// age unless it was asked for in the clear, of
//
//	manifest.json          what is in it, and what wrote it
//	machines/NAME/FILE     config.json, secrets.json, keys, certificates, known_hosts
//	swarms/NAME.json       a swarm's record
//	certs/ca.pem ca-key.pem
//	end.json               number and digest of all that is before it
//
// so that age and tar take it apart as well. It is read as a whole before any of it is used: what is cut short, or has
// anything in it that is not expected, is no bundle. It knows nothing of the store, and of what the files say.
package bundle

import (
	"archive/tar"
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hostsmith/machine/cmd/internal/agefile"
)

// Format is the version of the format that is written.
const Format = 1

// Errors that callers decide on.
var (
	ErrFormat = errors.New("file is no bundle of machines, or is damaged")
	ErrFuture = errors.New("bundle was written by a newer version")
)

// Manifest says what a bundle has.
type Manifest struct {
	Format   int       `json:"format"`
	Program  string    `json:"program"` // and its version
	System   string    `json:"system"`  // that it was written on, such as linux/amd64
	Created  time.Time `json:"created"`
	Machines []Machine `json:"machines"`
	Swarms   []string  `json:"swarms,omitempty"`
	CA       bool      `json:"ca,omitempty"` // the authority and its key
}

// Machine says what a bundle has of a machine.
type Machine struct {
	Name      string `json:"name"`
	Driver    string `json:"driver"`
	Record    int    `json:"record"`           // version of its schema
	Engine    string `json:"engine,omitempty"` // version
	Swarm     string `json:"swarm,omitempty"`
	Secrets   bool   `json:"secrets,omitempty"`   // of the driver
	Reference string `json:"reference,omitempty"` // the driver that it has where it comes from; here it is a host to be reached only
}

// Files are the contents of a folder by name.
type Files map[string][]byte

// Bundle is what a file holds.
type Bundle struct {
	Manifest Manifest
	Machines map[string]Files  // by machine
	Swarms   map[string][]byte // records by name
	CA       Files             // ca.pem and ca-key.pem; nil: not in it
}

const (
	manifestName = "manifest.json"
	endName      = "end.json"
	caFile       = "ca.pem"
	caKeyFile    = "ca-key.pem"

	maxFile  = 1 << 20  // what a file may have, as a record of the store
	maxAll   = 64 << 20 // what all of them may have
	maxFiles = 100_000
	maxName  = 200
)

// ending is what the last entry holds.
type ending struct {
	Files  int    `json:"files"`
	SHA256 string `json:"sha256"` // of names and contents
}

// digest is of names and contents in their order.
func digest(entries []entry) string {
	sum := sha256.New()
	for _, e := range entries {
		fmt.Fprintf(sum, "%d %s %d ", len(e.name), e.name, len(e.data))
		sum.Write(e.data)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

type entry struct {
	name string
	data []byte
}

// entries returns what is written, in an order that is always the same.
func (b Bundle) entries() ([]entry, error) {
	b.Manifest.Format = Format
	manifest, err := json.MarshalIndent(b.Manifest, "", "  ")
	if err != nil {
		return nil, err
	}
	all := []entry{{manifestName, append(manifest, '\n')}}
	for _, name := range slices.Sorted(maps.Keys(b.Machines)) {
		for _, file := range slices.Sorted(maps.Keys(b.Machines[name])) {
			all = append(all, entry{"machines/" + name + "/" + file, b.Machines[name][file]})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.Swarms)) {
		all = append(all, entry{"swarms/" + name + ".json", b.Swarms[name]})
	}
	for _, file := range slices.Sorted(maps.Keys(b.CA)) {
		all = append(all, entry{"certs/" + file, b.CA[file]})
	}
	return all, nil
}

// Write writes a bundle for recipients; nil: in the clear.
func Write(w io.Writer, to *agefile.Recipients, b Bundle) error {
	all, err := b.entries()
	if err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	end, err := json.Marshal(ending{len(all), digest(all)})
	if err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	closing := func() error { return nil }
	if to != nil {
		sealed, err := agefile.Encrypt(w, *to)
		if err != nil {
			return err
		}
		w, closing = sealed, sealed.Close
	}
	archive := tar.NewWriter(w)
	for _, e := range append(all, entry{endName, append(end, '\n')}) {
		err := archive.WriteHeader(&tar.Header{Name: e.name, Mode: 0o600, Size: int64(len(e.data)), ModTime: b.Manifest.Created})
		if err == nil {
			_, err = archive.Write(e.data)
		}
		if err != nil {
			return fmt.Errorf("write bundle: %w", err)
		}
	}
	if err := errors.Join(archive.Close(), closing()); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	return nil
}

// KeysFunc returns what a file of a kind is read with. It is asked once the kind is known, for a person may have to type it.
type KeysFunc func(agefile.Kind) (agefile.Identities, error)

// Read reads a bundle as a whole. The error wraps ErrFormat, ErrFuture or agefile.ErrKeys, or is that of keys.
func Read(r io.Reader, keys KeysFunc) (Bundle, error) {
	in := bufio.NewReader(r)
	plain := io.Reader(in)
	if kind := agefile.KindOf(in); kind != agefile.Plain {
		with, err := keys(kind)
		if err != nil {
			return Bundle{}, err
		}
		if plain, err = agefile.Decrypt(in, with); err != nil {
			if errors.Is(err, agefile.ErrFormat) {
				err = fmt.Errorf("%w: %w", ErrFormat, err)
			}
			return Bundle{}, err
		}
	}
	all, err := readEntries(plain)
	if err != nil {
		return Bundle{}, err
	}
	return parse(all)
}

// readEntries reads all files but the last, which vouches for them.
func readEntries(r io.Reader) ([]entry, error) {
	var all []entry
	archive, left := tar.NewReader(r), int64(maxAll)
	for {
		h, err := archive.Next()
		if err != nil {
			return nil, broken(err)
		}
		switch {
		case h.Typeflag != tar.TypeReg:
			return nil, fmt.Errorf("%w: %.80q is no file", ErrFormat, h.Name)
		case h.Size > maxFile, h.Size > left:
			return nil, fmt.Errorf("%w: %.80q is too large", ErrFormat, h.Name)
		case len(all) == maxFiles:
			return nil, fmt.Errorf("%w: too many files", ErrFormat)
		}
		data, err := io.ReadAll(io.LimitReader(archive, maxFile+1))
		if err != nil {
			return nil, broken(err)
		}
		left -= int64(len(data))
		if h.Name != endName {
			all = append(all, entry{h.Name, data})
			if err := future(all[0]); err != nil {
				return nil, err // before anything that such a version may have in it
			}
			continue
		}
		var end ending
		if json.Unmarshal(data, &end) != nil || end.Files != len(all) || end.SHA256 != digest(all) {
			return nil, fmt.Errorf("%w: the digest differs", ErrFormat)
		}
		if _, err := archive.Next(); !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w: something stands after its end", ErrFormat)
		}
		return all, nil
	}
}

func broken(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %w", ErrFormat, err)
}

// future judges the first file, which must be a manifest that this program knows.
func future(first entry) error {
	if first.name != manifestName {
		return fmt.Errorf("%w: no %s in it", ErrFormat, manifestName)
	}
	var m struct {
		Format  int    `json:"format"`
		Program string `json:"program"`
	}
	if err := json.Unmarshal(first.data, &m); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrFormat, manifestName, err)
	}
	switch {
	case m.Format > Format:
		return fmt.Errorf("%w: format %d by %.60q, this program knows up to %d", ErrFuture, m.Format, m.Program, Format)
	case m.Format < 1:
		return fmt.Errorf("%w: format %d", ErrFormat, m.Format)
	}
	return nil
}

// parse sorts the files, none of which may be twice in it, have a name that leads elsewhere, or be one that the manifest
// does not tell of.
func parse(all []entry) (Bundle, error) {
	b := Bundle{Machines: map[string]Files{}, Swarms: map[string][]byte{}}
	if len(all) == 0 {
		return b, fmt.Errorf("%w: it is empty", ErrFormat)
	}
	if err := json.Unmarshal(all[0].data, &b.Manifest); err != nil {
		return b, fmt.Errorf("%w: %s: %w", ErrFormat, manifestName, err)
	}
	seen := map[string]bool{manifestName: true}
	for _, e := range all[1:] {
		if seen[e.name] || !b.take(e) {
			return b, fmt.Errorf("%w: unexpected %.80q", ErrFormat, e.name)
		}
		seen[e.name] = true
	}
	return b, b.check()
}

// take puts a file in its place, if it has one.
func (b *Bundle) take(e entry) bool {
	parts := strings.Split(e.name, "/")
	for _, p := range parts {
		if !plainName(p) {
			return false
		}
	}
	switch {
	case len(parts) == 3 && parts[0] == "machines":
		if b.Machines[parts[1]] == nil {
			b.Machines[parts[1]] = Files{}
		}
		b.Machines[parts[1]][parts[2]] = e.data
	case len(parts) == 2 && parts[0] == "swarms":
		name, ok := strings.CutSuffix(parts[1], ".json")
		if !ok || name == "" {
			return false
		}
		b.Swarms[name] = e.data
	case len(parts) == 2 && parts[0] == "certs" && (parts[1] == caFile || parts[1] == caKeyFile):
		if b.CA == nil {
			b.CA = Files{}
		}
		b.CA[parts[1]] = e.data
	default:
		return false
	}
	return true
}

// plainName tells whether a word is a file's name on every system, and nothing more.
func plainName(s string) bool {
	if s == "" || len(s) > maxName || s[0] == '.' || strings.HasSuffix(s, ".") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r < '-' || r > 'z' || r == '/' || r > '9' && r < 'A' || r > 'Z' && r < '_' || r == '`'
	})
}

// check compares what there is with what the manifest tells.
func (b *Bundle) check() error {
	told := map[string]bool{}
	for _, m := range b.Manifest.Machines {
		if told[m.Name] || b.Machines[m.Name][RecordFile] == nil {
			return fmt.Errorf("%w: machine %.80q is missing", ErrFormat, m.Name)
		}
		told[m.Name] = true
	}
	for name := range b.Machines {
		if !told[name] {
			return fmt.Errorf("%w: unexpected machine %.80q", ErrFormat, name)
		}
	}
	swarms := slices.Sorted(maps.Keys(b.Swarms))
	if !slices.Equal(swarms, slices.Sorted(slices.Values(b.Manifest.Swarms))) {
		return fmt.Errorf("%w: the swarms are not those of the manifest", ErrFormat)
	}
	if b.Manifest.CA != (b.CA != nil) || b.CA != nil && len(b.CA) != 2 {
		return fmt.Errorf("%w: the authority is incomplete", ErrFormat)
	}
	return nil
}

// Names of files of a machine that the store keeps itself.
const (
	RecordFile  = "config.json"
	SecretsFile = "secrets.json"
)
