package e2e_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestCloudResumed kills all that is done to one machine, again and again: its
// create at calls to the provider and later while its Engine is made, its stop,
// its start at another address, its upgrade and its removal. The same command
// goes on each time, and there is a Docker host in the end, and then nothing.
func TestCloudResumed(t *testing.T) {
	onEachCloud(t, func(t *testing.T, p provider) {
		c, f := newCloudFleet(t, p, "docker")
		m := f.name("m")
		create := p.create(m)
		f.killedAtCalls(c, func() bool { return f.phase(m) == "created" }, create...)
		for _, after := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 3 * time.Second} {
			if f.phase(m) != "ready" {
				r := f.interrupt(after, syscall.SIGKILL, create...)
				t.Logf("create, killed after %s: exit code %d, phase %s", after, r.code, f.phase(m))
			}
		}
		if f.phase(m) != "ready" {
			f.ok(create...)
		}
		f.docker(m, "info")
		if err := c.one(p); err != nil {
			t.Error(err)
		}
		if got := f.ok("ssh", m, "hostname"); got != m {
			t.Errorf("Name: got %q", got)
		}

		never := func() bool { return false }
		f.killedAtCalls(c, never, "stop", m)
		if got := f.ok("status", m); got != "Stopped" {
			t.Errorf("status: got %q", got)
		}
		f.killedAtCalls(c, never, "start", m)
		eventually(t, time.Minute, func() error { // the last one may have found a host that boots
			if r := f.run("config", m); r.code != 0 {
				return errors.New(r.stderr)
			}
			return nil
		})
		f.docker(m, "info")
		f.killedAtCalls(c, never, "upgrade", m)
		f.docker(m, "info")
		f.killedAtCalls(c, never, "rm", "-y", m)
		if left := c.ledger(); len(left) > 0 {
			t.Errorf("rm left %v", left)
		}
	})
}

// killedAtCalls runs a command until it comes to its end, or is killed because
// done says so. It is killed at its first call to the provider, run again and
// killed at its second, and so on; before the provider has acted and after.
func (f *fleet) killedAtCalls(c *cloud, done func() bool, args ...string) {
	f.t.Helper()
	for n := range 200 {
		c.inject(spoil{Nth: n/2 + 1, Mode: []string{"before", "after"}[n%2]})
		held := false
		killed, r := f.until(func() bool { held = c.held(); return held || done() }, args...)
		c.clear()
		if !killed && r.code != 0 && !strings.Contains(r.stderr, "Reason: ALREADY_SO\n") {
			f.t.Fatal(r)
		}
		if !held {
			f.t.Logf("%s was killed %d times at calls", args[0], n)
			return
		}
	}
	f.t.Fatalf("%s has no end", args[0])
}
