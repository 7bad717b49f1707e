package generic_test

import (
	"crypto/dsa" //nolint:staticcheck // a key that must be refused
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/hostsmith/machine/drivers"
)

type key struct{ private, public string }

// newKey returns an ed25519 key.
func newKey(t testing.TB) key {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "me@here")
	if err != nil {
		t.Fatal(err)
	}
	line, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return key{string(pem.EncodeToMemory(block)), string(ssh.MarshalAuthorizedKey(line))}
}

func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func encode(kind string, der []byte, err error) string {
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// check checks a key file, with or without an agent.
func check(t *testing.T, file string, agent bool) error {
	t.Helper()
	environment := map[string]string{"HOME": filepath.Dir(file)}
	if agent {
		environment["SSH_AUTH_SOCK"] = "/run/agent"
	}
	env := drivers.Env{Getenv: func(k string) string { return environment[k] }}
	return open(t, drivers.Values{"generic-ip-address": {"192.0.2.1"}, "generic-ssh-key": {file}}, env).Check(t.Context())
}

func TestGoodKeys(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecDER, ecErr := x509.MarshalECPrivateKey(ecKey)
	pkcs8, pkcs8Err := x509.MarshalPKCS8PrivateKey(rsaKey)
	opensshRSA, err := ssh.MarshalPrivateKey(rsaKey, "")
	if err != nil {
		t.Fatal(err)
	}
	plain := newKey(t).private
	for name, text := range map[string]string{
		"openssh ed25519": plain,
		"openssh rsa":     string(pem.EncodeToMemory(opensshRSA)),
		"pkcs1":           encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey), nil),
		"ec":              encode("EC PRIVATE KEY", ecDER, ecErr),
		"pkcs8":           encode("PRIVATE KEY", pkcs8, pkcs8Err),
		"carriage return": strings.ReplaceAll(plain, "\n", "\r\n"),
		"text before":     "comment\n" + plain,
		"no last newline": strings.TrimSpace(plain),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := check(t, write(t, "id", text), false); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("below home", func(t *testing.T) {
		t.Parallel()
		file := write(t, "id", plain)
		env := drivers.Env{Getenv: func(k string) string { return map[string]string{"HOME": filepath.Dir(file)}[k] }}
		values := drivers.Values{"generic-ip-address": {"192.0.2.1"}, "generic-ssh-key": {"~/id"}}
		if err := open(t, values, env).Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		if err := open(t, drivers.Values{"generic-ip-address": {"192.0.2.1"}}, drivers.Env{}).Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestKeysThatNeedAnAgent(t *testing.T) {
	t.Parallel()
	legacy := string(pem.EncodeToMemory(&pem.Block{
		Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}, Bytes: []byte("x"),
	}))
	for name, text := range map[string]string{
		"openssh": opensshHead("aes256-ctr", ssh.KeyAlgoED25519),
		"legacy":  legacy,
		"pkcs8":   encode("ENCRYPTED PRIVATE KEY", []byte("x"), nil),
		"token":   opensshHead("none", "sk-ssh-ed25519@openssh.com"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := write(t, "id", text)
			if err := check(t, file, true); err != nil {
				t.Errorf("with an agent: %v", err)
			}
			if runtime.GOOS == "windows" {
				t.Skip("an agent has a place of its own")
			}
			err := check(t, file, false)
			if want := "SSH key cannot be used: " + file + " needs a passphrase or a token, and no SSH agent runs"; err == nil || err.Error() != want {
				t.Errorf("without an agent: got %v, want %s", err, want)
			}
			var hint interface{ Hint() string }
			if !errors.As(err, &hint) || !strings.Contains(hint.Hint(), "ssh-add "+file) {
				t.Errorf("without an agent: got hint %v", hint)
			}
		})
	}
}

// opensshHead returns an OpenSSH private key whose private part is of no use.
func opensshHead(cipher, kind string) string {
	body := append([]byte("openssh-key-v1\x00"), ssh.Marshal(struct {
		Cipher, KDF, Options string
		Keys                 uint32
		Public, Private      []byte
	}{cipher, "none", "", 1, ssh.Marshal(struct{ Kind, Key string }{kind, "k"}), []byte("p")})...)
	return encode("OPENSSH PRIVATE KEY", body, nil)
}

func TestBadKeys(t *testing.T) {
	t.Parallel()
	good := newKey(t)
	block, _ := pem.Decode([]byte(good.private))
	dsaDER, dsaErr := asn1.Marshal(struct{ V int }{int(dsa.L1024N160)})
	files := map[string]string{}
	for name, text := range map[string]string{
		"empty":       " \n",
		"public":      good.public,
		"public PEM":  encode("PUBLIC KEY", []byte("x"), nil),
		"public SSH2": "---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----\n",
		"PuTTY":       "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n",
		"DSA":         encode("DSA PRIVATE KEY", dsaDER, dsaErr),
		"DSA openssh": opensshHead("none", "ssh-dss"),
		"certificate": encode("CERTIFICATE", []byte("x"), nil),
		"text":        "hush-hush, my password\n",
		"truncated":   good.private[:len(good.private)/2],
		"cut short":   encode("OPENSSH PRIVATE KEY", block.Bytes[:len(block.Bytes)/2], nil),
		"no magic":    encode("OPENSSH PRIVATE KEY", []byte("hush-hush"), nil),
		"bad RSA":     encode("RSA PRIVATE KEY", []byte("hush-hush"), nil),
		"bad EC":      encode("EC PRIVATE KEY", []byte("hush-hush"), nil),
		"bad PKCS8":   encode("PRIVATE KEY", []byte("hush-hush"), nil),
		"large":       strings.Repeat("x", 70000),
		"ssh- no key": "ssh-ed25519 is what I like\n",
	} {
		files[name] = write(t, "id", text)
	}
	files["missing"] = filepath.Join(t.TempDir(), "id")
	files["folder"] = t.TempDir()
	files["device"] = os.DevNull
	const use = "SSH key cannot be used: FILE "
	for name, want := range map[string]struct{ text, hint string }{
		"missing":     {"does not exist", "give the path of an existing private key by --generic-ssh-key, or leave it out to use the SSH agent"},
		"folder":      {"is a folder", ""},
		"device":      {"is not a regular file", ""},
		"empty":       {"is empty", ""},
		"public":      {"is a public key", "give the private key, which is usually FILE"},
		"public PEM":  {"is a public key", "give the private key, which is usually FILE"},
		"public SSH2": {"is a public key", "give the private key, which is usually FILE"},
		"PuTTY":       {"is a key in PuTTY's format", "convert it: puttygen FILE -O private-openssh -o NEWFILE"},
		"DSA":         {"is a DSA key, which SSH servers refuse", ""},
		"DSA openssh": {"is a DSA key, which SSH servers refuse", ""},
		"certificate": {"is not a private key", ""},
		"text":        {"is not a private key", ""},
		"ssh- no key": {"is not a private key", ""},
		"truncated":   {"is a damaged private key", ""},
		"cut short":   {"is a damaged private key", ""},
		"no magic":    {"is a damaged private key", ""},
		"bad RSA":     {"is a damaged private key", ""},
		"bad EC":      {"is a damaged private key", ""},
		"bad PKCS8":   {"is a damaged private key", ""},
		"large":       {"is too large for a key", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := files[name]
			err := check(t, file, true)
			if !errors.Is(err, drivers.ErrKeyFile) {
				t.Fatalf("got %v, want ErrKeyFile", err)
			}
			if got := strings.ReplaceAll(err.Error(), file, "FILE"); got != use+want.text {
				t.Errorf("got %q, want %q", got, use+want.text)
			}
			var hint *drivers.HintError
			if errors.As(err, &hint); hint != nil && strings.ReplaceAll(hint.Hint(), file, "FILE") != want.hint || hint == nil && want.hint != "" {
				t.Errorf("got hint %v, want %q", hint, want.hint)
			}
		})
	}
}
