package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// TestAdviceOfStatusHasCommands reads what the status of a swarm advises in all situations, and knows each command and each option there.
func TestAdviceOfStatusHasCommands(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../lifecycle/testdata/swarmstatus/*.txt")
	if err != nil || len(files) < 20 {
		t.Fatalf("got %d files, %v", len(files), err)
	}
	a := &app{name: "machine"}
	commands := a.commands("create")
	spoken := regexp.MustCompile(`\bmachine ((?:swarm )?[a-z-]+)((?: --?[a-z-]+)*)`)
	found := map[string]bool{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			if !strings.HasPrefix(line, "    ") {
				continue // no advice
			}
			for _, m := range spoken.FindAllStringSubmatch(line, -1) {
				list := commands
				var flags []cli.Flag
				for _, word := range strings.Fields(m[1]) {
					var next bool
					for _, c := range list {
						if c.HasName(word) {
							list, flags, next = c.Subcommands, c.Flags, true
							break
						}
					}
					if !next {
						t.Errorf("%s: there is no command %q", filepath.Base(file), m[1])
					}
				}
				for _, flag := range strings.Fields(m[2]) {
					if lookup(flags, strings.TrimLeft(flag, "-")) == nil {
						t.Errorf("%s: %s has no option %s", filepath.Base(file), m[1], flag)
					}
				}
				found[m[1]] = true
			}
		}
	}
	if len(found) < 10 || !found["swarm recover"] || !found["start"] {
		t.Errorf("found only %v", found)
	}
}
