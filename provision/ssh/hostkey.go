package ssh

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"strings"

	gossh "golang.org/x/crypto/ssh"
)

// verifier decides whether a host is the one that it should be.
type verifier struct {
	name  string // of the host, as known_hosts spells it
	file  string // known_hosts of the machine, for messages
	known []knownHost
	told  func(line, fingerprint string) error // of a key that another file vouches for; may be nil
	pin   func(line, fingerprint string) error // nil: an unknown key is refused
}

// newVerifier reads what is known about the host at e, from the machine's own file and,
// leniently, from others.
func newVerifier(e endpoint, t Target, others ...string) (*verifier, error) {
	v := &verifier{name: knownName(e.host, e.port), file: t.KnownHosts}
	if t.Pin {
		v.pin = t.OnPin
	}
	known, err := readKnownHosts(t.KnownHosts, true)
	if err != nil {
		return nil, err
	}
	if len(others) > 0 && others[0] == t.Vouch {
		v.told = t.OnKnown
	}
	for _, file := range others {
		// What the user's own file says is a help; that it cannot be read only leaves the host unknown.
		more, err := readKnownHosts(file, false)
		if err != nil {
			t.log().Warn("user's known hosts are not used", "err", err)
			continue
		}
		known = append(known, slices.DeleteFunc(more, func(k knownHost) bool { return v.told != nil && k.authority })...)
	}
	for _, k := range known {
		if k.revoked || k.covers(v.name) {
			v.known = append(v.known, k)
		}
	}
	return v, nil
}

// vouching are files that are asked besides the machine's own.
func vouching(t Target) []string {
	if t.Vouch == "" {
		return nil
	}
	return []string{t.Vouch}
}

// preferred are the host key algorithms in our order; SHA-1 and DSA are left out.
func preferred() []string {
	return []string{
		gossh.KeyAlgoED25519,
		gossh.KeyAlgoECDSA256, gossh.KeyAlgoECDSA384, gossh.KeyAlgoECDSA521,
		gossh.KeyAlgoRSASHA512, gossh.KeyAlgoRSASHA256,
	}
}

// algorithms asks for the kinds of key that are known first, so that a host with several
// keys presents one that can be compared. The other kinds follow: a host that has no
// other key is then refused with both fingerprints, not with a failed negotiation.
func (v *verifier) algorithms() []string {
	var certs, first []string
	for _, k := range v.known {
		switch {
		case k.revoked:
		case k.authority:
			certs = []string{
				gossh.CertAlgoED25519v01,
				gossh.CertAlgoECDSA256v01, gossh.CertAlgoECDSA384v01, gossh.CertAlgoECDSA521v01,
				gossh.CertAlgoRSASHA512v01, gossh.CertAlgoRSASHA256v01,
			}
		case k.key.Type() == gossh.KeyAlgoRSA:
			first = append(first, gossh.KeyAlgoRSASHA512, gossh.KeyAlgoRSASHA256)
		default:
			first = append(first, k.key.Type())
		}
	}
	var known, rest []string
	for _, a := range preferred() {
		if slices.Contains(first, a) {
			known = append(known, a)
		} else {
			rest = append(rest, a)
		}
	}
	return slices.Concat(certs, known, rest)
}

// check is a gossh.HostKeyCallback. The host has proved by then that it holds key.
func (v *verifier) check(addr string, remote net.Addr, key gossh.PublicKey) error {
	checker := gossh.CertChecker{
		IsHostAuthority: func(signer gossh.PublicKey, _ string) bool {
			return slices.ContainsFunc(v.known, func(k knownHost) bool {
				return k.authority && !v.isRevoked(signer) && same(k.key, signer)
			})
		},
		IsRevoked:       func(c *gossh.Certificate) bool { return v.isRevoked(c.Key) },
		HostKeyFallback: func(string, net.Addr, gossh.PublicKey) error { return v.checkKey(key) },
	}
	return checker.CheckHostKey(addr, remote, key)
}

func (v *verifier) checkKey(key gossh.PublicKey) error {
	got := gossh.FingerprintSHA256(key)
	if v.isRevoked(key) {
		return &HostKeyError{Host: v.name, Got: got, File: v.file, Revoked: true}
	}
	var want []string
	var file string
	for _, k := range v.known {
		switch {
		case k.revoked || k.authority:
		case same(k.key, key):
			if v.told == nil || k.file == v.file {
				return nil
			}
			if err := v.told(knownLine(v.name, key), got); err != nil {
				return fmt.Errorf("host key of %s: %w", v.name, err)
			}
			v.told = nil
			return nil
		default:
			want, file = append(want, gossh.FingerprintSHA256(k.key)), k.file
		}
	}
	if len(want) > 0 {
		return &HostKeyError{Host: v.name, Want: strings.Join(want, " or "), Got: got, File: file}
	}
	if v.pin == nil {
		return &UnknownKeyError{Host: v.name, Got: got, File: v.file}
	}
	if err := v.pin(knownLine(v.name, key), got); err != nil {
		return fmt.Errorf("pin host key of %s: %w", v.name, err)
	}
	// A later attempt of the same wait must meet the same key, wherever the line was stored.
	v.known = append(v.known, knownHost{file: v.file, patterns: []string{v.name}, key: key})
	return nil
}

func (v *verifier) isRevoked(key gossh.PublicKey) bool {
	return slices.ContainsFunc(v.known, func(k knownHost) bool { return k.revoked && same(k.key, key) })
}

func same(a, b gossh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

func knownLine(name string, key gossh.PublicKey) string {
	return name + " " + strings.TrimSpace(string(gossh.MarshalAuthorizedKey(key)))
}
