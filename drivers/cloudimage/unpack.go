package cloudimage

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ulikunitz/xz"
)

// unpack makes the disk of a published file in a folder, and says how it was
// packed. A file that is not packed is moved there later, by put.
func (g *getting) unpack(ctx context.Context, from, dir string) (disk, packed string, err error) {
	file, err := os.Open(from)
	if err != nil {
		return "", "", err
	}
	defer func() { _ = file.Close() }()
	stat, err := file.Stat()
	if err != nil {
		return "", "", err
	}
	came := &counter{file: file}
	content, packed, err := g.content(file, came)
	if err != nil || packed == "" {
		return from, "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", "", err
	}
	disk = filepath.Join(dir, "unpacked")
	err = g.c.step(ctx, "unpack "+g.img.String(), func(ctx context.Context) error {
		return writeSparse(ctx, disk, content, func() {
			if came.n > 0 { // archives that are read here and there do not tell
				g.shows(ctx, came.n, stat.Size())
			}
		})
	})
	if err != nil {
		var local *localError
		if !errors.As(err, &local) && context.Cause(ctx) == nil {
			err = fmt.Errorf("%w: %w", ErrFormat, err)
		}
		return "", "", errors.Join(fmt.Errorf("unpack %s: %w", g.img, err), ignoreAbsent(os.Remove(disk)))
	}
	return disk, packed, nil
}

// content is the one file in a packed one.
func (g *getting) content(file *os.File, came io.Reader) (content io.Reader, packed string, err error) {
	start := make([]byte, 6)
	n, err := file.ReadAt(start, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, "", err
	}
	start = start[:n]
	buffered := bufio.NewReaderSize(came, 1<<20)
	switch {
	case bytes.HasPrefix(start, []byte("\xfd7zXZ\x00")):
		packed = "xz"
		content, err = xz.NewReader(buffered)
	case bytes.HasPrefix(start, []byte("\x1f\x8b")):
		packed = "gz"
		content, err = gzip.NewReader(buffered)
	case bytes.HasPrefix(start, []byte("BZh")):
		packed, content = "bz2", bzip2.NewReader(buffered)
	case bytes.HasPrefix(start, []byte("PK\x03\x04")):
		content, err = onlyOfZip(file)
		return content, "zip", err
	default:
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrFormat, err)
	}
	plain := bufio.NewReaderSize(content, 1<<16)
	head, err := plain.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, "", fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if len(head) == 512 && string(head[257:262]) == "ustar" {
		return &onlyOfTar{archive: tar.NewReader(plain)}, "tar." + packed, nil
	}
	return plain, packed, nil
}

// counter counts the bytes that were read of a file.
type counter struct {
	file io.Reader
	n    int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.file.Read(p)
	c.n += int64(n)
	return n, err
}

func onlyOfZip(file *os.File) (io.Reader, error) {
	stat, err := file.Stat()
	if err != nil {
		return nil, err
	}
	archive, err := zip.NewReader(file, stat.Size())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	var only *zip.File
	for _, f := range archive.File {
		if !f.Mode().IsRegular() || strings.HasPrefix(f.Name, "__MACOSX/") {
			continue
		}
		if only != nil {
			return nil, fmt.Errorf("%w: the archive has several files, %s and %s", ErrFormat, only.Name, f.Name)
		}
		only = f
	}
	if only == nil {
		return nil, fmt.Errorf("%w: the archive is empty", ErrFormat)
	}
	content, err := only.Open()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return content, nil
}

// onlyOfTar reads the one file in an archive.
type onlyOfTar struct {
	archive *tar.Reader
	name    string
}

func (o *onlyOfTar) Read(p []byte) (int, error) {
	for {
		if o.name != "" {
			n, err := o.archive.Read(p)
			if !errors.Is(err, io.EOF) {
				return n, err
			}
			if n > 0 { // whether it is the end stands after it
				return n, nil
			}
		}
		head, err := o.archive.Next()
		if errors.Is(err, io.EOF) && o.name == "" {
			return 0, errors.New("the archive is empty")
		}
		if err != nil {
			return 0, err
		}
		if head.FileInfo().Mode()&fs.ModeType != 0 {
			continue
		}
		if o.name != "" {
			return 0, fmt.Errorf("the archive has several files, %s and %s", o.name, head.Name)
		}
		o.name = head.Name
	}
}

// writeSparse writes a file, and leaves out what is zero in it.
func writeSparse(ctx context.Context, path string, content io.Reader, came func()) error {
	file, err := os.Create(path)
	if err != nil {
		return &localError{err: err}
	}
	err = sparse(ctx, file, content, came)
	if cerr := file.Close(); err == nil && cerr != nil {
		err = &localError{err: cerr}
	}
	return err
}

func sparse(ctx context.Context, file *os.File, content io.Reader, came func()) error {
	const block = 1 << 16
	buf, zero := make([]byte, block), make([]byte, block)
	var size int64
	for ended := false; !ended; {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n, err := fill(content, buf)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		ended = err != nil
		if !bytes.Equal(buf[:n], zero[:n]) {
			if _, err := file.WriteAt(buf[:n], size); err != nil {
				return &localError{err: err}
			}
		}
		size += int64(n)
		came()
	}
	if err := file.Truncate(size); err != nil {
		return &localError{err: err}
	}
	if err := file.Sync(); err != nil {
		return &localError{err: err}
	}
	return nil
}

// fill reads until buf is full. Unlike io.ReadFull it tells an end from a content
// that is cut off.
func fill(content io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = content.Read(buf[n:])
		n += m
	}
	return n, err
}
