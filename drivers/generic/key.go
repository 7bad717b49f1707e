package generic

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/hostsmith/machine/drivers"
)

// maxKey is more than any private key takes.
const maxKey = 64 << 10

// checkKey returns why the key file will not do for a login. The error wraps
// drivers.ErrKeyFile and never holds what is in the file.
func (d *driver) checkKey(name string) error {
	bad := func(advice, format string, args ...any) error {
		err := fmt.Errorf("%w: %s %w", drivers.ErrKeyFile, name, fmt.Errorf(format, args...))
		if advice == "" {
			return err
		}
		return &drivers.HintError{Err: err, Advice: advice}
	}
	data, err := readKey(expand(name, d.env.Getenv))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return bad("give the path of an existing private key by --generic-ssh-key, or leave it out to use the SSH agent", "does not exist")
	case errors.Is(err, fs.ErrPermission):
		return bad("make the file readable for you: chmod u+r "+name, "may not be read")
	case err != nil:
		return bad("", "%w", err)
	}
	kind, err := inspectKey(data)
	switch {
	case errors.Is(err, errPublic):
		return bad("give the private key, which is usually "+strings.TrimSuffix(name, ".pub"), "%w", err)
	case errors.Is(err, errPuTTY):
		return bad("convert it: puttygen "+name+" -O private-openssh -o NEWFILE", "%w", err)
	case err != nil:
		return bad("", "%w", err)
	}
	if kind == needsAgent && !agentMayRun(d.env.Getenv) {
		return bad(`load it into an agent: eval "$(ssh-agent)" && ssh-add `+name, "needs a passphrase or a token, and no SSH agent runs")
	}
	return nil
}

// agentMayRun tells whether a login could find an agent. On Windows it has a
// place of its own.
func agentMayRun(getenv func(string) string) bool {
	return getenv("SSH_AUTH_SOCK") != "" || runtime.GOOS == "windows"
}

// expand resolves a leading ~/, which a shell leaves alone inside --flag=~/file.
func expand(name string, getenv func(string) string) string {
	rest, ok := strings.CutPrefix(name, "~/")
	if !ok {
		return name
	}
	for _, variable := range []string{"HOME", "USERPROFILE"} {
		if home := getenv(variable); home != "" {
			return filepath.Join(home, rest)
		}
	}
	return name
}

func readKey(name string) ([]byte, error) {
	info, err := os.Stat(name) // before opening, which would block on a pipe
	if err != nil {
		return nil, err
	}
	switch {
	case info.IsDir():
		return nil, errors.New("is a folder")
	case !info.Mode().IsRegular():
		return nil, errors.New("is not a regular file")
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKey+1))
	if err == nil && len(data) > maxKey {
		err = errors.New("is too large for a key")
	}
	return data, err
}

// keyKind is how a private key can be used.
type keyKind int

const (
	plain      keyKind = iota // by itself
	needsAgent                // through an agent that has its passphrase or its hardware
)

var (
	errEmpty   = errors.New("is empty")
	errPublic  = errors.New("is a public key")
	errPuTTY   = errors.New("is a key in PuTTY's format")
	errDSA     = errors.New("is a DSA key, which SSH servers refuse")
	errNoKey   = errors.New("is not a private key")
	errDamaged = errors.New("is a damaged private key")
)

// inspectKey says what a key file holds.
func inspectKey(data []byte) (keyKind, error) {
	text := string(bytes.TrimSpace(data))
	switch {
	case text == "":
		return plain, errEmpty
	case strings.HasPrefix(text, "PuTTY-User-Key-File-"):
		return plain, errPuTTY
	case strings.HasPrefix(text, "---- BEGIN SSH2 PUBLIC KEY ----"), publicLine(text):
		return plain, errPublic
	}
	block, _ := pem.Decode([]byte(text + "\n"))
	if block == nil {
		if strings.Contains(text, "PRIVATE KEY-----") {
			return plain, errDamaged
		}
		return plain, errNoKey
	}
	var err error
	switch block.Type {
	case "OPENSSH PRIVATE KEY":
		return inspectOpenSSH(block.Bytes)
	case "PUBLIC KEY", "RSA PUBLIC KEY":
		return plain, errPublic
	case "DSA PRIVATE KEY":
		return plain, errDSA
	case "ENCRYPTED PRIVATE KEY":
		return needsAgent, nil
	case "RSA PRIVATE KEY":
		if strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return needsAgent, nil
		}
		_, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		if strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return needsAgent, nil
		}
		_, err = x509.ParseECPrivateKey(block.Bytes)
	case "PRIVATE KEY":
		_, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	default:
		return plain, errNoKey
	}
	if err != nil {
		return plain, errDamaged // the parser's words could be about what is in it
	}
	return plain, nil
}

// publicLine tells whether text is a line as in authorized_keys.
func publicLine(text string) bool {
	kind, rest, _ := strings.Cut(text, " ")
	if !strings.HasPrefix(strings.TrimSpace(rest), "AAAA") {
		return false
	}
	for _, prefix := range []string{"ssh-", "ecdsa-", "sk-"} {
		if strings.HasPrefix(kind, prefix) {
			return true
		}
	}
	return false
}

// inspectOpenSSH reads the head of an OpenSSH private key, which is never
// encrypted: magic, cipher, key derivation and its options, number of keys,
// public key.
func inspectOpenSSH(b []byte) (keyKind, error) {
	b, ok := bytes.CutPrefix(b, []byte("openssh-key-v1\x00"))
	if !ok {
		return plain, errDamaged
	}
	cipher, b, ok := field(b)
	for range 2 {
		if ok {
			_, b, ok = field(b)
		}
	}
	if !ok || len(b) < 4 || binary.BigEndian.Uint32(b) != 1 {
		return plain, errDamaged
	}
	public, b, ok := field(b[4:])
	if !ok {
		return plain, errDamaged
	}
	if _, _, ok = field(b); !ok { // the private part, cut short
		return plain, errDamaged
	}
	kind, _, ok := field(public)
	switch {
	case !ok:
		return plain, errDamaged
	case string(kind) == "ssh-dss":
		return plain, errDSA
	case string(cipher) != "none", strings.HasPrefix(string(kind), "sk-"):
		return needsAgent, nil
	}
	return plain, nil
}

// field cuts a string that its length precedes from b.
func field(b []byte) (s, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := binary.BigEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return nil, nil, false
	}
	return b[4 : 4+n], b[4+n:], true
}
