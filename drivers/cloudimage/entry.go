package cloudimage

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hostsmith/machine/drivers/internal/lockfile"
)

const (
	infoFile = "info.json"
	diskName = "disk." // and the format
	unready  = ".new"  // ends the names of folders that are not complete
)

// info is what the folder of an image says of it.
type info struct {
	Image Image  `json:"image"`
	Sum   string `json:"sum"`
	Size  int64  `json:"size"`
}

// short is a name for files, of a sum or a URL.
func short(key string) string {
	if kind, sum, ok := strings.Cut(key, ":"); ok && (kind == "sha256" || kind == "sha512") {
		return kind + "-" + sum[:32]
	}
	return fmt.Sprintf("url-%x", sha256.Sum256([]byte(key)))[:36]
}

func (c *Cache) files() string            { return filepath.Join(c.Dir, "files") }
func (c *Cache) folder(sum string) string { return filepath.Join(c.files(), short(sum)) }

// load returns the image with the sum.
func (c *Cache) load(sum string) (File, error) {
	f, err := loadFolder(c.folder(sum))
	if err == nil && f.Sum != sum {
		return File{}, fmt.Errorf("%s is %s", f.Path, f.Sum)
	}
	return f, err
}

// loadFolder returns the image in a folder, if it is complete.
func loadFolder(dir string) (File, error) {
	data, err := os.ReadFile(filepath.Join(dir, infoFile))
	if err != nil {
		return File{}, err
	}
	var i info
	if err := json.Unmarshal(data, &i); err != nil {
		return File{}, fmt.Errorf("read %s: %w", dir, err)
	}
	f := File{Image: i.Image, Sum: i.Sum, Size: i.Size, Path: filepath.Join(dir, diskName+i.Image.Format)}
	disk, err := os.Stat(f.Path)
	if err != nil {
		return File{}, err
	}
	if disk.Size() != i.Size {
		return File{}, fmt.Errorf("%s has %d bytes, not %d", f.Path, disk.Size(), i.Size)
	}
	if stat, err := os.Stat(filepath.Join(dir, infoFile)); err == nil {
		f.Used = stat.ModTime()
	}
	return f, nil
}

// touch remembers that the image was asked for now. It is no loss if it cannot.
func (c *Cache) touch(f File) {
	now := time.Now()
	_ = os.Chtimes(filepath.Join(filepath.Dir(f.Path), infoFile), now, now)
}

// put makes the disk at path the file of the image. The caller holds the lock of
// the sum. If the process is killed, the next put or adopt of the sum goes on.
func (c *Cache) put(f File, disk string) (File, error) {
	dir := c.folder(f.Sum)
	if err := removeAll(dir); err != nil { // it is damaged, or load had it
		return File{}, err
	}
	data, err := json.Marshal(info{Image: f.Image, Sum: f.Sum, Size: f.Size})
	if err != nil {
		return File{}, err
	}
	if err := writeFile(filepath.Join(dir+unready, infoFile), data); err != nil {
		return File{}, err
	}
	if err := os.Chmod(disk, 0o444); err != nil {
		return File{}, err
	}
	if err := os.Rename(disk, filepath.Join(dir+unready, diskName+f.Format)); err != nil {
		return File{}, err
	}
	return c.adopt(f.Sum)
}

// adopt completes what put was killed at. Otherwise it leaves an empty place for put.
func (c *Cache) adopt(sum string) (File, error) {
	dir := c.folder(sum)
	if _, err := loadFolder(dir + unready); err != nil {
		return File{}, errors.Join(err, removeAll(dir+unready))
	}
	if err := os.Rename(dir+unready, dir); err != nil {
		return File{}, err
	}
	syncDir(c.files())
	return c.load(sum)
}

// List returns what is in the cache, derived files included, by name.
func (c *Cache) List() ([]File, error) {
	dirs, err := os.ReadDir(c.files())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []File
	for _, d := range dirs {
		if strings.HasSuffix(d.Name(), unready) {
			continue
		}
		f, err := loadFolder(filepath.Join(c.files(), d.Name()))
		if err != nil {
			c.log().Debug("not a complete image", "folder", d.Name(), "error", err)
			continue
		}
		all = append(append(all, f), derived(f)...)
	}
	slices.SortStableFunc(all, func(a, b File) int { return strings.Compare(a.String()+a.Arch, b.String()+b.Arch) })
	return all, nil
}

// derived returns what was derived of f.
func derived(f File) []File {
	var all []File
	dir := filepath.Dir(f.Path)
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		format, ok := strings.CutPrefix(e.Name(), diskName)
		stat, err := e.Info()
		if !ok || format == f.Format || err != nil || !stat.Mode().IsRegular() {
			continue
		}
		d := f
		d.Format, d.Path, d.Size = format, filepath.Join(dir, e.Name()), stat.Size()
		all = append(all, d)
	}
	return all
}

// Remove removes the files of an image, derived ones included. It does not know
// which are in use: ask the drivers.ImageUser of all machines before.
func (c *Cache) Remove(ctx context.Context, f File) error {
	lock, err := c.lock(ctx, f.Sum, "remove "+f.String())
	if err != nil {
		return err
	}
	defer lock.Release()
	dir := c.folder(f.Sum)
	if err := removeAll(dir + unready); err != nil {
		return err
	}
	if err := os.Rename(dir, dir+unready); err != nil && !errors.Is(err, fs.ErrNotExist) { // all of it or nothing
		return fmt.Errorf("remove image %s: %w", f, err)
	}
	return removeAll(dir + unready)
}

// RemovePartial removes what is left of downloads, and of images that were made here,
// that nobody is at work on.
func (c *Cache) RemovePartial() error {
	errs := []error{c.removeUnbaked()}
	entries, err := os.ReadDir(c.downloads())
	if err != nil {
		return errors.Join(append(errs, ignoreAbsent(err))...)
	}
	for _, e := range entries {
		path := strings.TrimSuffix(filepath.Join(c.downloads(), e.Name()), ".json")
		var said partSaid
		data, err := os.ReadFile(path + ".json")
		if err == nil {
			err = json.Unmarshal(data, &said)
		}
		if err != nil || said.Lock == "" {
			continue // it has just begun
		}
		lock, err := lockfile.Try(c.lockPath(said.Lock), "remove a part")
		if err == nil && lock != nil {
			err = removePart(path)
			lock.Release()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Derive returns the image in another format, made by make of the file at from at
// the path to, which does not exist and ends in a dot and the format. It is made
// once, under a lock, and there when it is complete.
func (c *Cache) Derive(ctx context.Context, f File, format string, make func(ctx context.Context, from, to string) error) (File, error) {
	if format == f.Format {
		return f, nil
	}
	d := f
	d.Format = format
	d.Path = filepath.Join(filepath.Dir(f.Path), diskName+format)
	if stat, err := os.Stat(d.Path); err == nil {
		d.Size = stat.Size()
		return d, nil
	}
	lock, err := c.lock(ctx, f.Sum, "convert "+f.String()+" to "+format)
	if err != nil {
		return File{}, err
	}
	defer lock.Release()
	if _, err := os.Stat(d.Path); errors.Is(err, fs.ErrNotExist) {
		err := c.step(ctx, fmt.Sprintf("convert %s to %s", f, format), func(ctx context.Context) error {
			return derive(ctx, f.Path, d.Path, make)
		})
		if err != nil {
			return File{}, advise(f.Image, c.Dir, fmt.Errorf("convert %s to %s: %w", f, format, err))
		}
	}
	stat, err := os.Stat(d.Path)
	if err != nil {
		return File{}, err
	}
	d.Size = stat.Size()
	return d, nil
}

// derive makes to of from in a folder of its own: some tools go by the name's end.
func derive(ctx context.Context, from, to string, make func(ctx context.Context, from, to string) error) error {
	work := to + unready
	if err := removeAll(work); err != nil {
		return err
	}
	if err := os.Mkdir(work, 0o700); err != nil {
		return err
	}
	made := filepath.Join(work, filepath.Base(to))
	err := make(ctx, from, made)
	if err == nil {
		err = seal(made)
	}
	if err == nil {
		err = os.Rename(made, to)
	}
	return errors.Join(err, removeAll(work))
}

// seal brings a file that another program wrote to disk and makes it read-only.
func seal(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Chmod(path, 0o444)
}

// writeFile writes a file to disk, and makes its folder.
func writeFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Sync(), file.Close())
}

// removeAll removes what may hold read-only files.
func removeAll(path string) error {
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}

// syncDir makes a rename last. Where that cannot be done, nothing is lost but time.
func syncDir(path string) {
	if dir, err := os.Open(path); err == nil {
		_ = dir.Sync()
		_ = dir.Close()
	}
}
