package cloudimage

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"time"

	"github.com/hostsmith/machine/drivers"
)

// Cache is a folder of images. Several processes may use one at a time.
type Cache struct {
	Dir    string           // made when it is needed
	Client *http.Client     // nil: one that takes the proxy from the environment
	Log    *slog.Logger     // nil: none
	Note   drivers.NoteFunc // nil: none
	Step   drivers.StepFunc // nil: none; around what takes long
}

// For returns the cache of a driver's store.
func For(env drivers.Env) *Cache {
	return &Cache{Dir: filepath.Join(env.Cache, "images"), Log: env.Log, Note: env.Note, Step: env.Step}
}

// File is an image in the cache, or one derived from it.
type File struct {
	Image
	Path string    `json:"-"`    // read-only; the same as long as the file is there
	Size int64     `json:"size"` // in bytes
	Sum  string    `json:"sum"`  // of the published file, as in Image.Checksum: identifies the content, part of Path
	Used time.Time `json:"-"`    // when it was last asked for
}

// Get returns the local file of img: verified, unpacked, read-only. It downloads
// what is not there yet, and goes on where an earlier download stopped; two
// processes that want the same download it once. What does not match its checksum
// is deleted and named in the error. Format and Sum of the File are always set.
//
// progress, which may be nil, is told the bytes of the published file that are
// there, and all that there are; -1: unknown.
func (c *Cache) Get(ctx context.Context, img Image, progress func(done, total int64)) (File, error) {
	return File{}, errors.New("not yet")
}

// Derive returns the image in another format, made by make of the file at from at
// the path to, which does not exist. It is made once, under a lock, and there when
// it is complete.
func (c *Cache) Derive(ctx context.Context, f File, format string, make func(ctx context.Context, from, to string) error) (File, error) {
	return File{}, errors.New("not yet")
}

// List returns what is in the cache, derived files included, by name.
func (c *Cache) List() ([]File, error) { return nil, nil }

// Remove removes the files of an image, derived ones included. It does not know
// which are in use: ask the drivers.ImageUser of all machines before.
func (c *Cache) Remove(ctx context.Context, f File) error { return nil }
