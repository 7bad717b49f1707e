package localvm

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// CopyDisk makes a machine's disk of an image, complete or not at all.
func CopyDisk(ctx context.Context, from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copy the image: %w", err)
	}
	defer func() { _ = in.Close() }()
	if err := WriteFile(to, func(out *os.File) error { return CopyAll(ctx, out, in) }); err != nil {
		return fmt.Errorf("copy the image: %w", err)
	}
	return nil
}

// Part ends the name of a file that WriteFile is at work on.
const Part = ".part"

// WriteFile makes a file, complete or not at all.
func WriteFile(path string, write func(*os.File) error) error {
	part := path + Part
	out, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = write(out)
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return nil
}

// CopyAll copies until the end, or that of ctx.
func CopyAll(ctx context.Context, out io.Writer, in io.Reader) error {
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if _, err := io.CopyN(out, in, 64<<20); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// RemoveFiles removes what a machine had in a folder, and the folder if nothing else is
// in it.
func RemoveFiles(folder, machine string, paths ...string) error {
	for _, path := range paths {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove files of %s: %w", machine, err)
		}
	}
	_ = os.Remove(folder) // another's files may be in it
	return nil
}

// formatMe is what boot2docker looks for at the beginning of a disk: it formats the
// disk and takes over the key.
const formatMe = "boot2docker, please format-me"

// WriteBoot2Docker writes what the disk of a boot2docker machine begins with.
func WriteBoot2Docker(out io.Writer, key string) error {
	w := tar.NewWriter(out)
	for _, f := range []struct {
		name, body string
		mode       int64
		kind       byte
	}{
		{formatMe, formatMe, 0o644, tar.TypeReg},
		{".ssh", "", 0o700, tar.TypeDir},
		{".ssh/authorized_keys", key + "\n", 0o644, tar.TypeReg},
		{".ssh/authorized_keys2", key + "\n", 0o644, tar.TypeReg},
	} {
		h := &tar.Header{Name: f.name, Mode: f.mode, Typeflag: f.kind, Size: int64(len(f.body))}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.WriteString(w, f.body); err != nil {
			return err
		}
	}
	return w.Close()
}
