package cloudimage

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"
)

// source is what was at a URL when it was last asked for.
type source struct {
	Sum string    `json:"sum"`
	At  time.Time `json:"at"`

	// By these a server or a file system tells that a file is still the same.
	ETag     string `json:"etag,omitempty"`
	Modified string `json:"modified,omitempty"`
	Size     int64  `json:"size,omitempty"`
}

func (c *Cache) sourceFile(url string) string {
	return filepath.Join(c.Dir, "sources", short(url)+".json")
}

// seen returns what was at the URL.
func (c *Cache) seen(url string) (source, bool) {
	var s source
	data, err := os.ReadFile(c.sourceFile(url))
	return s, err == nil && json.Unmarshal(data, &s) == nil && s.Sum != ""
}

// saw remembers what is at the URL. It is no loss if it cannot.
func (c *Cache) saw(url string, s source) {
	if last, ok := c.seen(url); ok && s.ETag == "" && s.Modified == "" && last.Sum == s.Sum && time.Since(last.At) < time.Hour {
		return
	}
	s.At = time.Now().Truncate(time.Second)
	if err := c.remember(c.sourceFile(url), s); err != nil {
		c.log().Debug("remember a source", "url", shown(url), "error", err)
	}
}

func (c *Cache) remember(path string, s source) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
	}
	return err
}
