package docker

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// Restart restarts the machine.
func (h *host) Restart() error { return h.Driver.(drivers.Restarter).Restart(h.t.Context()) }

// TestRealNode boots the node image of each suite and looks at it over SSH.
func TestRealNode(t *testing.T) {
	for name, options := range map[string][]string{
		"bookworm": {},
		"trixie":   {"docker-suite", "trixie"},
		"bare":     {"docker-no-engine", "true"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReal(t)
			m := r.newHost(t, name, r.values(append(options, "docker-memory", "1g", "docker-cpus", "1")...))
			login, host := newKey(t), newKey(t)
			started := time.Now()
			if err := m.Create(t.Context(), drivers.CreateRequest{AuthorizedKey: login.authorized, HostKey: host.private}); err != nil {
				t.Fatal(err)
			}
			t.Logf("created after %v", time.Since(started))
			s, err := m.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			c := dialSSH(t, s, login, host)
			t.Logf("SSH after %v", time.Since(started))
			engine := "curl -fsS --unix-socket /run/docker.sock http://engine/_ping"
			if name == "bare" {
				engine = "! command -v dockerd && echo OK"
			}
			for {
				out, err := runSSH(c, engine)
				if err == nil && strings.HasSuffix(strings.TrimSpace(out), "OK") {
					break
				}
				if time.Since(started) > 60*time.Second {
					t.Fatalf("no engine: %q, %v", out, err)
				}
			}
			t.Logf("engine after %v", time.Since(started))
			for cmd, want := range map[string]string{
				"systemctl is-system-running --wait": "running",
				"hostname":                           name,
				"stat -c %a /root/.ssh /root/.ssh/authorized_keys /etc/ssh/ssh_host_ed25519_key": "700\n600\n600",
				"ls /etc/ssh/ssh_host_*": "/etc/ssh/ssh_host_ed25519_key",
				"stat -f -c %T /var/lib/docker /var/lib/containerd | grep -c overlay || true":      "0",
				"ls /usr/sbin/policy-rc.d 2>/dev/null || true":                                     "",
				"cat /proc/1/environ | tr '\\0' '\\n' | grep -c -e SSH -e KEY || true":             "0",
				"test -s /etc/machine-id && cat /etc/machine-id | wc -c":                           "33",
				"touch /run/x /tmp/x /var/lib/docker/x && stat -c %a /run":                         "755",
				"systemctl list-units --failed --no-legend; systemctl list-jobs --no-legend; true": "",
			} {
				out, err := runSSH(c, cmd)
				if got := strings.TrimSpace(out); err != nil || got != want && got != "No jobs running."+want {
					t.Errorf("%s: got %q, %v; want %q", cmd, got, err, want)
				}
			}
			_ = c.Close()
			stopping := time.Now()
			if err := m.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			t.Logf("stopped within %v", time.Since(stopping))
			if took := time.Since(stopping); took >= 5*time.Second {
				t.Errorf("it was killed after %v", took)
			}
			if err := m.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			again, err := m.Status(t.Context())
			if err != nil || again != s {
				t.Errorf("%+v, %v; was %+v", again, err, s)
			}
			if err := dialSSH(t, again, login, host).Close(); err != nil {
				t.Error(err)
			}
			if err := m.Remove(t.Context()); err != nil {
				t.Fatal(err)
			}
			if left, err := r.list(t.Context()); err != nil || len(left) > 0 {
				t.Errorf("left %v, %v", left, err)
			}
		})
	}
}

// key is a new SSH key.
type key struct {
	private    []byte
	authorized string
	signer     ssh.Signer
}

func newKey(t testing.TB) key {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "test")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return key{pem.EncodeToMemory(block), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))), signer}
}

// dialSSH logs in as soon as the host answers, and accepts no other host key.
func dialSSH(t testing.TB, s drivers.Status, login, host key) *ssh.Client {
	t.Helper()
	config := &ssh.ClientConfig{
		User: s.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(login.signer)},
		HostKeyCallback: ssh.FixedHostKey(host.signer.PublicKey()), Timeout: 5 * time.Second,
	}
	at := net.JoinHostPort(s.Host, strconv.Itoa(s.SSHPort))
	deadline := time.Now().Add(60 * time.Second)
	for {
		c, err := ssh.Dial("tcp", at, config)
		if err == nil {
			return c
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		if err := wait.For(t.Context(), 20*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
}

func runSSH(c *ssh.Client, cmd string) (string, error) {
	s, err := c.NewSession()
	if err != nil {
		return "", err
	}
	defer s.Close() //nolint:errcheck // it has ended
	out, err := s.Output(cmd)
	return string(out), err
}
