package azure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/azuresim"
)

// TestFaultsThatPass spoils one call after the other in ways that the driver is
// to bear by itself: what is throttled is asked again, and so is what was done
// while its answer was lost.
func TestFaultsThatPass(t *testing.T) {
	t.Parallel()
	for name, values := range map[string]drivers.Values{"default": nil, "ipv6": with6(nil)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			faultsThatPass(t, values)
		})
	}
}

func faultsThatPass(t *testing.T, values drivers.Values) {
	calm := newCloud(t, azuresim.Config{})
	d := calm.driver(t, values, drivers.Env{})
	if err := d.Create(t.Context(), request(t)); err != nil {
		t.Fatal(err)
	}
	kinds := kindsOf(calm)
	calls := calm.gate.Calls()[""]
	for _, mode := range []sim.Mode{sim.Throttle, sim.Lose} {
		for n := 1; n <= calls+8; n++ { // a few of them are the removal's
			if mode == sim.Throttle && n%5 != 0 {
				continue // each waits for the second that it is told to wait
			}
			t.Run(fmt.Sprintf("%s %d", mode, n), func(t *testing.T) {
				t.Parallel()
				c := newCloud(t, azuresim.Config{})
				c.gate.Inject(sim.Fault{Nth: n, Mode: mode})
				d := c.driver(t, values, drivers.Env{})
				if err := d.Create(t.Context(), request(t)); err != nil {
					t.Fatal(err)
				}
				if got := kindsOf(c); !slices.Equal(got, kinds) {
					t.Errorf("got %q, want %q", got, kinds)
				}
				if s, err := d.Status(t.Context()); err != nil || s.State != drivers.Running {
					t.Errorf("got %v, %v", s, err)
				}
				if err := d.Remove(t.Context()); err != nil {
					t.Fatal(err)
				}
				if left := c.list(true); len(left) > 0 {
					t.Errorf("left behind: %q", left)
				}
			})
		}
	}
}

func kindsOf(c *simulated) (kinds []string) {
	for _, r := range c.list(true) {
		kind, _, _ := strings.Cut(r, "/")
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	return kinds
}

// TestPowerAtOnce stops and starts a machine while something that was begun
// before is going on there.
func TestPowerAtOnce(t *testing.T) {
	t.Parallel()
	c := newCloud(t, azuresim.Config{Operation: 50 * time.Millisecond})
	d := c.driver(t, nil, drivers.Env{})
	if err := d.Create(t.Context(), request(t)); err != nil {
		t.Fatal(err)
	}
	for _, act := range []func(*driver, context.Context) error{(*driver).Stop, (*driver).Start} {
		var group errgroup.Group
		for range 3 {
			other := c.driver(t, nil, drivers.Env{})
			other.state.Value = d.state.Value
			group.Go(func() error { return act(other, t.Context()) })
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := d.Status(t.Context()); err != nil || s.State != drivers.Running {
		t.Errorf("got %v, %v", s, err)
	}
	if err := d.Remove(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestRemovedMeanwhile has a create go on while somebody deletes the virtual machine:
// the new one is not taken for the old one.
func TestRemovedMeanwhile(t *testing.T) {
	t.Parallel()
	c := newCloud(t, azuresim.Config{Operation: 300 * time.Millisecond})
	d := c.driver(t, nil, drivers.Env{})
	if err := d.Create(t.Context(), request(t)); err != nil {
		t.Fatal(err)
	}
	d.state.Value.Private = "192.168.9.9" // of the old one
	if _, err := c.account(t).vms.BeginDelete(t.Context(), d.group(), d.name(), nil); err != nil {
		t.Fatal(err)
	}
	if err := d.Create(t.Context(), request(t)); err != nil {
		t.Fatal(err)
	}
	told := d.state.Value.Private
	if err := d.addresses(t.Context(), c.account(t)); err != nil || told != d.state.Value.Private {
		t.Errorf("it is said to be at %s, and is at %s (%v)", told, d.state.Value.Private, err)
	}
	if err := d.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := c.list(true); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestRemoveTriesAllParts: what cannot be removed is told, all of it, and keeps nothing else but what it uses; the next
// removal takes the rest.
func TestRemoveTriesAllParts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		denied, left, gone []string
	}{
		"interface": {denied: []string{"networkInterfaces"}, left: []string{typeNIC, typeIP, typeFirewall}},
		"address":   {denied: []string{"publicIPAddresses"}, left: []string{typeIP}, gone: []string{typeNIC, typeFirewall}},
		"address and firewall": {
			denied: []string{"publicIPAddresses", "networkSecurityGroups"}, left: []string{typeIP, typeFirewall}, gone: []string{typeNIC},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newCloud(t, azuresim.Config{})
			d := s.driver(t, nil, drivers.Env{})
			// Azure removes parts with their machine, so that they are there by themselves only where it was not made.
			s.gate.Inject(sim.Fault{Action: "PUT virtualMachines", Mode: sim.Fail, Times: -1, Status: 403, Code: "AuthorizationFailed"})
			if err := d.Create(t.Context(), request(t)); !errors.Is(err, drivers.ErrPermission) {
				t.Fatalf("got %v, want a create that is refused", err)
			}
			s.gate.Clear()
			for _, kind := range c.denied {
				s.gate.Inject(sim.Fault{Action: "DELETE " + kind, Mode: sim.Fail, Times: -1, Status: 403, Code: "AuthorizationFailed"})
			}
			err := d.Remove(t.Context())
			told := map[string]string{
				"networkInterfaces": "remove network interface", "publicIPAddresses": "remove public address", "networkSecurityGroups": "remove network security group",
			}
			for _, kind := range c.denied {
				if err == nil || !strings.Contains(err.Error(), told[kind]) {
					t.Errorf("got %v, want %s", err, told[kind])
				}
			}
			all := strings.ToLower(strings.Join(s.list(true), "\n"))
			for _, kind := range c.left {
				if !strings.Contains(all, "/"+strings.ToLower(kind)+"/") {
					t.Errorf("no %s is left of\n%s", kind, all)
				}
			}
			for _, kind := range c.gone {
				if strings.Contains(all, "/"+strings.ToLower(kind)+"/") {
					t.Errorf("a %s is left:\n%s", kind, all)
				}
			}
			s.gate.Clear()
			if err := d.Remove(t.Context()); err != nil || len(s.list(true)) > 0 {
				t.Errorf("got %v, with %q left", err, s.list(true))
			}
		})
	}
}
