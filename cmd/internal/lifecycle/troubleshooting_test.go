package lifecycle

import (
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write generated pages and golden files")

func TestTroubleshootingPageIsUpToDate(t *testing.T) {
	t.Parallel()
	const page = "../../../docs/troubleshooting.md"
	if *update {
		if err := os.WriteFile(page, []byte(Troubleshooting()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != Troubleshooting() {
		t.Error("docs/troubleshooting.md differs from the table of reasons; make docs writes it")
	}
}
