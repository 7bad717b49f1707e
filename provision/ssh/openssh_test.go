package ssh_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/provision/ssh/sshtest"
)

// sshd is a real OpenSSH server on a loopback port.
type sshd struct {
	t    *testing.T
	bin  string
	dir  string // its folder; the space and the percent sign in its name are part of the test
	keys map[string][]byte
	ssh.Target
	log lockedBuffer
}

// newSSHD prepares a server that lets keys of all kinds in; config is appended to its configuration.
func newSSHD(t *testing.T, config string) *sshd {
	t.Helper()
	bin, err := exec.LookPath("sshd")
	if err != nil {
		if bin, err = exec.LookPath("/usr/sbin/sshd"); err != nil {
			t.Skip("no OpenSSH server; install openssh-server to run this test")
		}
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if me.Uid == "0" {
		// Debian's sshd wants its folder for privilege separation, which its unit makes.
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Skip("OpenSSH server cannot run:", err)
		}
	}
	port := sshtest.FreePort(t)
	s := &sshd{t: t, bin: bin, dir: filepath.Join(t.TempDir(), "100% of it"), keys: map[string][]byte{}}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var authorized, known string
	// sshd does not take a path with a space for a host key; the keys lie elsewhere.
	hostDir := t.TempDir()
	text := fmt.Sprintf("ListenAddress 127.0.0.1:%d\nPidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\n"+
		"PasswordAuthentication no\nKbdInteractiveAuthentication no\nMaxStartups 200\nSubsystem sftp internal-sftp\nAuthorizedKeysFile %s\n%s\n",
		port, filepath.Join(hostDir, "authorized_keys"), config)
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		s.keys[kind] = private(t, kind)
		s.write(kind, s.keys[kind])
		authorized += public(t, s.keys[kind]) + "\n"
		host := private(t, kind)
		if err := os.WriteFile(filepath.Join(hostDir, kind), host, 0o600); err != nil {
			t.Fatal(err)
		}
		text += "HostKey " + filepath.Join(hostDir, kind) + "\n"
		line, err := ssh.KnownHostsLine("127.0.0.1", port, public(t, host))
		if err != nil {
			t.Fatal(err)
		}
		known += line + "\n"
		s.write("known_"+kind, []byte(line+"\n"))
		s.keys["host_"+kind] = host
	}
	s.write("known_hosts", []byte(known))
	if err := os.WriteFile(filepath.Join(hostDir, "authorized_keys"), []byte(authorized), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(hostDir, "config"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.keys["config"] = []byte(filepath.Join(hostDir, "config"))
	s.Target = ssh.Target{
		Host: "127.0.0.1", Port: port, User: me.Username,
		Key: s.path("ed25519"), KnownHosts: s.path("known_hosts"),
	}
	return s
}

func startSSHD(t *testing.T, config string) *sshd {
	t.Helper()
	s := newSSHD(t, config)
	s.start()
	return s
}

func (s *sshd) start() {
	cmd := exec.CommandContext(context.WithoutCancel(s.t.Context()), s.bin, "-D", "-e", "-f", string(s.keys["config"]))
	cmd.Stderr = &s.log
	if err := cmd.Start(); err != nil {
		s.t.Error(err)
		return
	}
	s.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if s.t.Failed() {
			s.t.Logf("sshd: %s", s.log.String())
		}
	})
}

func (s *sshd) path(name string) string { return filepath.Join(s.dir, name) }

func (s *sshd) write(name string, data []byte) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), data, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func TestOpenSSHServer(t *testing.T) {
	t.Parallel()
	server := startSSHD(t, "")
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		t.Run("login key "+kind, func(t *testing.T) {
			target := server.Target
			target.Key = server.path(kind)
			connect(t, target)
		})
		t.Run("known host key "+kind, func(t *testing.T) {
			target := server.Target
			target.KnownHosts = server.path("known_" + kind)
			connect(t, target)
		})
	}
	t.Run("hashed known_hosts", func(t *testing.T) {
		known, err := os.ReadFile(server.KnownHosts)
		if err != nil {
			t.Fatal(err)
		}
		target := server.Target
		target.KnownHosts = file(t, string(known))
		if out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-H", "-f", target.KnownHosts).CombinedOutput(); err != nil {
			t.Skipf("ssh-keygen: %v: %s", err, out)
		}
		if data, err := os.ReadFile(target.KnownHosts); err != nil || bytes.Contains(data, []byte("127.0.0.1")) {
			t.Fatalf("not hashed: %s, %v", data, err)
		}
		connect(t, target)
	})
	c := connect(t, server.Target)
	t.Run("streams and exit codes", func(t *testing.T) {
		var out bytes.Buffer
		if err := c.Run(t.Context(), "wc -c; echo no >&2", strings.NewReader(strings.Repeat("x", 8<<20)), &out); err != nil || strings.TrimSpace(out.String()) != "8388608" {
			t.Errorf("got %q, %v", out.String(), err)
		}
		for cmd, want := range map[string]int{"exit 3": 3, "kill -TERM $$": 143, "kill -KILL $$": 137, "no-such-command-here": 127} {
			var exit *ssh.ExitError
			if err := c.Run(t.Context(), cmd, nil, nil); !errors.As(err, &exit) || exit.Code != want {
				t.Errorf("%s: got %v, want code %d", cmd, err, want)
			}
		}
	})
	t.Run("more at once than sessions are allowed", func(t *testing.T) {
		var all sync.WaitGroup
		for range 30 {
			all.Go(func() {
				if err := c.Run(t.Context(), "sleep 0.05", nil, nil); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	})
	t.Run("a host that allows one session", func(t *testing.T) {
		c := connect(t, startSSHD(t, "MaxSessions 1").Target)
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				if err := c.Run(t.Context(), "sleep 0.05", nil, nil); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	})
	t.Run("a host that allows none", func(t *testing.T) {
		c := connect(t, startSSHD(t, "MaxSessions 0").Target)
		if err := c.Run(t.Context(), "true", nil, nil); err == nil || errors.Is(err, ssh.ErrLost) || !strings.Contains(err.Error(), "open session") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("cancel ends the command", func(t *testing.T) {
		mark := filepath.Join(t.TempDir(), "ended")
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("interrupted")
		var out lockedBuffer
		done := make(chan error, 1)
		go func() {
			done <- c.Run(ctx, "trap 'echo yes > "+mark+"; exit' TERM; echo up; while :; do sleep 0.1; done", nil, &out)
		}()
		eventually(t, "the command runs", func() bool { return out.String() == "up\n" })
		cancel(why)
		if err := <-done; !errors.Is(err, why) {
			t.Errorf("got %v", err)
		}
		if strings.Contains(server.log.String(), "session signalling requires privilege separation") {
			t.Skip("this OpenSSH passes no signals to root's commands")
		}
		eventually(t, "SIGTERM arrived", func() bool {
			_, err := os.Stat(mark)
			return err == nil
		})
	})
	t.Run("forward", func(t *testing.T) {
		l, err := new(net.ListenConfig).Listen(t.Context(), "unix", filepath.Join(sockDir(t), "s"))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			if conn, err := l.Accept(); err == nil {
				io.WriteString(conn, "hello")
				conn.Close()
			}
		}()
		conn, err := c.DialContext(t.Context(), "unix", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if got, err := io.ReadAll(conn); err != nil || string(got) != "hello" {
			t.Errorf("got %q, %v", got, err)
		}
	})
	t.Run("refused login", func(t *testing.T) {
		target := server.Target
		target.Key = file(t, string(private(t, "ed25519")))
		if _, err := ssh.DialReady(within(t, 20*time.Second), target); !errors.Is(err, ssh.ErrAuth) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("too many keys", func(t *testing.T) {
		var crowd [][]byte
		for range 8 {
			crowd = append(crowd, private(t, "ed25519"))
		}
		target := server.Target
		target.Key, target.Getenv = "", env("SSH_AUTH_SOCK", startAgent(t, crowd...))
		if _, err := ssh.DialReady(within(t, 20*time.Second), target); !errors.Is(err, ssh.ErrAuth) {
			t.Errorf("got %v", err)
		}
	})
}

func TestOpenSSHServerThatStartsLate(t *testing.T) {
	t.Parallel()
	server := newSSHD(t, "")
	timer := time.AfterFunc(500*time.Millisecond, server.start)
	defer timer.Stop()
	connect(t, server.Target)
}

func TestOpenSSHTerminal(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("sshd needs root to give a terminal away")
	}
	t.Parallel()
	c := connect(t, startSSHD(t, "").Target)
	in, keys := io.Pipe()
	defer keys.Close()
	var screen lockedBuffer
	type result struct {
		code int
		err  error
	}
	done := make(chan result, 1)
	go func() {
		code, err := c.Session(t.Context(), ssh.Session{
			Command: "stty size; trap 'echo interrupted; exit 8' INT; echo ready; while :; do sleep 0.1; done",
			TTY:     true, Stdin: in, Stdout: &screen,
		})
		done <- result{code, err}
	}()
	eventually(t, "the command is ready", func() bool { return strings.Contains(screen.String(), "ready") })
	io.WriteString(keys, "\x03") // Ctrl-C is the remote terminal's to read
	if got := <-done; got.code != 8 || got.err != nil {
		t.Errorf("got %+v", got)
	}
	if got := screen.String(); !strings.HasPrefix(got, "24 80\r\n") || !strings.Contains(got, "interrupted") {
		t.Errorf("got %q", got)
	}
}

func TestOpenSSHJump(t *testing.T) {
	t.Parallel()
	hop, host := startSSHD(t, ""), startSSHD(t, "")
	target := host.Target
	target.Key, target.Getenv = "", env("SSH_AUTH_SOCK", startAgent(t, hop.keys["rsa"], host.keys["ecdsa"]))
	known, err := os.ReadFile(hop.KnownHosts)
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.ReadFile(host.KnownHosts)
	if err != nil {
		t.Fatal(err)
	}
	target.KnownHosts = file(t, string(known)+string(own))
	target.Jump = hop.User + "@127.0.0.1:" + strconv.Itoa(hop.Port)
	connect(t, target)
	for name, want := range map[string]ssh.State{"127.0.0.1": ssh.Refused, "no-such-host.invalid": ssh.Unresolved} {
		nowhere := target
		nowhere.Host, nowhere.Port = name, 1
		_, err := ssh.Dial(within(t, 20*time.Second), nowhere)
		var got *ssh.NotReadyError
		if !errors.As(err, &got) || got.State != want {
			t.Errorf("got %v, want state %q", err, want)
		}
	}
	closed := startSSHD(t, "AllowTcpForwarding no")
	target.Jump = closed.User + "@127.0.0.1:" + strconv.Itoa(closed.Port)
	target.Key, target.KnownHosts = closed.path("ed25519"), closed.KnownHosts
	if _, err := ssh.DialReady(within(t, 20*time.Second), target); !errors.Is(err, ssh.ErrJump) || !strings.Contains(err.Error(), "does not forward") {
		t.Errorf("got %v", err)
	}
}

func TestOpenSSHHostCertificate(t *testing.T) {
	t.Parallel()
	server := newSSHD(t, "")
	authority := file(t, string(private(t, "ed25519")))
	sign := func(principal string) {
		t.Helper()
		host := filepath.Join(filepath.Dir(string(server.keys["config"])), "ecdsa")
		if err := os.WriteFile(host+".pub", []byte(public(t, server.keys["host_ecdsa"])), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-s", authority, "-I", "id", "-h", "-n", principal, host+".pub").CombinedOutput()
		if err != nil {
			t.Skipf("ssh-keygen: %v: %s", err, out)
		}
		f, err := os.OpenFile(string(server.keys["config"]), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		fmt.Fprintf(f, "HostCertificate %s-cert.pub\n", host)
	}
	sign("127.0.0.1")
	server.start()
	data, err := os.ReadFile(authority)
	if err != nil {
		t.Fatal(err)
	}
	target := server.Target
	target.KnownHosts = file(t, "@cert-authority [127.0.0.1]:* "+public(t, data)+"\n")
	connect(t, target)
	target.KnownHosts = file(t, "@cert-authority [127.0.0.1]:* "+public(t, private(t, "ed25519"))+"\n")
	if _, err := ssh.Dial(within(t, 20*time.Second), target); err == nil || errors.Is(err, ssh.ErrNotReady) {
		t.Errorf("another authority: got %v", err)
	}
}
