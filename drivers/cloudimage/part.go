package cloudimage

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// part is a published file on its way here, in the folder downloads: the bytes
// that came, and beside them what the server said of the file, by which it tells
// later whether the rest would fit.
type part struct {
	path string
	file *os.File
	n    int64     // bytes that are here
	kind string    // of hash
	hash hash.Hash // of the n bytes
	said partSaid
}

type partSaid struct {
	URL      string `json:"url"`
	ETag     string `json:"etag,omitempty"`
	Modified string `json:"modified,omitempty"`
	Total    int64  `json:"total"` // -1: unknown
	Lock     string `json:"lock"`  // whose holder is at work on it
}

// open begins a part, or goes on with one if resume is set.
func (c *Cache) open(url, want string, resume bool) (*part, error) {
	p := &part{path: filepath.Join(c.downloads(), short(url+" "+want)), said: partSaid{URL: shown(url), Total: -1, Lock: short(cmp.Or(want, url))}}
	p.kind = "sha256"
	p.hash = sha256.New()
	if strings.HasPrefix(want, "sha512:") {
		p.kind, p.hash = "sha512", sha512.New()
	}
	if err := os.MkdirAll(c.downloads(), 0o700); err != nil {
		return nil, err
	}
	var err error
	if p.file, err = os.OpenFile(p.path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, err
	}
	if resume {
		resume, err = p.recall()
	}
	if !resume && err == nil {
		err = errors.Join(p.restart(), p.note(p.said))
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// recall takes over what came before, if it is known what that is.
func (p *part) recall() (bool, error) {
	var said partSaid
	data, err := os.ReadFile(p.path + ".json")
	if err != nil || json.Unmarshal(data, &said) != nil {
		return false, nil
	}
	p.said = said
	p.n, err = io.Copy(p.hash, p.file)
	return true, err
}

// restart forgets what came.
func (p *part) restart() error {
	p.n = 0
	p.hash.Reset()
	if err := p.file.Truncate(0); err != nil {
		return err
	}
	_, err := p.file.Seek(0, io.SeekStart)
	return err
}

// note remembers what the server says of the file, before the bytes that it is said of.
func (p *part) note(said partSaid) error {
	said.Lock = p.said.Lock
	data, err := json.Marshal(said)
	if err != nil {
		return err
	}
	p.said = said
	return os.WriteFile(p.path+".json", data, 0o600)
}

// receive appends what comes.
func (p *part) receive(ctx context.Context, from io.Reader, came func()) error {
	buf := make([]byte, 1<<18)
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n, err := from.Read(buf)
		if _, werr := p.file.Write(buf[:n]); werr != nil {
			return &localError{werr, p.n, p.said.Total}
		}
		p.hash.Write(buf[:n])
		p.n += int64(n)
		if n > 0 {
			came()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (p *part) sync() error {
	if err := p.file.Sync(); err != nil {
		return &localError{err, p.n, p.said.Total}
	}
	p.close()
	return nil
}

func (p *part) close() {
	if p.file != nil {
		_ = p.file.Close()
		p.file = nil
	}
}

// discard deletes what came.
func (p *part) discard() {
	p.close()
	_ = removePart(p.path)
}

func removePart(path string) error {
	return errors.Join(ignoreAbsent(os.Remove(path)), ignoreAbsent(os.Remove(path+".json")))
}

// prune removes what came of older versions of the file, unless it is coming still.
func (p *part) prune() {
	entries, _ := os.ReadDir(filepath.Dir(p.path))
	for _, e := range entries {
		path := filepath.Join(filepath.Dir(p.path), e.Name())
		stat, err := e.Info()
		if path == p.path || strings.HasSuffix(path, ".json") || err != nil || time.Since(stat.ModTime()) < time.Hour {
			continue
		}
		var said partSaid
		data, err := os.ReadFile(path + ".json")
		if err == nil && json.Unmarshal(data, &said) == nil && said.URL == p.said.URL {
			_ = removePart(path)
		}
	}
}

// localError is one of this computer's disk, which no server can help with.
type localError struct {
	err         error
	done, total int64
}

func (e *localError) Error() string { return fmt.Sprintf("write image: %v", e.err) }
func (e *localError) Unwrap() error { return e.err }
