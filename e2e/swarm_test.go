package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// nodes returns "hostname status availability managerstatus" of each node, sorted.
func (f *fleet) nodes(swarm []string) []string {
	f.t.Helper()
	out := f.dockerWith(swarm, "node", "ls", "--format", "{{.Hostname}} {{.Status}} {{.Availability}} {{.ManagerStatus}}")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	slices.Sort(lines)
	return lines
}

type swarmStatus struct {
	Name         string `json:"name"`
	ID           string `json:"id"`
	AskedVia     string `json:"askedVia"`
	Managers     int    `json:"managers"`
	Reachable    int    `json:"reachable"`
	CanLose      int    `json:"canLose"`
	DataPathPort int    `json:"dataPathPort"`
	Nodes        []struct {
		Machine string `json:"machine"`
		Role    string `json:"role"`
		State   string `json:"state"`
		Leader  bool   `json:"leader"`
	} `json:"nodes"`
}

func (f *fleet) swarmStatus(name string) swarmStatus {
	f.t.Helper()
	var s swarmStatus
	out := f.ok("swarm", "status", "--output", "json", name)
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		f.t.Fatalf("swarm status: %v\n%s", err, out)
	}
	return s
}

// TestSwarm builds a swarm of three managers and two workers, runs a service on
// all, loses the first manager, and takes it apart until nothing is left.
func TestSwarm(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	managers, workers := f.names("m1", "m2", "m3"), f.names("w1", "w2")
	all := slices.Concat(managers, workers)
	swarm := managers[0] // a swarm is named after its first machine

	f.ok(append([]string{"create", "-d", "docker", "--swarm-master"}, managers...)...)
	f.ok(append([]string{"create", "-d", "docker", "--swarm", "--swarm-node-label", "tier=work"}, workers...)...)
	env := f.dockerEnv("--swarm", swarm)

	t.Run("nodes", func(t *testing.T) {
		f := f.in(t)
		nodes := f.nodes(env)
		if len(nodes) != len(all) {
			t.Fatalf("Got %d nodes, want %d: %q", len(nodes), len(all), nodes)
		}
		for i, node := range nodes {
			want := all[i] + " Ready Active"
			if !strings.HasPrefix(node, want) {
				t.Errorf("Got %q, want %q", node, want)
			}
			isManager := strings.HasSuffix(node, " Leader") || strings.HasSuffix(node, " Reachable")
			if isManager != (i < len(managers)) {
				t.Errorf("Got %q: managers are %v, workers %v", node, managers, workers)
			}
		}
		if got := f.dockerWith(env, "node", "ls", "-q", "--filter", "node.label=tier=work"); len(strings.Fields(got)) != 2 {
			t.Errorf("Got %q with the label of the workers, want 2 nodes", got)
		}
	})
	t.Run("status", func(t *testing.T) {
		f := f.in(t)
		s := f.swarmStatus(swarm)
		if s.Managers != 3 || s.Reachable != 3 || s.CanLose != 1 || len(s.Nodes) != 5 {
			t.Errorf("Got %+v", s)
		}
		rows := f.ok("ls", "--format", "{{.Name}}={{.Swarm}}")
		for _, m := range managers {
			if !strings.Contains(rows, m+"="+swarm+" (master)") {
				t.Errorf("ls does not show %s as a manager:\n%s", m, rows)
			}
		}
		for _, w := range workers {
			if !strings.Contains(rows+"\n", w+"="+swarm+"\n") {
				t.Errorf("ls does not show %s as a worker:\n%s", w, rows)
			}
		}
	})
	t.Run("no token is kept", func(t *testing.T) {
		f := f.in(t)
		out, err := dockerOutput(t, "run", "--rm", "-v", f.store+":/store:ro", "debian:bookworm-slim", "grep", "-rl", "SWMTKN", "/store")
		if err == nil {
			t.Errorf("A join token is in the store: %s", out)
		}
	})
	t.Run("create again makes nothing", func(t *testing.T) {
		f := f.in(t)
		f.ok(append([]string{"create", "-d", "docker", "--swarm", "--swarm-node-label", "tier=work"}, workers...)...)
		f.fails(1, "create", "-d", "docker", "--swarm", "--swarm-node-label", "tier=work", workers[0])
		if got := f.nodes(env); len(got) != len(all) {
			t.Errorf("Got %q", got)
		}
	})
	t.Run("service on every node", func(t *testing.T) {
		f := f.in(t)
		f.loadHello(all...)
		f.deployHello(env)
		f.answersEverywhere(all...)
	})
	t.Run("a worker leaves in good order", func(t *testing.T) {
		f := f.in(t)
		f.ok("rm", "-y", workers[1])
		nodes := f.nodes(env)
		if len(nodes) != 4 || slices.ContainsFunc(nodes, func(n string) bool { return strings.HasPrefix(n, workers[1]) }) {
			t.Errorf("Got %q, want that %s is gone", nodes, workers[1])
		}
	})
	t.Run("first manager down", func(t *testing.T) {
		f := f.in(t)
		f.ok("kill", managers[0])
		eventually(t, 60*time.Second, func() error { // the others elect a leader
			r := f.run("swarm", "status", "--output", "json", swarm)
			t.Logf("swarm status ended with %d after %s", r.code, r.took)
			var s swarmStatus
			if r.code != 0 {
				return fmt.Errorf("%s", r)
			}
			if err := json.Unmarshal([]byte(r.stdout), &s); err != nil {
				return err
			}
			if s.AskedVia == managers[0] || s.Reachable != 2 || s.CanLose != 0 {
				return fmt.Errorf("got %+v", s)
			}
			return nil
		})
		other := f.dockerEnv("--swarm", swarm)
		if nodes := f.nodes(other); len(nodes) != 4 {
			t.Errorf("Got %q by way of another manager", nodes)
		}
	})
	t.Run("quorum guard", func(t *testing.T) {
		f := f.in(t)
		r := f.fails(1, "rm", "-y", managers[1])
		if !strings.Contains(r.stderr, "quorum") {
			t.Errorf("The refusal does not speak of the quorum: %s", r)
		}
		if got := f.ok("status", managers[1]); got != "Running" {
			t.Errorf("The machine that was not removed is %q", got)
		}
		f.ok("rm", "-y", managers[0]) // the one that is down may go
		f.ok("rm", "-y", managers[1]) // and then another
		rest := f.dockerEnv("--swarm", swarm)
		nodes := f.nodes(rest)
		if len(nodes) != 2 || !strings.HasSuffix(nodes[0], "Leader") {
			t.Errorf("Got %q, want one manager and one worker", nodes)
		}
		f.answersEverywhere(managers[2], workers[0])
	})
	t.Run("to the last", func(t *testing.T) {
		f := f.in(t)
		f.ok("rm", "-y", workers[0])
		f.ok("rm", "-y", managers[2])
		if got := f.ok("swarm", "ls", "--output", "json"); strings.TrimSpace(got) != "[]" {
			t.Errorf("Got swarms %q, want none", got)
		}
		for _, kind := range []string{"container", "volume", "network"} {
			if left := f.leftovers(kind); len(left) > 0 {
				t.Errorf("Left %s %v", kind, left)
			}
		}
	})
}

// TestSwarmOfExistingMachines makes a swarm of machines that exist, and parts it.
func TestSwarmOfExistingMachines(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.name("a"), f.name("b")
	f.ok("create", "-d", "docker", a, b)
	f.ok("swarm", "init", "--swarm-name", "blue", a)
	f.ok("swarm", "join", "--swarm-name", "blue", b)
	f.ok("swarm", "join", "--swarm-name", "blue", b) // already in it
	if s := f.swarmStatus("blue"); len(s.Nodes) != 2 || s.Managers != 1 {
		t.Fatalf("Got %+v, want a manager and a worker", s)
	}
	worker := f.docker(a, "swarm", "join-token", "-q", "worker")
	manager := f.docker(a, "swarm", "join-token", "-q", "manager")
	r := f.run("swarm", "token", "rotate", "blue")
	if r.code != 0 {
		t.Fatalf("%s", r)
	}
	if f.docker(a, "swarm", "join-token", "-q", "worker") == worker || f.docker(a, "swarm", "join-token", "-q", "manager") == manager {
		t.Error("A token is the same after its rotation")
	}
	if strings.Contains(r.stdout+r.stderr, "SWMTKN") {
		t.Errorf("A token was printed: %s", r)
	}

	c := f.name("c")
	f.ok("create", "-d", "docker", "--swarm-master", "--swarm-name", "red", "--swarm-data-path-port", "7789", c)
	if got := f.docker(c, "info", "--format", "{{.Swarm.Cluster.DataPathPort}}"); got != "7789" {
		t.Errorf("Got data path port %s, want 7789", got)
	}
	if r := f.fails(1, "swarm", "join", "--swarm-name", "red", b); !strings.Contains(r.stderr, "swarm") {
		t.Errorf("A node of another swarm: %s", r)
	}
	f.ok("swarm", "leave", b)
	if r := f.fails(2, "swarm", "join", "--swarm-name", "red", "--data-path-port", "4789", b); !strings.Contains(r.stderr, "red has 7789, not 4789") {
		t.Errorf("Another data path port: %s", r)
	}
	f.ok("swarm", "join", "--swarm-name", "red", b)
	if s := f.swarmStatus("red"); len(s.Nodes) != 2 || s.DataPathPort != 7789 {
		t.Errorf("Got %+v, want two nodes and port 7789", s)
	}
}

// TestAdopt takes over a host that runs Docker for somebody already.
func TestAdopt(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := newHost(t, withEngine)
	archive, err := helloArchive()
	if err != nil {
		t.Fatal(err)
	}
	file := t.TempDir() + "/hello.tar"
	if err := os.WriteFile(file, archive, 0o600); err != nil {
		t.Fatal(err)
	}
	h.sh(`mkdir -p /etc/docker
printf '{"labels": ["owner=somebody"], "log-opts": {"max-size": "7m"}, "x-none": null}' | sed 's/, "x-none": null//' >/etc/docker/daemon.json
systemctl restart docker`)
	mustRun(t, "docker", "cp", file, h.container+":/root/hello.tar")
	h.sh("docker load -q -i /root/hello.tar && docker run -d --restart always --name theirs " + helloImage)
	id := h.sh("docker inspect -f {{.Id}} theirs")
	m := f.name("adopted")
	f.ok(append([]string{"create", "--engine-label", "tier=adopted"}, append(h.generic("admin"), m)...)...)

	if got := h.sh("hostname; cat /etc/hostname"); got != h.container+"\n"+h.container {
		t.Errorf("The host was renamed: %q", got)
	}
	labels := f.docker(m, "info", "--format", "{{.Labels}}")
	if !strings.Contains(labels, "owner=somebody") || !strings.Contains(labels, "tier=adopted") {
		t.Errorf("Got labels %q, want theirs and ours", labels)
	}
	if got := h.sh("cat /etc/docker/daemon.json"); !strings.Contains(got, "7m") {
		t.Errorf("Their options are gone from daemon.json: %s", got)
	}
	if got := f.docker(m, "inspect", "-f", "{{.Id}} {{.State.Running}} {{.HostConfig.LogConfig.Config}}", "theirs"); got != id+" true map[max-size:7m]" {
		t.Errorf("Their container: got %q, want it running as before", got)
	}
	if got := h.sh("docker ps --format {{.Names}}"); got != "theirs" {
		t.Errorf("The host's own client: got %q", got)
	}
	version := h.sh("docker version -f {{.Server.Version}}")

	started := h.engineStarted()
	f.ok("provision", m)
	if got := h.engineStarted(); got != started {
		t.Errorf("Provisioning again restarted the Engine: %s, then %s", started, got)
	}
	if got := h.sh("docker version -f {{.Server.Version}}"); got != version {
		t.Errorf("The Engine went from %s to %s without being asked", version, got)
	}
	f.ok("rm", "-y", m)
	if got := h.sh("docker ps --format {{.Names}}; systemctl is-active docker"); got != "theirs\nactive" {
		t.Errorf("After rm: got %q, want the host as it was", got)
	}
}
