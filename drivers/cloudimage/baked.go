package cloudimage

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/lockfile"
)

// ErrTaken is a name that another image has.
var ErrTaken = errors.New("there is an image of this name")

// bakedScheme begins the URLs of images that were made on this computer. They are in
// the cache and nowhere else.
const bakedScheme = "baked"

// Baked tells whether the image was made on this computer.
func (i Image) Baked() bool { return strings.HasPrefix(i.URL, bakedScheme+":") }

var nameOfBaked = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}$`)

// CheckName returns why an image that is made here cannot have the name.
func CheckName(name string) error {
	switch {
	case !nameOfBaked.MatchString(name):
		return fmt.Errorf("%w: image name %q: want letters, digits, dots and hyphens", drivers.ErrOption, name)
	case slices.Contains(Names(), name):
		return fmt.Errorf("%w: %w: %s is a publisher's", drivers.ErrOption, ErrTaken, name)
	}
	return nil
}

// Baked returns the image of the name that was made on this computer; arch may be
// empty.
func (c *Cache) Baked(name, arch string) (File, bool) {
	if !nameOfBaked.MatchString(name) {
		return File{}, false
	}
	files, err := c.List()
	if err != nil {
		return File{}, false
	}
	i := slices.IndexFunc(files, func(f File) bool {
		return f.Baked() && f.Name == name && (arch == "" || f.Arch == "" || f.Arch == arch)
	})
	if i < 0 {
		return File{}, false
	}
	return files[i], true
}

// Parse is the function Parse that knows images made on this computer, too.
func (c *Cache) Parse(value, checksum, arch string, formats []string, firmware ...string) (Image, error) {
	f, ok := c.Baked(value, arch)
	if !ok {
		return Parse(value, checksum, arch, formats, firmware...)
	}
	img := f.Image
	if err := img.take(checksum); err != nil {
		return Image{}, err
	}
	if !img.boots(firmware) {
		return Image{}, notFound(value, arch, formats, firmware, []Image{img})
	}
	if checksum == "" || img.Checksum == NoChecksum {
		img.Checksum = f.Sum
	}
	return img, nil
}

// Bake keeps the disk that make writes to the path to, which does not exist, as the
// image img under img.Name. The error wraps ErrTaken if there is one of that name.
func (c *Cache) Bake(ctx context.Context, img Image, make func(ctx context.Context, to string) error) (File, error) {
	if err := CheckName(img.Name); err != nil {
		return File{}, err
	}
	img.URL = (&url.URL{Scheme: bakedScheme, Opaque: img.Name}).String()
	lock, err := c.lock(ctx, img.URL, "bake "+img.Name)
	if err != nil {
		return File{}, err
	}
	defer lock.Release()
	if _, ok := c.Baked(img.Name, ""); ok {
		return File{}, fmt.Errorf("bake %s: %w", img.Name, ErrTaken)
	}
	work := c.folder(img.URL) + unready
	if err := removeAll(work); err != nil { // of one that was killed
		return File{}, err
	}
	if err := os.MkdirAll(work, 0o700); err != nil {
		return File{}, err
	}
	f, err := c.bake(ctx, img, filepath.Join(work, "made"), make)
	if err = errors.Join(err, removeAll(work)); err != nil {
		return File{}, advise(img, c.Dir, fmt.Errorf("bake %s: %w", img.Name, err))
	}
	return f, nil
}

func (c *Cache) bake(ctx context.Context, img Image, disk string, make func(ctx context.Context, to string) error) (File, error) {
	if err := make(ctx, disk); err != nil {
		return File{}, err
	}
	var err error
	if img.Format, err = formatOf(disk); err != nil {
		return File{}, err
	}
	sum, size, err := sumOfFile(ctx, disk)
	if err != nil {
		return File{}, err
	}
	if err := seal(disk); err != nil {
		return File{}, err
	}
	img.Checksum, img.Packed, img.Sums = sum, "", ""
	lock, err := c.lock(ctx, sum, "store "+img.Name)
	if err != nil {
		return File{}, err
	}
	defer lock.Release()
	return c.put(File{Image: img, Sum: sum, Size: size}, disk)
}

func sumOfFile(ctx context.Context, path string) (string, int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = file.Close() }()
	hash := sha256.New()
	n, err := io.Copy(hash, &breakable{ctx, file})
	return fmt.Sprintf("sha256:%x", hash.Sum(nil)), n, err
}

// breakable is a file whose reader may be told to stop.
type breakable struct {
	ctx  context.Context
	file io.Reader
}

func (b *breakable) Read(p []byte) (int, error) {
	if err := context.Cause(b.ctx); err != nil {
		return 0, err
	}
	return b.file.Read(p)
}

// removeUnbaked removes what is left of images whose making was killed.
func (c *Cache) removeUnbaked() error {
	entries, err := os.ReadDir(c.files())
	if err != nil {
		return ignoreAbsent(err)
	}
	var errs []error
	for _, e := range entries {
		key, left := strings.CutSuffix(e.Name(), unready)
		if !left || !strings.HasPrefix(key, "url-") {
			continue
		}
		lock, err := lockfile.Try(c.lockPath(key), "remove what was not baked")
		if err == nil && lock != nil {
			err = removeAll(filepath.Join(c.files(), e.Name()))
			lock.Release()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
