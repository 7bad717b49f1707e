package e2e_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// node returns "role availability status" of a machine's node as the swarm has it.
func (f *fleet) node(swarm []string, name string) (string, error) {
	return f.tryDocker(swarm, "node", "inspect", "--format", "{{.Spec.Role}} {{.Spec.Availability}} {{.Status.State}}", name)
}

// waitNode waits until the swarm has a node in a state.
func (f *fleet) waitNode(swarm []string, name, want string) {
	f.t.Helper()
	eventually(f.t, 90*time.Second, func() error {
		got, err := f.node(swarm, name)
		if err == nil && got != want {
			err = fmt.Errorf("%s is %q, want %q", name, got, want)
		}
		return err
	})
}

// TestSwarmMembers looks after a swarm of three managers and two workers: roles, availability, labels, commands on its nodes, and
// nodes that are lost.
func TestSwarmMembers(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	managers, workers := f.names("m1", "m2", "m3"), f.names("w1", "w2")
	m1, m2, m3, w1, w2 := managers[0], managers[1], managers[2], workers[0], workers[1]
	f.ok(append([]string{"create", "-d", "docker", "--swarm-master"}, managers...)...)
	f.ok(append([]string{"create", "-d", "docker", "--swarm"}, workers...)...)
	env := f.dockerEnv("--swarm", m1)
	f.loadHello(workers...)

	t.Run("label", func(t *testing.T) {
		f := f.in(t)
		if out := f.ok("swarm", "label", "--filter", "role=worker", "--dry-run", "tier=work", "zone=a"); !strings.Contains(out, "label "+w2+": tier=work zone=a") {
			t.Errorf("Got plan %q", out)
		}
		for range 2 {
			f.ok("swarm", "label", "--filter", "role=worker", "tier=work", "zone=a")
		}
		f.ok("swarm", "label", w2, "zone-", "disk=ssd")
		if got := f.dockerWith(env, "node", "inspect", "--format", "{{.Spec.Labels}}", w1, w2); got != "map[tier:work zone:a]\nmap[disk:ssd tier:work]" {
			t.Errorf("Got labels %q", got)
		}
		if got := f.ok("swarm", "label", "--filter", "node.label=disk=ssd", "disk=ssd", "--dry-run"); strings.TrimSpace(got) != "nothing to do" {
			t.Errorf("Got %q, want nothing to do", got)
		}
	})
	t.Run("drain and activate", func(t *testing.T) {
		f := f.in(t)
		f.dockerWith(env, "service", "create", "--detach", "--name", "web", "--replicas", "2", "--no-resolve-image", "--endpoint-mode", "dnsrr",
			"--constraint", "node.labels.tier==work", "--stop-grace-period", "1s", helloImage)
		running := func(name string) int {
			out := f.dockerWith(env, "node", "ps", "--filter", "desired-state=running", "--format", "{{.CurrentState}}", name)
			return strings.Count(out, "Running")
		}
		eventually(t, 60*time.Second, func() error {
			if n := running(w1) + running(w2); n != 2 {
				return fmt.Errorf("%d tasks run, want 2", n)
			}
			return nil
		})
		f.ok("swarm", "drain", w1)
		if a, b := running(w1), running(w2); a != 0 || b != 2 {
			t.Errorf("After the drain %d tasks run on the node, %d on the other, want 0 and 2", a, b)
		}
		eventually(t, 60*time.Second, func() error { // nowhere else to go, and again it waits for the same tasks
			r := f.fails(1, "swarm", "drain", "--wait", "2s", w2)
			if !strings.Contains(r.stderr, "web.1 (pending: no suitable node") || !strings.Contains(r.stderr, "web.2 (pending: no suitable node") {
				return fmt.Errorf("the tasks and why they stay are not named: %s", r)
			}
			return nil
		})
		var plans []struct{ Machine string }
		if err := json.Unmarshal([]byte(f.ok("swarm", "activate", "--output", "json", "--filter", "role=worker")), &plans); err != nil || len(plans) != 2 {
			t.Errorf("Got %v, %v, want two nodes activated", plans, err)
		}
		f.waitNode(env, w1, "worker active ready")
		f.ok("swarm", "drain", "--pause", w2)
		f.waitNode(env, w2, "worker pause ready")
		f.ok("swarm", "activate", w2)
	})
	t.Run("promote, and demote the leader", func(t *testing.T) {
		f := f.in(t)
		r := f.run("swarm", "promote", w1)
		if r.code != 0 || !strings.Contains(r.stderr, "4 managers tolerate 1 loss, as 3 do") {
			t.Errorf("An even number of managers: %s", r)
		}
		leader, _, _ := strings.Cut(f.ok("swarm", "exec", "leader", "--", "hostname"), " | ")
		i := slices.Index(managers, leader)
		if i < 0 {
			t.Fatalf("%q leads, want one of %q", leader, managers)
		}
		f.ok("swarm", "demote", leader)
		other := f.dockerEnv(managers[(i+1)%3])
		if got, err := f.node(other, leader); err != nil || got != "worker active ready" {
			t.Errorf("The former leader is %q: %v", got, err)
		}
		if s := f.swarmStatus(leader); s.Managers != 3 || s.Reachable != 3 {
			t.Errorf("Got %+v, want three managers", s)
		}
		f.ok("swarm", "promote", leader)
		f.ok("swarm", "demote", w1)
		f.waitNode(other, w1, "worker active ready")
	})
	t.Run("exec", func(t *testing.T) {
		f := f.in(t)
		lines := strings.Fields(f.ok("swarm", "exec", "worker", "--", "hostname"))
		slices.Sort(lines)
		if want := []string{w1, w1, w2, w2, "|", "|"}; !slices.Equal(lines, want) {
			t.Errorf("Got %q, want %q", lines, want)
		}
		f.run("swarm", "exec", "--swarm", m1, "all", "--", "sh", "-c", "case $(hostname) in *w2) exit 7; esac")
		if r := f.run("swarm", "exec", "all", "--", "sh", "-c", "case $(hostname) in *w2) exit 7; esac"); r.code != 7 {
			t.Errorf("The highest exit status: %s", r)
		}
	})
	t.Run("logs", func(t *testing.T) {
		f := f.in(t)
		swarm := f.dockerEnv(m1)
		// It says why it does not start, and ends.
		f.dockerWith(swarm, "service", "create", "--detach", "--name", "sayer", "--replicas", "2", "--no-resolve-image", "--endpoint-mode", "dnsrr",
			"--constraint", "node.labels.tier==work", "--restart-condition", "none", helloImage, "-listen", ":99999")
		eventually(t, 60*time.Second, func() error {
			r := f.run("swarm", "logs", "--output", "json", "sayer")
			for _, task := range []string{"sayer.1", "sayer.2"} {
				if !strings.Contains(r.stdout, `"task":"`+task+`","node":"`+f.prefix+`-w`) {
					return fmt.Errorf("%s is missing: %s", task, r)
				}
			}
			return nil
		})
		r := f.run("swarm", "logs", "--tail", "1", "--timestamps", "--since", "1h", "sayer.2")
		if r.code != 0 || !strings.HasPrefix(r.stderr, "sayer.2@"+f.prefix+"-w") || !strings.Contains(r.stderr, "invalid port") || strings.Contains(r.stderr, "sayer.1") {
			t.Errorf("The logs of one task, which writes to stderr: %s", r)
		}
		f.fails(1, "swarm", "logs", "nobody")
		follow := exec.CommandContext(t.Context(), binary, "swarm", "logs", "--follow", "sayer")
		follow.Env = f.env()
		lines, err := follow.StderrPipe()
		if err == nil {
			err = follow.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		for in := bufio.NewScanner(lines); in.Scan(); {
			if strings.Contains(in.Text(), "invalid port") {
				break
			}
		}
		if err := follow.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		// Engines end the stream by themselves once no task of the service can write any more.
		if err := follow.Wait(); follow.ProcessState.ExitCode() != 130 && err != nil {
			t.Errorf("Following, interrupted: %v", err)
		}
	})
	t.Run("prune", func(t *testing.T) {
		f := f.in(t)
		f.dockerWith(f.dockerEnv(w1), "run", "-d", "--name", "over", "--entrypoint", "/hello", helloImage, "-listen", ":99999")
		type row struct {
			Machine    string
			Containers int
		}
		prune := func(args ...string) map[string]int {
			var rows []row
			out := f.ok(append([]string{"swarm", "prune", "--output", "json"}, args...)...)
			if err := json.Unmarshal([]byte(out), &rows); err != nil || len(rows) != 5 {
				t.Fatalf("Got %s, %v, want a row for each node", out, err)
			}
			byName := map[string]int{}
			for _, r := range rows {
				byName[r.Machine] = r.Containers
			}
			return byName
		}
		eventually(t, 30*time.Second, func() error {
			if got := prune("--dry-run"); got[w1] < 1 {
				return fmt.Errorf("got %v, want a container that would go", got)
			}
			return nil
		})
		if r := f.run("swarm", "prune"); r.code != 1 || !strings.Contains(r.stderr, "Are you sure?") || r.stdout != "" {
			t.Errorf("Without an answer nothing goes: %s", r)
		}
		if got := prune("-y", m2); got[w1] < 1 {
			t.Errorf("Got %v, want that a container went", got)
		}
		if out := f.dockerWith(f.dockerEnv(w1), "ps", "-a", "--format", "{{.Names}}"); strings.Contains(out, "over") || !strings.Contains(out, "web.") {
			t.Errorf("After it there are %q, want what runs and no more", out)
		}
	})
	t.Run("a manager and a worker are lost", func(t *testing.T) {
		f := f.in(t)
		f.dockerWith(f.dockerEnv(m1), "service", "create", "--detach", "--name", "pinned", "--no-resolve-image", "--endpoint-mode", "dnsrr",
			"--constraint", "node.hostname=="+w2, helloImage)
		eventually(t, 60*time.Second, func() error {
			if out := f.dockerWith(f.dockerEnv(w2), "ps", "--format", "{{.Names}}"); !strings.Contains(out, "pinned.1") {
				return fmt.Errorf("got %q, want a task of pinned", out)
			}
			return nil
		})
		f.ok("kill", m3, w2)
		other := f.dockerEnv(m1)
		f.waitNode(other, m3, "manager active down")
		f.waitNode(other, w2, "worker active down")
		eventually(t, 60*time.Second, func() error {
			if s := f.swarmStatus(m1); s.Reachable != 2 {
				return fmt.Errorf("%d managers are reachable, want 2", s.Reachable)
			}
			return nil
		})
		if r := f.run("swarm", "logs", "pinned"); !strings.Contains(r.stderr, "the logs of pinned.1 cannot be had: its node "+w2+" is down") {
			t.Errorf("The logs of a task on a node that is down: %s", r)
		}
		r := f.fails(1, "swarm", "demote", m2)
		if !strings.Contains(r.stderr, "leaves 1 of 2 managers reachable, 2 needed") {
			t.Errorf("The refusal does not show the arithmetic: %s", r)
		}
		f.fails(1, "swarm", "leave", m1, m2)
		if r := f.fails(1, "swarm", "rm-node", w1); !strings.Contains(r.stderr, "machine swarm leave "+w1) {
			t.Errorf("A node in service: %s", r)
		}
		id := f.dockerWith(other, "node", "inspect", "--format", "{{.ID}}", w2)
		if out := f.ok("swarm", "rm-node", "--dry-run", m3, id); !strings.Contains(out, "then 2 of 2 managers reachable, 2 needed") {
			t.Errorf("Got plan %q", out)
		}
		f.ok("swarm", "rm-node", m3, id)
		if nodes := f.nodes(other); len(nodes) != 3 {
			t.Errorf("Got %q, want three nodes", nodes)
		}
		f.ok("start", m3)
		f.ok("swarm", "join", "--manager", m3)
		if s := f.swarmStatus(m1); s.Managers != 3 || s.Reachable != 3 {
			t.Errorf("Got %+v, want three managers", s)
		}
	})
	t.Run("several leave", func(t *testing.T) {
		f := f.in(t)
		r := f.fails(1, "swarm", "leave", m1, m2, m3)
		if !strings.Contains(r.stderr, "is the last manager but not the last node") {
			t.Errorf("All managers at once: %s", r)
		}
		f.ok("swarm", "leave", m1, m2, w1)
		if nodes := f.nodes(f.dockerEnv(m3)); len(nodes) != 1 || !strings.HasSuffix(nodes[0], "Leader") {
			t.Errorf("Got %q, want one manager", nodes)
		}
	})
}
