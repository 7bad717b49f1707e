package ec2sim

import (
	"bytes"
	"crypto/md5"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
)

type keyPair struct {
	thing
	name, kind, fingerprint string
	public                  string // an authorized_keys line
}

func (p *keyPair) values(k *call, filter string) ([]string, bool) {
	switch filter {
	case "key-pair-id":
		return []string{p.id}, true
	case "key-name":
		return []string{p.name}, true
	case "fingerprint":
		return []string{p.fingerprint}, true
	}
	return nil, false
}

// newKeyPair reads a public key in OpenSSH's form: RSA or Ed25519, as AWS has it.
func newKeyPair(name, public string, now time.Time) (*keyPair, error) {
	malformed := fault("InvalidKey.Format", "Key is not in valid OpenSSH public key format")
	fields := strings.Fields(public)
	if len(fields) < 2 {
		return nil, malformed
	}
	blob, err := base64.StdEncoding.DecodeString(fields[1])
	if err != nil {
		return nil, malformed
	}
	parts, ok := wireStrings(blob)
	if !ok || string(parts[0]) != fields[0] {
		return nil, malformed
	}
	p := &keyPair{thing: newThing("key", now), name: name, public: strings.TrimSpace(public)}
	switch {
	case fields[0] == "ssh-ed25519" && len(parts) == 2 && len(parts[1]) == 32:
		sum := sha256.Sum256(blob)
		p.kind, p.fingerprint = "ed25519", base64.StdEncoding.EncodeToString(sum[:])
	case fields[0] == "ssh-rsa" && len(parts) == 3:
		n := new(big.Int).SetBytes(parts[2])
		if !slices.Contains([]int{1024, 2048, 4096}, n.BitLen()) {
			return nil, fault("InvalidKey.Format", "Key length not supported: %d", n.BitLen())
		}
		der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n, E: int(new(big.Int).SetBytes(parts[1]).Int64())})
		if err != nil {
			return nil, malformed
		}
		sum := md5.Sum(der)
		p.kind, p.fingerprint = "rsa", strings.TrimSuffix(colons(sum[:]), ":")
	default:
		return nil, malformed
	}
	return p, nil
}

func colons(b []byte) string {
	var s strings.Builder
	for _, x := range b {
		s.WriteString(hex.EncodeToString([]byte{x}) + ":")
	}
	return s.String()
}

// wireStrings cuts SSH's strings out of a blob.
func wireStrings(blob []byte) ([][]byte, bool) {
	var parts [][]byte
	r := bytes.NewReader(blob)
	for r.Len() > 0 {
		var n uint32
		if err := binary.Read(r, binary.BigEndian, &n); err != nil || int64(n) > int64(r.Len()) {
			return nil, false
		}
		part := make([]byte, n)
		_, _ = r.Read(part) // there is that much
		parts = append(parts, part)
	}
	return parts, len(parts) > 0
}

func (r *region) keyNamed(name string) (*keyPair, bool) {
	i := slices.IndexFunc(r.keys, func(p *keyPair) bool { return p.name == name })
	if i < 0 {
		return nil, false
	}
	return r.keys[i], true
}

func importKeyPair(k *call) (m, error) {
	name, material := k.p.str("KeyName"), k.p.str("PublicKeyMaterial")
	tags, err := k.launchTags("key-pair")
	if err != nil {
		return nil, err
	}
	if err := k.check(); err != nil {
		return nil, err
	}
	if name == "" || len(name) > 255 || !ascii(name) {
		return nil, fault("InvalidParameterValue", "Value (%s) for parameter keyName is invalid.", name)
	}
	public, _ := base64.StdEncoding.DecodeString(material) // checked when read
	p, err := newKeyPair(name, string(public), k.now)
	if err != nil {
		return nil, err
	}
	if _, exists := k.r.keyNamed(name); exists {
		return nil, fault("InvalidKeyPair.Duplicate", "The keypair already exists")
	}
	if n := k.r.quota(QuotaKeyPairs); len(k.r.keys) >= n {
		return nil, fault("KeyPairLimitExceeded", "Maximum of %d keypairs reached.", n)
	}
	p.tags = orEmpty(tags["key-pair"])
	k.r.keys = append(k.r.keys, p)
	return m{"KeyName": p.name, "KeyPairId": p.id, "KeyFingerprint": p.fingerprint, "Tags": tagSet(p.tags)}, nil
}

func orEmpty(tags map[string]string) map[string]string {
	if tags == nil {
		return map[string]string{}
	}
	return tags
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

func describeKeyPairs(k *call) (m, error) {
	names, public := k.p.strs("KeyNames"), k.p.flag("IncludePublicKey", false)
	found, _, err := describe(k, k.r.keys, listing{ids: "KeyPairIds", prefix: "key", noun: "key pair ID", code: "InvalidKeyPair"})
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if p, ok := k.r.keyNamed(n); !ok || !p.visible(k) {
			return nil, fault("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", n)
		}
	}
	var all []m
	for _, p := range found {
		if len(names) > 0 && !slices.Contains(names, p.name) {
			continue
		}
		entry := m{
			"KeyName": p.name, "KeyPairId": p.id, "KeyFingerprint": p.fingerprint, "KeyType": p.kind,
			"CreateTime": p.born, "Tags": tagSet(p.tags),
		}
		if public {
			entry["PublicKey"] = p.public
		}
		all = append(all, entry)
	}
	return m{"KeyPairs": all}, nil
}

// deleteKeyPair does not mind if there is no such key pair, as AWS does not.
func deleteKeyPair(k *call) (m, error) {
	name, id := k.p.str("KeyName"), k.p.str("KeyPairId")
	if err := k.check(); err != nil {
		return nil, err
	}
	if name == "" && id == "" {
		return nil, fault("MissingParameter", "The request must contain the parameter keyName or keyPairId")
	}
	for _, p := range k.r.keys {
		if p.name == name || p.id == id {
			k.r.keys = without(k.r.keys, p)
			return m{"Return": true, "KeyPairId": p.id}, nil
		}
	}
	return m{"Return": true}, nil
}

// AddKeyPair makes a key pair that has no tags.
func (c *Cloud) AddKeyPair(region, name, public string) (id string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.regions[region]
	if r == nil {
		return "", fmt.Errorf("no region %q", region)
	}
	p, err := newKeyPair(name, public, c.now().Add(-c.config.Delay))
	if err != nil {
		return "", err
	}
	r.keys = append(r.keys, p)
	return p.id, nil
}
