package certs

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestVerify(t *testing.T) {
	t.Parallel()
	now := noon()
	ca, other := newCA(t, now), newCA(t, now)
	s, c := server(t, ca, now, "m1", "10.0.0.1"), client(t, ca, now)
	roots := ca.Pair().Cert
	both, err := ca.ServerAndClient([]string{"m1"}, now)
	if err != nil {
		t.Fatal(err)
	}
	old := newCA(t, now.Add(-CALifetime-time.Hour))
	long := parse(t, s.Cert).NotAfter

	for _, tc := range []struct {
		name string
		pair Pair
		need Need
		want error
		says string
	}{
		{name: "server", pair: s, need: Need{Roots: roots, Hosts: []string{"m1", "10.0.0.1", "localhost", "127.0.0.1"}, Now: now}},
		{name: "client", pair: c, need: Need{Roots: roots, Client: true, Now: now}},
		{name: "bundle", pair: s, need: Need{Roots: Bundle(other.Pair().Cert, roots), Now: now}},
		{name: "last day before due", pair: s, need: Need{Roots: roots, Now: long.Add(-RenewBefore)}},
		{"due", s, Need{Roots: roots, Now: long.Add(-RenewBefore + time.Second)}, ErrDue, "2032-05-16 12:00 UTC"},
		{"last second", s, Need{Roots: roots, Now: long}, ErrDue, ""},
		{"expired", s, Need{Roots: roots, Now: long.Add(time.Second)}, ErrExpired, "2032-05-16 12:00 UTC"},
		{"clock is behind", s, Need{Roots: roots, Now: now.Add(-time.Hour)}, ErrNotYetValid, "2031-05-17 11:55 UTC"},
		{"other authority", s, Need{Roots: other.Pair().Cert, Now: now}, ErrAuthority, "O=jo"},
		{"expired, and of another authority", s, Need{Roots: other.Pair().Cert, Now: long.Add(time.Hour)}, ErrExpired, ""},
		{"host missing", s, Need{Roots: roots, Hosts: []string{"m1", "10.0.0.2", "M2"}, Now: now}, ErrHosts, "10.0.0.2, m2 (it covers 10.0.0.1, 127.0.0.1, localhost, m1)"},
		{"host missing and due", s, Need{Roots: roots, Hosts: []string{"m2"}, Now: long}, ErrHosts, ""},
		{"host is none", s, Need{Roots: roots, Hosts: []string{"m1:2376"}, Now: now}, ErrHostName, "m1:2376"},
		{"server as client", s, Need{Roots: roots, Client: true, Now: now}, ErrUsage, "client"},
		{"client as server", c, Need{Roots: roots, Now: now}, ErrUsage, "server"},
		{name: "both as server", pair: both, need: Need{Roots: roots, Hosts: []string{"m1"}, Now: now}},
		{name: "both as client", pair: both, need: Need{Roots: roots, Client: true, Now: now}},
		{name: "both", pair: both, need: Need{Roots: roots, Hosts: []string{"m1"}, Both: true, Now: now}},
		{"server as both", s, Need{Roots: roots, Both: true, Now: now}, ErrUsage, "client"},
		{"client as both", c, Need{Roots: roots, Client: true, Both: true, Now: now}, ErrUsage, "server"},
		{"other key", Pair{s.Cert, c.Key}, Need{Roots: roots, Now: now}, ErrKey, ""},
		{"no certificate", Pair{nil, s.Key}, Need{Roots: roots, Now: now}, ErrMalformed, ""},
		{"no key", Pair{s.Cert, nil}, Need{Roots: roots, Now: now}, ErrMalformedKey, ""},
		{"no roots", s, Need{Now: now}, ErrMalformed, "authority"},
		{"its own root", s, Need{Roots: old.Pair().Cert, Now: now}, ErrAuthority, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			err := Verify(tc.pair, tc.need)
			if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
				t.Fatalf("Got %v, want %v", err, tc.want)
			}
			if err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("Got %q, want %q in it", err, tc.says)
			}
		})
	}
}

// A certificate that ends with its authority would be renewed on every command.
func TestVerifyNeverDueWithAuthority(t *testing.T) {
	t.Parallel()
	ca := newCA(t, noon())
	late := ca.Expires().Add(-time.Hour)
	if err := Verify(server(t, ca, late), Need{Roots: ca.Pair().Cert, Now: late}); err != nil {
		t.Error(err)
	}
}

// The authority may end before a certificate that others made of it.
func TestVerifyExpiredAuthority(t *testing.T) {
	t.Parallel()
	pair := legacyCA(t, noon(), 2048)
	ca, err := ParseCA(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := issue(request{
		name: "m1", org: "jo", usage: x509.KeyUsageDigitalSignature, ext: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		from: noon(), until: noon().AddDate(10, 0, 0),
	}, ca)
	if err != nil {
		t.Fatal(err)
	}
	err = Verify(leaf, Need{Roots: pair.Cert, Now: noon().AddDate(5, 0, 0)})
	if !errors.Is(err, ErrExpired) || !strings.Contains(err.Error(), "authority") {
		t.Errorf("Got %v", err)
	}
}

// An engine's certificate may come with the ones between it and the authority.
func TestVerifyIntermediate(t *testing.T) {
	t.Parallel()
	pair := legacyCA(t, noon(), 2048)
	root, err := ParseCA(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	middle := newCA(t, noon())
	signed := *parse(t, middle.Pair().Cert)
	signed.SignatureAlgorithm = x509.UnknownSignatureAlgorithm
	der, err := x509.CreateCertificate(rand.Reader, &signed, root.cert, signed.PublicKey, root.key)
	if err != nil {
		t.Fatal(err)
	}
	leaf := server(t, middle, noon(), "m1")
	if err := Verify(leaf, Need{Roots: pair.Cert, Now: noon()}); !errors.Is(err, ErrAuthority) {
		t.Errorf("Without the one between: got %v", err)
	}
	leaf.Cert = append(leaf.Cert, encodeCert(der)...)
	if err := Verify(leaf, Need{Roots: pair.Cert, Now: noon()}); err != nil {
		t.Error(err)
	}
}

func TestInspect(t *testing.T) {
	t.Parallel()
	ca := newCA(t, noon())
	pair := server(t, ca, noon(), "m1")
	info, err := Inspect(append(bytes.Clone(pair.Cert), ca.Pair().Cert...))
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^([0-9A-F]{2}:){31}[0-9A-F]{2}$`).MatchString(info.Fingerprint) {
		t.Errorf("Got fingerprint %q", info.Fingerprint)
	}
	info.Fingerprint = ""
	want := Info{
		Subject: "CN=machine server,O=jo", Issuer: "CN=machine CA,O=jo",
		NotBefore: noon().Add(-Backdate), NotAfter: noon().Add(LeafLifetime),
		Hosts: []string{"127.0.0.1", "localhost", "m1"},
	}
	if diff := cmp.Diff(want, info); diff != "" {
		t.Error(diff)
	}
	if info, err := Inspect(ca.Pair().Cert); err != nil || !info.IsCA {
		t.Errorf("Got %+v, %v", info, err)
	}
	if _, err := Inspect(pair.Key); !errors.Is(err, ErrMalformed) {
		t.Errorf("Got %v", err)
	}
}

func TestBundle(t *testing.T) {
	t.Parallel()
	a, b := newCA(t, noon()).Pair(), newCA(t, noon()).Pair()
	text := append([]byte("a comment\n"), a.Cert...)
	got := Bundle(text, a.Key, append(bytes.Clone(b.Cert), a.Cert...), nil, encodeCert([]byte("broken")), b.Cert)
	if diff := cmp.Diff(string(a.Cert)+string(b.Cert), string(got)); diff != "" {
		t.Error(diff)
	}
	if got := Bundle(); len(got) != 0 {
		t.Errorf("Got %q of nothing", got)
	}
}

func FuzzInspect(f *testing.F) {
	ca := newCA(f, noon())
	f.Add(ca.Pair().Cert)
	f.Add(ca.Pair().Key)
	f.Add(legacyCA(f, noon(), 2048).Cert)
	f.Add(encodeCert([]byte("broken")))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		info, err := Inspect(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("Got %v", err)
			}
			return
		}
		bundle := Bundle(data)
		again, err := Inspect(bundle)
		if err != nil {
			t.Fatalf("Bundle of what can be inspected cannot: %v", err)
		}
		if diff := cmp.Diff(info, again); diff != "" {
			t.Fatal(diff)
		}
		if !bytes.Equal(bundle, Bundle(bundle, data)) {
			t.Fatal("Bundle is not idempotent")
		}
	})
}

func FuzzParseCA(f *testing.F) {
	ca, legacy := newCA(f, noon()).Pair(), legacyCA(f, noon(), 2048)
	f.Add(ca.Cert, ca.Key)
	f.Add(legacy.Cert, legacy.Key)
	f.Add(ca.Cert, legacy.Key)
	f.Add(ca.Cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}))
	f.Fuzz(func(t *testing.T, cert, key []byte) {
		got, err := ParseCA(cert, key)
		if err != nil {
			for _, known := range []error{ErrMalformed, ErrMalformedKey, ErrKey, ErrUsage} {
				if errors.Is(err, known) {
					return
				}
			}
			t.Fatalf("Got %v", err)
		}
		if _, err := ParseCA(got.Pair().Cert, got.Pair().Key); err != nil {
			t.Fatalf("Its own pair is refused: %v", err)
		}
		if !got.cert.IsCA || !belongs(got.key, got.cert) {
			t.Fatal("Got an authority that breaks its word")
		}
	})
}

func FuzzHost(f *testing.F) {
	for _, s := range []string{"m1", "10.0.0.1", "::1", "fe80::1%eth0", "*.a.b", "a@b", "http://a", "x:1", "A.b.", "1.2.3.4.5"} {
		f.Add(s)
	}
	ca := newCA(f, noon())
	f.Fuzz(func(t *testing.T, host string) {
		pair, err := ca.Server([]string{host}, noon())
		if err != nil {
			if !errors.Is(err, ErrHostName) {
				t.Fatalf("Got %v", err)
			}
			return
		}
		// What was accepted must be in the certificate, as a name or an address.
		c := parse(t, pair.Cert)
		if len(c.EmailAddresses)+len(c.URIs) > 0 {
			t.Fatalf("%q became %v %v", host, c.EmailAddresses, c.URIs)
		}
		if err := Verify(pair, Need{Roots: ca.Pair().Cert, Hosts: []string{host}, Now: noon()}); err != nil {
			t.Fatal(err)
		}
	})
}
