package lifecycle

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOutFileNamesItsPlace has errors name the file that the user asked for, and leave nothing beside it.
func TestOutFileNamesItsPlace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing", "fleet.age")
	_, err := newOutFile(missing, nil, false)
	if !errors.Is(err, ErrNoFolder) || err.Error() != "write "+missing+": its folder does not exist" || ReasonOf(err).ID != "FOLDER_MISSING" {
		t.Errorf("no folder: %v", err)
	}
	taken := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(taken, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := newOutFile(taken, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("data")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.finish(); err == nil || !strings.HasPrefix(err.Error(), "write "+taken+": ") || strings.Contains(err.Error(), ".machine-") {
		t.Errorf("a folder in its place: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left: %v, %v", entries, err)
	}
}
