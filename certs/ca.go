package certs

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cloudflare/cfssl/csr"
	"github.com/cloudflare/cfssl/log"
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
		name:  caName,
		org:   org,
		usage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		from:  now.Add(-Backdate),
		until: now.Add(CALifetime),
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
	return ca.server(hosts, now, x509.ExtKeyUsageServerAuth)
}

// ServerAndClient issues a server certificate that its holder may show to other servers too (EKU clientAuth besides
// serverAuth). Its holder may then do on every engine of the authority what a client may.
func (ca *CA) ServerAndClient(hosts []string, now time.Time) (Pair, error) {
	return ca.server(hosts, now, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)
}

func (ca *CA) server(hosts []string, now time.Time, ext ...x509.ExtKeyUsage) (Pair, error) {
	clean, err := cleanHosts(append([]string{"localhost", "127.0.0.1"}, hosts...))
	if err != nil {
		return Pair{}, fmt.Errorf("issue server certificate: %w", err)
	}
	org := "machine"
	if len(ca.cert.Subject.Organization) > 0 {
		org = ca.cert.Subject.Organization[0]
	}
	pair, err := ca.leaf(request{name: serverName, org: org, hosts: clean, usage: x509.KeyUsageDigitalSignature, ext: ext}, now)
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
	pair, err := ca.leaf(request{name: name, org: name, usage: x509.KeyUsageDigitalSignature, ext: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, now)
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
	usage       x509.KeyUsage
	ext         []x509.ExtKeyUsage
	from, until time.Time
}

// issue makes a key and a certificate for it, signed by ca or, if that is nil, an authority signed by itself.
//
// Key and request are cfssl's. The signature is the standard library's: cfssl's signer brings linters of public
// authorities, SQL and protobuf, a tenth of the program, of which a private authority uses nothing.
func issue(r request, ca *CA) (Pair, error) {
	quietOnce()
	asked, key, err := csr.ParseRequest(&csr.CertificateRequest{
		CN:         r.name,
		Names:      []csr.Name{{O: r.org}},
		Hosts:      r.hosts,
		KeyRequest: &csr.KeyRequest{A: "ecdsa", S: 256},
	})
	if err != nil {
		return Pair{}, err
	}
	template, err := r.template(asked)
	if err != nil {
		return Pair{}, err
	}
	issuer, issuingKey := template, crypto.Signer(nil)
	if ca != nil {
		issuer, issuingKey = ca.cert, ca.key
	} else {
		template.IsCA, template.MaxPathLenZero = true, true
		if issuingKey, err = parseKey(key); err != nil {
			return Pair{}, err
		}
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, issuer, template.PublicKey, issuingKey)
	if err != nil {
		return Pair{}, err
	}
	return Pair{Cert: encodeCert(cert), Key: key}, nil
}

// template is the certificate that a PEM request asks for. Its serial number is drawn when it is signed.
func (r request) template(asked []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(asked)
	if block == nil {
		return nil, errors.New("certificate request is no PEM")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	id, err := keyID(request.PublicKey)
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		RawSubject:            request.RawSubject,
		PublicKey:             request.PublicKey,
		DNSNames:              request.DNSNames,
		IPAddresses:           request.IPAddresses,
		SubjectKeyId:          id,
		NotBefore:             r.from.UTC(),
		NotAfter:              r.until.UTC(),
		KeyUsage:              r.usage,
		ExtKeyUsage:           r.ext,
		BasicConstraintsValid: true,
	}, nil
}

// keyID names a public key by the SHA-1 of its bits, RFC 5280 section 4.2.1.2 (1). It is no signature.
func keyID(public any) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		PublicKey asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return nil, err
	}
	sum := sha1.Sum(info.PublicKey.Bytes) //nolint:gosec // a name
	return sum[:], nil
}

// quietOnce keeps cfssl from writing to standard error: its log level is a variable
// of its package. It is set at the first use and never again, so nothing races.
var quietOnce = sync.OnceFunc(func() { log.Level = log.LevelFatal })
