package e2e_test

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSwarmRecover loses two of three managers for good, brings the swarm back, and replaces them.
func TestSwarmRecover(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	managers, worker := f.names("m1", "m2", "m3"), f.name("w1")
	swarm := managers[0]
	f.ok(append([]string{"create", "-d", "docker", "--swarm-master"}, managers...)...)
	f.ok("create", "-d", "docker", "--swarm", "--swarm-node-label", "tier=work", worker)
	env := f.dockerEnv(managers[1])
	f.loadHello(worker)
	f.dockerWith(env, "config", "create", "kept", f.path(managers[1], "ca.pem"))
	f.dockerWith(env, "service", "create", "-d", "--name", "hello", "--no-resolve-image", "--endpoint-mode", "dnsrr",
		"--constraint", "node.labels.tier==work", helloImage)
	eventually(t, 2*time.Minute, func() error {
		if out := f.dockerWith(env, "service", "ps", "hello", "--format", "{{.CurrentState}}"); !strings.HasPrefix(out, "Running") {
			return fmt.Errorf("hello is %q", out)
		}
		return nil
	})
	task := f.dockerWith(env, "service", "ps", "hello", "-q")

	r := f.fails(1, "swarm", "recover", "-y", swarm)
	if !strings.Contains(r.stderr, "has its quorum") {
		t.Errorf("a swarm with a quorum:\n%s", r)
	}
	for _, name := range []string{managers[0], managers[2]} { // their hosts are gone, and nobody told the swarm
		if out, err := exec.CommandContext(t.Context(), "docker", "rm", "-fv", f.container(name)).CombinedOutput(); err != nil {
			t.Fatalf("docker rm: %v: %s", err, out)
		}
	}
	eventually(t, 2*time.Minute, func() error {
		if r := f.run("swarm", "status", swarm); r.code == 0 || !strings.Contains(r.stderr, "leader") {
			return fmt.Errorf("%s", r)
		}
		return nil
	})
	if out := f.ok("swarm", "recover", "--dry-run", swarm); !strings.Contains(out, "force new cluster") || !strings.Contains(out, "remove it from the swarm") {
		t.Errorf("Got the plan\n%s", out)
	}
	r = f.run("swarm", "recover", "-y", swarm)
	t.Logf("%s", r)
	if r.code != 0 {
		t.Fatal("not recovered")
	}
	s := f.swarmStatus(swarm)
	if s.Managers != 1 || s.Reachable != 1 || len(s.Nodes) != 2 {
		t.Errorf("Got %+v", s)
	}
	if out := f.dockerWith(env, "config", "ls", "--format", "{{.Name}}"); out != "kept" {
		t.Errorf("Got configs %q, want kept", out)
	}
	if out := f.dockerWith(env, "service", "ps", "hello", "-q", "--filter", "desired-state=running"); out != task {
		t.Errorf("Got task %q, want %q: it ran on through all of it", out, task)
	}
	// The number of managers is restored with new machines, in the names of the lost ones.
	f.ok("rm", "-y", "--force", managers[0], managers[2])
	f.ok("create", "-d", "docker", "--swarm-master", "--swarm-name", swarm, managers[0], managers[2])
	if s := f.swarmStatus(swarm); s.Managers != 3 || s.Reachable != 3 || s.CanLose != 1 || len(s.Nodes) != 4 {
		t.Errorf("Got %+v", s)
	}
	nodes := f.nodes(f.dockerEnv(managers[0]))
	if len(nodes) != 4 || slices.ContainsFunc(nodes, func(n string) bool { return !strings.Contains(n, " Ready Active") }) {
		t.Errorf("Got nodes %q", nodes)
	}
}

// container is the name of the host of a machine of the docker driver.
func (f *fleet) container(name string) string {
	f.t.Helper()
	for _, c := range f.leftovers("container") {
		if strings.Contains(c, name) {
			return c
		}
	}
	f.t.Fatalf("%s has no container", name)
	return ""
}
