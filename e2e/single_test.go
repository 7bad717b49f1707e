package e2e_test

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDockerDriver takes one machine through its whole life.
func TestDockerDriver(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	m := f.name("m1")
	f.ok("create", "-d", "docker", "--docker-network", f.name("net"), "--engine-label", "tier=gold", m)

	t.Run("engine is real and ours", func(t *testing.T) {
		f := f.in(t)
		if got := f.docker(m, "info", "--format", "{{.Name}} {{.Labels}}"); !strings.Contains(got, m) || !strings.Contains(got, "tier=gold") {
			t.Errorf("Got %q, want the machine's name and the label", got)
		}
		version := f.docker(m, "version", "--format", "{{.Server.Version}}")
		if got := f.ok("version", m); got != version {
			t.Errorf("machine version: got %q, want %q", got, version)
		}
	})
	t.Run("ls", func(t *testing.T) {
		f := f.in(t)
		row := strings.Split(f.ok("ls", "--format", "{{.Name}} {{.DriverName}} {{.State}} {{.URL}} {{.Error}}"), " ")
		if len(row) != 5 || row[0] != m || row[1] != "docker" || row[2] != "Running" || !strings.HasPrefix(row[3], "tcp://") || row[4] != "" {
			t.Errorf("Got %q", row)
		}
		if got := f.ok("url", m); got != row[3] {
			t.Errorf("url: got %q, ls says %q", got, row[3])
		}
		if got := f.ok("ls", "-q", "--filter", "label=tier=gold", "--filter", "state=running"); got != m {
			t.Errorf("Filtered: got %q, want %q", got, m)
		}
		if got := f.ok("ls", "-q", "--filter", "state=stopped"); got != "" {
			t.Errorf("Filtered: got %q, want nothing", got)
		}
	})
	t.Run("ip", func(t *testing.T) {
		f := f.in(t)
		if ip := f.ok("ip", m); net.ParseIP(ip) == nil {
			t.Errorf("Got %q, want an address", ip)
		}
	})
	t.Run("ssh returns the remote code", func(t *testing.T) {
		f := f.in(t)
		if got := f.ok("ssh", m, "hostname"); got != m {
			t.Errorf("Got %q, want %q", got, m)
		}
		if r := f.run("ssh", m, "exit 7"); r.code != 7 {
			t.Errorf("Got %d, want 7\n%s", r.code, r)
		}
		if got := f.ok("ssh", m, "--", "sh", "-c", "'echo $((6*7))'"); got != "42" {
			t.Errorf("Got %q, want 42", got)
		}
	})
	t.Run("scp there and back", func(t *testing.T) {
		f := f.in(t)
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "tree", "sub"), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"tree/a", "tree/sub/b c"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(name+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		f.ok("scp", "-r", filepath.Join(dir, "tree"), m+":/tmp/")
		f.ok("scp", "-r", m+":/tmp/tree", filepath.Join(dir, "back"))
		if got, err := os.ReadFile(filepath.Join(dir, "back", "sub", "b c")); err != nil || string(got) != "tree/sub/b c\n" {
			t.Errorf("Got %q, %v", got, err)
		}
		f.ok("ssh", m, "sudo apt-get update -qq && sudo apt-get install -y -qq --no-install-recommends rsync >/dev/null 2>&1")
		f.ok("scp", "-d", "-r", filepath.Join(dir, "tree")+"/", m+":/tmp/delta/")
		if got := f.ok("ssh", m, "cat", "/tmp/delta/a"); got != "tree/a" {
			t.Errorf("After rsync: got %q", got)
		}
	})
	t.Run("a container survives stop and start", func(t *testing.T) {
		f := f.in(t)
		f.docker(m, "volume", "create", "kept")
		f.ok("stop", m)
		if got := f.ok("status", m); got != "Stopped" {
			t.Errorf("Got %q, want Stopped", got)
		}
		f.fails(1, "stop", m)
		f.fails(1, "url", m)
		f.ok("start", m)
		if r := f.fails(1, "start", m); !strings.Contains(r.stderr+r.stdout, "already running") {
			t.Errorf("Started twice: %s", r)
		}
		f.ok("restart", m)
		f.ok("kill", m)
		if got := f.ok("status", m); got != "Stopped" {
			t.Errorf("After kill: got %q, want Stopped", got)
		}
		f.ok("start", m)
		if got := f.docker(m, "volume", "ls", "-q"); got != "kept" {
			t.Errorf("Got volumes %q, want the one made before", got)
		}
	})
	t.Run("active", func(t *testing.T) {
		f := f.in(t)
		f.fails(1, "active")
		f.extra = f.dockerEnv(m)
		if got := f.ok("active"); got != m {
			t.Errorf("Got %q, want %q", got, m)
		}
	})
	t.Run("provisioning again changes nothing", func(t *testing.T) {
		f := f.in(t)
		started := f.ok("ssh", m, "systemctl show -p ExecMainStartTimestampMonotonic docker.service")
		f.ok("provision", m)
		if got := f.ok("ssh", m, "systemctl show -p ExecMainStartTimestampMonotonic docker.service"); got != started {
			t.Errorf("The Engine was restarted: %q, then %q", started, got)
		}
	})
	t.Run("rm leaves nothing", func(t *testing.T) {
		f := f.in(t)
		f.ok("rm", "-y", m)
		for _, kind := range []string{"container", "volume", "network"} {
			if left := f.leftovers(kind); len(left) > 0 {
				t.Errorf("Left %s %v", kind, left)
			}
		}
		if _, err := os.Stat(f.path(m, "")); !os.IsNotExist(err) {
			t.Errorf("Folder of the machine: got %v, want that it is gone", err)
		}
		f.fails(1, "status", m)
		if got := f.ok("ls", "-q"); got != "" {
			t.Errorf("ls: got %q, want nothing", got)
		}
	})
}

// TestGenericInstallsEngine makes a Docker host of a bare Debian over SSH, as a
// user with sudo, then takes it back.
func TestGenericInstallsEngine(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := newHost(t, bareTrixie)
	m := f.name("bare")
	f.ok(append([]string{"create", "--engine-source", "distro"}, append(h.generic("admin"), m)...)...)
	if got := h.sh("hostname"); got != h.container {
		t.Errorf("The host was renamed to %q", got)
	}
	if got := f.docker(m, "version", "--format", "{{.Server.Os}}"); got != "linux" {
		t.Errorf("Got %q", got)
	}
	if got := f.ok("ssh", m, "id -un"); got != "admin" {
		t.Errorf("Got user %q, want admin", got)
	}
	modes := h.sh("stat -c '%a %U' /etc/docker/server-key.pem")
	if modes != "600 root" {
		t.Errorf("Key on the host is %q, want 600 root", modes)
	}
	f.ok("rm", "-y", m)
	if got := h.sh("systemctl is-active docker"); got != "active" {
		t.Errorf("After rm the host's Engine is %q, want active: the host is the user's", got)
	}
}

// TestStoreFiles checks who may read what on disk.
func TestStoreFiles(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	m := f.name("none")
	f.ok("create", "-d", "none", "--url", "tcp://127.0.0.1:1", m)
	if runtime.GOOS == "windows" {
		t.Skip("permissions are of Unix")
	}
	err := filepath.WalkDir(f.store, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s may be read by others: %v", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestTLS shows whom the real Engine lets in.
func TestTLS(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	m := f.name("tls")
	f.ok("create", "-d", "docker", m)
	addr := strings.TrimPrefix(f.ok("url", m), "tcp://")
	ours := f.storeAuthority()
	other := newAuthority(t)
	day := 24 * time.Hour

	if err := knock(addr, ours.cert, ours.issue(t, time.Now().Add(day))); err != nil {
		t.Fatalf("A client with a good certificate is refused: %v", err)
	}
	if err := knock(addr, ours.cert); err == nil {
		t.Error("A client without certificate is let in")
	}
	if err := knock(addr, ours.cert, other.issue(t, time.Now().Add(day))); err == nil {
		t.Error("A client with a certificate of another authority is let in")
	}
	if err := knock(addr, ours.cert, ours.issue(t, time.Now().Add(-day))); err == nil {
		t.Error("A client with an expired certificate is let in")
	}
	if err := knock(addr, other.cert, ours.issue(t, time.Now().Add(day))); err == nil {
		t.Error("The Engine's certificate convinces a client that trusts another authority")
	}
	if conn, err := net.DialTimeout("tcp", strings.Replace(addr, ":2376", ":2375", 1), time.Second); err == nil && strings.HasSuffix(addr, ":2376") {
		_ = conn.Close()
		t.Error("Something listens on the unprotected port 2375")
	}
}

// TestCollectContainers has the folder of a machine deleted by hand. gc finds its host, and leaves another's alone.
func TestCollectContainers(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	lost, kept := f.name("lost"), f.name("kept")
	for _, m := range []string{kept, lost} {
		if killed, r := f.until(func() bool { return f.phase(m) == "created" }, "create", "-d", "docker", "--docker-network", f.name("net"), m); !killed {
			t.Fatal(r)
		}
	}
	if err := os.RemoveAll(filepath.Dir(f.path(lost, "config.json"))); err != nil {
		t.Fatal(err)
	}
	var found []struct{ Kind, Machine string }
	if err := json.Unmarshal([]byte(f.ok("gc", "--output", "json")), &found); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, o := range found {
		kinds[o.Kind]++
		if o.Machine != lost {
			t.Errorf("gc found %+v", o)
		}
	}
	if kinds["container"] != 1 || kinds["volume"] != 2 || len(found) != 3 {
		t.Errorf("gc found %+v, want a container and its two volumes", found)
	}
	f.ok("gc", "--yes")
	for _, kind := range []string{"container", "volume"} {
		if left := f.leftovers(kind); slices.ContainsFunc(left, func(s string) bool { return strings.Contains(s, lost) }) || len(left) == 0 {
			t.Errorf("Left of kind %s: %q, want what is %s's only", kind, left, kept)
		}
	}
	if err := os.RemoveAll(filepath.Dir(f.path(kept, "config.json"))); err != nil { // no record tells where to look
		t.Fatal(err)
	}
	f.ok("gc", "-d", "docker", "--yes")
	for _, kind := range []string{"container", "volume", "network"} {
		if left := f.leftovers(kind); len(left) > 0 {
			t.Errorf("gc -d docker left of kind %s: %q", kind, left)
		}
	}
}
