package e2e_test

import (
	"strings"
	"testing"
)

// TestCloudCollect has a machine's record thrown away while its provider refuses
// everything. What stays is found by gc, and nothing else is.
func TestCloudCollect(t *testing.T) {
	onEachCloud(t, func(t *testing.T, p provider) {
		c, f := newCloudFleet(t, p, "memory")
		lost, kept := f.name("lost"), f.name("kept")
		for _, m := range []string{kept, lost} {
			if killed, r := f.until(func() bool { return f.phase(m) == "created" }, p.create(m)...); !killed {
				t.Fatal(r)
			}
		}
		c.forget(f, p, lost)
		before := c.ledger()
		out := f.ok("gc")
		for _, r := range before {
			if r.Kind == p.instance && strings.Contains(out, r.ID) != strings.Contains(r.Name+r.Tags["machine-name"], lost) {
				t.Errorf("%v in what gc found:\n%s", r, out)
			}
		}
		if after := c.ledger(); len(after) != len(before) {
			t.Errorf("gc without --yes left %v of %v", after, before)
		}
		f.ok("gc", "--yes")
		if got := c.count(p.instance); got != 1 || len(c.ledger()) == len(before) {
			t.Errorf("After gc --yes there are %v", c.ledger())
		}
		if got := f.ok("status", kept); got != "Running" {
			t.Errorf("The machine that is kept: got %q", got)
		}

		c.forget(f, p, kept) // now no record tells where to look
		f.ok("gc", "-d", p.driver, "--yes")
		if left := c.ledger(); len(left) > 0 {
			t.Errorf("gc left %v", left)
		}
		f.ok("gc", "-d", p.driver, "--yes")
	}, hypervisors()...)
}

// forget removes a machine's record while the provider refuses every call.
func (c *cloud) forget(f *fleet, p provider, m string) {
	c.t.Helper()
	c.inject(spoil{Times: -1, Mode: "fail", Status: 403, Code: p.denied})
	f.run("rm", "-y", "--force", m)
	c.clear()
	if f.phase(m) != "" {
		c.t.Fatalf("rm --force left the record of %s", m)
	}
	if len(c.ledger()) == 0 {
		c.t.Fatal("The provider has nothing")
	}
}
