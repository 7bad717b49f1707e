package hyperv

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hostsmith/machine/e2e/sim/host"
	"github.com/hostsmith/machine/e2e/sim/hypervsim"
)

// TestImage makes an image of a machine's disk, which must be stopped for it.
func TestImage(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{Hosts: host.NewMemory()})
	m := b.machine("m1", b.with())
	m.Create()
	to := filepath.Join(t.TempDir(), "image")
	if err := m.Open().Image(t.Context(), to); err == nil || !strings.Contains(err.Error(), "it is not stopped") {
		t.Errorf("of one that runs: %v", err)
	}
	if err := m.Open().Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.Open().Image(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	disk, err := os.ReadFile(m.Open().diskFile())
	if err != nil {
		t.Fatal(err)
	}
	if image, err := os.ReadFile(to); err != nil || !bytes.Equal(image, disk) {
		t.Errorf("it is another disk: %v", err)
	}
}
