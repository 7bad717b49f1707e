package cloudimage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/lockfile"
)

// Cache is a folder of images. Several processes and goroutines may use one.
//
//	files/SUM/        an image: info.json and the disk, read-only, and what was derived of it
//	downloads/        what is on its way
//	sources/          which sum a URL had when it was last asked for
//	locks/
type Cache struct {
	Dir    string           // made when it is needed
	Client *http.Client     // nil: one that takes the proxy from the environment
	Log    *slog.Logger     // nil: none
	Note   drivers.NoteFunc // nil: none
	Step   drivers.StepFunc // nil: none; around what takes long

	Progress drivers.ProgressFunc // nil: none; within a step

	stall time.Duration // without a byte, after which a download is given up; 0: a minute
	pause time.Duration // before a broken download goes on; 0: a second
}

// For returns the cache of a driver's store.
func For(env drivers.Env) *Cache {
	return &Cache{Dir: filepath.Join(env.Cache, "images"), Log: env.Log, Note: env.Note, Step: env.Step, Progress: env.Progress}
}

// File is an image in the cache, or one derived from it.
type File struct {
	Image
	Path string    // read-only; the same as long as the file is there
	Size int64     // in bytes
	Sum  string    // of the published file, as in Image.Checksum: identifies the content, part of Path
	Used time.Time // when it was last asked for
}

// Get returns the local file of img: verified, unpacked, read-only. It downloads
// what is not there yet, and goes on where an earlier download stopped; two
// processes that want the same download it once. What does not match its checksum
// is deleted and named in the error. Format and Sum of the File are always set.
//
// A publisher that replaces a file at its URL is asked each time which is the
// current one; if that fails, what was the current one last time will do, which is
// noted.
//
// progress, which may be nil, is told the bytes of the published file that are
// there, and all that there are; -1: unknown.
func (c *Cache) Get(ctx context.Context, img Image, progress func(done, total int64)) (File, error) {
	g := &getting{c: c, img: img, progress: progress}
	f, err := g.get(ctx)
	if err != nil {
		if err := context.Cause(ctx); err != nil {
			return File{}, err
		}
		return File{}, advise(img, c.Dir, err)
	}
	c.touch(f)
	f.Used = time.Now()
	return f, nil
}

// getting is one call of Get.
type getting struct {
	c        *Cache
	img      Image
	progress func(done, total int64)
}

func (g *getting) get(ctx context.Context) (File, error) {
	want, err := g.want(ctx)
	if err != nil {
		return g.instead(ctx, err)
	}
	f, err := g.locked(ctx, want)
	switch {
	case err == nil:
		return f, nil
	case want == "":
		return g.instead(ctx, err)
	case g.img.Sums == "" || !errors.Is(err, ErrChecksum):
		return File{}, err
	}
	// The publisher may have replaced the file between our two questions.
	again, werr := g.want(ctx)
	if werr != nil || again == want {
		return File{}, err
	}
	return g.locked(ctx, again)
}

// locked returns the image with the sum, which it fetches if it is not here.
func (g *getting) locked(ctx context.Context, want string) (File, error) {
	if f, ok := g.cached(want); ok {
		g.c.saw(g.img.URL, source{Sum: want})
		return f, nil
	}
	lock, err := g.c.lock(ctx, cmp.Or(want, g.img.URL), "fetch "+g.img.String())
	if err != nil {
		return File{}, err
	}
	defer lock.Release()
	if f, ok := g.cached(want); ok { // while we waited
		g.c.saw(g.img.URL, source{Sum: want})
		return f, nil
	}
	return g.fetch(ctx, want)
}

// want is the sum that the image must have; empty if nobody says.
func (g *getting) want(ctx context.Context) (string, error) {
	switch {
	case g.img.Checksum == NoChecksum:
		return "", nil
	case g.img.Checksum != "":
		return parseSum(g.img.Checksum)
	case g.img.Sums == "":
		return "", nil
	}
	published, err := g.c.read(ctx, g.img.Sums)
	if err != nil {
		return "", err
	}
	sum, err := sumOf(g.img.base(), published)
	if err != nil {
		return "", fmt.Errorf("%w: read %s: %w", ErrFetch, shown(g.img.Sums), err)
	}
	return sum, nil
}

// cached returns the image with the sum, if it is here.
func (g *getting) cached(sum string) (File, bool) {
	if sum == "" {
		return File{}, false
	}
	f, err := g.c.load(sum)
	if err != nil {
		return File{}, false
	}
	return g.named(f), true
}

// named is the file under the name that it was asked for by: several images may
// have the same content.
func (g *getting) named(f File) File {
	format := f.Format
	f.Image = g.img
	f.Format = format
	return f
}

// instead returns what the URL had last time, because of err, which says why it
// cannot be asked now.
func (g *getting) instead(ctx context.Context, err error) (File, error) {
	if context.Cause(ctx) != nil {
		return File{}, err
	}
	last, ok := g.c.seen(g.img.URL)
	if !ok {
		return File{}, err
	}
	f, ok := g.cached(last.Sum)
	if !ok {
		return File{}, err
	}
	g.c.note(ctx, fmt.Sprintf("%s is taken as it was on %s: %v", g.img, last.At.Local().Format(time.DateOnly), err))
	return f, nil
}

// lock takes the lock of a sum or URL.
func (c *Cache) lock(ctx context.Context, key, work string) (*lockfile.Lock, error) {
	return lockfile.Acquire(ctx, c.lockPath(short(key)), work, func(h lockfile.Holder) {
		c.note(ctx, "waiting for "+h.String())
	})
}

func (c *Cache) lockPath(key string) string { return filepath.Join(c.Dir, "locks", key+".lock") }

func (c *Cache) note(ctx context.Context, text string) {
	if c.Note != nil {
		c.Note(ctx, text)
	}
}

func (c *Cache) step(ctx context.Context, name string, fn func(context.Context) error) error {
	if c.Step == nil {
		return fn(ctx)
	}
	return c.Step(ctx, name, fn)
}

func (c *Cache) log() *slog.Logger {
	if c.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Log
}
