package cloudimage

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
)

// errUnchanged is what a server says of a file that is the same as last time.
var errUnchanged = errors.New("not changed")

// fetch brings the image here. want is its sum, empty if nobody says. The caller
// holds the lock of the sum, or of the URL.
func (g *getting) fetch(ctx context.Context, want string) (File, error) {
	if want != "" {
		if f, err := g.c.adopt(want); err == nil {
			return g.named(f), nil
		}
	}
	src, part, err := g.transfer(ctx, want)
	if errors.Is(err, errUnchanged) {
		f, _ := g.cached(src.Sum)
		return f, nil
	}
	if err != nil {
		return File{}, err
	}
	if want == "" { // known only now
		lock, err := g.c.lock(ctx, src.Sum, "store "+g.img.String())
		if err != nil {
			return File{}, err
		}
		defer lock.Release()
		g.vouch(ctx, src.Sum)
	}
	f, err := g.keep(ctx, src.Sum, part)
	if err != nil {
		return File{}, err
	}
	g.c.saw(g.img.URL, src)
	return f, nil
}

// transfer returns the published file: what was there, and the path of the copy.
func (g *getting) transfer(ctx context.Context, want string) (source, string, error) {
	u, err := url.Parse(g.img.URL)
	if err != nil {
		return source{}, "", fmt.Errorf("%w: %w", ErrFetch, err)
	}
	switch u.Scheme {
	case "file":
		return g.copyFile(ctx, filePath(u), want)
	case bakedScheme:
		return source{}, "", fmt.Errorf("%w: %s was made on this computer and is not in the cache any more", ErrFetch, g.img)
	}
	return g.download(ctx, want)
}

// vouch says what an image is that nobody vouches for.
func (g *getting) vouch(ctx context.Context, sum string) {
	if u, err := url.Parse(g.img.URL); err == nil && u.Scheme != "file" && g.img.Checksum != NoChecksum {
		g.c.note(ctx, fmt.Sprintf("%s has no published checksum; what came is %s", g.img, sum))
	}
}

// keep unpacks the published file and makes it an image of the cache.
func (g *getting) keep(ctx context.Context, sum, part string) (File, error) {
	if f, ok := g.cached(sum); ok { // it has come from another URL meanwhile
		return f, removePart(part)
	}
	if f, err := g.c.adopt(sum); err == nil {
		return g.named(f), removePart(part)
	}
	disk, packed, err := g.unpack(ctx, part, g.c.folder(sum)+unready)
	if err != nil {
		return File{}, err
	}
	found, err := formatOf(disk)
	if err == nil && g.img.Format != "" && g.img.Name != "" && found != g.img.Format {
		err = fmt.Errorf("%w: it is %s, not %s", ErrFormat, found, g.img.Format)
	}
	if err != nil {
		return File{}, errors.Join(fmt.Errorf("read image %s: %w", g.img, err), os.Remove(disk), removePart(part))
	}
	stat, err := os.Stat(disk)
	if err != nil {
		return File{}, err
	}
	img := g.img
	img.Format, img.Packed, img.Checksum, img.URL = found, packed, sum, shown(img.URL)
	f, err := g.c.put(File{Image: img, Sum: sum, Size: stat.Size()}, disk)
	if err != nil {
		return File{}, fmt.Errorf("store image %s: %w", g.img, err)
	}
	return g.named(f), removePart(part)
}

func ignoreAbsent(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// copyFile copies a file of this computer.
func (g *getting) copyFile(ctx context.Context, path, want string) (source, string, error) {
	stat, err := os.Stat(path)
	if err != nil {
		return source{}, "", fmt.Errorf("%w: %w", ErrFetch, err)
	}
	if !stat.Mode().IsRegular() {
		return source{}, "", fmt.Errorf("%w: %s is no file", ErrFetch, path)
	}
	now := source{Modified: stat.ModTime().UTC().String(), Size: stat.Size()}
	if last, ok := g.c.seen(g.img.URL); ok && want == "" && last.Modified == now.Modified && last.Size == now.Size {
		if _, ok := g.cached(last.Sum); ok {
			return last, "", errUnchanged
		}
	}
	from, err := os.Open(path)
	if err != nil {
		return source{}, "", fmt.Errorf("%w: %w", ErrFetch, err)
	}
	defer func() { _ = from.Close() }()
	p, err := g.c.open(g.img.URL, want, false)
	if err != nil {
		return source{}, "", err
	}
	defer p.close()
	err = g.c.step(ctx, "copy "+g.img.String(), func(ctx context.Context) error {
		return p.receive(ctx, from, func() { g.tell(ctx, p.n, stat.Size()) })
	})
	if err != nil {
		return source{}, "", fmt.Errorf("copy %s: %w", path, err)
	}
	now.Sum, err = g.verify(p, want)
	return now, p.path, err
}

// verify returns the sum of what came. If it is not the one that is wanted, what came is deleted.
func (g *getting) verify(p *part, want string) (string, error) {
	sum := p.kind + ":" + hex.EncodeToString(p.hash.Sum(nil))
	if want != "" && sum != want {
		p.discard()
		return "", fmt.Errorf("%w: %s is %s and should be %s; it was deleted", ErrChecksum, shown(g.img.URL), sum, want)
	}
	if err := p.sync(); err != nil {
		return "", err
	}
	return sum, nil
}

// shows says how far a step is.
func (g *getting) shows(ctx context.Context, done, total int64) {
	if g.c.Progress != nil {
		g.c.Progress(ctx, done, total)
	}
}

// tell says how much of the published file is here.
func (g *getting) tell(ctx context.Context, done, total int64) {
	g.shows(ctx, done, total)
	if g.progress != nil {
		g.progress(done, total)
	}
}

// shown is a URL without what may be a secret in it.
func shown(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	if u.RawQuery != "" {
		u.RawQuery = "..."
	}
	return u.Redacted()
}

func (c *Cache) downloads() string { return filepath.Join(c.Dir, "downloads") }
