package swarmboot_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostsmith/machine/swarmboot"
)

var update = flag.Bool("update", false, "write golden files")

type (
	nodes = []swarmboot.Node
	seen  = map[string]swarmboot.Seen
)

func node(name string, role swarmboot.Role) swarmboot.Node {
	return swarmboot.Node{Name: name, Role: role, Advertise: addrOf(name)}
}

// addrOf gives each machine an address of its own: m1 has 10.0.0.1, w1 10.0.1.1, x1 10.0.2.1.
func addrOf(name string) string {
	return fmt.Sprintf("10.0.%d.%c", strings.IndexByte("mwx", name[0]), name[1])
}

var inactive = swarmboot.Seen{Reachable: true, State: "inactive"}

// member is a node as its managers list it.
func member(name string, role swarmboot.Role) swarmboot.Member {
	m := swarmboot.Member{ID: "id-" + name, Hostname: name, Role: role, Availability: "active", State: "ready", Addr: addrOf(name)}
	if role == mgr {
		m.Reachability = "reachable"
	}
	return m
}

// cluster is what is seen of the nodes of a swarm.
func cluster(id string, ms ...swarmboot.Member) seen {
	s := make(seen)
	var managers []string
	for _, m := range ms {
		if m.Role == mgr {
			managers = append(managers, m.Addr+":2377")
		}
	}
	for _, m := range ms {
		e := swarmboot.Seen{Reachable: true, State: "active", NodeID: m.ID, NodeAddr: m.Addr, Managers: managers}
		if m.Role == mgr {
			e.ClusterID, e.Control, e.Nodes = id, true, ms
		}
		s[m.Hostname] = e
	}
	return s
}

func (s seenWith) set(name string, e swarmboot.Seen) seenWith { s[name] = e; return s }

type seenWith map[string]swarmboot.Seen

func down(why string) swarmboot.Seen { return swarmboot.Seen{Err: why} }

type planCase struct {
	want swarmboot.Swarm
	seen seen
	err  error // wrapped by the error; nil: none
}

func planCases() map[string]planCase {
	one := func() seenWith { return seenWith(cluster("c1", member("m1", mgr))) }
	at := func(port int) seenWith {
		m1 := one()["m1"]
		m1.DataPathPort = port
		return one().set("m1", m1)
	}
	three := func() seenWith {
		return seenWith(cluster("c1", member("m1", mgr), member("m2", mgr), member("m3", mgr), member("w1", wrk)))
	}
	with := func(n swarmboot.Node, change func(*swarmboot.Node)) swarmboot.Node { change(&n); return n }
	join := func(n swarmboot.Node, s swarmboot.Seen) planCase {
		return planCase{want: swarmboot.Swarm{Name: "prod", ID: "c1", Nodes: nodes{n}}, seen: seen(one().set(n.Name, s))}
	}
	fails := func(err error, c planCase) planCase { c.err = err; return c }

	return map[string]planCase{
		"new": {
			want: swarmboot.Swarm{Name: "prod", AddrPool: []string{"10.20.0.0/16", "10.21.0.0/16"}, SubnetSize: 26, Nodes: nodes{
				node("w1", wrk), // the order of workers and managers is Plan's business
				with(node("m1", mgr), func(n *swarmboot.Node) { n.DataPath, n.Listen = "192.0.2.1", "10.0.0.1:2399" }),
				with(node("m2", mgr), func(n *swarmboot.Node) { n.Availability = "drain" }),
				node("m3", mgr),
				with(node("w2", wrk), func(n *swarmboot.Node) { n.Labels = map[string]string{"zone": "b", "disk": "ssd"} }),
			}},
			seen: seen{"m1": inactive, "m2": inactive, "m3": inactive, "w1": inactive, "w2": inactive},
		},
		"new-data-path-port": {
			want: swarmboot.Swarm{Name: "prod", DataPathPort: 7789, Nodes: nodes{node("m1", mgr), node("m2", mgr)}},
			seen: seen{"m1": inactive, "m2": inactive}},
		"new-data-path-port-old-engine": {err: swarmboot.ErrState,
			want: swarmboot.Swarm{Name: "prod", DataPathPort: 7789, Nodes: nodes{node("m1", mgr)}},
			seen: seen{"m1": {Reachable: true, State: "inactive", Version: "18.09.1"}}},
		"new-data-path-port-as-ever": {
			want: swarmboot.Swarm{Name: "prod", DataPathPort: 4789, Nodes: nodes{node("m1", mgr)}},
			seen: seen{"m1": {Reachable: true, State: "inactive", Version: "18.09.1"}}},
		"data-path-port-of-the-swarm": {
			want: swarmboot.Swarm{Name: "prod", ID: "c1", DataPathPort: 7789, Nodes: nodes{node("w1", wrk)}},
			seen: seen(at(7789).set("w1", inactive))},
		"data-path-port-of-another": {err: swarmboot.ErrDataPath,
			want: swarmboot.Swarm{Name: "prod", ID: "c1", DataPathPort: 7789, Nodes: nodes{node("w1", wrk)}},
			seen: seen(at(4789).set("w1", inactive))},
		"new-without-manager": {err: swarmboot.ErrNoManager,
			want: swarmboot.Swarm{Nodes: nodes{node("w1", wrk)}}, seen: seen{"w1": inactive}},
		"new-interrupted": {
			want: swarmboot.Swarm{Name: "prod", Nodes: nodes{node("m1", mgr), node("m2", mgr), node("w1", wrk)}},
			seen: seen(one().set("m2", inactive).set("w1", inactive))},
		"new-of-other-swarm": {err: swarmboot.ErrForeign,
			want: swarmboot.Swarm{Name: "prod", Nodes: nodes{node("m1", mgr), node("m2", mgr)}}, seen: seen(three())},
		"new-of-two-swarms": {err: swarmboot.ErrForeign,
			want: swarmboot.Swarm{Name: "prod", Nodes: nodes{node("m1", mgr), node("x1", mgr)}},
			seen: seen(one().set("x1", cluster("c2", member("x1", mgr))["x1"]))},
		"new-pending": {
			want: swarmboot.Swarm{Nodes: nodes{node("m1", mgr)}}, seen: seen{"m1": {Reachable: true, State: "pending"}}},
		"nothing": {
			want: swarmboot.Swarm{ID: "c1", Nodes: nodes{node("m1", mgr), node("m2", mgr), node("m3", mgr), node("w1", wrk)}}, seen: seen(three())},
		"join": {
			want: swarmboot.Swarm{ID: "c1", Nodes: nodes{node("w2", wrk), node("m4", mgr), node("w1", wrk)}},
			seen: seen(three().set("w2", inactive).set("m4", inactive))},
		"join-some-managers-down": {
			want: swarmboot.Swarm{ID: "c1", Nodes: nodes{node("w2", wrk)}},
			seen: seen(three().set("w2", inactive).set("m1", down("no route to host")).set("m2", down("timeout")))},
		"updates": {
			want: swarmboot.Swarm{ID: "c1", Nodes: nodes{
				node("m1", wrk),
				with(node("m2", mgr), func(n *swarmboot.Node) {
					n.Availability, n.Labels = "drain", map[string]string{"a": "1", "b": "2"}
				}),
				node("m3", mgr),
				with(node("w1", mgr), func(n *swarmboot.Node) { n.Advertise = "" }), // a member needs none
				node("w2", wrk),
			}},
			seen: seen(three().set("w2", inactive))},
		"update-unreachable": {
			want: swarmboot.Swarm{ID: "c1", Nodes: nodes{with(node("w1", wrk), func(n *swarmboot.Node) { n.Availability = "drain" })}},
			seen: seen(three().set("w1", swarmboot.Seen{Err: "timeout", NodeID: "id-w1"}))},
		"demote-only-manager": {err: swarmboot.ErrQuorum,
			want: swarmboot.Swarm{ID: "c1", Nodes: nodes{node("m1", wrk)}}, seen: seen(one())},
		"demote-too-many": {err: swarmboot.ErrQuorum,
			want: swarmboot.Swarm{ID: "c1", Nodes: nodes{node("m1", wrk)}},
			seen: cluster("c1", member("m1", mgr), member("m2", mgr),
				with2(member("m3", mgr), func(m *swarmboot.Member) { m.State, m.Reachability = "down", "unreachable" }))},
		"pending-ours":  join(node("w1", wrk), swarmboot.Seen{Reachable: true, State: "pending", NodeAddr: "10.0.1.1", Managers: []string{"10.0.0.1:2377"}}),
		"struck-worker": join(node("w1", wrk), swarmboot.Seen{Reachable: true, State: "active", NodeID: "old", Managers: []string{"10.0.0.1:2377"}}),
		"struck-manager": join(node("m2", mgr), swarmboot.Seen{Reachable: true, State: "pending", NodeID: "old", NodeAddr: "10.0.0.2", Control: true,
			Err: "the swarm has no leader", Managers: []string{"10.0.0.1:2377", "10.0.0.2:2377"}}),
		"pending-foreign": fails(swarmboot.ErrForeign, join(node("w1", wrk), swarmboot.Seen{Reachable: true, State: "pending", Managers: []string{"10.9.9.9:2377"}})),
		"foreign-worker": fails(swarmboot.ErrForeign, join(node("w1", wrk),
			swarmboot.Seen{Reachable: true, State: "active", NodeID: "n9", Managers: []string{"10.9.9.9:2377", "10.9.9.8:2377"}})),
		"foreign-manager": fails(swarmboot.ErrForeign, join(node("m2", mgr), cluster("c2", member("m2", mgr))["m2"])),
		"foreign-worker-of-known-swarm": {err: swarmboot.ErrForeign,
			want: swarmboot.Swarm{Name: "prod", ID: "c1", Nodes: nodes{node("w9", wrk)}},
			seen: seen(one().set("x1", cluster("c2", member("x1", mgr), member("w9", wrk))["x1"]).
				set("w9", cluster("c2", member("x1", mgr), member("w9", wrk))["w9"]))},
		"former-node": {
			want: swarmboot.Swarm{ID: "c1", Nodes: nodes{node("m2", mgr), node("w1", wrk)}},
			seen: func() seen {
				gone := func(id, name, addr string) swarmboot.Member {
					return swarmboot.Member{ID: id, Hostname: name, Role: mgr, Addr: addr, State: "down", Reachability: "unreachable"}
				}
				s := cluster("c1", member("m1", mgr), gone("old2", "m2", "10.0.0.2"), gone("old1", "m2", "10.0.0.2"),
					gone("elsewhere", "m2", "10.0.0.7"), gone("other", "w7", "10.0.1.1"))
				return seen{"m1": s["m1"], "m2": {Reachable: true, State: "inactive", Hostname: "m2"}, "w1": {Reachable: true, State: "inactive", Hostname: "w1"}}
			}()},
		"locked-node":    fails(swarmboot.ErrLocked, join(node("m2", mgr), swarmboot.Seen{Reachable: true, State: "locked"})),
		"error-node":     fails(swarmboot.ErrState, join(node("m2", mgr), swarmboot.Seen{Reachable: true, State: "error", Err: "could not find local IP address"})),
		"no-swarm-mode":  fails(swarmboot.ErrState, join(node("m2", mgr), swarmboot.Seen{Reachable: true})),
		"node-down":      fails(swarmboot.ErrNode, join(node("w1", wrk), down("dial tcp 10.0.1.1:2376: connection refused"))),
		"node-not-asked": {err: swarmboot.ErrNode, want: swarmboot.Swarm{ID: "c1", Nodes: nodes{node("w7", wrk)}}, seen: seen(one())},
		"several-faults": {err: swarmboot.ErrNode,
			want: swarmboot.Swarm{ID: "c1", Nodes: nodes{node("w1", wrk), node("w2", wrk), with(node("w3", wrk), func(n *swarmboot.Node) { n.Advertise = "" })}},
			seen: seen(one().set("w1", down("timeout")).set("w2", swarmboot.Seen{Reachable: true, State: "locked"}).set("w3", inactive))},
		"no-manager": {err: swarmboot.ErrNoManager,
			want: swarmboot.Swarm{Name: "prod", ID: "c1", Nodes: nodes{node("w2", wrk)}},
			seen: seen{"w2": inactive, "m1": down("no route to host"), "m2": inactive, "w1": cluster("c1", member("w1", wrk))["w1"],
				"m3": cluster("c3", member("m3", mgr))["m3"]}},
		"no-manager-known": {err: swarmboot.ErrNoManager,
			want: swarmboot.Swarm{Name: "prod", ID: "c1", Nodes: nodes{node("w2", wrk)}}, seen: seen{"w2": inactive}},
		"no-leader": {err: swarmboot.ErrNoLeader,
			want: swarmboot.Swarm{ID: "c1", Nodes: nodes{node("w2", wrk)}},
			seen: seen{"w2": inactive, "m1": {Reachable: true, State: "active", NodeID: "id-m1", Control: true, Err: "the swarm has no leader: too few managers are online"},
				"m2": down("timeout")}},
		"locked-swarm": {err: swarmboot.ErrLocked,
			want: swarmboot.Swarm{ID: "c1", Nodes: nodes{node("w2", wrk)}},
			seen: seen{"w2": inactive, "m1": {Reachable: true, State: "locked"}}},
		"addresses": {err: swarmboot.ErrAddress,
			want: swarmboot.Swarm{ID: "c1", Nodes: nodes{
				with(node("w1", wrk), func(n *swarmboot.Node) { n.Advertise = "" }),
				with(node("w2", wrk), func(n *swarmboot.Node) { n.Advertise = "0.0.0.0:2377" }),
				with(node("w3", wrk), func(n *swarmboot.Node) { n.Advertise = "127.0.0.1" }),
				with(node("w4", wrk), func(n *swarmboot.Node) { n.Advertise = "10.0.2.15" }),
				with(node("w5", wrk), func(n *swarmboot.Node) { n.Advertise = "10.0.2.15:2377" }),
				with(node("w6", wrk), func(n *swarmboot.Node) { n.Advertise = "10.0.0.1" }),
				with(node("w7", wrk), func(n *swarmboot.Node) { n.Advertise = "eth0" }),
				with(node("w8", wrk), func(n *swarmboot.Node) { n.Advertise = "[fd00::1]:2377" }),
			}},
			seen: seen(one().set("w1", inactive).set("w2", inactive).set("w3", inactive).set("w4", inactive).
				set("w5", inactive).set("w6", inactive).set("w7", inactive).set("w8", inactive))},
		"single-on-loopback": {
			want: swarmboot.Swarm{Nodes: nodes{with(node("m1", mgr), func(n *swarmboot.Node) { n.Advertise = "127.0.0.1" })}}, seen: seen{"m1": inactive}},
		"invalid-role":         {err: errAny, want: swarmboot.Swarm{Nodes: nodes{{Name: "m1", Role: "boss"}}}},
		"invalid-availability": {err: errAny, want: swarmboot.Swarm{Nodes: nodes{{Name: "m1", Role: mgr, Availability: "off"}}}},
		"invalid-name":         {err: errAny, want: swarmboot.Swarm{Nodes: nodes{{Role: mgr}}}},
		"invalid-twice":        {err: errAny, want: swarmboot.Swarm{Nodes: nodes{node("m1", mgr), node("m1", wrk)}}},
	}
}

// errAny stands for any error.
var errAny = errors.New("any")

func with2(m swarmboot.Member, change func(*swarmboot.Member)) swarmboot.Member {
	change(&m)
	return m
}

func TestPlan(t *testing.T) {
	t.Parallel()
	for name, c := range planCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := fmt.Sprintf("%#v", c)
			actions, err := swarmboot.Plan(c.want, c.seen)
			if (err == nil) != (c.err == nil) || c.err != nil && c.err != errAny && !errors.Is(err, c.err) {
				t.Errorf("got error %v, want %v", err, c.err)
			}
			if err != nil && actions != nil {
				t.Errorf("got actions %v besides an error", actions)
			}
			var got strings.Builder
			for _, a := range actions {
				fmt.Fprintln(&got, a)
			}
			if err != nil {
				fmt.Fprintln(&got, "error:", err)
				var h interface{ Hint() string }
				if errors.As(err, &h) {
					fmt.Fprintln(&got, "hint:", h.Hint())
				}
			}
			golden(t, "plan/"+name, got.String())

			again, _ := swarmboot.Plan(c.want, c.seen)
			if !reflect.DeepEqual(again, actions) {
				t.Errorf("not pure: got %v, then %v", actions, again)
			}
			if after := fmt.Sprintf("%#v", c); after != before {
				t.Error("the arguments were changed")
			}
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", filepath.FromSlash(name)+".golden")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.ReplaceAll(string(want), "\r\n", "\n"), got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
