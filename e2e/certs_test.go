package e2e_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// presented returns the certificate that an Engine shows its clients.
func presented(t *testing.T, addr string, ca *x509.Certificate, client tls.Certificate) *x509.Certificate {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{client}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0]
}

// TestRegenerateCerts renews certificates, then the authority itself, while a
// client uses the machines without pause.
func TestRegenerateCerts(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.name("a"), f.name("b")
	f.ok("create", "-d", "docker", "--tls-san", "engine.example.test", a, b)
	addr := strings.TrimPrefix(f.ok("url", a), "tcp://")
	first := f.storeAuthority()
	client := first.issue(t, time.Now().Add(24*time.Hour))

	t.Run("what is issued", func(t *testing.T) {
		cert := presented(t, addr, first.cert, client)
		if err := cert.VerifyHostname("engine.example.test"); err != nil {
			t.Error(err)
		}
		if err := cert.VerifyHostname("localhost"); err != nil {
			t.Error(err)
		}
		if left := time.Until(cert.NotAfter); left < 360*24*time.Hour || left > 367*24*time.Hour {
			t.Errorf("The Engine's certificate ends in %s, want a year", left)
		}
		if left := time.Until(first.cert.NotAfter); left < 9*365*24*time.Hour {
			t.Errorf("The authority ends in %s, want ten years", left)
		}
	})
	t.Run("renewed", func(t *testing.T) {
		f := f.in(t)
		before := presented(t, addr, first.cert, client)
		f.ok("regenerate-certs", "--force", a)
		after := presented(t, addr, first.cert, client)
		if before.SerialNumber.Cmp(after.SerialNumber) == 0 {
			t.Error("The Engine presents the same certificate as before")
		}
		f.docker(a, "info")
	})
	t.Run("asks first", func(t *testing.T) {
		f := f.in(t)
		before := presented(t, addr, first.cert, client)
		f.run("regenerate-certs", a) // no terminal, nobody says yes
		if presented(t, addr, first.cert, client).SerialNumber.Cmp(before.SerialNumber) != 0 {
			t.Error("Certificates were renewed without consent")
		}
	})
	t.Run("new authority, nobody locked out", func(t *testing.T) {
		f := f.in(t)
		var stops []func() (int, []error)
		for _, m := range []string{a, b} {
			env := f.dockerEnv(m)
			stops = append(stops, watch(func(ctx context.Context) error {
				ask := func() ([]byte, error) {
					return f.dockerCommand(ctx, env, "version", "--format", "{{.Server.Version}}").CombinedOutput()
				}
				out, err := ask()
				// The client opens certificate and key one after the other, which no writer of two files can
				// be at one moment for. They change once, at once after each other: the next look fits.
				if bytes.Contains(out, []byte("private key does not match public key")) {
					out, err = ask()
				}
				// An Engine reads its certificates when it starts, so it restarts; a client
				// that greets it before does not learn how old it is.
				for _, restarts := range []string{"Is the docker daemon running?", "is too new"} {
					if bytes.Contains(out, []byte(restarts)) {
						return nil
					}
				}
				if err != nil {
					return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
				}
				return nil
			}))
		}
		f.ok("regenerate-certs", "--force", "--rotate-ca")
		for i, m := range []string{a, b} {
			checkWatch(t, "client of "+m+" during the rotation", stops[i])
		}
		second := f.storeAuthority()
		if bytes.Equal(first.cert.Raw, second.cert.Raw) {
			t.Fatal("The authority is the same as before")
		}
		if err := knock(addr, second.cert, second.issue(t, time.Now().Add(time.Hour))); err != nil {
			t.Errorf("A client of the new authority is refused: %v", err)
		}
		if err := knock(addr, second.cert, client); err == nil {
			t.Error("A client of the former authority is still let in")
		}
		f.docker(a, "info")
		f.docker(b, "info")
	})
	t.Run("expiry warns", func(t *testing.T) {
		f := f.in(t)
		ca := f.storeAuthority()
		cert := ca.issue(t, time.Now().Add(20*24*time.Hour))
		writePEM(t, filepath.Join(f.store, "certs", "cert.pem"), filepath.Join(f.store, "certs", "key.pem"), cert)
		r := f.run("ls")
		if r.code != 0 || !strings.Contains(r.stderr, "expire") && !strings.Contains(r.stderr, "days") {
			t.Errorf("No warning of a certificate that ends in 20 days: %s", r)
		}
	})
}

func writePEM(t *testing.T, certFile, keyFile string, pair tls.Certificate) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		certFile: encodePEM("CERTIFICATE", pair.Certificate[0]),
		keyFile:  encodePEM("PRIVATE KEY", key),
	} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFirstAuthorityOnce starts many first commands on an empty store together:
// there is one authority in the end, and all that was signed is signed by it.
func TestFirstAuthorityOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	const n = 50
	works := make([]*running, n)
	for i := range works {
		works[i] = f.start(t.Context(), "create", "-d", "none", "--url", "tcp://127.0.0.1:1", f.name(fmt.Sprintf("n%d", i)))
	}
	for _, w := range works {
		if r := w.wait(); r.code != 0 {
			t.Errorf("%s", r)
		}
	}
	certs := filepath.Join(f.store, "certs")
	checkSigned(t, filepath.Join(certs, "ca.pem"), filepath.Join(certs, "cert.pem"), x509.ExtKeyUsageClientAuth)
	if _, err := tls.LoadX509KeyPair(filepath.Join(certs, "cert.pem"), filepath.Join(certs, "key.pem")); err != nil {
		t.Errorf("The client's certificate and key: %v", err)
	}
	if _, err := tls.LoadX509KeyPair(filepath.Join(certs, "ca.pem"), filepath.Join(certs, "ca-key.pem")); err != nil {
		t.Errorf("The authority's certificate and key: %v", err)
	}
	if got := len(strings.Fields(f.ok("ls", "-q"))); got != n {
		t.Errorf("ls shows %d machines, want %d", got, n)
	}
	if entries, err := os.ReadDir(certs); err != nil || len(entries) != 4 {
		t.Errorf("Got %v, %v in certs, want one authority and one client pair", entries, err)
	}
}

// TestManyAdopt creates several machines of real hosts at once on an empty store.
func TestManyAdopt(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	works := make([]*running, 3)
	names := f.names("h0", "h1", "h2")
	for i, name := range names {
		works[i] = f.start(t.Context(), append([]string{"create"}, append(newHost(t, withEngine).generic("root"), name)...)...)
	}
	for _, w := range works {
		if r := w.wait(); r.code != 0 {
			t.Errorf("%s", r)
		}
	}
	for _, name := range names {
		checkSigned(t, filepath.Join(f.store, "certs", "ca.pem"), f.path(name, "server.pem"), x509.ExtKeyUsageServerAuth)
		f.docker(name, "info")
	}
}
