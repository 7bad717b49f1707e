package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/cloudimage"
	"github.com/hostsmith/machine/store"
)

// Image is an image of the catalogue, of the cache, or of both.
type Image struct {
	Name     string    `json:"name"`
	Summary  string    `json:"summary,omitempty"`
	Arch     string    `json:"arch,omitempty"`
	Format   string    `json:"format"`
	Firmware []string  `json:"firmware,omitempty"` // that it boots with; empty: not known
	Cached   bool      `json:"cached"`
	Size     int64     `json:"size,omitempty"` // on this computer, in bytes
	Sum      string    `json:"sum,omitempty"`  // of the published file
	Path     string    `json:"path,omitempty"`
	Used     time.Time `json:"used,omitzero"` // when it was last asked for
	URL      string    `json:"url,omitempty"`
	Machines []string  `json:"machines,omitempty"` // whose disks are based on it
}

// ID is a short name of what is in a cached image.
func (i Image) ID() string {
	_, sum, _ := strings.Cut(i.Sum, ":")
	return sum[:min(len(sum), 12)]
}

// images is the cache that drivers of the store keep images in.
func (m *Manager) images() *cloudimage.Cache {
	return cloudimage.For(drivers.Env{Cache: m.Store.CacheDir(), Log: m.Log, Note: m.Note, Step: m.Step, Progress: m.Progress})
}

// Images lists the catalogue and the cache, by name. A machine that cannot be
// opened is taken for one that uses none, and noted.
func (m *Manager) Images(ctx context.Context) ([]Image, error) {
	files, err := m.images().List()
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	users, err := m.imageUsers()
	if err != nil {
		m.Note(ctx, "warning: "+err.Error())
	}
	var all []Image
	there := map[string]bool{}
	for _, f := range files {
		img := inCache(f)
		img.Machines = users[fileKey(f.Path)]
		all = append(all, img)
		there[img.published()] = true
	}
	for _, c := range cloudimage.Catalogue() {
		if img := describe(c); !there[img.published()] {
			all = append(all, img)
		}
	}
	slices.SortStableFunc(all, func(a, b Image) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Arch, b.Arch), strings.Compare(a.Sum, b.Sum))
	})
	return all, nil
}

func describe(i cloudimage.Image) Image {
	return Image{Name: i.String(), Summary: i.Summary, Arch: i.Arch, Format: i.Format, Firmware: i.Firmware, URL: i.URL}
}

// published tells images of the catalogue apart.
func (i Image) published() string {
	return strings.Join(append([]string{i.URL, i.Arch, i.Format}, i.Firmware...), " ")
}

// fileKey is by what a file of the cache is known wherever the store is: its folder
// is named after its content.
func fileKey(path string) string {
	return filepath.Base(filepath.Dir(path)) + "/" + filepath.Base(path)
}

// imageUsers returns the machines whose disks are based on a file of the cache, by
// its key, and an error that names those who could not be asked.
func (m *Manager) imageUsers() (map[string][]string, error) {
	names, err := m.Store.Names()
	if err != nil {
		return nil, err
	}
	users := map[string][]string{}
	var errs []error
	for _, name := range names {
		x, err := m.view(name)
		if err != nil {
			errs = append(errs, fmt.Errorf("it is not known which images %s uses: %w", name, err))
			continue
		}
		if u, ok := x.drv.(drivers.ImageUser); ok {
			for _, path := range u.Images() {
				users[fileKey(path)] = append(users[fileKey(path)], name)
			}
		}
	}
	return users, errors.Join(errs...)
}

// beingMade is an error that names the machines that other commands are making now.
// They may use any image before they can say so.
func (m *Manager) beingMade(ctx context.Context) error {
	names, err := m.Store.Names()
	if err != nil {
		return err
	}
	errs := []error{err}
	for _, name := range names {
		x, err := m.view(name)
		if err != nil || x.rec.Phase != store.Pending {
			continue
		}
		if _, ok := x.drv.(drivers.ImageUser); !ok {
			continue
		}
		txn, err := m.locks().machine(ctx, name)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s is being made and may use any image: %w", name, err))
			continue
		}
		errs = append(errs, txn.Close())
	}
	return errors.Join(errs...)
}

// ImageRequest asks for an image in the cache.
type ImageRequest struct {
	Image    string // NAME, URL or PATH
	Checksum string
	Arch     string // empty: this computer's
	Format   string // empty: as it is published first
}

// PullImage brings an image into the cache.
func (m *Manager) PullImage(ctx context.Context, req ImageRequest) (Image, error) {
	var formats []string
	if req.Format != "" {
		formats = []string{req.Format}
	}
	img, err := m.images().Parse(req.Image, req.Checksum, cmp.Or(req.Arch, runtime.GOARCH), formats)
	if err != nil {
		return Image{}, err
	}
	f, err := m.images().Get(ctx, img, nil)
	if err != nil {
		return Image{}, err
	}
	if req.Format != "" && f.Format != req.Format {
		return Image{}, fmt.Errorf("%w: %s is %s, not %s", ErrUsage, img, f.Format, req.Format)
	}
	return inCache(f), nil
}

// RemoveImages removes images from the cache, by name or the first digits of the
// sum, and returns what was removed. Those that disks of machines are based on stay,
// which is an error, or noted if all are meant, which an empty list does.
func (m *Manager) RemoveImages(ctx context.Context, names []string) ([]Image, error) {
	cache := m.images()
	files, err := cache.List()
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	users, err := m.imageUsers()
	if err = errors.Join(err, m.beingMade(ctx)); err != nil {
		return nil, err
	}
	bySum := map[string][]string{} // the files of an image go together
	for _, f := range files {
		bySum[f.Sum] = append(bySum[f.Sum], users[fileKey(f.Path)]...)
	}
	var removed []Image
	var errs []error
	for _, f := range chosen(files, names) {
		who := slices.Compact(slices.Sorted(slices.Values(bySum[f.Sum])))
		img := describe(f.Image)
		img.Sum, img.Size = f.Sum, f.Size
		switch {
		case len(who) == 0:
			err = m.Step(ctx, "remove "+f.String(), func(ctx context.Context) error { return cache.Remove(ctx, f) })
		case len(names) == 0:
			m.Note(ctx, fmt.Sprintf("%s stays: disks of %s are based on it", f, joinWords(who)))
			continue
		default:
			err = fmt.Errorf("image %s: %w: those of %s", f, ErrImageUsed, joinWords(who))
		}
		if err == nil {
			removed = append(removed, img)
		}
		errs = append(errs, err)
	}
	for _, name := range names {
		if len(chosen(files, []string{name})) == 0 {
			errs = append(errs, fmt.Errorf("%w: %s", ErrNoImage, name))
		}
	}
	if len(names) == 0 {
		errs = append(errs, cache.RemovePartial())
	}
	return removed, errors.Join(append(errs, context.Cause(ctx))...)
}

// chosen are the images that names stand for, each once; no names stand for all.
func chosen(files []cloudimage.File, names []string) []cloudimage.File {
	var out []cloudimage.File
	seen := map[string]bool{}
	for _, f := range files {
		id := Image{Sum: f.Sum}.ID()
		meant := len(names) == 0 || slices.ContainsFunc(names, func(n string) bool {
			return n == f.String() || n == f.Sum || n == id
		})
		if meant && !seen[f.Sum] {
			seen[f.Sum] = true
			out = append(out, f)
		}
	}
	return out
}

// ImageNames returns the names of the catalogue and of what was baked, or those of the cache.
func ImageNames(s *store.Store, cached bool) []string {
	var names []string
	if !cached {
		names = cloudimage.Names()
	}
	files, err := cloudimage.For(drivers.Env{Cache: s.CacheDir()}).List()
	if err != nil {
		return names
	}
	for _, f := range files {
		if cached || f.Baked() {
			names = append(names, f.String())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
