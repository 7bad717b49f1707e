package ssh_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/provision/ssh/sshtest"
)

// env is an environment for Target.Getenv.
func env(kv ...string) func(string) string {
	return func(key string) string {
		for i := 0; i < len(kv); i += 2 {
			if kv[i] == key {
				return kv[i+1]
			}
		}
		return ""
	}
}

// startAgent serves an agent that holds keys, and returns its socket.
func startAgent(t *testing.T, private ...[]byte) string {
	t.Helper()
	ring := agent.NewKeyring()
	for _, p := range private {
		key, err := gossh.ParseRawPrivateKey(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := ring.Add(agent.AddedKey{PrivateKey: key, Comment: "from the test"}); err != nil {
			t.Fatal(err)
		}
	}
	return agentSocket(t, func(c net.Conn) { agent.ServeAgent(ring, c) })
}

func agentSocket(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	sock := filepath.Join(sockDir(t), "s")
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", sock)
	if err != nil {
		t.Skip("no unix sockets:", err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return sock
}

// locked returns the key with a passphrase, in OpenSSH's format.
func locked(t *testing.T, private []byte) string {
	t.Helper()
	key, err := gossh.ParseRawPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := gossh.MarshalPrivateKeyWithPassphrase(key, "", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block))
}

// lockedPEM returns an RSA key with a passphrase in the old format, which hides the public half.
func lockedPEM(t *testing.T, private []byte) string {
	t.Helper()
	key, err := gossh.ParseRawPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	block, err := x509.EncryptPEMBlock(nilReader{}, "RSA PRIVATE KEY", der, []byte("secret"), x509.PEMCipherAES128) //nolint:staticcheck // what users still have
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block))
}

type nilReader struct{}

func (nilReader) Read(b []byte) (int, error) { return len(b), nil }

func TestKeys(t *testing.T) {
	t.Parallel()
	mine := map[string][]byte{}
	var authorized []string
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		mine[kind] = private(t, kind)
		authorized = append(authorized, public(t, mine[kind]))
	}
	rsaKey, err := gossh.ParseRawPrivateKey(mine["rsa"])
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(rsaKey)
	if err != nil {
		t.Fatal(err)
	}
	server := sshtest.New(t, sshtest.Options{Authorized: authorized})
	sock := startAgent(t, private(t, "ed25519"), mine["rsa"], mine["ed25519"])
	home := func(name, data string) string {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, ".ssh"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, ".ssh", name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	for _, test := range []struct {
		name   string
		key    string
		getenv func(string) string
	}{
		{name: "ed25519 file", key: file(t, string(mine["ed25519"]))},
		{name: "ecdsa file", key: file(t, string(mine["ecdsa"]))},
		{name: "rsa file", key: file(t, string(mine["rsa"]))},
		{name: "PKCS 8", key: file(t, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))},
		{name: "locked, in the agent", key: file(t, locked(t, mine["rsa"])), getenv: env("SSH_AUTH_SOCK", sock)},
		{name: "public half, in the agent", key: file(t, public(t, mine["ed25519"])+" me@home\n"), getenv: env("SSH_AUTH_SOCK", sock)},
		{name: "agent", getenv: env("SSH_AUTH_SOCK", sock)},
		{name: "default ed25519", getenv: env("HOME", home("id_ed25519", string(mine["ed25519"])))},
		{name: "default ecdsa", getenv: env("HOME", home("id_ecdsa", string(mine["ecdsa"])))},
		{name: "default rsa", getenv: env("USERPROFILE", home("id_rsa", string(mine["rsa"])))},
		{name: "default, when the agent is dead", getenv: env("SSH_AUTH_SOCK", "/nonexistent", "HOME", home("id_rsa", string(mine["rsa"])))},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			target := server.Target()
			target.Key, target.Getenv = test.key, test.getenv
			if err := connect(t, target).Run(t.Context(), "true", nil, nil); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("locked in the old format, public half beside it", func(t *testing.T) {
		t.Parallel()
		target := server.Target()
		target.Key, target.Getenv = file(t, lockedPEM(t, mine["rsa"])), env("SSH_AUTH_SOCK", sock)
		if err := os.WriteFile(target.Key+".pub", []byte(public(t, mine["rsa"])), 0o600); err != nil {
			t.Fatal(err)
		}
		connect(t, target)
	})
}

func TestKeyFileErrors(t *testing.T) {
	t.Parallel()
	server := sshtest.New(t, sshtest.Options{})
	key := private(t, "rsa")
	withPassphrase := locked(t, key)
	otherAgent := env("SSH_AUTH_SOCK", startAgent(t, private(t, "ed25519")))
	deaf := env("SSH_AUTH_SOCK", "/nonexistent")
	for _, test := range []struct {
		name, file string
		getenv     func(string) string
		text, hint string
	}{
		{"missing", filepath.Join(t.TempDir(), "none"), nil, "no such file", "path"},
		{"folder", t.TempDir(), nil, "is a directory", "path"},
		{"empty", file(t, ""), nil, "no key found", "OpenSSH or PEM"},
		{"garbage", file(t, "-----BEGIN X-----\nAAAA\n-----END X-----\n"), nil, "unsupported", "OpenSSH or PEM"},
		{"PuTTY", file(t, "PuTTY-User-Key-File-3: ssh-ed25519\n"), nil, "PuTTY", "puttygen"},
		{"locked, no agent", file(t, withPassphrase), nil, "passphrase", "ssh-add"},
		{"locked, dead agent", file(t, withPassphrase), deaf, "passphrase", "ssh-add"},
		{"locked, not in the agent", file(t, withPassphrase), otherAgent, "passphrase", "ssh-add"},
		{"locked in the old format", file(t, lockedPEM(t, key)), otherAgent, "public half", "ssh-keygen -y"},
		{"public half, not in the agent", file(t, public(t, key)), otherAgent, "no private key", "ssh-add"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			target := server.Target()
			target.Key, target.Getenv = test.file, test.getenv
			_, err := ssh.DialReady(within(t, 20*time.Second), target)
			var got *ssh.KeyFileError
			if !errors.As(err, &got) || !errors.Is(err, ssh.ErrKeyFile) {
				t.Fatalf("got %v", err)
			}
			if got.File != test.file || !strings.Contains(err.Error(), test.file) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %q, want %q in it", err, test.text)
			}
			if !strings.Contains(got.Hint(), test.hint) {
				t.Errorf("got hint %q, want %q in it", got.Hint(), test.hint)
			}
		})
	}
	t.Cleanup(func() {
		if n := server.Connections(); n != 0 {
			t.Errorf("%d connections were made without a key", n)
		}
	})
}

func TestLoginRefused(t *testing.T) {
	t.Parallel()
	key := private(t, "ecdsa")
	server := sshtest.New(t, sshtest.Options{MaxAuth: 3})
	crowd := [][]byte{private(t, "ed25519"), private(t, "ed25519"), private(t, "ed25519"), private(t, "ed25519"), private(t, "ed25519")}
	lockedHome := t.TempDir()
	if err := os.MkdirAll(filepath.Join(lockedHome, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(lockedHome, ".ssh", "id_rsa"), []byte(locked(t, private(t, "rsa"))), 0o600); err != nil {
		t.Fatal(err)
	}
	good := server.Target().Key
	for _, test := range []struct {
		name, user, key string
		getenv          func(string) string
		keys            int
		text, hint      string
	}{
		{"key is not authorized", "tester", file(t, string(key)), nil, 1, fingerprint(t, key), "authorized_keys"},
		{"wrong user", "root", good, nil, 1, `as "root"`, "user name"},
		{"no key", "tester", "", nil, 0, "no key was there", "ssh-add"},
		{"too many keys", "tester", "", env("SSH_AUTH_SOCK", startAgent(t, crowd...)), len(crowd), `agent key "from the test" SHA256:`, ""},
		{"dead agent", "tester", "", env("SSH_AUTH_SOCK", "/nonexistent"), 0, "agent: no such file", "ssh-add"},
		{"locked default", "tester", "", env("HOME", lockedHome), 0, "id_rsa: it has a passphrase", "ssh-add"},
	} {
		t.Run(test.name, func(t *testing.T) {
			target := server.Target()
			target.User, target.Key, target.Getenv = test.user, test.key, test.getenv
			before := server.Connections()
			_, err := ssh.DialReady(within(t, 20*time.Second), target)
			var got *ssh.AuthError
			if !errors.As(err, &got) || !errors.Is(err, ssh.ErrAuth) || errors.Is(err, ssh.ErrNotReady) {
				t.Fatalf("got %v", err)
			}
			if got.User != test.user || got.Host != server.Host || len(got.Keys) != test.keys {
				t.Errorf("got %+v", got)
			}
			if !strings.Contains(err.Error(), test.text) || !strings.Contains(got.Hint(), test.hint) {
				t.Errorf("got %q with hint %q, want %q and %q in them", err, got.Hint(), test.text, test.hint)
			}
			if n := server.Connections() - before; n != 1 {
				t.Errorf("%d attempts, want 1", n)
			}
		})
	}
}

func TestAgentThatNeverAnswers(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	sock := agentSocket(t, func(net.Conn) { <-release })
	target := sshtest.New(t, sshtest.Options{}).Target()
	target.Key, target.Getenv = "", env("SSH_AUTH_SOCK", sock)
	began := time.Now()
	_, err := ssh.DialReady(within(t, 30*time.Second), target)
	if !errors.Is(err, ssh.ErrAuth) || !strings.Contains(err.Error(), "no answer within") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > soon {
		t.Errorf("took %s", took)
	}
}

// An agent that waits for its user must not hold the caller when ctx ends.
func TestAgentThatNeverSigns(t *testing.T) {
	t.Parallel()
	key := private(t, "ed25519")
	server := sshtest.New(t, sshtest.Options{Authorized: []string{public(t, key)}})
	ring := agent.NewKeyring()
	raw, err := gossh.ParseRawPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.Add(agent.AddedKey{PrivateKey: raw}); err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	sock := agentSocket(t, func(c net.Conn) { agent.ServeAgent(&pensive{Agent: ring, release: release}, c) })
	target := server.Target()
	target.Key, target.Getenv = "", env("SSH_AUTH_SOCK", sock)
	ctx, pass := deadline(t)
	told := states{on: func(ssh.State) { pass() }}
	target.Waiting = told.add
	began := time.Now()
	_, err = ssh.DialReady(ctx, target)
	var got *ssh.NotReadyError
	if !errors.As(err, &got) || got.State != ssh.Authentication {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > soon {
		t.Errorf("took %s", took)
	}
	if got := told.String(); got != "authenticating|" {
		t.Errorf("told %q", got)
	}
}

// pensive lists its keys and never signs.
type pensive struct {
	agent.Agent
	release chan struct{}
}

func (p *pensive) Sign(gossh.PublicKey, []byte) (*gossh.Signature, error) {
	<-p.release
	return nil, errors.New("released")
}

func TestUserCertificate(t *testing.T) {
	t.Parallel()
	authority := private(t, "ed25519")
	ca, err := gossh.ParsePrivateKey(authority)
	if err != nil {
		t.Fatal(err)
	}
	key := private(t, "ed25519")
	signer, err := gossh.ParsePrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := &gossh.Certificate{
		Key: signer.PublicKey(), CertType: gossh.UserCert, KeyId: "k", ValidPrincipals: []string{"tester"}, ValidBefore: gossh.CertTimeInfinity,
	}
	if err := cert.SignCert(nilReader{}, ca); err != nil {
		t.Fatal(err)
	}
	line := string(gossh.MarshalAuthorizedKey(cert))
	// The server knows this certificate, not the key: so the certificate was what logged in.
	server := sshtest.New(t, sshtest.Options{Authorized: []string{line}})
	target := server.Target()
	target.Key = file(t, string(key))
	if _, err := ssh.Dial(within(t, 20*time.Second), target); !errors.Is(err, ssh.ErrAuth) {
		t.Fatalf("got %v", err)
	}
	if err := os.WriteFile(target.Key+"-cert.pub", []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	connect(t, target)
}
