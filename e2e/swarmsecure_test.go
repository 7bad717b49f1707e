package e2e_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// roots returns the authority that each node of a swarm trusts, by hostname.
func (f *fleet) roots(env []string) map[string]string {
	f.t.Helper()
	ids := strings.Fields(f.dockerWith(env, "node", "ls", "-q"))
	out := f.dockerWith(env, append([]string{"node", "inspect"}, ids...)...)
	var nodes []struct {
		Description struct {
			Hostname string
			TLSInfo  struct{ TrustRoot string }
		}
	}
	if err := json.Unmarshal([]byte(out), &nodes); err != nil {
		f.t.Fatal(err)
	}
	roots := map[string]string{}
	for _, n := range nodes {
		roots[n.Description.Hostname] = n.Description.TLSInfo.TrustRoot
	}
	return roots
}

// swarmState is what a machine's Engine says of its part in a swarm.
func (f *fleet) swarmState(name string) string {
	f.t.Helper()
	return f.docker(name, "info", "--format", "{{.Swarm.LocalNodeState}}")
}

// mentions returns the files of the store that contain text.
func (f *fleet) mentions(text string) (found []string) {
	f.t.Helper()
	err := filepath.WalkDir(f.store, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), text) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return found
}

// TestSwarmSecurity replaces what a swarm is secured by: its join tokens, its authority, and the key of its managers.
func TestSwarmSecurity(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	managers, w := f.names("m1", "m2", "m3"), f.name("w1")
	swarm := managers[0]
	f.ok(append([]string{"create", "-d", "docker", "--swarm-master", "--swarm-cert-expiry", "720h"}, managers...)...)
	f.ok("create", "-d", "docker", "--swarm", "--swarm-rotate-tokens", w)
	env := f.dockerEnv("--swarm", swarm)

	t.Run("join tokens", func(t *testing.T) {
		f := f.in(t)
		token := func(role string) string { return f.dockerWith(env, "swarm", "join-token", "-q", role) }
		worker, manager := token("worker"), token("manager")
		f.ok("swarm", "rotate-tokens", "--role", "worker", swarm)
		if token("worker") == worker || token("manager") != manager {
			t.Error("Not the token of workers, and it alone, was replaced")
		}
	})
	t.Run("authority", func(t *testing.T) {
		f := f.in(t)
		before := f.roots(env)
		if plan := f.ok("swarm", "rotate-ca", "--dry-run", swarm); !strings.Contains(plan, "wait until all 4 nodes have a certificate") {
			t.Errorf("Got the plan %q", plan)
		}
		f.ok("swarm", "rotate-ca", "--cert-expiry", "1440h", swarm)
		after := f.roots(env)
		if len(after) != 4 {
			t.Fatalf("Got %d nodes, want 4", len(after))
		}
		for name, root := range after {
			if root == before[name] || root != after[swarm] {
				t.Errorf("%s trusts another authority than the new one alone", name)
			}
		}
		if got := f.dockerWith(env, "info", "--format", "{{.Swarm.Cluster.Spec.CAConfig.NodeCertExpiry}}"); got != "1440h0m0s" {
			t.Errorf("Certificates are good for %s, want 1440h0m0s", got)
		}
	})
	t.Run("authority with a node down", func(t *testing.T) {
		f := f.in(t)
		before := f.roots(env)
		f.ok("kill", w)
		r := f.fails(1, "--timeout", "8s", "swarm", "rotate-ca", swarm)
		if !strings.Contains(r.stderr, "waiting for "+w) || !strings.Contains(r.stderr, "SWARM_ROTATION") {
			t.Errorf("The node that is down is not named: %s", r)
		}
		f.ok("start", w)
		var out struct{ Resumed bool }
		if err := json.Unmarshal([]byte(f.ok("swarm", "rotate-ca", "--output", "json", swarm)), &out); err != nil || !out.Resumed {
			t.Errorf("Got %+v, %v, want that it goes on", out, err)
		}
		if got := f.dockerWith(env, "info", "--format", "{{.Swarm.Cluster.Spec.CAConfig.ForceRotate}}"); got != "2" {
			t.Errorf("The authority was rotated %s times, want 2", got)
		}
		if after := f.roots(env); after[w] == before[w] || after[w] != after[swarm] {
			t.Errorf("%s trusts the former authority", w)
		}
	})
	t.Run("autolock", func(t *testing.T) {
		f.in(t).testAutolock(managers, t.TempDir())
	})
	t.Run("no secret is kept", func(t *testing.T) {
		f := f.in(t)
		for _, text := range []string{"SWMKEY", "SWMTKN"} {
			if files := f.mentions(text); len(files) > 0 {
				t.Errorf("%s is in %v", text, files)
			}
		}
	})
}

func (f *fleet) testAutolock(managers []string, dir string) {
	t := f.t
	swarm, key, next := managers[0], filepath.Join(dir, "key"), filepath.Join(dir, "next")
	restart := func(names ...string) {
		for _, name := range names {
			f.ok("ssh", name, "sudo systemctl restart docker")
		}
	}
	r := f.run("swarm", "autolock", "on", "--key-file", key, swarm)
	data, err := os.ReadFile(key)
	if info, serr := os.Stat(key); r.code != 0 || err != nil || serr != nil || info.Mode().Perm() != 0o600 || !strings.HasPrefix(string(data), "SWMKEY-1-") {
		t.Fatalf("No key, or not for its owner alone: %v, %v, %s", err, serr, r)
	}
	if strings.Contains(r.stdout+r.stderr, "SWMKEY") {
		t.Errorf("The key was printed")
	}
	f.fails(2, "swarm", "unlock-key", "--key-file", key, swarm)

	// A reboot that nobody unlocks after.
	restart(managers[2])
	if got := f.swarmState(managers[2]); got != "locked" {
		t.Fatalf("%s is %s after the restart of its Engine, want locked", managers[2], got)
	}
	wrong := filepath.Join(dir, "wrong")
	if err := os.WriteFile(wrong, []byte("SWMKEY-1-7c37Cc8654o6p38HnroywCi19pllOnGtbdZEgtKxZu8\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := f.fails(1, "swarm", "unlock", "--key-file", wrong, swarm); !strings.Contains(r.stderr, "SWARM_UNLOCK_KEY") {
		t.Errorf("Another key: %s", r)
	}
	f.ok("swarm", "unlock", "--key-file", key, managers[2])
	if got := f.swarmState(managers[2]); got != "active" {
		t.Errorf("%s is %s, want active", managers[2], got)
	}

	// Restarts by the program need nobody; a reboot of all is said to be what it is.
	f.ok("restart", managers[1])
	if got := f.swarmState(managers[1]); got != "active" {
		t.Errorf("%s is %s after machine restart, want active", managers[1], got)
	}
	f.ok("swarm", "unlock-key", "--rotate", "--key-command", "cat >"+next, swarm)
	if data2, err := os.ReadFile(next); err != nil || string(data2) == string(data) {
		t.Errorf("The key is the same after its rotation, or %v", err)
	}
	restart(managers...)
	if r := f.fails(1, "swarm", "rotate-tokens", swarm); !strings.Contains(r.stderr, "SWARM_LOCKED") || !strings.Contains(r.stderr, "swarm unlock "+swarm) {
		t.Errorf("A swarm whose managers are all locked: %s", r)
	}
	f.ok("swarm", "unlock", "--key-command", "cat "+next, swarm)
	eventually(t, time.Minute, func() error {
		if s := f.swarmStatus(swarm); s.Reachable != 3 {
			return fmt.Errorf("got %+v", s)
		}
		return nil
	})

	f.ok("swarm", "autolock", "off", swarm)
	restart(managers[2])
	if got := f.swarmState(managers[2]); got != "active" {
		t.Errorf("%s is %s after autolock off, want active", managers[2], got)
	}
}
