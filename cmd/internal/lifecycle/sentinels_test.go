package lifecycle

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEverySentinelHasAReason reads the exported errors of the leaves and asks that the table names each. The
// exceptions are dealt with before a person sees them.
func TestEverySentinelHasAReason(t *testing.T) {
	t.Parallel()
	handled := map[string]string{
		"certs.ErrDue":    "renewed when met",
		"store.ErrClosed": "a bug of the caller",
	}
	table, err := os.ReadFile("reasons.go")
	if err != nil {
		t.Fatal(err)
	}
	sentinel := regexp.MustCompile(`(?m)^\s*(?:var )?(Err[A-Z]\w*)\s*=\s*(?:errors\.New|fmt\.Errorf)\(`)
	found := 0
	for pkg, dir := range map[string]string{
		"drivers": "drivers", "provision": "provision", "ssh": "provision/ssh", "certs": "certs", "swarmboot": "swarmboot", "store": "store", "cloudimage": "drivers/cloudimage",
	} {
		files, err := filepath.Glob("../../../" + dir + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatal(dir, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, match := range sentinel.FindAllStringSubmatch(string(data), -1) {
				found++
				name := pkg + "." + match[1]
				if _, ok := handled[name]; !ok && !regexp.MustCompile(regexp.QuoteMeta(name)+`\b`).Match(table) {
					t.Errorf("%s has no reason", name)
				}
			}
		}
	}
	if found < 40 {
		t.Errorf("found only %d sentinels: the pattern no longer fits the code", found)
	}
}
