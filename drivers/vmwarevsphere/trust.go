package vmwarevsphere

import (
	"context"
	"crypto/sha1" //nolint:gosec // VMware tells SHA-1 fingerprints; the user compares one that was given
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/vmware/govmomi/vim25/soap"

	"github.com/hostsmith/machine/drivers"
)

// trust says which certificates a vCenter may have.
type trust struct {
	thumbprint string
	caFile     string
	insecure   bool
}

// thumbprintError is a certificate that is not the one that was named.
type thumbprintError struct{ got string }

func (e *thumbprintError) Error() string {
	return "the certificate has another fingerprint than --vmwarevsphere-thumbprint: " + e.got
}

// client returns a client that speaks to nobody but the vCenter at u.
func (t trust) client(u *url.URL) (*soap.Client, error) {
	sc := soap.NewClient(u, t.insecure)
	sc.UserAgent = "machine"
	config, err := t.config(u.Hostname())
	if err != nil {
		return nil, err
	}
	transport := sc.DefaultTransport()
	others := transport.DialTLSContext // hosts that disks are uploaded to; the vCenter tells their fingerprints
	port := u.Port()
	if port == "" {
		port = "443"
	}
	center := net.JoinHostPort(u.Hostname(), port)
	transport.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr != center {
			conn, err := others(ctx, network, addr)
			if err == nil || t.thumbprint == "" || !soap.IsCertificateUntrusted(err) {
				return conn, err
			} // it may be the vCenter under another of its names
		}
		return (&tls.Dialer{Config: config}).DialContext(ctx, network, addr)
	}
	if config.RootCAs != nil {
		transport.TLSClientConfig.RootCAs = config.RootCAs
	}
	return sc, nil
}

// config returns the rules for the vCenter itself.
func (t trust) config(host string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host, InsecureSkipVerify: t.insecure} //nolint:gosec // only if the user says so
	if t.caFile != "" {
		pem, err := os.ReadFile(t.caFile)
		if err != nil {
			return nil, fmt.Errorf("read --vmwarevsphere-ca-file: %w: %w", drivers.ErrOption, err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read --vmwarevsphere-ca-file: %w: no certificate in %s", drivers.ErrOption, t.caFile)
		}
	}
	if t.thumbprint != "" {
		config.InsecureSkipVerify = true // the fingerprint is checked instead
		config.VerifyConnection = func(s tls.ConnectionState) error {
			if leaf := s.PeerCertificates[0]; !t.matches(leaf) {
				return &thumbprintError{got: fingerprintOf(leaf)}
			}
			return nil
		}
	}
	return config, nil
}

// matches tells whether a certificate has the fingerprint.
func (t trust) matches(cert *x509.Certificate) bool {
	want := strings.ToLower(strings.ReplaceAll(t.thumbprint, ":", ""))
	long, short := sha256.Sum256(cert.Raw), sha1.Sum(cert.Raw) //nolint:gosec // see the import
	return want == hex.EncodeToString(long[:]) || want == hex.EncodeToString(short[:])
}

func fingerprintOf(cert *x509.Certificate) string { return soap.ThumbprintSHA256(cert) }

// untrusted returns advice if err is about a certificate, and the error without
// the layers of the network around it.
func untrusted(err error) (reason error, advice string) {
	var wrong *thumbprintError
	if errors.As(err, &wrong) {
		return wrong, "if the vCenter got a new certificate, compare the fingerprint at the vCenter itself before you accept it"
	}
	var bad *tls.CertificateVerificationError
	if errors.As(err, &bad) && len(bad.UnverifiedCertificates) > 0 {
		return bad, "name the authority with --vmwarevsphere-ca-file (vCenter offers it at https://VCENTER/certs/download.zip), or, once you have compared it at the vCenter, accept this one certificate with --vmwarevsphere-thumbprint " +
			fingerprintOf(bad.UnverifiedCertificates[0]) + " (for machines that docker-machine made: VSPHERE_CA_FILE or VSPHERE_THUMBPRINT in the environment)"
	}
	return nil, ""
}
