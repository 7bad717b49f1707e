package cloudimage

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
)

func writing(data []byte) func(context.Context, string) error {
	return func(_ context.Context, to string) error { return os.WriteFile(to, data, 0o600) }
}

func TestBake(t *testing.T) {
	t.Parallel()
	c, _ := newCache(t, filepath.Join(t.TempDir(), "not there yet"))
	data := qcow2(1 << 20)
	f, err := c.Bake(t.Context(), Image{Name: "mine-1.0", Summary: "my own", Arch: "amd64", Firmware: []string{"uefi"}, Seed: "nocloud"}, writing(data))
	if err != nil {
		t.Fatal(err)
	}
	checkFile(t, f, data)
	if f.Sum != sha256Of(data) || f.Format != "qcow2" || !f.Baked() || f.Summary != "my own" {
		t.Errorf("got %+v", f)
	}
	img, err := c.Parse("mine-1.0", "", "amd64", []string{"vmdk"}, "uefi")
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Get(t.Context(), img, nil)
	if err != nil || got.Path != f.Path || got.Name != "mine-1.0" || got.Seed != "nocloud" {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := c.Parse("mine-1.0", sha256Of(data), "amd64", nil); err != nil {
		t.Errorf("with its checksum: %v", err)
	}
	if img, err := c.Parse("mine-1.0", "none", "amd64", nil); err != nil || img.Checksum != f.Sum {
		t.Errorf("with none: %+v, %v", img, err)
	}
	for what, err := range map[string]error{
		"another architecture": second(c.Parse("mine-1.0", "", "arm64", nil)),
		"another firmware":     second(c.Parse("mine-1.0", "", "amd64", nil, "bios")),
		"no such name":         second(c.Parse("mine-2.0", "", "amd64", nil)),
	} {
		if !errors.Is(err, drivers.ErrOption) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if img, err := c.Parse("debian-12", "", "amd64", []string{"qcow2"}); err != nil || img.Baked() {
		t.Errorf("one of the catalogue: %+v, %v", img, err)
	}
	if _, err := c.Bake(t.Context(), Image{Name: "mine-1.0"}, writing(qcow2(4096))); !errors.Is(err, ErrTaken) {
		t.Errorf("a name that is taken: %v", err)
	}
	if err := c.Remove(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), img, nil); !errors.Is(err, ErrFetch) || !strings.Contains(errText(err), "not in the cache any more") {
		t.Errorf("one that was removed: %v", err)
	}
}

func second(_ Image, err error) error { return err }

// What could not be made leaves nothing.
func TestBakeFails(t *testing.T) {
	t.Parallel()
	c, _ := newCache(t, t.TempDir())
	failed := errors.New("failed")
	for name, tt := range map[string]struct {
		image string
		make  func(context.Context, string) error
		want  error
	}{
		"the maker": {"a", func(_ context.Context, to string) error {
			return errors.Join(os.WriteFile(to, []byte{0}, 0o600), failed)
		}, failed},
		"no disk":         {"a", writing([]byte("error: no space left\n")), ErrFormat},
		"nothing":         {"a", func(context.Context, string) error { return nil }, os.ErrNotExist},
		"no name":         {"", writing(qcow2(4096)), drivers.ErrOption},
		"a path":          {"../a", writing(qcow2(4096)), drivers.ErrOption},
		"the catalogue's": {"debian-12", writing(qcow2(4096)), ErrTaken},
	} {
		if _, err := c.Bake(t.Context(), Image{Name: tt.image}, tt.make); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left, _ := os.ReadDir(c.files()); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := c.Bake(ctx, Image{Name: "a"}, func(_ context.Context, to string) error {
		cancel()
		return os.WriteFile(to, qcow2(4096), 0o600)
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// What a killed bake left is removed by the next one, or with all that is not complete.
func TestBakeKilled(t *testing.T) {
	t.Parallel()
	c, _ := newCache(t, t.TempDir())
	leave := func(name string) string {
		dir := c.folder(bakedScheme+":"+name) + unready
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "made"), bytes.Repeat([]byte{1}, 100), 0o400); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	a, b := leave("a"), leave("b")
	if _, err := c.Bake(t.Context(), Image{Name: "a"}, writing(qcow2(4096))); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(a); err == nil {
		t.Error("a's is there still")
	}
	if err := c.RemovePartial(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(b); err == nil {
		t.Error("b's is there still")
	}
	if all, err := c.List(); err != nil || len(all) != 1 {
		t.Errorf("in the cache are %v, %v", all, err)
	}
}
