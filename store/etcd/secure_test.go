package etcd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hostsmith/machine/store"
)

// authority makes certificates of its own, in files.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.make("ca", true)
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) make(name string, ca bool) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ok(a.t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: ca,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := a.cert, a.key
	if ca {
		parent, signer, template.ExtKeyUsage = template, key, nil
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	ok(a.t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	ok(a.t, err)
	ok(a.t, os.WriteFile(a.file(name+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	ok(a.t, os.WriteFile(a.file(name+"-key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600))
	cert, err := x509.ParseCertificate(der)
	ok(a.t, err)
	return cert, key
}

func TestTLSAndAuthentication(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	a.make("server", false)
	a.make("ann", false)
	s := startServer(t, "--cert-file="+a.file("server.pem"), "--key-file="+a.file("server-key.pem"),
		"--trusted-ca-file="+a.file("ca.pem"), "--client-cert-auth")
	pair, err := tls.LoadX509KeyPair(a.file("ann.pem"), a.file("ann-key.pem"))
	ok(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	admin, err := clientv3.New(clientv3.Config{
		Endpoints: []string{"https://" + s.addr}, DialTimeout: 10 * time.Second,
		TLS: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
	})
	ok(t, err)
	t.Cleanup(func() { _ = admin.Close() })
	for user, password := range map[string]string{"root": "r00t", "ann": "s3cret", "eve": "n0"} {
		_, err = admin.UserAdd(t.Context(), user, password)
		ok(t, err)
	}
	_, err = admin.RoleAdd(t.Context(), "root")
	ok(t, err)
	_, err = admin.UserGrantRole(t.Context(), "root", "root")
	ok(t, err)
	_, err = admin.RoleAdd(t.Context(), "machine")
	ok(t, err)
	_, err = admin.RoleGrantPermission(t.Context(), "machine", "/team/", clientv3.GetPrefixRangeEnd("/team/"), clientv3.PermissionType(clientv3.PermReadWrite))
	ok(t, err)
	_, err = admin.UserGrantRole(t.Context(), "ann", "machine")
	ok(t, err)
	_, err = admin.AuthEnable(t.Context())
	ok(t, err)

	whole := func(c *Config) {
		c.CACert, c.Cert, c.Key = a.file("ca.pem"), a.file("ann.pem"), a.file("ann-key.pem")
		c.EtcdUser, c.EtcdPassword, c.Patience = "ann", "s3cret", 2*time.Second
	}
	location := "etcds://" + s.addr + "/team"
	file := filepath.Join(t.TempDir(), "identity.txt")
	b := operator(t, location, file, whole)
	key, err := b.OwnRecipient(true)
	ok(t, err)
	_, err = b.SetRecipients(t.Context(), "x", func([]Recipient) ([]Recipient, error) { return []Recipient{{Key: key}}, nil })
	ok(t, err)
	st := store.OpenBackend(b)
	txn, err := st.Lock(t.Context(), "m1", "x")
	ok(t, err)
	ok(t, txn.Put(record("m1")))
	ok(t, txn.WriteFile("key.pem", []byte("hush")))
	ok(t, txn.Close())
	_, err = st.Get("m1")
	ok(t, err)

	for what, tc := range map[string]struct {
		change func(*Config)
		want   error
		says   string
	}{
		"wrong password": {func(c *Config) { c.EtcdPassword = "hunter2" }, store.ErrRefused, "authentication"},
		"no rights":      {func(c *Config) { c.EtcdUser, c.EtcdPassword = "eve", "n0" }, store.ErrRefused, "permission"},
		"own authority":  {func(c *Config) { c.CACert = "" }, store.ErrUnreachable, "x509"},
		"no certificate": {func(c *Config) { c.Cert, c.Key = "", "" }, store.ErrUnreachable, ""},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := store.OpenBackend(operator(t, location, file, whole, tc.change)).List()
			wantErr(t, err, tc.want)
			if !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("Got %v", err)
			}
		})
	}
	// A token that was in use does not outlive etcd.
	s.kill()
	s.again()
	eventually(t, "reading after a restart", func() error { _, err := st.Get("m1"); return err })
	txn, err = st.Lock(t.Context(), "m1", "x")
	ok(t, err)
	ok(t, txn.WriteFile("key.pem", []byte("again")))
	ok(t, txn.Close())
}
