package azure

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/azuresim"
)

// swarmOf makes machines at once.
func swarmOf(t *testing.T, c *simulated, values drivers.Values, env drivers.Env, names ...string) (all []*driver) {
	t.Helper()
	for _, name := range names {
		env.Machine = name
		all = append(all, c.driver(t, values, env))
	}
	each(t, all, func(d *driver) error { return d.Create(t.Context(), request(t)) })
	if t.Failed() {
		t.FailNow()
	}
	return all
}

// admits asks who may reach a port of a machine.
func admits(t *testing.T, c *simulated, d *driver, from, protocol string, port int) bool {
	t.Helper()
	got, err := c.Admits(d.state.Value.VM, sim.Packet{From: netip.MustParseAddr(from), Protocol: protocol, Port: port})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func theirNetwork(more drivers.Values) drivers.Values {
	all := drivers.Values{"azure-vnet": {"theirs:network"}, "azure-subnet": {"default"}}
	for k, v := range more {
		all[k] = v
	}
	return all
}

// TestNeighbours lets machines of others be in the same virtual network.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	const neighbour, far, caller = "10.77.0.200", "203.0.113.9", "127.0.0.1"
	for name, c := range map[string]struct {
		values drivers.Values
		front  *azuresim.FrontConfig
		vnet   bool // the virtual network may reach SSH and the Engine
		caller bool
		nsg    bool
	}{
		"public":      {values: theirNetwork(nil), caller: true},
		"of fakes":    {values: theirNetwork(nil), front: &azuresim.FrontConfig{Sparse: true}, caller: true},
		"private":     {values: theirNetwork(drivers.Values{"azure-no-public-ip": {"true"}}), vnet: true},
		"private use": {values: theirNetwork(drivers.Values{"azure-use-private-ip": {"true"}}), vnet: true},
		"allowed":     {values: theirNetwork(drivers.Values{"azure-no-public-ip": {"true"}, "azure-allow": {caller}}), caller: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloud := newFront(t, azuresim.Config{}, c.front)
			plantNetwork(t, cloud)
			c.values["azure-open-port"] = []string{"80"}
			all := swarmOf(t, cloud, c.values, drivers.Env{}, "m1", "m2")
			peer := all[1].state.Value.Private
			for _, e := range []struct {
				from, protocol string
				port           int
				want           bool
			}{
				{peer, "udp", 7946, true}, {neighbour, "udp", 7946, false}, {far, "udp", 7946, false}, {caller, "udp", 7946, false},
				{neighbour, "tcp", 22, c.vnet}, {neighbour, "tcp", 2376, c.vnet}, {peer, "tcp", 2376, c.vnet},
				{caller, "tcp", 22, c.caller}, {caller, "tcp", 2376, c.caller}, {far, "tcp", 22, false},
				{neighbour, "tcp", 80, true}, {far, "tcp", 80, true}, {neighbour, "tcp", 8080, true},
			} {
				if got := admits(t, cloud, all[0], e.from, e.protocol, e.port); got != e.want {
					t.Errorf("%s to %s/%d: got %v, want %v", e.from, e.protocol, e.port, got, e.want)
				}
			}
			kinds := func() string { return strings.Join(kindsOf(cloud), " ") }
			if n := strings.Count(kinds(), "applicationSecurityGroups"); n != 1 {
				t.Errorf("%d groups of members in %s", n, kinds())
			}
			if err := all[0].Remove(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(kinds(), "applicationSecurityGroups") {
				t.Errorf("the group of a machine is gone: %s", kinds())
			}
			if err := all[1].Remove(t.Context()); err != nil {
				t.Fatal(err)
			}
			if left := cloud.list(true); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// TestMembersOfNetworks makes a group in each network, as its members must be in one.
func TestMembersOfNetworks(t *testing.T) {
	t.Parallel()
	c := newCloud(t, azuresim.Config{})
	plantNetwork(t, c)
	all := slices.Concat(
		swarmOf(t, c, nil, drivers.Env{}, "m1", "m2"),
		swarmOf(t, c, theirNetwork(nil), drivers.Env{}, "m3"),
		swarmOf(t, c, drivers.Values{"azure-location": {"westeurope"}}, drivers.Env{}, "m4"),
	)
	groups := map[string]bool{}
	for _, d := range all {
		groups[d.state.Value.Members] = true
		for _, r := range []string{d.state.Value.Members, d.state.Value.NIC} {
			if !d.Claims(drivers.Resource{ID: r}) {
				t.Errorf("%s does not claim %s", d.env.Machine, r)
			}
		}
	}
	if len(groups) != 3 || groups[""] {
		t.Errorf("got %v", groups)
	}
	each(t, all, func(d *driver) error { return d.Remove(t.Context()) })
	if left := c.list(true); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestNoMembersInGroupsOfTheUser makes no group where the user's own rules count.
func TestNoMembersInGroupsOfTheUser(t *testing.T) {
	t.Parallel()
	c := newCloud(t, azuresim.Config{})
	first := swarmOf(t, c, nil, drivers.Env{}, "m1")[0]
	values := drivers.Values{"azure-nsg": {first.state.Value.Firewall}, "azure-location": {"westus"}, "azure-vnet": {"another"}, "azure-open-port": {"8000-8010"}}
	var notes []string
	env := drivers.Env{Note: func(_ context.Context, text string) { notes = append(notes, text) }}
	second := swarmOf(t, c, values, env, "m2")[0]
	told := func(note string) bool {
		return strings.Contains(note, "stays as it is; it must admit 22/tcp, 2376/tcp") && strings.HasSuffix(note, "8000-8010/tcp")
	}
	if !slices.ContainsFunc(notes, told) {
		t.Errorf("nobody says what the group must admit: %q", notes)
	}
	if got := second.state.Value.Members; got != "" {
		t.Errorf("made %s", got)
	}
	if n := c.gate.Calls()["PUT applicationSecurityGroups"]; n != 1 {
		t.Errorf("%d groups made", n)
	}
}

// TestWithoutMembers makes the subnet stand for the members where groups are
// not known, or not for who asks.
func TestWithoutMembers(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]sim.Fault{
		"not implemented": {Action: "GET applicationSecurityGroups", Mode: sim.Fail, Status: 501, Code: "NotImplemented", Times: -1},
		"not allowed":     {Action: "GET applicationSecurityGroups", Mode: sim.Fail, Status: 405, Times: -1},
		"no such type":    {Action: "GET applicationSecurityGroups", Mode: sim.Fail, Status: 400, Code: "NoRegisteredProviderFound", Times: -1},
		"no right":        {Action: "PUT applicationSecurityGroups", Mode: sim.Fail, Status: 403, Code: "AuthorizationFailed", Times: -1},
		"not made":        {Action: "PUT applicationSecurityGroups", Mode: sim.Fail, Status: 404, Code: "InvalidResourceType", Times: -1},
		"not joined":      {Action: "PUT networkSecurityGroups", Mode: sim.Fail, Status: 403, Code: "LinkedAuthorizationFailed", Times: 1},
		"interface":       {Action: "PUT networkInterfaces", Mode: sim.Fail, Status: 403, Code: "LinkedAuthorizationFailed", Times: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t, azuresim.Config{})
			plantNetwork(t, c)
			c.gate.Inject(fault)
			var told []string
			env := drivers.Env{Note: func(_ context.Context, text string) { told = append(told, text) }}
			d := swarmOf(t, c, theirNetwork(nil), env, "m1")[0]
			if !strings.Contains(strings.Join(told, "\n"), "swarm ports are open to all of the subnet, 10.77.0.0/24") {
				t.Errorf("told %q", told)
			}
			const neighbour, other = "10.77.0.200", "10.77.9.9"
			if !admits(t, c, d, neighbour, "udp", 7946) || admits(t, c, d, other, "udp", 7946) || admits(t, c, d, neighbour, "tcp", 22) {
				t.Error("the subnet does not stand for the members, or it does for more")
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

// TestMembersOfOthers does not join a group that another store made.
func TestMembersOfOthers(t *testing.T) {
	t.Parallel()
	c := newCloud(t, azuresim.Config{})
	plantNetwork(t, c)
	other := c.driver(t, theirNetwork(nil), drivers.Env{Machine: "theirs"})
	other.env.StoreID = testStore[:8] + "-another"
	other.accounts = &accounts{settings: other.accounts.settings} // another process
	if err := other.Create(t.Context(), request(t)); err != nil {
		t.Fatal(err)
	}
	d := c.driver(t, theirNetwork(nil), drivers.Env{})
	if err := d.Create(t.Context(), request(t)); err == nil || !strings.Contains(err.Error(), typeMembers) {
		t.Errorf("got %v, want a conflict", err)
	}
	before := c.list(false)
	if err := d.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	if after := c.list(false); !slices.Equal(before, after) {
		t.Errorf("had %q, has %q", before, after)
	}
}

// TestMembersStillUsed removes a group that seems to be in use for a moment yet,
// whatever that is called.
func TestMembersStillUsed(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"InUseApplicationSecurityGroupCannotBeDeleted", "SomethingElse"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t, azuresim.Config{})
			d := swarmOf(t, c, nil, drivers.Env{}, "m1")[0]
			c.gate.Inject(sim.Fault{Action: "DELETE applicationSecurityGroups", Mode: sim.Fail, Status: 400, Code: code, Times: 3})
			if err := d.Remove(t.Context()); err != nil {
				t.Fatal(err)
			}
			if left := c.list(true); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// TestMembersGoTogether removes all machines at once where refusals are no more
// than codes.
func TestMembersGoTogether(t *testing.T) {
	t.Parallel()
	for name, values := range map[string]drivers.Values{"own network": nil, "network of others": theirNetwork(nil)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newFront(t, azuresim.Config{}, &azuresim.FrontConfig{})
			plantNetwork(t, c)
			for range 3 {
				all := swarmOf(t, c, values, drivers.Env{}, "m1", "m2", "m3", "m4", "m5")
				each(t, all, func(d *driver) error { return d.Remove(t.Context()) })
				if left := c.list(true); len(left) > 0 {
					t.Errorf("left behind: %q", left)
				}
			}
		})
	}
}

// TestMembersAreNotForgotten has the removal of the group fail for reasons that say nothing of other machines, the second
// time without its network, which the first removal has released: rm fails, and the next one removes all.
func TestMembersAreNotForgotten(t *testing.T) {
	t.Parallel()
	c := newCloud(t, azuresim.Config{})
	d := c.driver(t, nil, drivers.Env{})
	if err := d.Create(t.Context(), request(t)); err != nil {
		t.Fatal(err)
	}
	for _, fault := range []sim.Fault{{Status: http.StatusForbidden, Code: "AuthorizationFailed"}, {Status: http.StatusBadRequest, Code: "InternalServerError"}} {
		fault.Action, fault.Mode, fault.Times = "DELETE applicationSecurityGroups", sim.Fail, -1
		c.gate.Inject(fault)
		if err := d.Remove(t.Context()); err == nil || d.state.Value.Members == "" {
			t.Errorf("%s: %v, with %q recorded", fault.Code, err, d.state.Value.Members)
		}
		c.gate.Clear()
	}
	if err := d.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := c.list(true); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestMembersComeAndGo makes machines while the last one before is removed.
func TestMembersComeAndGo(t *testing.T) {
	t.Parallel()
	for name, values := range map[string]drivers.Values{"own network": nil, "network of others": theirNetwork(nil)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t, azuresim.Config{})
			plantNetwork(t, c)
			last := swarmOf(t, c, values, drivers.Env{}, "m0")[0]
			for _, next := range []string{"m1", "m2", "m3", "m4"} {
				d := c.driver(t, values, drivers.Env{Machine: next})
				d.accounts = &accounts{settings: d.accounts.settings} // as another process
				each(t, []*driver{last, d}, func(one *driver) error {
					if one == last {
						return one.Remove(t.Context())
					}
					return one.Create(t.Context(), request(t))
				})
				if t.Failed() {
					return
				}
				if !slices.ContainsFunc(c.list(true), func(id string) bool { return strings.HasSuffix(id, d.state.Value.Members) }) || d.state.Value.Members == "" {
					t.Fatalf("%s has %q, and there is %q", next, d.state.Value.Members, c.list(true))
				}
				last = d
			}
			if err := last.Remove(t.Context()); err != nil {
				t.Fatal(err)
			}
			if left := c.list(true); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}
