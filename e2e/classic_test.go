package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// reached waits until the manager of a classic swarm has got answers from exactly these machines' engines.
func (f *fleet) reached(env []string, machines ...string) {
	f.t.Helper()
	want := make([]string, len(machines))
	for i, m := range machines {
		want[i] = "node=" + m
	}
	slices.Sort(want)
	eventually(f.t, 90*time.Second, func() error {
		out, err := f.dockerCommand(f.t.Context(), env, "info", "--format", "{{range .Labels}}{{.}} {{end}}").CombinedOutput()
		got := strings.Fields(string(out))
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			return fmt.Errorf("%w: got %q, want %q", err, out, want)
		}
		return nil
	})
}

// containers returns name and id of the containers of a classic swarm on a machine.
func (f *fleet) containers(machine string) string {
	f.t.Helper()
	return f.docker(machine, "ps", "--no-trunc", "--format", "{{.Names}} {{.ID}}", "--filter", "name=swarm-agent")
}

// TestClassicSwarm has a classic standalone swarm whose list of members machine keeps: a master, an agent made for
// it, and one that was there before. What runs in the containers is classicswarm, see there.
func TestClassicSwarm(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	swarm, m1, w1, w2 := f.name("old"), f.name("m1"), f.name("w1"), f.name("w2")
	r := newRegistry(t, "swarm", "./classicswarm")
	f.extra = []string{"MACHINE_SWARM_IMAGE=" + r.ref}
	create := []string{"create", "-d", "docker", "--engine-insecure-registry", r.addr}

	plain := f.start(t.Context(), append(create, w2)...)
	f.ok(append(create, "--swarm", "--swarm-master", "--swarm-classic", "--swarm-name", swarm,
		"--swarm-host", "tcp://0.0.0.0:4376", "--swarm-strategy", "binpack", "--swarm-opt", "heartbeat=2s", m1)...)
	if got := plain.wait(); got.code != 0 {
		t.Fatal(got)
	}
	f.ok(append(create, "--swarm", "--swarm-classic", w1)...)
	env := f.dockerEnv("--swarm", m1)

	t.Run("the manager answers and reaches the engines", func(t *testing.T) {
		f := f.in(t)
		f.reached(env, m1, w1)
		if got := f.dockerWith(env, "version", "--format", "{{.Server.Version}}"); got != "swarm/1.2.9" {
			t.Errorf("docker version says %q", got)
		}
		if url := "tcp://" + f.ok("ip", m1) + ":4376"; !slices.Contains(env, "DOCKER_HOST="+url) || !strings.Contains(f.ok("config", "--swarm", swarm), "-H="+url) {
			t.Errorf("got %q, want %s", env, url)
		}
		f.fails(1, "env", "--swarm", w1)
		args := f.docker(m1, "inspect", "--format", "{{.Args}} {{.HostConfig.RestartPolicy.Name}}", "swarm-agent-master")
		if !strings.Contains(args, "--strategy binpack") || !strings.Contains(args, ":4376 --heartbeat=2s file:///etc/docker/") || !strings.HasSuffix(args, " always") {
			t.Errorf("got %s", args)
		}
	})
	t.Run("ls and active", func(t *testing.T) {
		f := f.in(t)
		for _, e := range env {
			if strings.HasPrefix(e, "DOCKER_HOST=") {
				f.extra = append(slices.Clone(f.extra), e)
			}
		}
		want := fmt.Sprintf("%s=%s (master)=* (swarm)\n%s=%s=-", m1, swarm, w1, swarm)
		if got := f.ok("ls", "--filter", "swarm="+swarm, "--format", "{{.Name}}={{.Swarm}}={{.Active}}"); got != want {
			t.Errorf("Got %q, want %q", got, want)
		}
		if got := f.ok("active"); got != m1 {
			t.Errorf("active: got %q", got)
		}
		if got := f.ok("swarm", "ls"); !strings.Contains(got, "classic") || !strings.Contains(got, swarm) {
			t.Errorf("swarm ls: got %q", got)
		}
		f.fails(1, "swarm", "status", swarm)
	})
	t.Run("provision changes nothing", func(t *testing.T) {
		f := f.in(t)
		before, pulls := f.containers(m1), r.pulls.Load()
		f.ok("provision", m1, w1)
		f.ok("provision", m1)
		if after := f.containers(m1); after != before || r.pulls.Load() != pulls || strings.Count(after, "\n") != 1 {
			t.Errorf("Got %q, then %q, and %d pulls", before, after, r.pulls.Load()-pulls)
		}
	})
	t.Run("a machine that exists joins", func(t *testing.T) {
		f := f.in(t)
		f.ok("swarm", "join", "--classic", w2)
		f.reached(env, m1, w1, w2)
		if got := strings.Fields(f.ok("swarm", "list", swarm)); len(got) != 3 || !strings.HasSuffix(got[0], ":2376") {
			t.Errorf("swarm list: got %q", got)
		}
	})
	t.Run("new certificates", func(t *testing.T) {
		f := f.in(t)
		f.ok("regenerate-certs", "-f", m1)
		env = f.dockerEnv("--swarm", swarm)
		f.reached(env, m1, w1, w2)
	})
	t.Run("who goes is not listed", func(t *testing.T) {
		f := f.in(t)
		f.ok("rm", "-y", w1)
		f.ok("swarm", "leave", w2)
		f.reached(env, m1)
		if got := f.containers(w2); got != "" {
			t.Errorf("Left behind: %s", got)
		}
		if got := strings.Fields(f.ok("ssh", m1, "grep -c :2376 /etc/docker/machine-swarm/"+swarm)); len(got) != 1 || got[0] != "1" {
			t.Errorf("Listed %q", got)
		}
	})
}
