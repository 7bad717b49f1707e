// Package certs makes and judges the certificates that protect Docker Engines:
// a certificate authority, server certificates and client certificates, all as
// PEM bytes. It knows nothing of files, machines or SSH, and it is the only
// package that imports cfssl.
package certs

import (
	"crypto/x509"
	"errors"
	"time"
)

// Lifetimes and margins.
const (
	CALifetime   = 10 * 365 * 24 * time.Hour
	LeafLifetime = 365 * 24 * time.Hour
	Backdate     = 5 * time.Minute     // against clocks that differ
	RenewBefore  = 30 * 24 * time.Hour // leaves with less life left are due
)

// Pair is a certificate and its private key, PEM.
type Pair struct {
	Cert []byte
	Key  []byte
}

// CA is a certificate authority whose key matches its certificate.
type CA struct {
	pair Pair
	cert *x509.Certificate
}

// NewCA makes a self-signed ECDSA P-256 authority valid for CALifetime from now.
// org becomes its organisation.
func NewCA(org string, now time.Time) (*CA, error) { panic("unwritten") }

// ParseCA returns the authority of a stored pair. cert may be a bundle: the
// first certificate that the key belongs to is the authority.
func ParseCA(cert, key []byte) (*CA, error) { panic("unwritten") }

// Pair returns the authority's own certificate and key.
func (ca *CA) Pair() Pair { return ca.pair }

// Expires returns when the authority ends.
func (ca *CA) Expires() time.Time { return ca.cert.NotAfter }

// Server issues a server certificate (EKU serverAuth) for hosts, which are IP addresses and DNS
// names; "localhost" and 127.0.0.1 are always added. It ends at the latest when the
// authority does; an authority that has ended issues nothing (ErrExpired).
func (ca *CA) Server(hosts []string, now time.Time) (Pair, error) { panic("unwritten") }

// Client issues a client certificate (EKU clientAuth) whose organisation is name.
func (ca *CA) Client(name string, now time.Time) (Pair, error) { panic("unwritten") }

// Bundle joins certificates into one PEM file, each one once, in order.
func Bundle(certs ...[]byte) []byte { panic("unwritten") }

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

// Inspect reads the first certificate of a PEM file.
func Inspect(cert []byte) (Info, error) { panic("unwritten") }

// Need is what a certificate is asked to be good for.
type Need struct {
	Roots  []byte   // PEM bundle it must chain to
	Hosts  []string // names and addresses it must cover
	Client bool     // must be a client certificate; else a server certificate
	Now    time.Time
}

// Verify returns why pair does not meet need: ErrExpired, ErrDue (less than
// RenewBefore left), ErrHosts, ErrAuthority or ErrKey (the key is not the
// certificate's), or nil.
func Verify(pair Pair, need Need) error { panic("unwritten") }

// Errors that callers decide on.
var (
	ErrExpired   = errors.New("certificate has expired")
	ErrDue       = errors.New("certificate expires soon")
	ErrHosts     = errors.New("certificate does not cover the address")
	ErrAuthority = errors.New("certificate is not from this authority")
	ErrKey       = errors.New("private key does not match the certificate")
	ErrMalformed = errors.New("not a PEM certificate")
)
