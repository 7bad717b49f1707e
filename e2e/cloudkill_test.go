package e2e_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// atEachCall has try spoil each call that a command makes to its provider, in
// each of the ways, with many clouds at once: most of the time is spent waiting.
// try returns whether the command made as many as n calls.
func atEachCall(t *testing.T, p provider, modes []string, try func(p provider, c *cloud, f *fleet, m string, s spoil) (reached bool, err error)) {
	t.Helper()
	const (
		atOnce = 12
		most   = 100
	)
	var next, calls atomic.Int64
	var group sync.WaitGroup
	calls.Store(most)
	if p.name == "virtualbox" {
		p.flags = []string{"--virtualbox-ip", "dhcp"} // so that there is a DHCP server too
	}
	for range atOnce {
		c, f := newCloudFleet(t, p, "memory")
		group.Go(func() {
			for !t.Failed() {
				i := next.Add(1) - 1
				n, mode := i/int64(len(modes))+1, modes[i%int64(len(modes))]
				if n > calls.Load() {
					return
				}
				reached, err := try(p, c, f, f.name(fmt.Sprintf("%s%d", mode, n)), spoil{Nth: int(n), Mode: mode})
				c.clear()
				if left := c.ledger(); err == nil && len(left) > 0 {
					err = fmt.Errorf("left at the provider: %v", left)
				}
				if err != nil {
					t.Errorf("call %d, %s: %v", n, mode, err)
				}
				if !reached {
					calls.Store(min(calls.Load(), n-1))
				}
			}
		})
	}
	group.Wait()
	t.Logf("the command makes %d calls to its provider", calls.Load())
	if n := calls.Load(); !t.Failed() && (n < 3 || n == most) {
		t.Errorf("the command made %d calls to its provider", n)
	}
}

// sides are those of a call at which a command is killed. After a call that this
// computer does is before the next one.
func (p provider) sides() []string {
	if p.local() {
		return []string{"after"}
	}
	return []string{"before", "after"}
}

// atProvider runs create until it has done its work at the provider. The hosts
// exist in name only, so that it waits for their SSH then.
func (f *fleet) atProvider(p provider, m string) error {
	if killed, r := f.until(func() bool { return f.phase(m) == "created" }, p.create(m)...); !killed {
		return fmt.Errorf("create ended: %s", r)
	}
	return nil
}

// one tells whether there is exactly one host.
func (c *cloud) one(p provider) error {
	if got := c.count(p.instance); got != 1 {
		return fmt.Errorf("there are %d hosts: %v", got, c.ledger())
	}
	return nil
}

func (f *fleet) remove(m string) error {
	if r := f.run("rm", "-y", m); r.code != 0 {
		return fmt.Errorf("rm: %s", r)
	}
	return nil
}

// TestCloudKilledCreate kills create at each of its calls, before the provider
// has acted on it and after. Half of the machines are created again, and have one
// host then; rm leaves nothing.
func TestCloudKilledCreate(t *testing.T) {
	onEachCloud(t, func(t *testing.T, p provider) {
		atEachCall(t, p, p.sides(), func(p provider, c *cloud, f *fleet, m string, s spoil) (held bool, err error) {
			c.inject(s)
			killed, r := f.until(func() bool { held = c.held(); return held || f.phase(m) == "created" }, p.create(m)...)
			c.clear()
			if !killed {
				return held, fmt.Errorf("create ended: %s", r)
			}
			if held && s.Nth%2 == 0 {
				err = errors.Join(f.atProvider(p, m), c.one(p))
			}
			if f.phase(m) != "" {
				err = errors.Join(err, f.remove(m))
			}
			return held, err
		})
	}, hypervisors()...)
}

// TestCloudKilledRemoval kills rm at each of its calls; the same command ends the
// work.
func TestCloudKilledRemoval(t *testing.T) {
	onEachCloud(t, func(t *testing.T, p provider) {
		atEachCall(t, p, p.sides(), func(p provider, c *cloud, f *fleet, m string, s spoil) (held bool, err error) {
			if err := f.atProvider(p, m); err != nil {
				return true, err
			}
			c.inject(s)
			killed, r := f.until(func() bool { held = c.held(); return held }, "rm", "-y", m)
			c.clear()
			if !killed && r.code != 0 {
				return held, fmt.Errorf("rm: %s", r)
			}
			if f.phase(m) != "" {
				err = f.remove(m)
			}
			return held, err
		})
	}, hypervisors()...)
}

// TestCloudLostAnswers closes the connection instead of each answer to a create
// in turn. Whether create bears that or has to be called again, there is one host.
func TestCloudLostAnswers(t *testing.T) {
	onEachCloud(t, func(t *testing.T, p provider) {
		atEachCall(t, p, []string{"lose", "throttle"}, func(p provider, c *cloud, f *fleet, m string, s spoil) (reached bool, err error) {
			before := c.calls()
			c.inject(s)
			killed, _ := f.until(func() bool { return f.phase(m) == "created" }, p.create(m)...)
			reached = c.calls()-before >= s.Nth
			c.clear()
			if !killed {
				err = f.atProvider(p, m)
			}
			return reached, errors.Join(err, c.one(p), f.remove(m))
		})
	})
}

// TestCloudVanished has hosts deleted at the provider, not by machine. That is
// seen, and rm removes the rest.
func TestCloudVanished(t *testing.T) {
	onEachCloud(t, func(t *testing.T, p provider) {
		c, f := newCloudFleet(t, p, "memory")
		m := f.name("m")
		if err := f.atProvider(p, m); err != nil {
			t.Fatal(err)
		}
		for _, r := range c.ledger() {
			if r.Kind == p.instance {
				c.vanish(r)
			}
		}
		if r := f.run("status", m); r.stdout == "Running\n" {
			t.Errorf("status of a machine that is gone: %s", r)
		}
		f.ok("ls")
		if err := f.remove(m); err != nil {
			t.Error(err)
		}
		if left := c.ledger(); len(left) > 0 {
			t.Errorf("rm left %v", left)
		}
	}, hypervisors()...)
}
