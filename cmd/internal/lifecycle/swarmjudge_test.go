package lifecycle

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// judged is the moment at which the swarms of these tests are judged.
func judged() time.Time { return time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC) }

// wellSwarm is a swarm in which all is well: managers and workers with engines that answer and certificates half a life old.
func wellSwarm(managers, workers int) *swarmFacts {
	f := &swarmFacts{
		Now: judged(), Cluster: store.Cluster{Name: "prod", ID: "c1", Members: map[string]store.Member{}},
		Machines: map[string]machineFact{}, Certs: map[string]nodeCert{}, Via: "m1", DataPathPort: 4789,
		Picture: &swarmboot.Picture{CertExpiry: 90 * 24 * time.Hour},
	}
	for i := 1; i <= managers; i++ {
		f.add(fmt.Sprintf("m%d", i), swarmboot.Manager, fmt.Sprintf("10.0.0.%d", i))
	}
	for i := 1; i <= workers; i++ {
		f.add(fmt.Sprintf("w%d", i), swarmboot.Worker, fmt.Sprintf("10.0.1.%d", i))
	}
	return f
}

func (f *swarmFacts) add(name string, role swarmboot.Role, addr string) {
	n := swarmboot.Member{ID: "id-" + name, Hostname: name, Role: role, Availability: "active", State: "ready", Addr: addr, Version: "28.5.2"}
	seen := swarmboot.Seen{Reachable: true, State: "active", NodeID: n.ID, NodeAddr: addr, Hostname: name, Version: n.Version}
	if role == swarmboot.Manager {
		n.Reachability, n.Leader = "reachable", name == "m1"
		seen.Control, seen.ClusterID = true, f.Cluster.ID
	}
	f.Picture.Nodes = append(f.Picture.Nodes, n)
	f.Cluster.Members[name] = store.Member{Role: string(role), NodeID: n.ID}
	f.Machines[name] = machineFact{Swarm: store.Swarm{Name: "prod", Role: string(role), NodeID: n.ID}, Peer: addr, Seen: seen}
	f.Certs[name] = nodeCert{From: f.Now.Add(-45 * 24 * time.Hour), Until: f.Now.Add(45 * 24 * time.Hour)}
}

// node is what the managers say of a machine's node.
func (f *swarmFacts) node(name string) *swarmboot.Member {
	i := slices.IndexFunc(f.Picture.Nodes, func(n swarmboot.Member) bool { return n.ID == "id-"+name })
	return &f.Picture.Nodes[i]
}

func (f *swarmFacts) see(name string, change func(*swarmboot.Seen)) {
	fact := f.Machines[name]
	change(&fact.Seen)
	f.Machines[name] = fact
}

// off takes a machine down: the managers miss it, and it does not answer.
func (f *swarmFacts) off(names ...string) {
	for _, name := range names {
		f.see(name, func(s *swarmboot.Seen) {
			*s = swarmboot.Seen{Err: "dial tcp 10.0.0.9:2376: connect: no route to host"}
		})
		f.Certs[name] = nodeCert{Err: "dial tcp 10.0.0.9:22: connect: no route to host"}
		n := f.node(name)
		n.State = "down"
		if n.Reachability != "" {
			n.Reachability = "unreachable"
		}
		if n.Leader {
			n.Leader, f.node("m2").Leader = false, true
		}
	}
}

// mute takes the picture away: no manager has a leader.
func (f *swarmFacts) mute() {
	for name := range f.Machines {
		f.see(name, func(s *swarmboot.Seen) { s.ClusterID = "" })
	}
	f.Picture, f.Via, f.DataPathPort = nil, "", 0
}

func (f *swarmFacts) task(service string, slot int, node, state, desired, problem string, ago time.Duration) {
	t := swarmboot.Task{ID: fmt.Sprintf("t-%s-%d-%s", service, slot, ago), ServiceID: "s-" + service, Slot: slot, State: state, Desired: desired, Error: problem, At: f.Now.Add(-ago)}
	if node != "" {
		t.NodeID = "id-" + node
		if state == "running" {
			f.node(node).Tasks++
		}
	}
	f.Picture.Tasks = append(f.Picture.Tasks, t)
}

func (f *swarmFacts) service(name, mode string, replicas int) {
	f.Picture.Services = append(f.Picture.Services, swarmboot.Service{ID: "s-" + name, Name: name, Mode: mode, Replicas: replicas, Image: "shop/" + name + ":1.0@sha256:00"})
}

// web lets a service of three replicas run.
func (f *swarmFacts) web() {
	f.service("web", "replicated", 3)
	for i, node := range []string{"m1", "w1", "w2"} {
		f.task("web", i+1, node, "running", "running", "", time.Hour)
	}
}

func situations() map[string]func() *swarmFacts {
	with := func(managers, workers int, change func(f *swarmFacts)) func() *swarmFacts {
		return func() *swarmFacts {
			f := wellSwarm(managers, workers)
			change(f)
			return f
		}
	}
	return map[string]func() *swarmFacts{
		"healthy":      with(3, 2, func(f *swarmFacts) { f.web() }),
		"single":       with(1, 0, func(*swarmFacts) {}),
		"two-managers": with(2, 1, func(*swarmFacts) {}),
		"manager-down": with(3, 2, func(f *swarmFacts) { f.off("m1"); f.Via = "m2" }),
		"worker-down":  with(3, 2, func(f *swarmFacts) { f.off("w2") }),
		"quorum-lost": with(3, 1, func(f *swarmFacts) {
			f.off("m2", "m3")
			f.mute()
		}),
		"quorum-lost-still-led": with(3, 1, func(f *swarmFacts) { f.off("m2", "m3") }),
		"quorum-lost-some-locked": with(3, 0, func(f *swarmFacts) {
			f.off("m2")
			f.see("m3", func(s *swarmboot.Seen) {
				*s = swarmboot.Seen{Reachable: true, State: "locked", Hostname: "m3", Version: "28.5.2"}
			})
			f.mute()
		}),
		"quorum-just-lost": with(3, 1, func(f *swarmFacts) {
			f.off("m1", "m2")
			f.mute()
			f.see("m3", func(s *swarmboot.Seen) {
				*s = swarmboot.Seen{Reachable: true, State: hangs, Version: "28.5.2", Err: "not done within 10s"}
			})
		}),
		"electing": with(3, 0, func(f *swarmFacts) { f.mute() }),
		"locked": with(1, 1, func(f *swarmFacts) {
			f.see("m1", func(s *swarmboot.Seen) {
				*s = swarmboot.Seen{Reachable: true, State: "locked", Hostname: "m1", Version: "28.5.2"}
			})
			f.mute()
		}),
		"one-locked": with(3, 0, func(f *swarmFacts) {
			f.off("m3")
			f.Picture.Autolock = true
			f.see("m3", func(s *swarmboot.Seen) {
				*s = swarmboot.Seen{Reachable: true, State: "locked", Hostname: "m3", Version: "28.5.2"}
			})
		}),
		"silent": with(3, 1, func(f *swarmFacts) {
			f.off("m1", "m2", "m3", "w1")
			f.mute()
		}),
		"ghost": with(1, 2, func(f *swarmFacts) { // w1 was made anew; its former node is left
			f.Picture.Nodes = append(f.Picture.Nodes,
				swarmboot.Member{ID: "id-old", Hostname: "w1", Role: swarmboot.Worker, Availability: "active", State: "down", Addr: "10.0.1.1", Version: "27.0.0"},
				swarmboot.Member{ID: "id-lost", Hostname: "gone", Role: swarmboot.Worker, Availability: "active", State: "down"})
		}),
		"stranger": with(1, 1, func(f *swarmFacts) {
			f.Picture.Nodes = append(f.Picture.Nodes, swarmboot.Member{ID: "id-x", Hostname: "evil\x1b[2Jhost\n", Role: swarmboot.Worker, Availability: "active", State: "ready"})
		}),
		"removed-by-hand": with(1, 3, func(f *swarmFacts) {
			// w1 has left and was removed; w2 was removed while it was away; w3 has left and is still listed.
			f.Picture.Nodes = slices.DeleteFunc(f.Picture.Nodes, func(n swarmboot.Member) bool { return n.ID == "id-w1" || n.ID == "id-w2" })
			f.see("w1", func(s *swarmboot.Seen) { s.State, s.NodeID, s.NodeAddr = "inactive", "", "" })
			f.see("w3", func(s *swarmboot.Seen) { s.State, s.NodeID, s.NodeAddr = "inactive", "", "" })
			f.node("w3").State = "down"
		}),
		"rejoined-by-hand": with(1, 1, func(f *swarmFacts) {
			f.node("w1").ID = "id-new"
			f.see("w1", func(s *swarmboot.Seen) { s.NodeID = "id-new" })
		}),
		"other-swarm": with(1, 2, func(f *swarmFacts) {
			f.Picture.Nodes = slices.DeleteFunc(f.Picture.Nodes, func(n swarmboot.Member) bool { return n.ID == "id-w1" })
			f.see("w1", func(s *swarmboot.Seen) { s.NodeID, s.ClusterID, s.Control = "id-there", "c2", true })
		}),
		"roles-by-hand": with(3, 1, func(f *swarmFacts) {
			f.node("w1").Role, f.node("w1").Reachability = swarmboot.Manager, "reachable"
			f.node("m3").Role, f.node("m3").Reachability = swarmboot.Worker, ""
		}),
		"certificates": with(3, 3, func(f *swarmFacts) {
			f.Certs["m2"] = nodeCert{From: f.Now.Add(-75 * 24 * time.Hour), Until: f.Now.Add(15 * 24 * time.Hour)} // not renewed
			f.Certs["m3"] = nodeCert{From: f.Now.Add(-65 * 24 * time.Hour), Until: f.Now.Add(25 * 24 * time.Hour)} // may still be
			f.off("w1")                                                                                            // its engine does not run, its host does
			f.Certs["w1"] = nodeCert{From: f.Now.Add(-65 * 24 * time.Hour), Until: f.Now.Add(25 * 24 * time.Hour)}
			f.off("w2")
			f.see("w2", func(s *swarmboot.Seen) {
				*s = swarmboot.Seen{Reachable: true, State: "error", Err: "x509: certificate has expired or is not yet valid"}
			})
			f.Certs["w2"] = nodeCert{From: f.Now.Add(-100 * 24 * time.Hour), Until: f.Now.Add(-10 * 24 * time.Hour)}
			f.off("w3")
			f.Certs["w3"] = nodeCert{From: f.Now.Add(-100 * 24 * time.Hour), Until: f.Now.Add(-10 * 24 * time.Hour)}
		}),
		"operation": with(3, 1, func(f *swarmFacts) {
			f.Cluster.Operation = &store.Operation{Kind: "upgrade", Begun: f.Now.Add(-time.Hour), Resume: "swarm upgrade prod"}
			f.Cluster.Upgrade = journal{"w1": "active"}.encode()
			f.node("w1").Availability = "drain"
			f.node("m3").Version = "27.0.0"
		}),
		"operation-under-way": with(3, 1, func(f *swarmFacts) {
			f.Cluster.Operation = &store.Operation{Kind: "upgrade", Begun: f.Now.Add(-time.Hour), Resume: "swarm upgrade prod"}
			f.Cluster.Upgrade = journal{"w1": "active"}.encode()
			f.node("w1").Availability = "drain"
			f.AtWork = "machine swarm upgrade"
		}),
		"drained-by-hand": with(3, 1, func(f *swarmFacts) {
			f.node("m1").Availability, f.node("m2").Availability = "drain", "pause"
		}),
		"duplicate-hostname": with(1, 2, func(f *swarmFacts) { f.node("w2").Hostname = "w1" }),
		"address-changed": with(1, 1, func(f *swarmFacts) {
			fact := f.Machines["m1"]
			fact.Peer = "10.0.0.77"
			f.Machines["m1"] = fact
		}),
		"address-listed": with(1, 1, func(f *swarmFacts) {
			f.see("m1", func(s *swarmboot.Seen) { s.NodeAddr, s.ListedAddr = "10.0.0.1", "192.0.2.7" })
		}),
		"address-listed-of-two": with(2, 1, func(f *swarmFacts) {
			f.see("m1", func(s *swarmboot.Seen) { s.NodeAddr, s.ListedAddr = "10.0.0.1", "192.0.2.7" })
		}),
		"unheard": with(3, 0, func(f *swarmFacts) { f.node("m3").State, f.node("m3").Reachability = "down", "unreachable" }),
		"engine-silent": with(1, 1, func(f *swarmFacts) {
			f.see("w1", func(s *swarmboot.Seen) { *s = swarmboot.Seen{Err: "ask the engine: not done within 5s"} })
		}),
		"records": with(1, 1, func(f *swarmFacts) {
			f.Machines["w8"] = machineFact{Swarm: store.Swarm{Name: "prod", Role: "worker"}, Seen: swarmboot.Seen{Reachable: true, State: "inactive"}}
			f.Machines["w9"] = machineFact{Swarm: store.Swarm{Name: "prod", Role: "worker", NodeID: "id-w9"}, Seen: swarmboot.Seen{Err: "no route"}}
			f.Machines["w1"] = machineFact{Gone: true, Seen: swarmboot.Seen{Err: "machine does not exist"}}
		}),
		"failing-tasks": with(1, 2, func(f *swarmFacts) {
			f.web()
			f.service("db", "replicated", 2)
			f.task("db", 1, "w1", "failed", "shutdown", "task: non-zero exit (1)", 2*time.Minute)
			f.task("db", 1, "w1", "failed", "shutdown", "task: non-zero exit (2)", time.Minute)
			f.task("db", 1, "w1", "failed", "shutdown", "long ago", time.Hour)
			f.task("db", 1, "w1", "ready", "running", "", time.Second)
			f.task("db", 2, "", "pending", "running", "no suitable node (scheduling constraints not satisfied on 3 nodes)", time.Minute)
			f.service("agent", "global", 0)
			f.task("agent", 0, "m1", "running", "running", "", time.Hour)
			f.task("agent", 0, "w1", "running", "running", "", time.Hour)
			f.task("agent", 0, "w2", "starting", "running", "", time.Second)
			f.service("once", "replicated-job", 0)
			f.task("once", 1, "w2", "complete", "complete", "", time.Minute)
		}),
	}
}

// said is a status as far as these tests look at it.
func said(v SwarmView) string {
	var b strings.Builder
	b.WriteString(v.Headline() + "\n\n")
	for _, n := range v.Nodes {
		fmt.Fprintf(&b, "%s: %s %s %s %s, certificate %s, tasks %d, failing %d, problem %q, silent %q\n",
			n.Name(), n.Role, n.State, n.Availability, n.Reachability, n.CertLeft(v.AskedAt), n.Tasks, n.Failing, n.Problem, n.Silent)
	}
	for _, s := range v.Services {
		fmt.Fprintf(&b, "service %s: %d/%d, failing %d, %s\n", s.Name, s.Running, s.Wanted, s.Failing, s.Error)
	}
	for _, t := range v.TaskList {
		fmt.Fprintf(&b, "task %s on %q: %s, shall be %s %s\n", t.Name, t.Node, t.State, t.Desired, t.Error)
	}
	b.WriteString("\n")
	for _, f := range v.Findings {
		fmt.Fprintf(&b, "%s %s %s: %s\n    %s\n", f.Severity, f.Kind, f.Subject, f.Text, f.Advice)
	}
	if err := v.err(); err != nil {
		fmt.Fprintf(&b, "\n%s: %v\n    %s\n", ReasonOf(err).ID, err, HintOf(err))
	}
	return b.String()
}

func TestSwarmIsJudged(t *testing.T) {
	t.Parallel()
	for name, situation := range situations() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := said(judgeSwarm(*situation()))
			file := filepath.Join("testdata", "swarmstatus", name+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}
