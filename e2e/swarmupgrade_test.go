package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// trixie offers Debian 13's Engine beside Debian 12's, and of Debian 13 nothing else.
const trixie = `set -e
echo "deb http://deb.debian.org/debian trixie main" >/etc/apt/sources.list.d/trixie.list
printf 'Package: *\nPin: release n=trixie\nPin-Priority: 100\n\nPackage: docker.io\nPin: release n=trixie\nPin-Priority: 990\n' >/etc/apt/preferences.d/trixie`

// offerTrixie gives machines the newer Engine's package source. They have Debian 12's Engine.
func (f *fleet) offerTrixie(machines ...string) {
	f.t.Helper()
	for _, m := range machines {
		if got := f.ok("version", m); !strings.HasPrefix(got, "20.10.") {
			f.t.Fatalf("%s starts with Engine %s, want Debian 12's", m, got)
		}
		f.ok("ssh", m, "sudo sh -c '"+strings.ReplaceAll(trixie, "'", `'\''`)+"'")
	}
}

// deployReplicas runs tasks of the service on as many nodes, at most one on each because of their port.
func (f *fleet) deployReplicas(swarm []string, replicas int) {
	f.t.Helper()
	f.dockerWith(swarm, "service", "create", "--detach", "--name", "hello", "--replicas", fmt.Sprint(replicas), "--no-resolve-image",
		"--endpoint-mode", "dnsrr", "--publish", "mode=host,target=8080,published=8080",
		"--env", "NODE={{.Node.Hostname}}", helloImage)
}

// running waits until a service has all its tasks.
func (f *fleet) running(swarm []string, service string, tasks int) {
	f.t.Helper()
	want := fmt.Sprintf("%d/%d", tasks, tasks)
	eventually(f.t, 90*time.Second, func() error {
		got, err := f.tryDocker(swarm, "service", "ls", "--filter", "name="+service, "--format", "{{.Replicas}}")
		if err == nil && got != want {
			err = fmt.Errorf("service %s has %s tasks, want %s", service, got, want)
		}
		return err
	})
}

// staffed returns a function for watch that fails when a service has no running task. A manager that does not answer
// says nothing.
func (f *fleet) staffed(swarm []string, service string) func(context.Context) error {
	return func(ctx context.Context) error {
		out, err := f.dockerCommand(ctx, swarm, "service", "ls", "--filter", "name="+service, "--format", "{{.Replicas}}").Output()
		if err == nil && strings.HasPrefix(string(out), "0/") {
			return fmt.Errorf("service %s has %s tasks", service, strings.TrimSpace(string(out)))
		}
		return nil
	}
}

// journal is what the record of a swarm says of an upgrade under way.
func (f *fleet) journal(swarm string) (upgrade string, operation bool) {
	data, err := os.ReadFile(filepath.Join(f.store, "swarms", swarm+".json"))
	if err != nil {
		return "", false
	}
	var c struct {
		Upgrade   json.RawMessage
		Operation *json.RawMessage
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return "", false
	}
	return string(c.Upgrade), c.Operation != nil
}

// draining tells whether an upgrade has drained a machine.
func (f *fleet) draining(swarm, machine string) func() bool {
	return func() bool {
		upgrade, _ := f.journal(swarm)
		return strings.Contains(upgrade, `"`+machine+`"`)
	}
}

// upgradedTo checks that an upgrade has come to its end.
func (f *fleet) upgradedTo(swarm, engine string, machines ...string) {
	f.t.Helper()
	for _, m := range machines {
		if got := f.ok("version", m); !strings.HasPrefix(got, engine) {
			f.t.Errorf("%s has Engine %s, want %s", m, got, engine)
		}
	}
	env := f.dockerEnv("--swarm", swarm)
	nodes := f.nodes(env)
	if len(nodes) != len(machines) || slices.ContainsFunc(nodes, func(n string) bool { return !strings.Contains(n, " Ready Active") }) {
		f.t.Errorf("After the upgrade: %q, want %d, Ready and Active", nodes, len(machines))
	}
	if upgrade, operation := f.journal(swarm); operation || upgrade != "" && upgrade != "null" {
		f.t.Errorf("The record says that an upgrade is under way: journal %s, operation %v", upgrade, operation)
	}
}

// started is when a machine's Engine was started.
func (f *fleet) started(machine string) string {
	return f.ok("ssh", machine, "systemctl show -p ExecMainStartTimestampMonotonic docker.service")
}

// TestUpgrade brings a swarm from Debian 12's Engine to Debian 13's while clients ask its services without pause: one
// machine by itself, the rest by an upgrade of the swarm that is killed and goes on.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	m, w1, w2 := f.name("m1"), f.name("w1"), f.name("w2")
	all := []string{m, w1, w2}
	f.ok("create", "-d", "docker", "--swarm-master", m)
	f.ok("create", "-d", "docker", "--swarm", w1, w2)
	env := f.dockerEnv("--swarm", m)
	f.loadHello(all...)
	f.offerTrixie(all...)
	ips := make([]string, len(all))
	for i, name := range all {
		ips[i] = f.ok("ip", name)
	}
	// A service that has all its tasks on one node, as it is after others have come back.
	f.dockerWith(env, "node", "update", "--availability", "drain", m)
	f.dockerWith(env, "node", "update", "--availability", "drain", w2)
	f.dockerWith(env, "service", "create", "--detach", "--name", "quiet", "--replicas", "2", "--no-resolve-image",
		"--endpoint-mode", "dnsrr", "--update-parallelism", "0", "--update-failure-action", "continue", helloImage)
	f.running(env, "quiet", 2)
	f.dockerWith(env, "node", "update", "--availability", "active", m)
	f.dockerWith(env, "node", "update", "--availability", "active", w2)
	f.deployReplicas(env, 2)
	f.running(env, "hello", 2)
	updates := f.dockerWith(env, "service", "inspect", "--format", "{{json .Spec.UpdateConfig}}", "quiet")

	stop := watch(served(ips))
	f.ok("upgrade", w2)
	if got := f.ok("version", w2); !strings.HasPrefix(got, "26.") {
		t.Errorf("%s has Engine %s, want Debian 13's", w2, got)
	}
	plan := f.ok("swarm", "upgrade", "--dry-run")
	if strings.Contains(plan, w2) || !strings.Contains(plan, "\n"+w1+":\n  1. drain the node until its tasks run elsewhere") || strings.Index(plan, w1+":") > strings.LastIndex(plan, m+":") {
		t.Errorf("Got the plan\n%s\nwant %s and then %s, and %s left alone", plan, w1, m, w2)
	}
	began := f.started(w2)
	stopQuiet := watch(f.staffed(env, "quiet"))
	killed, half := f.until(f.draining(m, w1), "swarm", "upgrade", "--no-backup")
	if !killed {
		t.Errorf("The upgrade was not killed: %s", half)
	}
	if r := f.fails(1, "swarm", "rotate-ca", m); !strings.Contains(r.stderr, "machine swarm upgrade "+m) {
		t.Errorf("Other work meanwhile: %s", r)
	}
	if r := f.run("swarm", "upgrade", "--no-backup", m); r.code != 0 || !strings.Contains(half.stderr+r.stderr, "spread service quiet") {
		t.Errorf("The upgrade that goes on, and spreads a service: %s", r)
	}
	checkWatch(t, "service during the upgrade", stop)
	checkWatch(t, "service of one node during the upgrade", stopQuiet)

	f.upgradedTo(m, "26.", all...)
	if f.started(w2) != began {
		t.Error("An Engine that was new already was restarted")
	}
	if got := f.dockerWith(env, "service", "inspect", "--format", "{{json .Spec.UpdateConfig}}", "quiet"); got != updates {
		t.Errorf("The service is updated by %s, want %s as before", got, updates)
	}
	f.running(env, "hello", 2)
	f.running(env, "quiet", 2)
	began = f.started(m)
	f.ok("swarm", "upgrade", m)
	if f.started(m) != began {
		t.Error("A second upgrade restarted an Engine that was new already")
	}
	for _, args := range [][]string{{"upgrade", "--engine-version", "20.10", w1}, {"swarm", "upgrade", "--engine-version", "20.10"}} {
		if r := f.fails(1, args...); !strings.Contains(r.stderr, "downgrade") {
			t.Errorf("A downgrade: %s", r)
		}
	}
}

// TestSwarmStageUpgrade7 upgrades three managers and four workers. On its way a disk is full, the leader's Engine is killed, and so is
// the command; a client is always served.
func TestSwarmStageUpgrade7(t *testing.T) {
	needSwarmStage(t)
	t.Parallel()
	f := newFleet(t)
	managers, workers := f.names("m1", "m2", "m3"), f.names("w1", "w2", "w3", "w4")
	all := slices.Concat(managers, workers)
	swarm := managers[0]
	begun := time.Now()
	f.ok(append([]string{"create", "-d", "docker", "--swarm-master"}, managers...)...)
	f.ok(append([]string{"create", "-d", "docker", "--swarm"}, workers...)...)
	t.Logf("swarm of 7 nodes, 3 of them managers, created in %s (goal: 40 s)", time.Since(begun).Round(100*time.Millisecond))
	env := f.dockerEnv("--swarm", swarm)
	f.loadHello(all...)
	f.offerTrixie(all...)
	// Two are enough for an upgrade. Here the leader's Engine is killed too, with the task that it may have, while a
	// task of the node that is drained may not run elsewhere yet: until there is a leader again nobody places it.
	f.deployReplicas(env, 3)
	f.running(env, "hello", 3)
	ips := make([]string, len(all))
	for i, name := range all {
		ips[i] = f.ok("ip", name)
	}
	stop := watch(served(ips))
	upgrade := []string{"swarm", "upgrade", "--no-backup", "--parallel", "2", swarm}

	t.Run("disk full", func(t *testing.T) {
		f := f.in(t)
		const archives = "/var/cache/apt/archives"
		f.ok("ssh", workers[1], "sudo mount -t tmpfs -o size=1m tmpfs "+archives)
		passphrase, backup := filepath.Join(f.home, "passphrase"), filepath.Join(f.home, "before.age")
		if err := os.WriteFile(passphrase, []byte("correct horse battery staple\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		r := f.fails(1, "swarm", "upgrade", "--backup", backup, "--passphrase-file", passphrase, "--parallel", "2", swarm)
		if data, err := os.ReadFile(backup); err != nil || !strings.HasPrefix(string(data), "age-encryption.org/v1\n") {
			t.Errorf("The backup before the upgrade: %d bytes, %v", len(data), err)
		}
		for _, want := range []string{"no space left", workers[1], "machine swarm upgrade " + swarm, "machine upgrade " + workers[1] + " --engine-version 20.10", "--abandon"} {
			if !strings.Contains(r.stderr, want) {
				t.Errorf("The failure does not speak of %q: %s", want, r)
			}
		}
		if got := f.ok("version", workers[2]); !strings.HasPrefix(got, "20.10.") {
			t.Errorf("The upgrade went on with %s", workers[2])
		}
		if !f.draining(swarm, workers[1])() {
			t.Errorf("%s is not known as drained", workers[1])
		}
		f.ok("ssh", workers[1], "sudo umount "+archives)
	})
	t.Run("command killed", func(t *testing.T) {
		f := f.in(t)
		if killed, r := f.until(f.draining(swarm, workers[3]), upgrade...); !killed {
			t.Errorf("The upgrade was not killed: %s", r)
		}
	})
	t.Run("leader killed", func(t *testing.T) {
		f := f.in(t)
		p := f.start(t.Context(), upgrade...)
		done := make(chan result, 1)
		go func() { done <- p.wait() }()
		eventually(t, 5*time.Minute, func() error {
			if !f.draining(swarm, managers[1])() && !f.draining(swarm, managers[2])() {
				return fmt.Errorf("no manager is drained")
			}
			return nil
		})
		leader := ""
		for _, n := range f.swarmStatus(swarm).Nodes {
			if n.Leader {
				leader = n.Machine
			}
		}
		f.ok("ssh", leader, "sudo systemctl kill -s KILL docker.service")
		if r := <-done; r.code != 0 {
			t.Logf("the upgrade stopped, and goes on: %s", r)
			f.ok(upgrade...)
		}
	})
	checkWatch(t, "service during the upgrade", stop)
	f.upgradedTo(swarm, "26.", all...)
}
