package vmwarevsphere

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// archive is an OVA, or an OVF with its files beside it.
type archive struct{ from string }

// tape tells whether all files are in one.
func (a archive) tape() bool {
	name := a.from
	if u, err := url.Parse(a.from); err == nil && remote(a.from) {
		name = u.Path
	}
	return !strings.EqualFold(path.Ext(name), ".ovf")
}

// descriptor returns the OVF itself.
func (a archive) descriptor(ctx context.Context) ([]byte, error) {
	body, _, err := a.open(ctx, "*.ovf")
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(io.LimitReader(body, 16<<20))
}

// open opens a file by its name, or the descriptor by its pattern.
func (a archive) open(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	if !a.tape() {
		return opened(ctx, a.beside(name))
	}
	body, _, err := opened(ctx, a.from)
	if err != nil {
		return nil, 0, err
	}
	reader := tar.NewReader(body)
	for {
		header, err := reader.Next()
		if err != nil {
			body.Close()
			if errors.Is(err, io.EOF) {
				err = fmt.Errorf("%s: no %s in it: %w", a.from, name, os.ErrNotExist)
			}
			return nil, 0, err
		}
		if ok, err := path.Match(name, path.Base(header.Name)); ok && err == nil || header.Name == name {
			return entry{reader, body}, header.Size, nil
		}
	}
}

// beside returns the place of a file that an OVF refers to.
func (a archive) beside(name string) string {
	if name == "*.ovf" {
		return a.from
	}
	if !remote(a.from) {
		return filepath.Join(filepath.Dir(a.from), filepath.Base(name))
	}
	u, err := url.Parse(a.from)
	if err != nil {
		return a.from
	}
	return u.ResolveReference(&url.URL{Path: name}).String()
}

// entry is a file in an archive.
type entry struct {
	io.Reader
	io.Closer
}

// opened opens a file or what is at a URL.
func opened(ctx context.Context, from string) (io.ReadCloser, int64, error) {
	if remote(from) {
		return get(ctx, from)
	}
	f, err := os.Open(strings.TrimPrefix(from, "file://"))
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}
