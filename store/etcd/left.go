package etcd

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	// leftDir is where goes what a machine that is gone has on this computer besides: disks.
	leftDir = "left"

	// leftFor is how long it stays there.
	leftFor = 30 * 24 * time.Hour
)

// drop removes a machine from the copy. What its driver keeps on this computer besides is
// set aside, not removed: another operator may not know of it. What was set aside long ago goes.
func (b *Backend) drop(dir string) error {
	var own []string
	entries, err := os.ReadDir(filepath.Join(b.Dir(), filepath.FromSlash(dir)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	have := b.revisions(dir)
	for _, entry := range entries {
		if _, ok := have.Files[entry.Name()]; !ok && entry.Name()[0] != '.' {
			own = append(own, entry.Name())
		}
	}
	if err := b.setAside(dir, own, time.Now()); err != nil {
		return err
	}
	b.clearLeft(time.Now())
	return b.copy.RemoveAll(dir, "config.json")
}

// setAside moves files out of a machine's folder.
func (b *Backend) setAside(dir string, own []string, now time.Time) error {
	if len(own) == 0 {
		return nil
	}
	to := filepath.Join(b.Dir(), leftDir, path.Base(dir)+"."+strconv.FormatInt(now.UnixNano(), 36))
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for _, name := range own {
		if err := os.Rename(filepath.Join(b.Dir(), filepath.FromSlash(dir), name), filepath.Join(to, name)); err != nil {
			return err
		}
	}
	return nil
}

// clearLeft removes what was set aside long ago, as the names of the folders say. What cannot be
// removed stays until the next time.
func (b *Backend) clearLeft(now time.Time) {
	entries, err := os.ReadDir(filepath.Join(b.Dir(), leftDir))
	if err != nil {
		return
	}
	for _, entry := range entries {
		name := entry.Name()
		since, err := strconv.ParseInt(name[strings.LastIndexByte(name, '.')+1:], 36, 64)
		if err == nil && strings.Contains(name, ".") && now.Sub(time.Unix(0, since)) > leftFor {
			_ = os.RemoveAll(filepath.Join(b.Dir(), leftDir, name))
		}
	}
}
