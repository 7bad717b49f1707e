package e2e_test

import (
	"fmt"
	"testing"
)

// TestCloudKilledCreate kills create at each of its calls to the provider, before
// the provider has acted on the call and after it. The hosts exist in name only,
// so that create waits for their SSH when it has done its work at the provider.
// Every other machine is created again, and has one host then; rm leaves nothing.
func TestCloudKilledCreate(t *testing.T) {
	for _, mode := range []string{"before", "after"} {
		t.Run(mode, func(t *testing.T) {
			onEachCloud(t, func(t *testing.T, p provider) { killedCreates(t, p, mode) })
		})
	}
}

func killedCreates(t *testing.T, p provider, mode string) {
	c, f := newCloudFleet(t, p, "memory")
	const most = 80
	n := 1
	for ; n <= most && !t.Failed(); n++ {
		m := f.name(fmt.Sprintf("k%d", n))
		created := func() bool { return f.phase(m) == "created" }
		c.inject(spoil{Nth: n, Mode: mode})
		var held bool
		killed, r := f.until(func() bool { held = c.held(); return held || created() }, p.create(m)...)
		c.clear()
		if !killed {
			t.Fatalf("call %d: create ended\n%s", n, r)
		}
		if held && n%2 == 0 {
			if killed, r := f.until(created, p.create(m)...); !killed {
				t.Fatalf("call %d: create again ended\n%s", n, r)
			}
			if got := c.count(p.instance); got != 1 {
				t.Errorf("call %d: created again, there are %d hosts: %v", n, got, c.ledger())
			}
		}
		if f.phase(m) != "" {
			f.ok("rm", "-y", m)
		}
		if left := c.ledger(); len(left) > 0 {
			t.Errorf("call %d: rm left %v", n, left)
		}
		if !held {
			break
		}
	}
	if n < 5 || n > most {
		t.Errorf("create has made %d calls", n)
	}
	t.Logf("create makes %d calls to its provider", n-1)
}
