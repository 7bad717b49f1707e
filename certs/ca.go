package certs

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cloudflare/cfssl/config"
	"github.com/cloudflare/cfssl/csr"
	"github.com/cloudflare/cfssl/log"
	"github.com/cloudflare/cfssl/signer"
	"github.com/cloudflare/cfssl/signer/local"
)

// minRSA is the shortest RSA key of an authority that is trusted to sign;
// docker-machine made keys of this length.
const minRSA = 2048

// CA is a certificate authority whose key matches its certificate. It is immutable;
// its methods may be called concurrently.
type CA struct {
	pair Pair
	cert *x509.Certificate
	key  crypto.Signer
}

// The common names. An authority and what it issues must differ in theirs: a
// certificate whose subject is its issuer looks self-signed.
const (
	caName     = "machine CA"
	serverName = "machine server"
)

// NewCA makes a self-signed ECDSA P-256 authority valid for CALifetime from now.
// org becomes its organisation.
func NewCA(org string, now time.Time) (*CA, error) {
	if org == "" {
		return nil, errors.New("make authority: organisation is empty")
	}
	pair, err := issue(request{
		name:   caName,
		org:    org,
		usages: []string{"cert sign", "crl sign"},
		from:   now.Add(-Backdate),
		until:  now.Add(CALifetime),
	}, nil)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	return ParseCA(pair.Cert, pair.Key)
}

// ParseCA returns the authority of a stored pair. cert may be a bundle: the
// first certificate that the key belongs to is the authority. The error wraps
// ErrMalformed, ErrMalformedKey, ErrKey or ErrUsage (a certificate that may not sign).
func ParseCA(cert, key []byte) (*CA, error) {
	found, err := parseCerts(cert)
	if err != nil {
		return nil, fmt.Errorf("parse authority: %w", err)
	}
	private, err := parseKey(key)
	if err != nil {
		return nil, fmt.Errorf("parse key of authority: %w", err)
	}
	i := slices.IndexFunc(found, func(c *x509.Certificate) bool { return belongs(private, c) })
	if i < 0 {
		return nil, fmt.Errorf("parse authority: %w", ErrKey)
	}
	ca := found[i]
	if !ca.BasicConstraintsValid || !ca.IsCA || ca.KeyUsage != 0 && ca.KeyUsage&x509.KeyUsageCertSign == 0 {
		return nil, fmt.Errorf("parse authority: %w: it may not sign others", ErrUsage)
	}
	if k, ok := private.Public().(*rsa.PublicKey); ok && k.N.BitLen() < minRSA {
		return nil, fmt.Errorf("parse authority: %w: its RSA key has %d bits, at least %d are needed", ErrUsage, k.N.BitLen(), minRSA)
	}
	return &CA{pair: Pair{Cert: encodeCert(ca.Raw), Key: slices.Clone(key)}, cert: ca, key: private}, nil
}

// Pair returns the authority's own certificate and key.
func (ca *CA) Pair() Pair { return ca.pair }

// Expires returns when the authority ends.
func (ca *CA) Expires() time.Time { return ca.cert.NotAfter }

// Server issues a server certificate (EKU serverAuth) for hosts, which are IP addresses and DNS
// names (the error wraps ErrHostName if one is neither); "localhost" and 127.0.0.1 are always
// added. It ends at the latest when the authority does; an authority that has ended issues
// nothing (ErrExpired), nor does one that has not begun (ErrNotYetValid).
func (ca *CA) Server(hosts []string, now time.Time) (Pair, error) {
	return ca.server(hosts, now, "server auth")
}

// ServerAndClient issues a server certificate that its holder may show to other servers too (EKU clientAuth besides
// serverAuth). Its holder may then do on every engine of the authority what a client may.
func (ca *CA) ServerAndClient(hosts []string, now time.Time) (Pair, error) {
	return ca.server(hosts, now, "server auth", "client auth")
}

func (ca *CA) server(hosts []string, now time.Time, usages ...string) (Pair, error) {
	clean, err := cleanHosts(append([]string{"localhost", "127.0.0.1"}, hosts...))
	if err != nil {
		return Pair{}, fmt.Errorf("issue server certificate: %w", err)
	}
	org := "machine"
	if len(ca.cert.Subject.Organization) > 0 {
		org = ca.cert.Subject.Organization[0]
	}
	pair, err := ca.leaf(request{name: serverName, org: org, hosts: clean, usages: append([]string{"digital signature"}, usages...)}, now)
	if err != nil {
		return Pair{}, fmt.Errorf("issue server certificate: %w", err)
	}
	return pair, nil
}

// Client issues a client certificate (EKU clientAuth) whose organisation is name, and so is
// its common name, which the engine takes for the user. As to time, it is as Server.
func (ca *CA) Client(name string, now time.Time) (Pair, error) {
	if name == "" {
		return Pair{}, errors.New("issue client certificate: name is empty")
	}
	pair, err := ca.leaf(request{name: name, org: name, usages: []string{"digital signature", "client auth"}}, now)
	if err != nil {
		return Pair{}, fmt.Errorf("issue client certificate: %w", err)
	}
	return pair, nil
}

// leaf issues a certificate within the authority's own time.
func (ca *CA) leaf(r request, now time.Time) (Pair, error) {
	if err := inTime(ca.cert, now); err != nil {
		return Pair{}, fmt.Errorf("authority: %w", err)
	}
	r.from, r.until = now.Add(-Backdate), now.Add(LeafLifetime)
	if r.from.Before(ca.cert.NotBefore) {
		r.from = ca.cert.NotBefore
	}
	if r.until.After(ca.cert.NotAfter) {
		r.until = ca.cert.NotAfter
	}
	return issue(r, ca)
}

// request is what a certificate shall say.
type request struct {
	name        string // common name
	org         string
	hosts       []string
	usages      []string // in cfssl's words
	from, until time.Time
}

// issue makes a key and a certificate for it, signed by ca or, if that is nil, an
// authority signed by itself. The serial number is 159 random bits.
func issue(r request, ca *CA) (Pair, error) {
	quietOnce()
	request, key, err := csr.ParseRequest(&csr.CertificateRequest{
		CN:         r.name,
		Names:      []csr.Name{{O: r.org}},
		Hosts:      r.hosts,
		KeyRequest: &csr.KeyRequest{A: "ecdsa", S: 256},
	})
	if err != nil {
		return Pair{}, err
	}
	profile := &config.SigningProfile{
		Usage:  r.usages,
		Expiry: r.until.Sub(r.from), // asked for, though the times below decide
	}
	var (
		issuer     *x509.Certificate
		issuingKey crypto.Signer
	)
	if ca != nil {
		issuer, issuingKey = ca.cert, ca.key
	} else {
		profile.CAConstraint = config.CAConstraint{IsCA: true, MaxPathLenZero: true}
		if issuingKey, err = parseKey(key); err != nil {
			return Pair{}, err
		}
	}
	s, err := local.NewSigner(issuingKey, issuer, signer.DefaultSigAlgo(issuingKey), &config.Signing{Default: profile})
	if err != nil {
		return Pair{}, err
	}
	cert, err := s.Sign(signer.SignRequest{Request: string(request), NotBefore: r.from, NotAfter: r.until})
	if err != nil {
		return Pair{}, err
	}
	return Pair{Cert: cert, Key: key}, nil
}

// quietOnce keeps cfssl from writing to standard error: its log level is a variable
// of its package. It is set at the first use and never again, so nothing races.
var quietOnce = sync.OnceFunc(func() { log.Level = log.LevelFatal })
