package ssh_test

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/hostsmith/machine/provision/ssh"
)

func TestNewKeyPair(t *testing.T) {
	t.Parallel()
	pair, err := ssh.NewKeyPair("machine m1")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(pair.Private), "-----BEGIN OPENSSH PRIVATE KEY-----\n") {
		t.Errorf("got %.40q", pair.Private)
	}
	if !strings.HasPrefix(pair.Authorized, "ssh-ed25519 AAAA") || !strings.HasSuffix(pair.Authorized, " machine m1") {
		t.Errorf("got %q", pair.Authorized)
	}
	again, err := ssh.ParseKeyPair(pair.Private, "machine m1")
	if err != nil || again.Authorized != pair.Authorized || string(again.Private) != string(pair.Private) {
		t.Errorf("got %+v, %v", again, err)
	}
	other, err := ssh.NewKeyPair("machine m1")
	if err != nil || other.Authorized == pair.Authorized {
		t.Errorf("the same key again, %v", err)
	}
	for _, comment := range []string{"a\nssh-rsa AAAA", "a\rb", "a\x00b"} {
		if _, err := ssh.NewKeyPair(comment); err == nil {
			t.Errorf("comment %q was taken", comment)
		}
	}
}

func TestParseKeyPairRefuses(t *testing.T) {
	t.Parallel()
	for name, private := range map[string]string{"nothing": "", "garbage": "x", "locked": locked(t, private(t, "ed25519"))} {
		if _, err := ssh.ParseKeyPair([]byte(private), ""); !errors.Is(err, ssh.ErrKeyFile) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestKnownHostsLine(t *testing.T) {
	t.Parallel()
	key := public(t, private(t, "ed25519"))
	for _, test := range []struct {
		host string
		port int
		want string
	}{
		{"10.0.0.1", 22, "10.0.0.1"},
		{"10.0.0.1", 0, "10.0.0.1"},
		{"Host.Example", 22, "host.example"},
		{"host.example", 2222, "[host.example]:2222"},
		{"2001:db8::1", 22, "2001:db8::1"},
		{"2001:db8::1", 2222, "[2001:db8::1]:2222"},
	} {
		got, err := ssh.KnownHostsLine(test.host, test.port, key+" a comment")
		if err != nil || got != test.want+" "+key {
			t.Errorf("got %q, %v, want %q", got, err, test.want+" "+key)
		}
	}
	for _, host := range []string{"", "a b", "a,b", "a\nb", "*", "!a", "|1|x"} {
		if got, err := ssh.KnownHostsLine(host, 22, key); err == nil {
			t.Errorf("%q: got %q", host, got)
		}
	}
	for _, key := range []string{"", "ssh-ed25519", "ssh-ed25519 AAAA", key + "\n" + key} {
		if got, err := ssh.KnownHostsLine("h", 22, key); err == nil {
			t.Errorf("%q: got %q", key, got)
		}
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	// From ssh-keygen -l.
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJUOZGWdsNZG8hLsIn3Clx+V2AoJUTmg1tPICGT7txTo"
	const want = "SHA256:706b9+6bfk1vCFCc/Czyehy3mn63w+neOFFluPVTD5E"
	for _, line := range []string{
		key, key + " a comment\n", "10.0.0.1 " + key, "[h]:2222 " + key + " c", "@revoked * " + key, `command="x y" ` + key,
	} {
		if got, err := ssh.Fingerprint(line); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", line, got, err, want)
		}
	}
	for _, line := range []string{"", "x", key[:60], key + "\n" + key} {
		if got, err := ssh.Fingerprint(line); err == nil {
			t.Errorf("%q: got %q", line, got)
		}
	}
}

// What OpenSSH says of our keys, not only what we say of them.
func TestKeysAsOpenSSHReadsThem(t *testing.T) {
	t.Parallel()
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		t.Skip("no ssh-keygen:", err)
	}
	pair, err := ssh.NewKeyPair("machine m1")
	if err != nil {
		t.Fatal(err)
	}
	name := file(t, string(pair.Private))
	out, err := exec.CommandContext(t.Context(), keygen, "-y", "-f", name).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != pair.Authorized {
		t.Errorf("got %q, %v, want %q", out, err, pair.Authorized)
	}
	print, err := ssh.Fingerprint(pair.Authorized)
	if err != nil {
		t.Fatal(err)
	}
	out, err = exec.CommandContext(t.Context(), keygen, "-l", "-f", name).CombinedOutput()
	if err != nil || !strings.Contains(string(out), print) {
		t.Errorf("got %q, %v, want %q in it", out, err, print)
	}
	line, err := ssh.KnownHostsLine("h.example", 2222, pair.Authorized)
	if err != nil {
		t.Fatal(err)
	}
	out, err = exec.CommandContext(t.Context(), keygen, "-F", "[h.example]:2222", "-f", file(t, line+"\n")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), line) {
		t.Errorf("got %q, %v, want %q in it", out, err, line)
	}
}
