package e2e_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestCommands has a success of each command that the other suites do not use.
func TestCommands(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.name("a"), f.name("b")

	t.Run("create --dry-run makes nothing", func(t *testing.T) {
		f := f.in(t)
		out := f.ok("create", "-d", "docker", "--dry-run", a)
		if !strings.Contains(out, a) {
			t.Errorf("The plan does not name the machine:\n%s", out)
		}
		if got := f.ok("ls", "-q"); got != "" || len(f.leftovers("container")) > 0 {
			t.Errorf("A dry run made %q %v", got, f.leftovers("container"))
		}
	})
	f.ok("create", "-d", "docker", "--docker-context", "--docker-suite", "trixie", a)
	f.ok("create", "-d", "docker", "--docker-no-engine", "--engine-source", "distro", "--docker-memory", "1g", b)

	t.Run("suites", func(t *testing.T) {
		f := f.in(t)
		if got := f.ok("version", a); !strings.HasPrefix(got, "26.") {
			t.Errorf("On trixie: got Engine %s", got)
		}
		if got := f.ok("version", b); !strings.HasPrefix(got, "20.10.") {
			t.Errorf("Installed over SSH on bookworm: got Engine %s", got)
		}
		if got := f.docker(b, "info", "--format", "{{.ServerVersion}}"); got != f.ok("version", b) {
			t.Errorf("Got %q", got)
		}
	})
	t.Run("exec", func(t *testing.T) {
		f := f.in(t)
		out := f.ok("exec", "--all", "--", "hostname")
		for _, m := range []string{a, b} {
			found := false
			for line := range strings.Lines(out) {
				found = found || strings.HasPrefix(line, m) && strings.Count(line, m) == 2
			}
			if !found {
				t.Errorf("No line of %s with its name before it:\n%s", m, out)
			}
		}
		if r := f.run("exec", "--filter", "name="+a, "--", "exit 9"); r.code != 9 {
			t.Errorf("Got %d, want the remote code 9\n%s", r.code, r)
		}
	})
	t.Run("config", func(t *testing.T) {
		f := f.in(t)
		lines := strings.Split(f.ok("config", a), "\n")
		if len(lines) != 5 || lines[0] != "--tlsverify" || !strings.HasPrefix(lines[4], "-H=tcp://") {
			t.Fatalf("Got %q, want docker-machine's five lines", lines)
		}
		var args []string
		for _, l := range lines {
			args = append(args, strings.ReplaceAll(l, `"`, ""))
		}
		out, err := exec.CommandContext(t.Context(), "docker", append(args, "version", "-f", "{{.Server.Version}}")...).CombinedOutput()
		if err != nil {
			t.Errorf("docker with these options: %v: %s", err, out)
		}
	})
	t.Run("docker context", func(t *testing.T) {
		f := f.in(t)
		got := f.dockerWith(nil, "--context", a, "info", "--format", "{{.Name}}")
		if got != a {
			t.Errorf("Got %q, want %q", got, a)
		}
	})
	t.Run("ls as JSON", func(t *testing.T) {
		f := f.in(t)
		var rows []struct{ Name, Driver, State string }
		if err := json.Unmarshal([]byte(f.ok("ls", "--format", "json")), &rows); err != nil {
			t.Fatal(err)
		}
		if len(rows) != 2 || rows[0].Name != a || rows[1].State != "Running" || rows[1].Driver != "docker" {
			t.Errorf("Got %+v", rows)
		}
	})
	t.Run("mount", func(t *testing.T) {
		f := f.in(t)
		if _, err := os.Stat("/dev/fuse"); err != nil {
			t.Skip("no FUSE here:", err)
		}
		if _, err := exec.LookPath("sshfs"); err != nil {
			t.Skip(err)
		}
		dir := t.TempDir()
		f.ok("ssh", a, "mkdir -p /tmp/shared && echo there >/tmp/shared/file")
		f.ok("mount", a+":/tmp/shared", dir)
		t.Cleanup(func() { _ = exec.Command("fusermount", "-uz", dir).Run() })
		if got, err := os.ReadFile(filepath.Join(dir, "file")); err != nil || string(got) != "there\n" {
			t.Errorf("Got %q, %v", got, err)
		}
		f.ok("mount", "-u", a+":/tmp/shared", dir)
		if _, err := os.Stat(filepath.Join(dir, "file")); err == nil {
			t.Error("Still mounted")
		}
	})
	t.Run("ssh options are ssh's", func(t *testing.T) {
		f := f.in(t)
		if _, err := exec.LookPath("ssh"); err != nil {
			t.Skip(err)
		}
		local := strings.TrimPrefix(silent(t), "127.0.0.1:") // a port that is free in a moment
		p := f.start(t.Context(), "ssh", a, "-L", "127.0.0.2:"+local+":127.0.0.1:22", "-N")
		t.Cleanup(func() { _ = p.cmd.Process.Signal(syscall.SIGTERM); p.wait() })
		eventually(t, 20*time.Second, func() error {
			_, err := exec.CommandContext(t.Context(), "ssh-keyscan", "-T", "2", "-p", local, "127.0.0.2").Output()
			return err
		})
	})
	t.Run("completion", func(t *testing.T) {
		f := f.in(t)
		for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
			if out := f.ok("completion", shell); !strings.Contains(out, "machine") {
				t.Errorf("%s: got %q", shell, out)
			}
		}
	})
	t.Run("rm removes the docker context", func(t *testing.T) {
		f := f.in(t)
		f.ok("rm", "-y", a, b)
		if got := f.dockerWith(nil, "context", "ls", "-q"); strings.Contains(got, a) {
			t.Errorf("Contexts: %q", got)
		}
	})
}

// TestAsDockerMachine plays what GitLab Runner and Ansible's inventory do with the
// program under its other name.
func TestAsDockerMachine(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	m := f.name("m")
	as := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), filepath.Join(filepath.Dir(binary), "docker-machine"), args...)
		cmd.Env = f.env()
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("docker-machine %v: %v", args, err)
		}
		return strings.TrimSpace(string(out))
	}
	as("--bugsnag-api-token=no-report", "create", "--driver", "docker", "--engine-label=runner=yes", m)
	as("--bugsnag-api-token=no-report", "provision", m)
	if got := as("--bugsnag-api-token=no-report", "status", m); got != "Running" {
		t.Errorf("Got %q", got)
	}
	as("--bugsnag-api-token=no-report", "config", m)
	dir := as("inspect", m, "-f", "{{.HostOptions.AuthOptions.StorePath}}")
	for _, name := range []string{"ca.pem", "cert.pem", "key.pem"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	var host struct {
		DriverName string
		Driver     struct {
			MachineName, IPAddress, SSHUser, SSHKeyPath string
			SSHPort                                     int
		}
	}
	if err := json.Unmarshal([]byte(as("inspect", m)), &host); err != nil {
		t.Fatal(err)
	}
	d := host.Driver
	if host.DriverName != "docker" || d.MachineName != m || d.IPAddress != as("ip", m) || d.SSHPort == 0 || d.SSHUser == "" {
		t.Errorf("Got %+v", host)
	}
	out, err := exec.CommandContext(t.Context(), "ssh", "-i", d.SSHKeyPath, "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes",
		"-o", "UserKnownHostsFile="+f.path(m, "known_hosts"), d.SSHUser+"@"+d.IPAddress, "hostname").CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != m {
		t.Errorf("ssh with what inspect says: %v: %s", err, out)
	}
	if got := as("env", "--shell=sh", m); !strings.Contains(got, `export DOCKER_HOST="`+as("url", m)+`"`) {
		t.Errorf("Got %q", got)
	}
	as("rm", "-y", m)
	as("rm", "-f", m) // gone already
}

// TestJumpHost reaches a host by way of another one, and takes back what was set up.
func TestJumpHost(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	jump, h := newHost(t, bare), newHost(t, withEngine)
	jump.sh("mkdir -p /root/.ssh && cat >>/root/.ssh/authorized_keys <<'KEY'\n" + public(t, h) + "\nKEY")
	h.sh("iptables -A INPUT -p tcp --dport 22 ! -s " + jump.ip + " -j REJECT")
	m := f.name("m")
	f.ok(append(append([]string{"create", "--generic-jump-host", "root@" + jump.ip, "--generic-deprovision"}, h.generic("admin")...), m)...)
	if got := f.ok("ssh", m, "hostname"); got != h.container {
		t.Errorf("Got %q, want %q", got, h.container)
	}
	if got := f.docker(m, "info", "--format", "{{.Name}}"); got != h.container {
		t.Errorf("Got %q, want %q", got, h.container)
	}
	f.ok("rm", "-y", m)
	if got := h.sh("ls /etc/docker /etc/systemd/system/docker.service.d 2>/dev/null | grep -E 'pem|machine' || true"); got != "" {
		t.Errorf("After rm with --generic-deprovision there is still: %s", got)
	}
	if got := h.sh("systemctl is-active docker; ss -Hltn 'sport = :2376'"); got != "active" {
		t.Errorf("Got %q, want an Engine that listens on its socket only", got)
	}
}

func public(t *testing.T, h *host) string {
	t.Helper()
	raw, err := os.ReadFile(h.key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(raw))
}
