package qemu

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
)

// TestImage makes an image of a machine's disk, which must be stopped for it.
func TestImage(t *testing.T) {
	t.Parallel()
	h := newFakeHost()
	b := fakeBench(t, h, nil)
	to := filepath.Join(t.TempDir(), "image")
	if err := b.open().Image(t.Context(), to); !errors.Is(err, drivers.ErrNotFound) {
		t.Errorf("of no machine: %v", err)
	}
	b.must("create", b.create())
	if err := b.open().Image(t.Context(), to); err == nil || !strings.Contains(err.Error(), "it is not stopped") || isFile(to) {
		t.Errorf("of one that runs: %v", err)
	}
	b.must("stop", b.open().Stop(t.Context()))
	b.must("image", b.open().Image(t.Context(), to))
	made, err := os.ReadFile(to)
	if want := "convert -q -c -f qcow2 -O qcow2 " + b.open().path(diskFile) + " " + to; err != nil || string(made) != want {
		t.Errorf("it was made by %q, %v", made, err)
	}
}
