package ssh

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the known_hosts format hashes names with it
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"

	gossh "golang.org/x/crypto/ssh"
)

// knownHost is one line of a known_hosts file.
type knownHost struct {
	file      string
	line      int
	authority bool // @cert-authority
	revoked   bool // @revoked
	patterns  []string
	key       gossh.PublicKey
}

// knownName is how known_hosts spells a host: host, or [host]:port off port 22.
func knownName(host string, port int) string {
	host = strings.ToLower(host)
	if port == defaultPort {
		return host
	}
	return "[" + host + "]:" + strconv.Itoa(port)
}

// readKnownHosts reads a known_hosts file; a file that is not there has no lines. A line
// that cannot be read is an error if strict, for a host whose line is lost is a host
// that looks unknown; else it is skipped, as OpenSSH does with the user's own file.
func readKnownHosts(file string, strict bool) ([]knownHost, error) {
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read known hosts: %w", err)
	}
	return parseKnownHosts(data, file, strict)
}

func parseKnownHosts(data []byte, file string, strict bool) ([]knownHost, error) {
	var all []knownHost
	n := 0
	for line := range bytes.Lines(data) {
		n++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		k, err := parseKnownHost(line)
		if err != nil {
			if strict {
				return nil, fmt.Errorf("read known hosts: %s, line %d: %w", file, n, err)
			}
			continue
		}
		k.file, k.line = file, n
		all = append(all, k)
	}
	return all, nil
}

func parseKnownHost(line []byte) (knownHost, error) {
	// The library takes no comment of several words.
	fields, keep := bytes.Fields(line), 3
	if len(fields) > 0 && fields[0][0] == '@' {
		keep++
	}
	if len(fields) > keep {
		line = bytes.Join(fields[:keep], []byte(" "))
	}
	marker, patterns, key, _, _, err := gossh.ParseKnownHosts(line)
	if errors.Is(err, io.EOF) {
		return knownHost{}, errors.New("no host key")
	}
	if err != nil {
		return knownHost{}, err
	}
	k := knownHost{patterns: patterns, key: key}
	switch marker {
	case "":
	case "cert-authority":
		k.authority = true
	case "revoked":
		k.revoked = true
	default:
		return knownHost{}, fmt.Errorf("unknown marker @%s", marker)
	}
	return k, nil
}

// covers tells whether the line is about the host of that name (see knownName).
func (k knownHost) covers(name string) bool {
	found := false
	for _, p := range k.patterns {
		switch {
		case strings.HasPrefix(p, "|"):
			found = found || hashMatches(p, name)
		case strings.HasPrefix(p, "!"):
			if wildcard(spelled(p[1:]), name) {
				return false
			}
		case p != "":
			found = found || wildcard(spelled(p), name)
		}
	}
	return found
}

// spelled brings a pattern into the form of knownName; [host]:22 is host.
func spelled(pattern string) string {
	pattern = strings.ToLower(pattern)
	if !strings.HasPrefix(pattern, "[") {
		return pattern
	}
	if host, port, err := net.SplitHostPort(pattern); err == nil && port == strconv.Itoa(defaultPort) {
		return host
	}
	return pattern
}

// hashMatches compares a hashed name, |1|salt|hash.
func hashMatches(hashed, name string) bool {
	parts := strings.Split(hashed, "|")
	if len(parts) != 4 || parts[1] != "1" {
		return false
	}
	salt, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil {
		return false
	}
	want, err := base64.StdEncoding.DecodeString(parts[3])
	if err != nil {
		return false
	}
	mac := hmac.New(sha1.New, salt)
	mac.Write([]byte(name))
	return hmac.Equal(mac.Sum(nil), want)
}

// wildcard matches * and ? without regard for separators, as known_hosts means them.
func wildcard(pattern, s string) bool {
	star, mark := -1, 0
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
