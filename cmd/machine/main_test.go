package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostsmith/machine/cmd/internal/cli"
	"github.com/hostsmith/machine/drivers/all"
)

var update = flag.Bool("update", false, "rewrite the reference documentation")

// TestReference: the reference says what the program does.
func TestReference(t *testing.T) {
	t.Parallel()
	file := filepath.Join("..", "..", "docs", "reference", "cli.md")
	dir := t.TempDir()
	if *update {
		dir = filepath.Dir(file)
	}
	writeReference(t, dir)
	got, err := os.ReadFile(filepath.Join(dir, "cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("docs/reference/cli.md is out of date (make docs): -want +got\n%s", diff)
	}
}

// writeReference writes the reference into a folder.
func writeReference(t *testing.T, dir string) {
	t.Helper()
	var stderr bytes.Buffer
	code := cli.Run(t.Context(), []string{"machine", "docs", dir}, cli.Env{
		Stdout: &stderr, Stderr: &stderr,
		Getenv: func(name string) string {
			return map[string]string{"HOME": t.TempDir(), "USERPROFILE": t.TempDir()}[name]
		},
		Drivers: all.Table(), Now: time.Now,
	})
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
}
