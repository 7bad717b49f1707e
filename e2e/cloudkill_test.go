package e2e_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// TestCloudKilledCreate kills create at each of its calls to the provider, before
// the provider has acted on the call and after it. The hosts exist in name only,
// so that create waits for their SSH when it has done its work at the provider.
// Half of the machines are created again, and have one host then; rm leaves nothing.
func TestCloudKilledCreate(t *testing.T) {
	onEachCloud(t, func(t *testing.T, p provider) {
		const (
			atOnce = 12 // most of the time is spent waiting for the provider
			most   = 100
		)
		var next, calls atomic.Int64
		var group sync.WaitGroup
		calls.Store(most)
		for range atOnce {
			c, f := newCloudFleet(t, p, "memory")
			group.Go(func() {
				for {
					i := next.Add(1) - 1
					n := i/2 + 1
					if n > calls.Load() || t.Failed() {
						return
					}
					held, err := killedCreate(c, f, p, int(n), []string{"before", "after"}[i%2])
					if err != nil {
						t.Errorf("killed %s call %d: %v", []string{"before", "after"}[i%2], n, err)
					}
					if !held {
						calls.Store(min(calls.Load(), n-1))
					}
				}
			})
		}
		group.Wait()
		t.Logf("create makes %d calls to its provider", calls.Load())
		if n := calls.Load(); !t.Failed() && (n < 5 || n == most) {
			t.Errorf("create made %d calls to its provider", n)
		}
	})
}

// killedCreate kills a create at its nth call and then removes the machine. It
// returns whether there was such a call.
func killedCreate(c *cloud, f *fleet, p provider, n int, mode string) (held bool, err error) {
	m := f.name(fmt.Sprintf("k%d%s", n, mode))
	created := func() bool { return f.phase(m) == "created" }
	c.inject(spoil{Nth: n, Mode: mode})
	killed, r := f.until(func() bool { held = c.held(); return held || created() }, p.create(m)...)
	c.clear()
	if !killed {
		return held, fmt.Errorf("create ended: %s", r)
	}
	if held && n%2 == 0 {
		if killed, r := f.until(created, p.create(m)...); !killed {
			return held, fmt.Errorf("create again ended: %s", r)
		}
		if got := c.count(p.instance); got != 1 {
			return held, fmt.Errorf("created again, there are %d hosts: %v", got, c.ledger())
		}
	}
	if f.phase(m) != "" {
		if r := f.run("rm", "-y", m); r.code != 0 {
			return held, fmt.Errorf("rm: %s", r)
		}
	}
	if left := c.ledger(); len(left) > 0 {
		return held, fmt.Errorf("rm left %v", left)
	}
	return held, nil
}
