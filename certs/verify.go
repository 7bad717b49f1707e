package certs

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Info is what a certificate says of itself.
type Info struct {
	Subject     string
	Issuer      string
	NotBefore   time.Time
	NotAfter    time.Time
	Hosts       []string // subject alternative names, sorted
	Fingerprint string   // SHA-256 of the DER, upper-case hex with colons
	IsCA        bool
}

// Inspect reads the first certificate of a PEM file. The error wraps ErrMalformed.
func Inspect(cert []byte) (Info, error) {
	found, err := parseCerts(cert)
	if err != nil {
		return Info{}, fmt.Errorf("inspect certificate: %w", err)
	}
	c := found[0]
	return Info{
		Subject:     c.Subject.String(),
		Issuer:      c.Issuer.String(),
		NotBefore:   c.NotBefore,
		NotAfter:    c.NotAfter,
		Hosts:       hostsOf(c),
		Fingerprint: fingerprint(c),
		IsCA:        c.BasicConstraintsValid && c.IsCA,
	}, nil
}

func hostsOf(c *x509.Certificate) []string {
	hosts := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		hosts = append(hosts, ip.String())
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(parts, ":")
}

// Need is what a certificate is asked to be good for.
type Need struct {
	Roots  []byte   // PEM bundle it must chain to
	Hosts  []string // names and addresses it must cover
	Client bool     // must be a client certificate; else a server certificate
	Both   bool     // must be a server's and a client's
	Now    time.Time
}

// Verify returns why pair does not meet need, or nil. The errors, in the order they
// are looked for: ErrMalformed and ErrMalformedKey, ErrKey (the key is not the
// certificate's), ErrExpired and ErrNotYetValid (its own time or its authority's),
// ErrAuthority, ErrUsage (a client certificate where a server's is needed or the other
// way round), ErrHosts, and ErrDue: all is well, but less than RenewBefore is left. A
// certificate that ends with its authority is never due: a new one would end there too.
func Verify(pair Pair, need Need) error {
	found, err := parseCerts(pair.Cert)
	if err != nil {
		return fmt.Errorf("parse certificate: %w", err)
	}
	key, err := parseKey(pair.Key)
	if err != nil {
		return fmt.Errorf("parse key: %w", err)
	}
	leaf := found[0]
	if !belongs(key, leaf) {
		return ErrKey
	}
	if err := inTime(leaf, need.Now); err != nil {
		return err
	}
	roots, err := parseCerts(need.Roots)
	if err != nil {
		return fmt.Errorf("parse authority: %w", err)
	}
	root, err := chain(leaf, found[1:], roots, need)
	if err == nil && need.Both {
		need.Client = !need.Client
		_, err = chain(leaf, found[1:], roots, need)
	}
	if err != nil {
		return err
	}
	if err := covers(leaf, need.Hosts); err != nil {
		return err
	}
	if left := leaf.NotAfter.Sub(need.Now); left < RenewBefore && leaf.NotAfter.Before(root.NotAfter) {
		return fmt.Errorf("%w: on %s", ErrDue, date(leaf.NotAfter))
	}
	return nil
}

// inTime returns why c is not valid at a time.
func inTime(c *x509.Certificate, now time.Time) error {
	switch {
	case now.After(c.NotAfter):
		return fmt.Errorf("%w: on %s", ErrExpired, date(c.NotAfter))
	case now.Before(c.NotBefore):
		return fmt.Errorf("%w: it begins on %s, and the clock says %s", ErrNotYetValid, date(c.NotBefore), date(now))
	}
	return nil
}

// chain returns the root that leaf chains to.
func chain(leaf *x509.Certificate, others, roots []*x509.Certificate, need Need) (*x509.Certificate, error) {
	usage, is := x509.ExtKeyUsageServerAuth, "a server certificate"
	if need.Client {
		usage, is = x509.ExtKeyUsageClientAuth, "a client certificate"
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots:         pool(roots),
		Intermediates: pool(others),
		CurrentTime:   need.Now,
		KeyUsages:     []x509.ExtKeyUsage{usage},
	})
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		// Of several the one that lives longest counts.
		return slices.MaxFunc(ends(chains), func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) }), nil
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return nil, fmt.Errorf("%w: it is not %s", ErrUsage, is)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		// Not the leaf, it was looked at before.
		return nil, fmt.Errorf("authority: %w", inTime(invalid.Cert, need.Now))
	default:
		return nil, fmt.Errorf("%w: issuer %q: %w", ErrAuthority, leaf.Issuer, err)
	}
}

func ends(chains [][]*x509.Certificate) []*x509.Certificate {
	out := make([]*x509.Certificate, len(chains))
	for i, c := range chains {
		out[i] = c[len(c)-1]
	}
	return out
}

func pool(certs []*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certs {
		p.AddCert(c)
	}
	return p
}

// covers returns ErrHosts with all that c does not cover.
func covers(c *x509.Certificate, hosts []string) error {
	var missing []string
	for _, host := range hosts {
		clean, err := cleanHost(host)
		if err != nil {
			return err
		}
		if c.VerifyHostname(clean) != nil {
			missing = append(missing, clean)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s (it covers %s)", ErrHosts, strings.Join(missing, ", "), strings.Join(hostsOf(c), ", "))
}

// date is a time as messages have it.
func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
