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

// measureClouds makes and removes machines at each provider, one and then many at
// once, whose hosts exist in name only: what is measured is the work at the
// provider. The creates end with the wait for SSH, where no host can answer.
func measureClouds(t *testing.T, add func(measure)) {
	for _, p := range providers() {
		c, f := newCloudFleet(t, p, "memory")
		one := f.name("one")
		add(f.measureCreates(c, p, "the first", one))
		f.ok("rm", "-y", one)

		var names []string
		for i := range manyAtOnce {
			names = append(names, f.name(fmt.Sprintf("c%d", i)))
		}
		add(f.measureCreates(c, p, fmt.Sprintf("%d at once", manyAtOnce), names...))
		add(f.measureCalls(c, fmt.Sprintf("`machine ls --timeout 1`, %d machines of `%s` whose Engines do not answer", manyAtOnce, p.driver),
			"one joint question", "ls", "--timeout", "1"))
		rm := append([]string{"rm", "-y", fmt.Sprintf("--parallel=%d", manyAtOnce)}, names...)
		add(f.measureCalls(c, fmt.Sprintf("`machine rm` of %d machines of `%s`", manyAtOnce, p.driver), "", rm...))
	}
}

func (f *fleet) measureCreates(c *cloud, p provider, which string, names ...string) measure {
	f.t.Helper()
	goal := "200 MiB"
	if p.driver == "amazonec2" {
		goal += ", 12 calls per machine"
	}
	began, before := time.Now(), c.calls()
	var took time.Duration
	all := func() bool {
		for _, name := range names {
			if f.phase(name) != "created" {
				return false
			}
		}
		took = time.Since(began)
		return true
	}
	peak, r := f.peak(all, append(p.create(fmt.Sprintf("--parallel=%d", len(names))), names...)...)
	if took == 0 {
		f.t.Fatalf("%s: not all were created\n%s", p.name, r)
	}
	calls := c.calls() - before
	return measure{
		what: fmt.Sprintf("`machine create -d %s`, %s, until the provider has done its work", p.driver, which), runs: 1,
		mean: took, worst: took, rss: peak, goal: goal,
		note: fmt.Sprintf("%d calls of the provider's interface, %.1f per machine", calls, float64(calls)/float64(len(names))),
	}
}

func (f *fleet) measureCalls(c *cloud, what, goal string, args ...string) measure {
	f.t.Helper()
	began, before := time.Now(), c.calls()
	f.ok(args...)
	took := time.Since(began)
	return measure{what: what, runs: 1, mean: took, worst: took, goal: goal, note: fmt.Sprintf("%d calls of the provider's interface", c.calls()-before)}
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
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "urfave_cli_no_docs,grpcnotrace", "-trimpath", "-ldflags", "-s -w", "-o", out, "./cmd/machine")
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
