package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log"
	"math/big"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Times in tests do not depend on the clock: what x509 and cfssl take from it would show.
func noon() time.Time { return time.Date(2031, 5, 17, 12, 0, 0, 0, time.UTC) }

func newCA(t testing.TB, now time.Time) *CA {
	t.Helper()
	ca, err := NewCA("jo", now)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func server(t testing.TB, ca *CA, now time.Time, hosts ...string) Pair {
	t.Helper()
	pair, err := ca.Server(hosts, now)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func client(t testing.TB, ca *CA, now time.Time) Pair {
	t.Helper()
	pair, err := ca.Client("jo", now)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func parse(t testing.TB, cert []byte) *x509.Certificate {
	t.Helper()
	found, err := parseCerts(cert)
	if err != nil {
		t.Fatal(err)
	}
	return found[0]
}

// legacyCA is an authority as docker-machine made them: RSA, PKCS#1, subject O alone.
func legacyCA(t testing.TB, now time.Time, bits int) Pair {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(now.UnixNano()),
		Subject:               pkix.Name{Organization: []string{"jo"}},
		NotBefore:             now.Add(-5 * time.Minute),
		NotAfter:              now.AddDate(0, 0, 1080),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageKeyAgreement | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	return Pair{
		Cert: selfSign(t, template, key),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}),
	}
}

func selfSign(t testing.TB, template *x509.Certificate, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return encodeCert(der)
}

func TestAuthority(t *testing.T) {
	t.Parallel()
	ca := newCA(t, noon())
	c := parse(t, ca.Pair().Cert)
	if key, ok := c.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		t.Errorf("Got key %T, want ECDSA P-256", c.PublicKey)
	}
	if c.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign || !c.IsCA || !c.MaxPathLenZero {
		t.Errorf("Got usage %b, CA %v, path length zero %v", c.KeyUsage, c.IsCA, c.MaxPathLenZero)
	}
	if !c.NotBefore.Equal(noon().Add(-Backdate)) || !c.NotAfter.Equal(noon().Add(CALifetime)) || !ca.Expires().Equal(c.NotAfter) {
		t.Errorf("Got %v to %v (Expires %v)", c.NotBefore, c.NotAfter, ca.Expires())
	}
	if err := c.CheckSignatureFrom(c); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"jo"}, c.Subject.Organization); diff != "" {
		t.Error(diff)
	}
	if _, err := NewCA("", noon()); err == nil {
		t.Error("Got an authority without organisation")
	}
	again, err := ParseCA(ca.Pair().Cert, ca.Pair().Key)
	if err != nil || !cmp.Equal(again.Pair(), ca.Pair()) {
		t.Errorf("Got another pair from the same bytes: %v", err)
	}
}

func TestLeaves(t *testing.T) {
	t.Parallel()
	ca := newCA(t, noon())
	pairs := map[string]Pair{
		"server": server(t, ca, noon(), "m1", "10.0.0.1"),
		"client": client(t, ca, noon()),
	}
	usages := map[string]x509.ExtKeyUsage{"server": x509.ExtKeyUsageServerAuth, "client": x509.ExtKeyUsageClientAuth}
	serials := map[string]bool{parse(t, ca.Pair().Cert).SerialNumber.String(): true}
	for kind, pair := range pairs {
		c := parse(t, pair.Cert)
		if c.KeyUsage != x509.KeyUsageDigitalSignature || c.IsCA {
			t.Errorf("%s: got key usage %b, CA %v", kind, c.KeyUsage, c.IsCA)
		}
		if diff := cmp.Diff([]x509.ExtKeyUsage{usages[kind]}, c.ExtKeyUsage); diff != "" {
			t.Errorf("%s: %s", kind, diff)
		}
		if !c.NotBefore.Equal(noon().Add(-Backdate)) || !c.NotAfter.Equal(noon().Add(LeafLifetime)) {
			t.Errorf("%s: got %v to %v", kind, c.NotBefore, c.NotAfter)
		}
		if serials[c.SerialNumber.String()] || c.SerialNumber.BitLen() < 64 {
			t.Errorf("%s: got serial %v", kind, c.SerialNumber)
		}
		serials[c.SerialNumber.String()] = true
		if bytes.Equal(c.RawSubject, c.RawIssuer) {
			t.Errorf("%s: subject is the issuer, so it looks self-signed", kind)
		}
		if block, _ := pem.Decode(pair.Key); block == nil || block.Type != "EC PRIVATE KEY" {
			t.Errorf("%s: got key %v", kind, block)
		}
		key, err := parseKey(pair.Key)
		if err != nil || !belongs(key, c) {
			t.Errorf("%s: key does not belong to the certificate: %v", kind, err)
		}
	}
	if c := parse(t, pairs["client"].Cert); c.Subject.CommonName != "jo" || c.Subject.Organization[0] != "jo" {
		t.Errorf("Got client %v", c.Subject)
	}
	if _, err := ca.Client("", noon()); err == nil {
		t.Error("Got a client certificate without name")
	}
}

func TestLeafEndsWithAuthority(t *testing.T) {
	t.Parallel()
	ca := newCA(t, noon())
	late := ca.Expires().Add(-time.Hour)
	for name, pair := range map[string]Pair{"server": server(t, ca, late), "client": client(t, ca, late)} {
		if got := parse(t, pair.Cert).NotAfter; !got.Equal(ca.Expires()) {
			t.Errorf("%s: ends %v, authority %v", name, got, ca.Expires())
		}
	}
	early := parse(t, server(t, ca, noon().Add(-time.Minute)).Cert)
	if early.NotBefore.Before(noon().Add(-Backdate)) {
		t.Errorf("Begins %v, before its authority", early.NotBefore)
	}
	for _, tc := range []struct {
		now  time.Time
		want error
	}{
		{ca.Expires().Add(time.Second), ErrExpired},
		{noon().Add(-time.Hour), ErrNotYetValid},
	} {
		if _, err := ca.Server(nil, tc.now); !errors.Is(err, tc.want) {
			t.Errorf("Server at %v: got %v, want %v", tc.now, err, tc.want)
		}
		if _, err := ca.Client("jo", tc.now); !errors.Is(err, tc.want) {
			t.Errorf("Client at %v: got %v, want %v", tc.now, err, tc.want)
		}
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	ca := newCA(t, noon())
	pair := server(t, ca, noon(), "m2", "M1.Example.COM.", "10.0.0.2", "::ffff:10.0.0.2", "10.0.0.10", "2001:db8:0:0::1",
		"m2", "localhost", "web_1", "*.apps.example.com", "a-", "1.2.3")
	want := []string{
		"*.apps.example.com", "1.2.3", "10.0.0.10", "10.0.0.2", "127.0.0.1", "2001:db8::1", "a-", "localhost",
		"m1.example.com", "m2", "web_1",
	}
	info, err := Inspect(pair.Cert)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, info.Hosts); diff != "" {
		t.Error(diff)
	}
	c := parse(t, pair.Cert)
	if got := len(c.DNSNames) + len(c.IPAddresses); got != len(want) {
		t.Errorf("Got %d names and addresses, want each one once: %v %v", got, c.DNSNames, c.IPAddresses)
	}
	for _, host := range append(want, "x.apps.example.com", "WEB_1", "m1.example.com.") {
		if err := c.VerifyHostname(host); err != nil && !strings.HasPrefix(host, "*") {
			t.Error(err)
		}
	}
	if err := Verify(pair, Need{Roots: ca.Pair().Cert, Hosts: append(want, "::ffff:10.0.0.2"), Now: noon()}); err != nil {
		t.Error(err)
	}
}

func TestHostsRefused(t *testing.T) {
	t.Parallel()
	ca := newCA(t, noon())
	for host, why := range map[string]string{
		"":                               "empty",
		".":                              "empty",
		"fe80::1%eth0":                   "zone",
		"[::1]":                          "brackets",
		"m1:2376":                        "port",
		"tcp://m1:2376":                  "scheme",
		"a..b":                           "two dots",
		"-a":                             "hyphen",
		"a.-b":                           "hyphen",
		"a b":                            `' '`,
		"jo@example.com":                 `'@'`,
		"/etc/hosts":                     `'/'`,
		"münchen.de":                     "xn--",
		"*":                              `'*'`,
		"a.*.b":                          `'*'`,
		"10.0.0.256":                     "looks like an IP address",
		"a\n":                            `'\n'`,
		strings.Repeat("a", 64):          "63",
		strings.Repeat("abcd.", 60):      "253",
		"10.0.0.1,10.0.0.2":              `','`,
		strings.Repeat("a", 60) + "\x00": `'\x00'`,
	} {
		_, err := ca.Server([]string{"ok", host}, noon())
		if !errors.Is(err, ErrHostName) || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: got %v, want %q", host, err, why)
		}
	}
}

func TestParseCA(t *testing.T) {
	t.Parallel()
	ca, other := newCA(t, noon()), newCA(t, noon())
	rsaCA := legacyCA(t, noon(), 2048)
	leaf := server(t, ca, noon())

	ecKey, err := parseKey(ca.Pair().Key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(ecKey)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8 := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	params := pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}})
	garbage := encodeCert([]byte("not DER"))
	short := legacyCA(t, noon(), 1024)

	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	noSign := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: noon(), NotAfter: noon().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCRLSign,
	}
	edDER, err := x509.MarshalPKCS8PrivateKey(edKey)
	if err != nil {
		t.Fatal(err)
	}
	edPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: edDER})

	for _, tc := range []struct {
		name      string
		cert, key []byte
		want      error
		is        []byte // the authority's certificate
	}{
		{"own", ca.Pair().Cert, ca.Pair().Key, nil, ca.Pair().Cert},
		{"docker-machine's", rsaCA.Cert, rsaCA.Key, nil, rsaCA.Cert},
		{"PKCS#8", ca.Pair().Cert, pkcs8, nil, ca.Pair().Cert},
		{"EC parameters first", ca.Pair().Cert, append(params, ca.Pair().Key...), nil, ca.Pair().Cert},
		{"bundle", Bundle(other.Pair().Cert, ca.Pair().Cert), ca.Pair().Key, nil, ca.Pair().Cert},
		{"text around it", append([]byte("subject: jo\n"), ca.Pair().Cert...), ca.Pair().Key, nil, ca.Pair().Cert},
		{"other key", ca.Pair().Cert, other.Pair().Key, ErrKey, nil},
		{"other kind of key", ca.Pair().Cert, rsaCA.Key, ErrKey, nil},
		{"a leaf", leaf.Cert, leaf.Key, ErrUsage, nil},
		{"may not sign", selfSign(t, noSign, edKey), edPEM, ErrUsage, nil},
		{"short RSA key", short.Cert, short.Key, ErrUsage, nil},
		{"no certificate", nil, ca.Pair().Key, ErrMalformed, nil},
		{"key as certificate", ca.Pair().Key, ca.Pair().Key, ErrMalformed, nil},
		{"garbage", garbage, ca.Pair().Key, ErrMalformed, nil},
		{"garbage after it", append(bytes.Clone(ca.Pair().Cert), garbage...), ca.Pair().Key, ErrMalformed, nil},
		{"no key", ca.Pair().Cert, nil, ErrMalformedKey, nil},
		{"garbage key", ca.Pair().Cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}), ErrMalformedKey, nil},
		{"encrypted key", ca.Pair().Cert, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}), ErrMalformedKey, nil},
	} {
		got, err := ParseCA(tc.cert, tc.key)
		if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s: got %v, want %v", tc.name, err, tc.want)
			continue
		}
		if err == nil && !bytes.Equal(got.Pair().Cert, tc.is) {
			t.Errorf("%s: got another certificate", tc.name)
		}
	}
}

// An authority that docker-machine made goes on issuing, with the new keys.
func TestLegacyAuthorityIssues(t *testing.T) {
	t.Parallel()
	pair := legacyCA(t, noon(), 2048)
	ca, err := ParseCA(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	s, c := server(t, ca, noon(), "m1"), client(t, ca, noon())
	if err := Verify(s, Need{Roots: pair.Cert, Hosts: []string{"m1"}, Now: noon()}); err != nil {
		t.Error(err)
	}
	if err := Verify(c, Need{Roots: pair.Cert, Client: true, Now: noon()}); err != nil {
		t.Error(err)
	}
	if got := parse(t, s.Cert).SignatureAlgorithm; got != x509.SHA256WithRSA {
		t.Errorf("Got %v", got)
	}
	if got := parse(t, s.Cert).Subject.Organization; !cmp.Equal(got, []string{"jo"}) {
		t.Errorf("Got organisation %v", got)
	}
}

func TestConcurrentIssue(t *testing.T) {
	t.Parallel()
	ca := newCA(t, noon())
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			pair, err := ca.Server([]string{"m1"}, noon())
			if err == nil {
				err = Verify(pair, Need{Roots: ca.Pair().Cert, Hosts: []string{"m1"}, Now: noon()})
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// cfssl would write "[INFO] received CSR" to standard error.
func TestQuiet(t *testing.T) { // not parallel: the standard logger is the process's
	var out bytes.Buffer
	log.SetOutput(&out)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	ca := newCA(t, noon())
	server(t, ca, noon(), "m1")
	if out.Len() > 0 {
		t.Errorf("Got %q in the log", out.String())
	}
}
