package ssh_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/hostsmith/machine/provision/ssh"
)

// The tools behave with Args as Dial does.
func TestOpenSSHClient(t *testing.T) {
	t.Parallel()
	bin, err := exec.LookPath("ssh")
	if err != nil {
		t.Skip("no OpenSSH client:", err)
	}
	server := startSSHD(t, "")
	connect(t, server.Target)
	at := server.User + "@127.0.0.1"
	run := func(t *testing.T, target ssh.Target, tail ...string) (string, error) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), bin, append(append(ssh.Args(target), tail...), "echo it works; exit 7")...)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output()
		t.Logf("stderr: %s", errs.String())
		return string(out), err
	}
	worked := func(t *testing.T, out string, err error) {
		t.Helper()
		var exit *exec.ExitError
		if out != "it works\n" || !errors.As(err, &exit) || exit.ExitCode() != 7 {
			t.Errorf("got %q, %v", out, err)
		}
	}
	t.Run("key and known hosts", func(t *testing.T) {
		out, err := run(t, server.Target, at)
		worked(t, out, err)
	})
	t.Run("changed host key", func(t *testing.T) {
		target := server.Target
		line, err := ssh.KnownHostsLine("127.0.0.1", target.Port, public(t, private(t, "ed25519")))
		if err != nil {
			t.Fatal(err)
		}
		target.KnownHosts = file(t, line+"\n")
		if out, err := run(t, target, at); err == nil || out != "" {
			t.Errorf("got %q, %v", out, err)
		}
	})
	t.Run("unknown host key", func(t *testing.T) {
		target := server.Target
		target.KnownHosts = file(t, "")
		if out, err := run(t, target, at); err == nil || out != "" {
			t.Errorf("got %q, %v", out, err)
		}
	})
	t.Run("refused key ends without a question", func(t *testing.T) {
		target := server.Target
		target.Key = file(t, string(private(t, "ed25519")))
		if out, err := run(t, target, at); err == nil || out != "" {
			t.Errorf("got %q, %v", out, err)
		}
	})
	t.Run("jump host", func(t *testing.T) {
		host := startSSHD(t, "")
		connect(t, host.Target)
		// One key for both, given only through Args; the jump host is known to the machine's file only.
		both, err := os.ReadFile(host.KnownHosts)
		if err != nil {
			t.Fatal(err)
		}
		hop, err := os.ReadFile(server.KnownHosts)
		if err != nil {
			t.Fatal(err)
		}
		authorized := filepath.Join(filepath.Dir(string(host.keys["config"])), "authorized_keys")
		if err := os.WriteFile(authorized, []byte(public(t, server.keys["ed25519"])+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		host.write("known_hosts", append(both, hop...))
		target := host.Target
		target.Key = server.Key
		target.Jump = server.User + "@127.0.0.1:" + strconv.Itoa(server.Port)
		out, err := run(t, target, at)
		worked(t, out, err)
		connect(t, target)
		target.KnownHosts = file(t, string(both))
		if out, err := run(t, target, at); err == nil || out != "" {
			t.Errorf("jump host is not known: got %q, %v", out, err)
		}
	})
	t.Run("scp", func(t *testing.T) {
		scp, err := exec.LookPath("scp")
		if err != nil {
			t.Skip("no scp:", err)
		}
		from, to := file(t, "contents"), filepath.Join(t.TempDir(), "copy")
		out, err := exec.CommandContext(t.Context(), scp, append(ssh.Args(server.Target), from, at+":"+to)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if got, err := os.ReadFile(to); err != nil || string(got) != "contents" {
			t.Errorf("got %q, %v", got, err)
		}
	})
}
