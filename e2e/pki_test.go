package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority signs certificates for tests, also such as machine would never sign.
type authority struct {
	cert *x509.Certificate
	key  any
	pem  []byte
}

// storeAuthority is the authority of a fleet.
func (f *fleet) storeAuthority() authority {
	f.t.Helper()
	dir := filepath.Join(f.store, "certs")
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca-key.pem"))
	if err != nil {
		f.t.Fatal(err)
	}
	return authority{cert: pair.Leaf, key: pair.PrivateKey, pem: encodePEM("CERTIFICATE", pair.Leaf.Raw)}
}

// newAuthority is an authority that nobody has heard of.
func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "e2e"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert: cert, key: key, pem: encodePEM("CERTIFICATE", der)}
}

// issue signs a certificate for clients and servers that ends at notAfter.
func (a authority) issue(t *testing.T, notAfter time.Time, ips ...net.IP) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "e2e"}, IPAddresses: ips, DNSNames: []string{"localhost"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		NotBefore: notAfter.Add(-48 * time.Hour), NotAfter: notAfter,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// readCertificate returns the first certificate of a PEM file.
func readCertificate(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		t.Fatalf("%s: no PEM", file)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return cert
}

// checkSigned fails unless cert was signed by the CA in caFile and serves usage.
func checkSigned(t *testing.T, caFile, certFile string, usage x509.ExtKeyUsage) {
	t.Helper()
	raw, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(raw) {
		t.Fatalf("%s: no certificate", caFile)
	}
	if _, err := readCertificate(t, certFile).Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
		t.Errorf("%s is not signed by %s: %v", certFile, caFile, err)
	}
}

// knock does a TLS handshake and one request with an Engine the way a client with
// the certificates would, and returns why it was refused; nil: it was let in.
func knock(addr string, ca *x509.Certificate, certs ...tls.Certificate) error {
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	conn, err := tls.DialWithDialer(dialer, "tcp", addr, &tls.Config{RootCAs: roots, Certificates: certs})
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	// With TLS 1.3 a client learns that it is refused when it first reads.
	if _, err := fmt.Fprintf(conn, "GET /_ping HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	answer := make([]byte, 15)
	if _, err := conn.Read(answer); err != nil {
		return err
	}
	if string(answer) != "HTTP/1.1 200 OK" {
		return fmt.Errorf("engine answers %q", answer)
	}
	return nil
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
