package ssh

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"unicode"

	gossh "golang.org/x/crypto/ssh"
)

// KeyPair is a new SSH key.
type KeyPair struct {
	Private    []byte // OpenSSH private key, PEM
	Authorized string // authorized_keys line without newline
}

// NewKeyPair makes an ed25519 key.
func NewKeyPair(comment string) (KeyPair, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return KeyPair{}, fmt.Errorf("make SSH key: %w", err)
	}
	block, err := gossh.MarshalPrivateKey(private, comment)
	if err != nil {
		return KeyPair{}, fmt.Errorf("make SSH key: %w", err)
	}
	return ParseKeyPair(pem.EncodeToMemory(block), comment)
}

// ParseKeyPair returns the pair of a stored private key (OpenSSH or PEM; ed25519, ECDSA, RSA).
// Errors: ErrKeyFile.
func ParseKeyPair(private []byte, comment string) (KeyPair, error) {
	if strings.ContainsFunc(comment, unicode.IsControl) {
		return KeyPair{}, fmt.Errorf("read SSH key: control character in comment %q", comment)
	}
	signer, err := gossh.ParsePrivateKey(private)
	if err != nil {
		return KeyPair{}, fmt.Errorf("read SSH key: %w: %w", ErrKeyFile, err)
	}
	line := strings.TrimSpace(string(gossh.MarshalAuthorizedKey(signer.PublicKey())))
	if comment != "" {
		line += " " + comment
	}
	return KeyPair{Private: bytes.Clone(private), Authorized: line}, nil
}

// KnownHostsLine returns the known_hosts line of a host's public key, which is given as an
// authorized_keys line.
func KnownHostsLine(host string, port int, public string) (string, error) {
	if host == "" || strings.ContainsFunc(host, unsafeInName) {
		return "", fmt.Errorf("write known_hosts line: invalid host %q", host)
	}
	key, err := parsePublic(public)
	if err != nil {
		return "", fmt.Errorf("write known_hosts line of %s: %w", host, err)
	}
	if port == 0 {
		port = defaultPort
	}
	return knownLine(knownName(host, port), key), nil
}

// Fingerprint returns the SHA256:... fingerprint of a public key given as an authorized_keys or known_hosts line.
func Fingerprint(public string) (string, error) {
	key, err := parsePublic(public)
	if err != nil {
		return "", fmt.Errorf("fingerprint: %w", err)
	}
	return gossh.FingerprintSHA256(key), nil
}

// parsePublic reads one authorized_keys or known_hosts line.
func parsePublic(line string) (gossh.PublicKey, error) {
	line = strings.TrimSpace(line)
	if strings.ContainsAny(line, "\r\n") {
		return nil, errors.New("more than one line")
	}
	if key, _, _, _, err := gossh.ParseAuthorizedKey([]byte(line)); err == nil {
		return key, nil
	}
	known, err := parseKnownHost([]byte(line))
	if err != nil {
		return nil, errors.New("not a public key")
	}
	return known.key, nil
}
