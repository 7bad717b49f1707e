package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// optionsHeading begins the generated end of a driver's page.
const optionsHeading = "\n## All options\n"

// TestDriverPages: a driver's page ends with all its options, their variables and
// defaults, as the reference has them.
func TestDriverPages(t *testing.T) {
	t.Parallel()
	docs := filepath.Join("..", "..", "docs")
	pages, err := filepath.Glob(filepath.Join(docs, "drivers", "*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages of drivers: %v", err)
	}
	dir := t.TempDir()
	writeReference(t, dir)
	reference, err := os.ReadFile(filepath.Join(dir, "cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		name := strings.TrimSuffix(filepath.Base(page), ".md")
		got, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		text, _, _ := strings.Cut(string(got), optionsHeading)
		want := strings.TrimRight(text, "\n") + "\n" + optionsHeading + "\n" + driverOptions(t, string(reference), name)
		if *update {
			if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if diff := cmp.Diff(string(got), want); diff != "" {
			t.Errorf("docs/drivers/%s.md is out of date (make docs): -got +want\n%s", name, diff)
		}
	}
}

// driverOptions returns the table of a driver's options.
func driverOptions(t *testing.T, reference, driver string) string {
	t.Helper()
	_, section, found := strings.Cut(reference, "\n### "+driver+"\n")
	if !found {
		t.Fatalf("the reference has no section about %s", driver)
	}
	var table strings.Builder
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "#") {
			break
		}
		if strings.HasPrefix(line, "|") {
			table.WriteString(line)
		}
	}
	return table.String()
}
