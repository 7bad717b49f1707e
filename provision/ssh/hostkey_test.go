package ssh_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/provision/ssh/sshtest"
)

// private makes a private key of a kind: ed25519, ecdsa or rsa; OpenSSH PEM.
func private(t testing.TB, kind string) []byte {
	t.Helper()
	var key crypto.PrivateKey
	var err error
	switch kind {
	case "ed25519":
		pair, err := ssh.NewKeyPair("")
		if err != nil {
			t.Fatal(err)
		}
		return pair.Private
	case "ecdsa":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "rsa":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	block, err := gossh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block)
}

// public is the authorized_keys line of a private key.
func public(t testing.TB, private []byte) string {
	t.Helper()
	pair, err := ssh.ParseKeyPair(private, "")
	if err != nil {
		t.Fatal(err)
	}
	return pair.Authorized
}

func fingerprint(t testing.TB, private []byte) string {
	t.Helper()
	f, err := ssh.Fingerprint(public(t, private))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func file(t testing.TB, data string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestHostKeyChanged(t *testing.T) {
	t.Parallel()
	was, is := private(t, "ed25519"), private(t, "ed25519")
	server := sshtest.New(t, sshtest.Options{HostKeys: [][]byte{was}})
	target := server.Target()
	connect(t, target).Close()
	server.SetHostKeys(is)
	for name, pin := range map[string]bool{"without pin": false, "with pin": true} {
		t.Run(name, func(t *testing.T) {
			target := target
			target.Pin, target.OnPin = pin, func(string, string) error {
				t.Error("pinned")
				return nil
			}
			before := server.Connections()
			_, err := ssh.DialReady(within(t, 20*time.Second), target)
			var got *ssh.HostKeyError
			if !errors.As(err, &got) || !errors.Is(err, ssh.ErrHostKey) {
				t.Fatalf("got %v", err)
			}
			if got.Want != fingerprint(t, was) || got.Got != fingerprint(t, is) || got.File != target.KnownHosts {
				t.Errorf("got %+v", got)
			}
			for _, part := range []string{got.Want, got.Got, got.Host} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q lacks %q", err, part)
				}
			}
			if hint := got.Hint(); !strings.Contains(hint, "ssh-keygen") || !strings.Contains(hint, target.KnownHosts) {
				t.Errorf("hint %q", hint)
			}
			if n := server.Connections() - before; n != 1 {
				t.Errorf("%d attempts, want 1", n)
			}
			if n := server.Logins(); n != 1 {
				t.Errorf("%d logins, want none but the first", n)
			}
		})
	}
}

func TestHostKeyUnknown(t *testing.T) {
	t.Parallel()
	key := private(t, "ed25519")
	server := sshtest.New(t, sshtest.Options{HostKeys: [][]byte{key}})
	for name, known := range map[string]string{
		"no file":      filepath.Join(t.TempDir(), "none"),
		"no name":      "",
		"empty file":   file(t, ""),
		"other host":   file(t, "other "+public(t, key)+"\n"),
		"other port":   file(t, "127.0.0.1 "+public(t, key)+"\n"),
		"for its CA":   file(t, "@cert-authority * "+public(t, key)+"\n"),
		"pin to where": "",
	} {
		t.Run(name, func(t *testing.T) {
			target := server.Target()
			target.KnownHosts = known
			target.Pin = name == "pin to where" // but there is no OnPin
			_, err := ssh.DialReady(within(t, 20*time.Second), target)
			var got *ssh.UnknownKeyError
			if !errors.As(err, &got) || !errors.Is(err, ssh.ErrUnknownKey) || errors.Is(err, ssh.ErrHostKey) {
				t.Fatalf("got %v", err)
			}
			if got.Got != fingerprint(t, key) || got.Hint() == "" || !strings.Contains(err.Error(), got.Got) {
				t.Errorf("got %+v", got)
			}
		})
	}
	if n := server.Logins(); n != 0 {
		t.Errorf("%d logins", n)
	}
}

func TestPin(t *testing.T) {
	t.Parallel()
	key := private(t, "ecdsa")
	server := sshtest.New(t, sshtest.Options{HostKeys: [][]byte{key}})
	target := server.Target()
	target.KnownHosts = filepath.Join(t.TempDir(), "known_hosts")
	target.Pin = true
	pins := 0
	target.OnPin = func(line, print string) error {
		pins++
		if n := server.Logins(); n != 0 {
			t.Error("logged in before the key was stored")
		}
		if print != fingerprint(t, key) {
			t.Errorf("got %s", print)
		}
		if line+"\n" != server.KnownHosts() {
			t.Errorf("got line %q, want %q", line, server.KnownHosts())
		}
		return os.WriteFile(target.KnownHosts, []byte(line+"\n"), 0o600)
	}
	connect(t, target)
	target.Pin, target.OnPin = false, nil
	connect(t, target)
	if pins != 1 {
		t.Errorf("pinned %d times", pins)
	}
	server.SetHostKeys()
	if _, err := ssh.Dial(within(t, 20*time.Second), target); !errors.Is(err, ssh.ErrHostKey) {
		t.Errorf("got %v", err)
	}
}

func TestPinThatCannotBeStored(t *testing.T) {
	t.Parallel()
	server := sshtest.New(t, sshtest.Options{})
	target := server.Target()
	target.KnownHosts, target.Pin = "", true
	full := errors.New("disk is full")
	target.OnPin = func(string, string) error { return full }
	if _, err := ssh.DialReady(within(t, 20*time.Second), target); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	if n, m := server.Connections(), server.Logins(); n != 1 || m != 0 {
		t.Errorf("%d connections, %d logins", n, m)
	}
}

// A key that was pinned in a wait holds for the rest of the wait, wherever OnPin put it.
func TestPinHoldsForTheWait(t *testing.T) {
	t.Parallel()
	server := sshtest.New(t, sshtest.Options{})
	target := server.Target()
	target.KnownHosts, target.Pin = "", true
	target.OnPin = func(string, string) error {
		server.SetHostKeys()
		server.DropAll()
		return nil
	}
	if _, err := ssh.DialReady(within(t, 20*time.Second), target); !errors.Is(err, ssh.ErrHostKey) {
		t.Errorf("got %v", err)
	}
}

// OnPin is never at work for a caller that has its answer.
func TestPinIsOverWhenDialReturns(t *testing.T) {
	t.Parallel()
	server := sshtest.New(t, sshtest.Options{})
	target := server.Target()
	target.KnownHosts, target.Pin = "", true
	over := false
	ctx, pass := deadline(t)
	target.OnPin = func(string, string) error {
		pass()
		timer := time.NewTimer(200 * time.Millisecond) // a slow disk
		<-timer.C
		over = true
		return nil
	}
	if _, err := ssh.DialReady(ctx, target); !errors.Is(err, errOutOfTime) {
		t.Errorf("got %v", err)
	}
	if !over { // and no data race
		t.Error("OnPin is still at work")
	}
}

func TestHostWithSeveralKeys(t *testing.T) {
	t.Parallel()
	keys := map[string][]byte{}
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		keys[kind] = private(t, kind)
	}
	server := sshtest.New(t, sshtest.Options{HostKeys: [][]byte{keys["rsa"], keys["ecdsa"], keys["ed25519"]}})
	for kind, key := range keys {
		t.Run(kind+" is known", func(t *testing.T) {
			line, err := ssh.KnownHostsLine(server.Host, server.Port, public(t, key))
			if err != nil {
				t.Fatal(err)
			}
			target := server.Target()
			target.KnownHosts = file(t, line+"\n")
			connect(t, target)
		})
	}
	t.Run("none is known", func(t *testing.T) {
		target := server.Target()
		target.KnownHosts, target.Pin = "", true
		target.OnPin = func(line, print string) error {
			if print != fingerprint(t, keys["ed25519"]) {
				t.Errorf("pinned %s", line)
			}
			return nil
		}
		connect(t, target)
	})
	t.Run("the known kind is gone", func(t *testing.T) {
		was := private(t, "ecdsa")
		server := sshtest.New(t, sshtest.Options{HostKeys: [][]byte{was}})
		target := server.Target()
		server.SetHostKeys(keys["rsa"])
		_, err := ssh.Dial(within(t, 20*time.Second), target)
		var got *ssh.HostKeyError
		if !errors.As(err, &got) || got.Want != fingerprint(t, was) || got.Got != fingerprint(t, keys["rsa"]) {
			t.Errorf("got %v", err)
		}
	})
}

func TestRevokedHostKey(t *testing.T) {
	t.Parallel()
	key := private(t, "ed25519")
	server := sshtest.New(t, sshtest.Options{HostKeys: [][]byte{key}})
	target := server.Target()
	target.KnownHosts = file(t, server.KnownHosts()+"@revoked * "+public(t, key)+"\n")
	_, err := ssh.Dial(within(t, 20*time.Second), target)
	var got *ssh.HostKeyError
	if !errors.As(err, &got) || !got.Revoked || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("got %v", err)
	}
}

func TestCorruptKnownHostsIsNotUnknown(t *testing.T) {
	t.Parallel()
	server := sshtest.New(t, sshtest.Options{})
	target := server.Target()
	target.KnownHosts, target.Pin = file(t, strings.TrimSpace(server.KnownHosts())[:50]), true
	target.OnPin = func(string, string) error {
		t.Error("pinned")
		return nil
	}
	_, err := ssh.DialReady(within(t, 20*time.Second), target)
	if err == nil || !strings.Contains(err.Error(), target.KnownHosts+", line 1") || errors.Is(err, ssh.ErrNotReady) {
		t.Errorf("got %v", err)
	}
}

// TestHintOfHostKey: a key that an option gave is in no file that a line could be removed from.
func TestHintOfHostKey(t *testing.T) {
	t.Parallel()
	if hint := (&ssh.HostKeyError{Host: "h", File: "--host-key"}).Hint(); strings.Contains(hint, "-R") || !strings.Contains(hint, "console") {
		t.Errorf("hint %q", hint)
	}
	if hint := (&ssh.HostKeyError{Host: "h", File: "known_hosts"}).Hint(); !strings.Contains(hint, `-f "known_hosts" -R "h"`) {
		t.Errorf("hint %q", hint)
	}
}
