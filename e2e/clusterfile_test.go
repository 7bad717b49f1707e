package e2e_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// clusterDir is a folder with a cluster file, as a user's project has.
type clusterDir struct {
	*fleet
	dir string
}

// write writes the cluster file: so many workers with a label, and perhaps the stack.
func (c clusterDir) write(workers, tier string, stack bool) {
	c.t.Helper()
	text := `name: ` + c.prefix + `
x-note: the engines are what the host image has
defaults:
  driver: docker
  engine: {labels: {made: by-file}}
machines:
  worker:
    role: worker
    count: ${WORKERS:-` + workers + `}
    labels: {tier: ` + tier + `}
  manager:
    role: manager
`
	if stack {
		text += "stacks:\n  web: {files: [web.yaml], env: {GREETING: hello}, resolve-image: never}\n"
	}
	c.put("cluster.yaml", text)
}

func (c clusterDir) put(name, text string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

func (c clusterDir) file(name string) string { return filepath.Join(c.dir, name) }

func (c clusterDir) up(args ...string) string {
	c.t.Helper()
	return c.ok(append([]string{"up", "-y", "-f", c.file("cluster.yaml")}, args...)...)
}

// check demands that up --check ends with a code and says what differs.
func (c clusterDir) check(code int, want string) {
	c.t.Helper()
	r := c.run("up", "--check", "-f", c.file("cluster.yaml"))
	if r.code != code || !strings.Contains(r.stdout, want) {
		c.t.Errorf("Got exit code %d, want %d and %q\n%s", r.code, code, want, r)
	}
}

const webCompose = `services:
  hello:
    image: ` + helloImage + `
    environment:
      NODE: "{{.Node.Hostname}}"
      GREETING: ${GREETING}
    ports: [{target: 8080, published: 8080, mode: host}]
    networks: [none-needed]
    deploy: {mode: global, endpoint_mode: dnsrr, placement: {constraints: [node.role == worker]}}
networks:
  none-needed: {driver: overlay}
`

// TestClusterFile makes a swarm of a cluster file, changes it through the file and by hand, and takes it down.
func TestClusterFile(t *testing.T) {
	t.Parallel()
	c := clusterDir{newFleet(t), t.TempDir()}
	c.put("web.yaml", webCompose)
	c.write("2", "one", false)
	manager, workers := c.name("manager-1"), c.names("worker-1", "worker-2", "worker-3")

	// The first command is killed when it has begun; the second one goes on.
	p := c.start(context.Background(), "up", "-y", "-f", c.file("cluster.yaml"))
	eventually(t, 60*time.Second, func() error { _, err := os.Stat(c.path(manager, "config.json")); return err })
	if p.err == nil {
		p.err = p.cmd.Process.Kill()
	}
	p.wait()
	c.check(2, manager+": continue an unfinished create")
	c.up()
	c.check(0, "nothing to do")
	status := c.swarmStatus(c.prefix)
	if status.Managers != 1 || len(status.Nodes) != 3 {
		t.Fatalf("Got %+v", status)
	}
	env := c.dockerEnv("--swarm", c.prefix)
	label := func(tier string) string {
		return c.dockerWith(env, "node", "ls", "--filter", "node.label=tier="+tier, "--format", "{{.Hostname}}")
	}

	c.loadHello(workers[:2]...)
	c.write("2", "one", true)
	if got := c.up(); !strings.Contains(got, "deploy       web: new") {
		t.Errorf("Got %s", got)
	}
	c.answersEverywhere(workers[:2]...)

	t.Run("a second time", func(t *testing.T) {
		c := clusterDir{c.in(t), c.dir}
		running := func() string { return c.docker(workers[0], "ps", "-q") }
		before := running()
		if got := c.up(); got != c.prefix+": nothing to do" {
			t.Errorf("Got %s", got)
		}
		if got := running(); got != before {
			t.Errorf("Got containers %q, want %q as before", got, before)
		}
	})
	t.Run("one more worker and another label", func(t *testing.T) {
		c := clusterDir{c.in(t), c.dir}
		c.write("3", "two", true)
		got := c.up()
		for _, want := range []string{"create       " + workers[2], "join         " + workers[2], "label        " + workers[0] + ": tier: one → two"} {
			if !strings.Contains(got, want) {
				t.Errorf("Got no %q:\n%s", want, got)
			}
		}
		c.check(0, "nothing to do")
		if got := label("two"); len(strings.Fields(got)) != 3 {
			t.Errorf("Got %q with the label, want all workers", got)
		}
		c.loadHello(workers[2])
		c.answersEverywhere(workers...)
	})
	t.Run("changes by hand", func(t *testing.T) {
		c := clusterDir{c.in(t), c.dir}
		c.dockerWith(env, "node", "update", "--label-rm", "tier", workers[1])
		c.dockerWith(env, "service", "rm", "web_hello")
		c.check(2, "label        "+workers[1]+": +tier=two")
		c.check(2, "deploy       web: the swarm no longer has it")
		c.up()
		c.check(0, "nothing to do")
		c.answersEverywhere(workers...)
	})
	t.Run("a host that is gone", func(t *testing.T) {
		c := clusterDir{c.in(t), c.dir}
		id, err := dockerOutput(t, "ps", "-q", "--filter", "name=machine-"+workers[0]+"-")
		if err != nil || len(strings.Fields(id)) != 1 {
			t.Fatalf("Got containers %q, %v", id, err)
		}
		mustRun(t, "docker", "rm", "-f", strings.TrimSpace(id))
		want := "replace      " + workers[0] + ": the provider no longer has it (not without --allow-replace)"
		c.check(2, want)
		if r := c.fails(1, "up", "-y", "-f", c.file("cluster.yaml")); !strings.Contains(r.stderr, "CLUSTER_HELD") {
			t.Errorf("%s", r)
		}
		c.up("--allow-replace")
		c.check(0, "nothing to do")
		if got := c.swarmStatus(c.prefix); len(got.Nodes) != 4 {
			t.Errorf("Got %+v", got)
		}
	})
	t.Run("fewer", func(t *testing.T) {
		c := clusterDir{c.in(t), c.dir}
		c.write("2", "two", false)
		c.up()
		c.check(2, "remove       "+workers[2]+": the file no longer has it (not without --prune)")
		c.up("--prune")
		c.check(0, "nothing to do")
		if got := c.dockerWith(env, "stack", "ls", "--format", "{{.Name}}"); got != "" {
			t.Errorf("Got stacks %q", got)
		}
		if got := label("two"); strings.Contains(got, workers[2]) || len(strings.Fields(got)) != 2 {
			t.Errorf("Got nodes %q", got)
		}
	})
	t.Run("described", func(t *testing.T) {
		c := clusterDir{c.in(t), c.dir}
		c.put("described.yaml", c.ok("describe", c.prefix))
		r := c.run("up", "--check", "-f", c.file("described.yaml"), "--output", "json")
		var steps struct{ Steps []any }
		if err := json.Unmarshal([]byte(r.stdout), &steps); err != nil || r.code != 0 || len(steps.Steps) != 0 {
			t.Errorf("Got %v\n%s", err, r)
		}
	})
	t.Run("down", func(t *testing.T) {
		c := clusterDir{c.in(t), c.dir}
		c.ok("down", "-y", "-f", c.file("cluster.yaml"))
		if got := c.ok("ls", "-q"); got != "" {
			t.Errorf("Got machines %q", got)
		}
		for _, kind := range []string{"container", "volume", "network"} {
			if got := c.leftovers(kind); len(got) != 0 {
				t.Errorf("Got left behind: %s %q", kind, got)
			}
		}
	})
}
