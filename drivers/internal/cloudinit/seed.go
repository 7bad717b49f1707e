package cloudinit

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"unicode"
	"unicode/utf8"

	"github.com/hostsmith/machine/drivers"
)

// A config is a cloud-config. It is written as JSON, which is YAML in which
// nothing can be injected.
type config map[string]any

const (
	header = "#cloud-config\n"

	// How cloud-init combines one of our parts with what is there already:
	// without a word of ours the new value of a key replaces the old one.
	// https://cloudinit.readthedocs.io/en/latest/reference/merging.html
	ifAbsent = "dict(no_replace)+list(no_replace)+str()"
	addFirst = "dict(recurse_list)+list(prepend)+str()"
	addLast  = "dict(recurse_list)+list(append)+str()"
)

var userName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*\$?$`)

// document is user data with nothing of the owner's.
func (s Seed) document() ([]byte, error) {
	c := s.identity()
	switch {
	case s.User != "":
		c["users"] = []any{"default", s.login()}
		maps.Copy(c, s.rights())
	case len(s.Keys) > 0:
		c["ssh_authorized_keys"] = s.Keys
	}
	return c.encode()
}

// after adds our parts to the owner's, so that ours win. The first says who
// exists if the owner does not say, as the image's own configuration would. The
// login user goes to the front of the list, because of two entries of one name
// cloud-init believes the first.
func (s Seed) after(owned []part) ([]byte, error) {
	var own []config
	if c := s.identity(); len(c) > 0 {
		own = append(own, c)
	}
	switch {
	case s.User != "":
		own = append(own,
			config{"merge_how": ifAbsent, "users": []any{"default"}},
			config{"merge_how": addFirst, "users": []any{s.login()}})
		if c := s.rights(); len(c) > 0 {
			c["merge_how"] = addLast
			own = append(own, c)
		}
	case len(s.Keys) > 0:
		own = append(own, config{"merge_how": addLast, "ssh_authorized_keys": s.Keys})
	}
	for _, c := range own {
		body, err := c.encode()
		if err != nil {
			return nil, err
		}
		owned = append(owned, newPart("text/cloud-config", body))
	}
	return archive(owned)
}

// identity is what tells this host from others.
func (s Seed) identity() config {
	c := config{}
	if s.Hostname != "" {
		c["hostname"] = s.Hostname
		c["preserve_hostname"] = false
	}
	if s.HostKey != nil {
		kind, _ := keyKind(s.HostKey)
		c["ssh_keys"] = map[string]string{kind + "_private": string(bytes.TrimSpace(s.HostKey)) + "\n"}
		c["ssh_deletekeys"] = true
	}
	return c
}

func (s Seed) login() config {
	c := config{
		"name":                s.User,
		"sudo":                "ALL=(ALL) NOPASSWD:ALL",
		"shell":               "/bin/bash",
		"lock_passwd":         true,
		"no_user_group":       true, // an image with an Engine has a group docker, which would be the user docker's
		"ssh_authorized_keys": append([]string{}, s.Keys...),
	}
	if s.Busybox {
		c["shell"] = "/bin/sh"
		c["lock_passwd"] = false // sshd without PAM lets no locked user in
		c["hashed_passwd"] = "*" // which no password gives
	}
	return c
}

// rights gives the login user root's where there is no sudo: Alpine has doas, which
// takes the same options as far as they are needed here.
func (s Seed) rights() config {
	if !s.Busybox {
		return nil
	}
	return config{
		"bootcmd":     []any{[]string{"sh", "-c", "[ -e /usr/bin/sudo ] || ln -s doas /usr/bin/sudo"}},
		"write_files": []any{map[string]string{"path": "/etc/doas.d/machine.conf", "permissions": "0400", "content": "permit nopass " + s.User + "\n"}},
	}
}

func (c config) encode() ([]byte, error) {
	var out bytes.Buffer
	out.WriteString(header)
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(c); err != nil {
		return nil, fmt.Errorf("write cloud-config: %w", err)
	}
	return out.Bytes(), nil
}

// Check returns what is wrong with the seed.
func (s Seed) Check() error {
	for what, text := range map[string]string{"host name": s.Hostname, "user": s.User} {
		if !printable(text) {
			return fmt.Errorf("%w: %s %q has characters that cannot be printed", drivers.ErrOption, what, text)
		}
	}
	if s.User != "" && !userName.MatchString(s.User) {
		return fmt.Errorf("%w: %q is no name for a user", drivers.ErrOption, s.User)
	}
	for i, key := range s.Keys {
		if key == "" || !printable(key) {
			return fmt.Errorf("%w: public key %d is no line of an authorized_keys file", drivers.ErrOption, i+1)
		}
	}
	if s.HostKey != nil {
		if _, err := keyKind(s.HostKey); err != nil {
			return fmt.Errorf("host key: %w", err)
		}
	}
	return nil
}

func printable(text string) bool {
	for _, r := range text {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return utf8.ValidString(text)
}

// keyKind is cloud-init's word for the type of an OpenSSH private key.
func keyKind(key []byte) (string, error) {
	kind, _, err := publicOf(key)
	return kind, err
}

// PublicKey returns the public key of an OpenSSH private key, as a line, and its
// type as it is in names of files: ed25519, rsa or ecdsa.
func PublicKey(key []byte) (line, kind string, err error) {
	kind, public, err := publicOf(key)
	if err != nil {
		return "", "", err
	}
	name, _ := field(public)
	return string(name) + " " + base64.StdEncoding.EncodeToString(public), kind, nil
}

// publicOf reads an OpenSSH private key. The format:
// https://cvsweb.openbsd.org/src/usr.bin/ssh/PROTOCOL.key
func publicOf(key []byte) (kind string, public []byte, err error) {
	block, _ := pem.Decode(key)
	if block == nil || block.Type != "OPENSSH PRIVATE KEY" {
		return "", nil, errors.New("not an OpenSSH private key in PEM")
	}
	rest, ok := bytes.CutPrefix(block.Bytes, []byte("openssh-key-v1\x00"))
	if !ok {
		return "", nil, errors.New("not an OpenSSH private key")
	}
	cipher, rest := field(rest)
	if string(cipher) != "none" {
		return "", nil, errors.New("has a passphrase")
	}
	_, rest = field(rest) // key derivation
	_, rest = field(rest) // its options
	if len(rest) < 4 {
		return "", nil, errors.New("ends early")
	}
	public, _ = field(rest[4:])
	name, _ := field(public)
	switch string(name) {
	case "ssh-ed25519":
		return "ed25519", public, nil
	case "ssh-rsa":
		return "rsa", public, nil
	case "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521":
		return "ecdsa", public, nil
	}
	return "", nil, fmt.Errorf("type %q is unknown to cloud-init", name)
}

// field reads a length and as many bytes.
func field(data []byte) (value, rest []byte) {
	if len(data) < 4 {
		return nil, nil
	}
	n := binary.BigEndian.Uint32(data)
	if uint64(n) > uint64(len(data)-4) {
		return nil, nil
	}
	return data[4 : 4+n], data[4+n:]
}
