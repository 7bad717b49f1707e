//go:build unix

package qemu

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// linked puts a file into a folder that is made, under another path.
func linked(t *testing.T, from, dir string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, filepath.Base(from))
	if err := os.Link(from, to); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestDialLongPath reaches a socket whose path is too long for one.
func TestDialLongPath(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 30))
	short := script(t, "< "+greeting, "qmp", `< {"return": {}, "id": "1"}`, "query", `< {"return": {"status": "running"}, "id": "2"}`)
	path := linked(t, short, dir)
	if len(path) <= maxSocket {
		t.Fatalf("%s is not long", path)
	}
	if got, err := ask(t, path); err != nil || got != "running" {
		t.Errorf("got %q, %v", got, err)
	}
}
