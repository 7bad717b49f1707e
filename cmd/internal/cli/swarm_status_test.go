package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
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

// TestWatching looks five times at a swarm that changes once.
func TestWatching(t *testing.T) {
	t.Parallel()
	run := func(redraw, asJSON bool) string {
		t.Helper()
		var out bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		looks := 0
		w := watching{out: &out, now: func() time.Time { return time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC) }, every: time.Millisecond, redraw: redraw, json: asJSON}
		w.look = func(context.Context) (lifecycle.SwarmView, error) {
			if looks++; looks == 5 {
				cancel()
			}
			st := lifecycle.SwarmStatus{Name: "prod", Health: lifecycle.HealthOK, AskedVia: "m" + string(rune('0'+looks)), AskedAt: time.Now()}
			if looks > 2 {
				st.Health = lifecycle.HealthNoQuorum
				return lifecycle.SwarmView{SwarmStatus: st}, errors.New("the status tells")
			}
			return lifecycle.SwarmView{SwarmStatus: st}, nil
		}
		if err := w.run(ctx); err != nil {
			t.Errorf("interrupted: %v", err)
		}
		return out.String()
	}
	if got := run(false, false); strings.Count(got, "Swarm prod") != 2 || strings.Contains(got, "\x1b") {
		t.Errorf("not on a terminal: %q", got)
	}
	if got := run(true, false); strings.Count(got, "\x1b[H\x1b[J12:00:00, every 1ms; Ctrl-C ends") != 4 {
		t.Errorf("on a terminal: %q", got)
	}
	lines := strings.Split(strings.TrimSpace(run(false, true)), "\n")
	for _, line := range lines {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
	if len(lines) != 2 {
		t.Errorf("got %q", lines)
	}
	unknown := errors.New("no such swarm")
	w := watching{out: &bytes.Buffer{}, every: time.Hour, look: func(context.Context) (lifecycle.SwarmView, error) { return lifecycle.SwarmView{}, unknown }}
	if err := w.run(t.Context()); !errors.Is(err, unknown) {
		t.Errorf("got %v", err)
	}
}
