// Package swarmfile is the file format of a swarm's backup: an age file in which is a tar archive of
//
//	manifest.json        what it is a backup of, and what a restore needs
//	unlock-key           of a swarm with autolock
//	swarm.tar.gz.00000   the engine's folder swarm, in parts
//	end.json             length and digest of all parts
//
// so that age, tar and cat take it apart as well. It knows nothing of hosts, engines or the store.
package swarmfile

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"

	"github.com/hostsmith/machine/cmd/internal/agefile"
)

// Format is the version of the format that is written.
const Format = 1

// Errors that callers decide on.
var (
	ErrFormat  = errors.New("file is no backup of a swarm")
	ErrFuture  = errors.New("backup was written by a newer version")
	ErrDamaged = errors.New("backup is damaged")
)

// Manifest says what a backup is of.
type Manifest struct {
	Format       int               `json:"format"`
	Program      string            `json:"program"` // and its version
	Swarm        string            `json:"swarm"`   // name
	ID           string            `json:"id"`
	Taken        time.Time         `json:"taken"`
	Machine      string            `json:"machine"` // the manager it was taken of
	NodeID       string            `json:"nodeId"`
	Engine       string            `json:"engine"`    // version
	Advertise    string            `json:"advertise"` // address of that manager
	DataPathPort int               `json:"dataPathPort"`
	Autolock     bool              `json:"autolock"`
	Rotations    uint64            `json:"rotations,omitempty"`  // how often a new authority was asked for
	Members      map[string]string `json:"members"`              // roles by machine name
	CertExpires  time.Time         `json:"certExpires,omitzero"` // of that manager's node certificate
}

// Who can read a backup, and what it is read with.
type (
	Recipients = agefile.Recipients
	Identities = agefile.Identities
)

const (
	manifestName = "manifest.json"
	keyName      = "unlock-key"
	partName     = "swarm.tar.gz."
	endName      = "end.json"
	partSize     = 1 << 20
)

// ending is what the last entry holds.
type ending struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Write writes a backup. folder is the engine's folder swarm as a compressed tar archive. unlockKey is empty without autolock.
func Write(w io.Writer, to Recipients, m Manifest, unlockKey string, folder io.Reader) error {
	sealed, err := agefile.Encrypt(w, to)
	if err != nil {
		return err
	}
	m.Format = Format
	a := archive{tar.NewWriter(sealed), m.Taken}
	if err := a.json(manifestName, m); err != nil {
		return err
	}
	if unlockKey != "" {
		if err := a.add(keyName, []byte(unlockKey)); err != nil {
			return err
		}
	}
	if err := a.parts(folder); err != nil {
		return err
	}
	if err := errors.Join(a.w.Close(), sealed.Close()); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	return nil
}

type archive struct {
	w    *tar.Writer
	when time.Time
}

func (a archive) add(name string, data []byte) error {
	err := a.w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(data)), ModTime: a.when})
	if err == nil {
		_, err = a.w.Write(data)
	}
	if err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	return nil
}

func (a archive) json(name string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	return a.add(name, append(data, '\n'))
}

func (a archive) parts(folder io.Reader) error {
	sum, total := sha256.New(), int64(0)
	buf := make([]byte, partSize)
	for i := 0; ; i++ {
		n, err := io.ReadFull(folder, buf)
		if n > 0 {
			sum.Write(buf[:n])
			total += int64(n)
			if err := a.add(fmt.Sprintf("%s%05d", partName, i), buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return a.json(endName, ending{total, hex.EncodeToString(sum.Sum(nil))})
		}
		if err != nil {
			return fmt.Errorf("read the swarm's folder: %w", err)
		}
	}
}

// Backup is a file that is being read.
type Backup struct {
	Manifest  Manifest
	UnlockKey string // empty: the swarm had no autolock

	r    *tar.Reader
	next *tar.Header // entry that was read ahead
}

// Open reads a backup as far as its manifest and its unlock key.
func Open(r io.Reader, with Identities) (*Backup, error) {
	plain, err := agefile.Decrypt(r, with)
	if errors.Is(err, agefile.ErrFormat) {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if err != nil {
		return nil, err
	}
	b := &Backup{r: tar.NewReader(plain)}
	data, err := b.small(manifestName)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &b.Manifest); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if f := b.Manifest.Format; f < 1 || f > Format {
		return nil, fmt.Errorf("%w: format %d", ErrFuture, f)
	}
	if b.next, err = b.r.Next(); err != nil {
		return nil, damaged(err)
	}
	if b.next.Name == keyName {
		key, err := io.ReadAll(io.LimitReader(b.r, 1<<10))
		if err != nil {
			return nil, damaged(err)
		}
		b.UnlockKey, b.next = string(key), nil
	}
	return b, nil
}

func damaged(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

func (b *Backup) small(name string) ([]byte, error) {
	h, err := b.r.Next()
	if err != nil || h.Name != name {
		return nil, fmt.Errorf("%w: no %s in it", ErrFormat, name)
	}
	data, err := io.ReadAll(io.LimitReader(b.r, partSize))
	if err != nil {
		return nil, damaged(err)
	}
	return data, nil
}

// Folder writes the compressed archive of the folder to w, and fails where it is not what was written once.
func (b *Backup) Folder(w io.Writer) error {
	sum := sha256.New()
	var total int64
	for {
		h := b.next
		if b.next = nil; h == nil {
			var err error
			if h, err = b.r.Next(); err != nil {
				return damaged(err)
			}
		}
		if h.Name == endName {
			return b.end(sum, total)
		}
		if !strings.HasPrefix(h.Name, partName) {
			return fmt.Errorf("%w: unexpected %q", ErrDamaged, h.Name)
		}
		n, err := io.Copy(io.MultiWriter(w, sum), b.r)
		if total += n; err != nil {
			return fmt.Errorf("read backup: %w", err)
		}
	}
}

func (b *Backup) end(sum hash.Hash, total int64) error {
	var e ending
	if err := json.NewDecoder(b.r).Decode(&e); err != nil {
		return damaged(err)
	}
	if e.Bytes != total || e.SHA256 != hex.EncodeToString(sum.Sum(nil)) {
		return fmt.Errorf("%w: the digest differs", ErrDamaged)
	}
	if _, err := b.r.Next(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something stands after its end", ErrDamaged)
	}
	return nil
}
