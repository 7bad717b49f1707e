// Package certs makes and judges the certificates that protect Docker Engines:
// a certificate authority, server certificates and client certificates, all as
// PEM bytes. It knows nothing of files, machines or SSH, and it is the only
// package that imports cfssl.
package certs

import (
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

// Errors that callers decide on.
var (
	ErrExpired      = errors.New("certificate has expired")
	ErrNotYetValid  = errors.New("certificate is not valid yet")
	ErrDue          = errors.New("certificate expires soon")
	ErrHosts        = errors.New("certificate does not cover the address")
	ErrAuthority    = errors.New("certificate is not from this authority")
	ErrUsage        = errors.New("certificate is not meant for this use")
	ErrKey          = errors.New("private key does not match the certificate")
	ErrMalformed    = errors.New("not a PEM certificate")
	ErrMalformedKey = errors.New("not a PEM private key")
	ErrHostName     = errors.New("not an IP address or DNS name")
)

// Pair is a certificate and its private key, PEM. Keys that are made here are
// "EC PRIVATE KEY" (SEC 1), which Go, OpenSSL and what is built on them read.
type Pair struct {
	Cert []byte
	Key  []byte
}
