package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// manyAtOnce is how many machines of a cloud are made at once.
const manyAtOnce = 50

// measureClouds makes and removes many machines at once at each provider, whose
// hosts exist in name only: what is measured is the work at the provider. The
// creates end with the wait for SSH, where no host can answer.
func measureClouds(t *testing.T, add func(measure)) {
	for _, p := range providers() {
		c, f := newCloudFleet(t, p, "memory")
		var names []string
		for i := range manyAtOnce {
			names = append(names, f.name(fmt.Sprintf("c%d", i)))
		}
		parallel := fmt.Sprintf("--parallel=%d", manyAtOnce)

		began := time.Now()
		var took time.Duration
		all := func() bool {
			for _, n := range names {
				if f.phase(n) != "created" {
					return false
				}
			}
			took = time.Since(began)
			return true
		}
		peak, r := f.peak(all, append(p.create(parallel), names...)...)
		if took == 0 {
			t.Fatalf("%s: not all were created\n%s", p.name, r)
		}
		created := c.calls()
		add(measure{
			what: fmt.Sprintf("`machine create -d %s`, %d at once, until all hosts run", p.driver, manyAtOnce), runs: 1,
			mean: took, worst: took, rss: peak, goal: "200 MiB" + map[string]string{"amazonec2": ", 12 calls per machine"}[p.driver],
			note: fmt.Sprintf("%d calls of the provider's interface, %.1f per machine", created, float64(created)/manyAtOnce),
		})

		before := c.calls()
		began = time.Now()
		f.ok("ls")
		listed := c.calls() - before
		add(measure{
			what: fmt.Sprintf("`machine ls`, %d machines of `%s`", manyAtOnce, p.driver), runs: 1,
			mean: time.Since(began), worst: time.Since(began), goal: "one joint call", note: fmt.Sprintf("%d calls", listed),
		})

		before = c.calls()
		began = time.Now()
		f.ok(append([]string{"rm", "-y", parallel}, names...)...)
		removed := c.calls() - before
		add(measure{
			what: fmt.Sprintf("`machine rm` of all %d", manyAtOnce), runs: 1, mean: time.Since(began), worst: time.Since(began),
			note: fmt.Sprintf("%d calls, %.1f per machine", removed, float64(removed)/manyAtOnce),
		})
	}
}

// peak runs a command until there says so, then kills it, and returns the most
// memory that it had, in KiB.
func (f *fleet) peak(there func() bool, args ...string) (kib int64, r result) {
	f.t.Helper()
	p := f.start(f.t.Context(), args...)
	if p.err != nil {
		f.t.Fatal(p.err)
	}
	status := fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid)
	done := make(chan result, 1)
	go func() { done <- p.wait() }()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		select {
		case r := <-done:
			return kib, r
		case <-tick.C:
			text, err := os.ReadFile(status)
			if err != nil {
				continue
			}
			for line := range strings.Lines(string(text)) {
				if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
					_, _ = fmt.Sscan(rest, &kib)
				}
			}
			if there() {
				_ = p.cmd.Process.Kill()
				tick.Stop()
				return kib, <-done
			}
		}
	}
}

// measureBinary is how big the program is, as it is released.
func measureBinary(t *testing.T) measure {
	out := filepath.Join(t.TempDir(), "machine")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, "./cmd/machine")
	build.Dir, build.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, text)
	}
	info, err := os.Stat(out)
	if err != nil {
		t.Fatal(err)
	}
	return measure{what: "the program, stripped", goal: "45 MB", note: fmt.Sprintf("%.1f MB", float64(info.Size())/1e6)}
}
