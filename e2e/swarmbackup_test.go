package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"
)

// TestSwarmStageKilledBackup kills a backup by SIGKILL at several moments: the engine it has stopped runs again by itself,
// and there is a whole file or none.
func TestSwarmStageKilledBackup(t *testing.T) {
	needSwarmStage(t)
	t.Parallel()
	f := newFleet(t)
	m := f.name("m1")
	f.ok("create", "-d", "docker", "--swarm-master", m)
	// A folder of some size, so that there is time to be killed in the middle of the copy.
	f.inContainer(m, "", "head -c 300000000 /dev/urandom >/var/lib/docker/swarm/ballast")
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	began := f.inContainer(m, "", "systemctl show -p MainPID --value docker.service")
	restarts := 0
	for _, after := range []time.Duration{500, 900, 1400, 2000, 3000, 4500, 6500} {
		file := filepath.Join(dir, fmt.Sprintf("%d.age", after))
		ctx, kill := context.WithTimeout(t.Context(), after*time.Millisecond)
		r := f.start(ctx, "swarm", "backup", "--recipient", id.Recipient().String(), file, m).wait()
		kill()
		t.Logf("killed after %d ms: %s", after, r)
		eventually(t, 2*time.Minute, func() error {
			out := f.inContainer(m, "", "systemctl is-active docker.service docker.socket || true; pgrep -x tar || true")
			if out != "active\nactive\n" {
				return fmt.Errorf("after the kill: %q", out)
			}
			return nil
		})
		if now := f.inContainer(m, "", "systemctl show -p MainPID --value docker.service"); now != began {
			began = now
			restarts++
		}
		if _, err := os.Stat(file); err == nil && r.code != 0 {
			t.Errorf("there is a file after %s", r)
		}
	}
	if restarts == 0 {
		t.Error("no backup was killed while the engine was stopped")
	}
	eventually(t, time.Minute, func() error {
		if s := f.run("swarm", "status", m); s.code != 0 {
			return fmt.Errorf("%s", s)
		}
		return nil
	})
	f.ok("swarm", "backup", "--recipient", id.Recipient().String(), filepath.Join(dir, "whole.age"), m)
}
