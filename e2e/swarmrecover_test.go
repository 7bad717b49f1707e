package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
)

// TestSwarmRecover loses two of three managers for good, brings the swarm back, and replaces them. Then all managers are
// lost, and the swarm is restored from a backup on a machine that was never in it.
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
	f.backsUp(swarm)

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
	// Where the worker was back in time it is the same task; else the managers have begun another one.
	eventually(t, 2*time.Minute, func() error {
		out := f.dockerWith(env, "service", "ps", "hello", "--filter", "desired-state=running", "--format", "{{.Node}} {{.CurrentState}}")
		if !strings.HasPrefix(out, worker+" Running") {
			return fmt.Errorf("hello is %q", out)
		}
		return nil
	})
	// The number of managers is restored with a new machine, in the name of a lost one; then they are locked.
	f.ok("rm", "-y", "--force", managers[0], managers[2])
	f.ok("create", "-d", "docker", "--swarm-master", "--swarm-name", swarm, managers[0])
	if s := f.swarmStatus(swarm); s.Managers != 2 || s.Reachable != 2 || len(s.Nodes) != 3 {
		t.Errorf("Got %+v", s)
	}
	f.restores(swarm, managers[:2], worker)
}

// backsUp takes a backup for a recipient of a swarm that has managers to spare.
func (f *fleet) backsUp(swarm string) {
	f.t.Helper()
	dir := f.t.TempDir()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		f.t.Fatal(err)
	}
	file, key := filepath.Join(dir, "first.age"), filepath.Join(dir, "key")
	if err := os.WriteFile(key, []byte(id.String()+"\n"), 0o600); err != nil {
		f.t.Fatal(err)
	}
	r := f.run("swarm", "backup", "--recipient", id.Recipient().String(), file, swarm)
	f.t.Logf("%s", r)
	if r.code != 0 {
		f.t.Fatal("no backup")
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		f.t.Errorf("Got %v, %v, want a file for its owner alone", info, err)
	}
	f.fails(1, "swarm", "backup", "--recipient", id.Recipient().String(), file, swarm) // it exists
	if out := f.ok("swarm", "restore", "--check", "--identity", key, file); !strings.Contains(out, swarm) || !strings.Contains(out, "no unlock key") {
		f.t.Errorf("Got\n%s", out)
	}
	if s := f.swarmStatus(swarm); s.Managers != 3 || s.Reachable != 3 {
		f.t.Errorf("after the backup: %+v", s)
	}
}

// restores locks a swarm, takes a backup of it, loses its managers, and restores it at another address.
func (f *fleet) restores(swarm string, managers []string, worker string) {
	f.t.Helper()
	env := f.dockerEnv(managers[0])
	f.dockerWith(env, "swarm", "update", "--autolock=true")
	dir := f.t.TempDir()
	file, phrase := filepath.Join(dir, "second.age"), filepath.Join(dir, "phrase")
	if err := os.WriteFile(phrase, []byte("correct horse\n"), 0o600); err != nil {
		f.t.Fatal(err)
	}
	f.fails(1, "swarm", "backup", "--passphrase-file", phrase, file, swarm) // two managers, and both are needed
	r := f.run("swarm", "backup", "--force", "--passphrase-file", phrase, file, swarm)
	f.t.Logf("%s", r)
	if r.code != 0 {
		f.t.Fatal("no backup")
	}
	if s := f.swarmStatus(swarm); s.Reachable != 2 { // it was unlocked again
		f.t.Errorf("after the backup: %+v", s)
	}
	fresh := f.name("r1")
	f.ok("create", "-d", "docker", fresh) // before the others go, so that it cannot have the address of one
	for _, name := range managers {
		if out, err := exec.CommandContext(f.t.Context(), "docker", "rm", "-fv", f.container(name)).CombinedOutput(); err != nil {
			f.t.Fatalf("docker rm: %v: %s", err, out)
		}
	}
	if err := os.WriteFile(phrase+"2", []byte("another\n"), 0o600); err != nil {
		f.t.Fatal(err)
	}
	f.fails(1, "swarm", "restore", "--passphrase-file", phrase+"2", file, fresh)
	r = f.run("swarm", "restore", "--passphrase-file", phrase, "--join", worker, "--prune-nodes", file, fresh)
	f.t.Logf("%s", r)
	if r.code != 0 {
		f.t.Fatal("not restored")
	}
	s := f.swarmStatus(swarm)
	if s.Managers != 1 || s.Reachable != 1 || len(s.Nodes) != 2 {
		f.t.Errorf("Got %+v", s)
	}
	env = f.dockerEnv(fresh)
	if out := f.dockerWith(env, "config", "ls", "--format", "{{.Name}}"); out != "kept" {
		f.t.Errorf("Got configs %q, want kept", out)
	}
	eventually(f.t, 2*time.Minute, func() error { // the worker has its label again, and the service its place
		if out := f.dockerWith(env, "service", "ps", "hello", "--filter", "desired-state=running", "--format", "{{.Node}} {{.CurrentState}}"); !strings.HasPrefix(out, worker+" Running") {
			return fmt.Errorf("hello is %q", out)
		}
		return nil
	})
	if out := f.dockerWith(env, "info", "--format", "{{.Swarm.Cluster.Spec.EncryptionConfig.AutoLockManagers}}"); out != "true" {
		f.t.Errorf("autolock is %s", out)
	}
	if out := f.ok("ssh", fresh, "head -1 /var/lib/docker/swarm/certificates/swarm-node.key"); !strings.Contains(out, "ENCRYPTED") {
		f.t.Errorf("the manager's key is %s", out)
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
