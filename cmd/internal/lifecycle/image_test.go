package lifecycle

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/cloudimage"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/store"
)

func TestImages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2")
	m := w.manager()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = rw.Write(bytes.Repeat([]byte(r.URL.Path[1:2]+"\x00"), 1024))
	}))
	t.Cleanup(server.Close)
	var pulled []Image
	for _, name := range []string{"a.img", "b.img", "c.img"} {
		img, err := m.PullImage(t.Context(), ImageRequest{Image: server.URL + "/" + name, Checksum: "none", Arch: "arm64"})
		if err != nil {
			t.Fatal(err)
		}
		if img.Name != name || img.Arch != "arm64" || img.Format != "raw" || !img.Cached || img.Size != 2048 || !strings.HasPrefix(img.Path, filepath.Join(w.dir, "cache")) || len(img.ID()) != 12 {
			t.Errorf("pulled %+v", img)
		}
		pulled = append(pulled, img)
	}
	rel, err := filepath.Rel(filepath.Join(w.dir, "cache"), pulled[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	w.make("m1", "fake-image", filepath.ToSlash(rel))
	w.make("m2", "fake-image", filepath.ToSlash(rel))

	all, err := m.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var cached, known int
	for _, img := range all {
		if img.Cached {
			cached++
			if used := img.Name == "a.img"; used != slices.Equal(img.Machines, []string{"m1", "m2"}) {
				t.Errorf("%s is used by %v", img.Name, img.Machines)
			}
		} else if img.Summary != "" && img.Size == 0 {
			known++
		}
	}
	if cached != 3 || known != len(cloudimage.Catalogue()) {
		t.Errorf("%d in the cache, %d of the catalogue", cached, known)
	}

	removed, err := m.RemoveImages(t.Context(), []string{"a.img", pulled[1].Sum, "x"})
	if !errors.Is(err, ErrImageUsed) || !errors.Is(err, ErrNoImage) || !strings.Contains(err.Error(), "those of m1, m2") {
		t.Errorf("got %v", err)
	}
	if len(removed) != 1 || removed[0].Name != "b.img" {
		t.Errorf("removed %+v", removed)
	}

	if err := os.WriteFile(filepath.Join(w.dir, "machines", "m2", "config.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := m.RemoveImages(t.Context(), nil); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "it is not known which images m2 uses") {
		t.Errorf("got %v", err)
	}
	w.lose("m2")
	if removed, err = m.RemoveImages(t.Context(), nil); err != nil || len(removed) != 1 || removed[0].Name != "c.img" {
		t.Errorf("removed %+v, %v", removed, err)
	}
	w.lose("m1")

	w.setenv(fake.EnvFail, "create-after")
	if _, err := m.Create(t.Context(), CreateRequest{Names: []string{"m2"}, Driver: fake.Name}); err == nil {
		t.Fatal("no error")
	}
	txn, err := m.Store.Lock(t.Context(), "m2", "create")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.RemoveImages(t.Context(), nil); !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), "m2 is being made and may use any image") {
		t.Errorf("got %v", err)
	}
	if err := txn.Close(); err != nil {
		t.Fatal(err)
	}
	if removed, err = m.RemoveImages(t.Context(), nil); err != nil || len(removed) != 1 || removed[0].Name != "a.img" {
		t.Errorf("removed %+v, %v", removed, err)
	}
	if _, err := os.Stat(pulled[0].Path); err == nil {
		t.Error("the file is still there")
	}
}

func TestPullRefused(t *testing.T) {
	t.Parallel()
	m := newWorld(t).manager()
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	for want, req := range map[error]ImageRequest{
		drivers.ErrOption:   {Image: "debian-21"},
		cloudimage.ErrFetch: {Image: server.URL + "/x"},
	} {
		if _, err := m.PullImage(t.Context(), req); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	if got, want := fmt.Sprint(ImageNames(m.Store, true)), "[]"; got != want {
		t.Errorf("in the cache: %s", got)
	}
}
