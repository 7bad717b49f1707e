package cli

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/provision/ssh"
)

// TestOpenSSH copies and mounts with the real programs, between two real OpenSSH servers that have
// different host keys and let different keys in.
func TestOpenSSH(t *testing.T) {
	t.Parallel()
	one, two := newSSHD(t, "m1"), newSSHD(t, "m2")
	config, clean, err := sshConfig([]lifecycle.Login{one, two})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(config); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the configuration: %v, %v", info.Mode(), err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "from", "a file"), "content")

	run(t, "scp", append(scpArgs(config, true, true), "--", dir+"/from", "m1:"+dir+"/one")...)
	run(t, "scp", append(scpArgs(config, true, true), "--", "m1:"+dir+"/one", "m2:"+dir+"/two")...)
	check(t, filepath.Join(dir, "two", "a file"), "content")
	if _, err := exec.LookPath("rsync"); err == nil {
		run(t, "rsync", append(rsyncArgs(config, true, true), "--", dir+"/two/", "m2:"+dir+"/three")...)
		check(t, filepath.Join(dir, "three", "a file"), "content")
		run(t, "rsync", append(rsyncArgs(config, true, true), "--", "m1:"+dir+"/one/", dir+"/four")...)
		check(t, filepath.Join(dir, "four", "a file"), "content")
	}
	mounted(t, config, dir)
	clean()
	if exist(config) {
		t.Error("the configuration stays")
	}

	// Another host key than the one pinned is refused, though the login would be let in.
	one.Target.KnownHosts = two.Target.KnownHosts
	config, clean, err = sshConfig([]lifecycle.Login{one})
	if err != nil {
		t.Fatal(err)
	}
	defer clean()
	args := append(scpArgs(config, false, false), "--", dir+"/from/a file", "m1:"+dir+"/five")
	out, err := exec.CommandContext(t.Context(), "scp", args...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "Host key verification failed") || exist(filepath.Join(dir, "five")) {
		t.Errorf("copying to a host with another key: %v\n%s", err, out)
	}
}

// mounted mounts a folder and looks into it, where the computer lets it.
func mounted(t *testing.T, config, dir string) {
	t.Helper()
	sshfs, err := exec.LookPath("sshfs")
	if err != nil || !exist("/dev/fuse") {
		return
	}
	at := filepath.Join(dir, "mnt")
	if err := os.Mkdir(at, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), sshfs, "-F", config, "m2:"+dir+"/two", at).CombinedOutput(); err != nil {
		t.Logf("sshfs cannot mount here: %v %s", err, out)
		return
	}
	defer func() {
		path, args, err := unmounter()
		if err != nil {
			t.Error(err)
			return
		}
		if out, err := exec.CommandContext(context.WithoutCancel(t.Context()), path, append(args, at)...).CombinedOutput(); err != nil {
			t.Errorf("unmount: %v %s", err, out)
		}
	}()
	check(t, filepath.Join(at, "a file"), "content")
}

func run(t *testing.T, program string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", program, args, err, out)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s holds %q (%v), want %q", path, got, err, want)
	}
}

// newSSHD starts an OpenSSH server for the user who runs the test, with one key that may log in.
func newSSHD(t *testing.T, name string) lifecycle.Login {
	t.Helper()
	sshd, err := exec.LookPath("sshd")
	if err != nil {
		if sshd, err = exec.LookPath("/usr/sbin/sshd"); err != nil {
			t.Skip("no sshd here")
		}
	}
	if _, err := exec.LookPath("scp"); err != nil {
		t.Skip("no scp here")
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "with blank")
	login, host := newPair(t), newPair(t)
	write(t, filepath.Join(dir, "id"), string(login.Private))
	write(t, filepath.Join(dir, "host"), string(host.Private))
	write(t, filepath.Join(dir, "authorized"), login.Authorized+"\n")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	line, err := ssh.KnownHostsLine("127.0.0.1", port, host.Authorized)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "known_hosts"), line+"\n")
	write(t, filepath.Join(dir, "sshd_config"), fmt.Sprintf(`ListenAddress 127.0.0.1:%d
HostKey "%s/host"
AuthorizedKeysFile "%s/authorized"
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
Subsystem sftp internal-sftp
`, port, dir, dir))
	var log bytes.Buffer
	cmd := exec.CommandContext(t.Context(), sshd, "-D", "-e", "-f", filepath.Join(dir, "sshd_config"))
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // ended with the test's context
	for range 100 {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = conn.Close()
			return lifecycle.Login{Machine: name, Target: ssh.Target{
				Host: "127.0.0.1", Port: port, User: me.Username,
				Key: filepath.Join(dir, "id"), KnownHosts: filepath.Join(dir, "known_hosts"),
			}}
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Skip("sshd does not run here")
	return lifecycle.Login{}
}

func newPair(t *testing.T) ssh.KeyPair {
	t.Helper()
	pair, err := ssh.NewKeyPair("test")
	if err != nil {
		t.Fatal(err)
	}
	return pair
}
