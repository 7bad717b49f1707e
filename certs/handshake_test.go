package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

// shake does a TLS handshake over loopback, configured as the engine and its client
// are, and returns what each side says. An exchange of bytes follows it: in TLS 1.3 a
// client learns of a refusal only then.
func shake(t *testing.T, serverTLS, clientTLS *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	done := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		s := tls.Server(conn, serverTLS)
		if err := s.HandshakeContext(t.Context()); err != nil {
			done <- err
			return
		}
		_, err = s.Write([]byte("hello"))
		done <- err
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	c := tls.Client(conn, clientTLS)
	if clientErr = c.HandshakeContext(t.Context()); clientErr == nil {
		_, clientErr = c.Read(make([]byte, 5))
	}
	if clientErr != nil {
		_ = conn.Close()
	}
	return <-done, clientErr
}

func rootPool(t *testing.T, bundle []byte) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(bundle) {
		t.Fatal("no certificate in the bundle")
	}
	return p
}

func engineTLS(t *testing.T, pair Pair, roots []byte, now time.Time) *tls.Config {
	t.Helper()
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{cert},
		ClientCAs:    rootPool(t, roots),
		ClientAuth:   tls.RequireAndVerifyClientCert,
		MinVersion:   tls.VersionTLS12,
		Time:         func() time.Time { return now },
	}
}

func clientTLS(t *testing.T, pair *Pair, roots []byte, now time.Time) *tls.Config {
	t.Helper()
	c := &tls.Config{
		RootCAs:    rootPool(t, roots),
		ServerName: "m1",
		MinVersion: tls.VersionTLS12,
		Time:       func() time.Time { return now },
	}
	if pair != nil {
		cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		// Not Certificates: those are withheld if the server's list of authorities
		// lacks theirs, and then it is not a refusal of them that is seen.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
	}
	return c
}

func TestHandshake(t *testing.T) {
	t.Parallel()
	now := noon()
	ca, other := newCA(t, now), newCA(t, now)
	legacyPair := legacyCA(t, now, 2048)
	legacy, err := ParseCA(legacyPair.Cert, legacyPair.Key)
	if err != nil {
		t.Fatal(err)
	}
	roots := ca.Pair().Cert
	engine := server(t, ca, now, "m1")
	good, foreign := client(t, ca, now), client(t, other, now)
	stale := client(t, ca, now.Add(time.Hour)) // made before its time comes to an end below
	legacyEngine, legacyClient := server(t, legacy, now, "m1"), client(t, legacy, now)
	afterwards := parse(t, good.Cert).NotAfter.Add(30 * time.Minute)
	young := server(t, ca, afterwards, "m1")

	for _, tc := range []struct {
		name           string
		server, client *tls.Config
		serverSays     string // empty: accepted
		clientSays     string
	}{
		{"accepted", engineTLS(t, engine, roots, now), clientTLS(t, &good, roots, now), "", ""},
		{"docker-machine's authority", engineTLS(t, legacyEngine, legacyPair.Cert, now), clientTLS(t, &legacyClient, legacyPair.Cert, now), "", ""},
		{"no client certificate", engineTLS(t, engine, roots, now), clientTLS(t, nil, roots, now), "didn't provide a certificate", "certificate required"},
		{"client of another authority", engineTLS(t, engine, roots, now), clientTLS(t, &foreign, roots, now), "certificate signed by unknown authority", "unknown certificate authority"},
		{"expired client", engineTLS(t, young, roots, afterwards), clientTLS(t, &good, roots, afterwards), "expired", "expired certificate"},
		{"client not yet expired", engineTLS(t, young, roots, afterwards), clientTLS(t, &stale, roots, afterwards), "", ""},
		{"server certificate as client", engineTLS(t, engine, roots, now), clientTLS(t, &engine, roots, now), "incompatible key usage", "bad certificate"},
		{"client certificate as server", engineTLS(t, good, roots, now), clientTLS(t, &good, roots, now), "bad certificate", "m1"},
		{"engine of another authority", engineTLS(t, server(t, other, now, "m1"), roots, now), clientTLS(t, &good, roots, now), "bad certificate", "unknown authority"},
		{"other host", engineTLS(t, server(t, ca, now, "m2"), roots, now), clientTLS(t, &good, roots, now), "bad certificate", "not m1"},
		{"expired engine", engineTLS(t, engine, roots, afterwards), clientTLS(t, &stale, roots, afterwards), "bad certificate", "expired"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			serverErr, clientErr := shake(t, tc.server, tc.client)
			says(t, "server", serverErr, tc.serverSays)
			says(t, "client", clientErr, tc.clientSays)
		})
	}
}

func says(t *testing.T, who string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s refused: %v", who, err)
	case want != "" && err == nil:
		t.Errorf("%s accepted, want %q", who, want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Errorf("%s says %q, want %q in it", who, err, want)
	}
}

func TestHandshakeOldTLS(t *testing.T) {
	t.Parallel()
	now := noon()
	ca := newCA(t, now)
	pair := client(t, ca, now)
	old := clientTLS(t, &pair, ca.Pair().Cert, now)
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	serverErr, clientErr := shake(t, engineTLS(t, server(t, ca, now, "m1"), ca.Pair().Cert, now), old)
	says(t, "server", serverErr, "unsupported versions")
	says(t, "client", clientErr, "protocol version not supported")

	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	serverErr, clientErr = shake(t, engineTLS(t, server(t, ca, now, "m1"), ca.Pair().Cert, now), old)
	says(t, "server", serverErr, "")
	says(t, "client", clientErr, "")
}

// While an authority is replaced, each machine and each client changes at a time of
// its own. Whatever the order, nobody is locked out as long as both trust both.
func TestRotation(t *testing.T) {
	t.Parallel()
	now := noon()
	legacyPair := legacyCA(t, now, 2048)
	legacy, err := ParseCA(legacyPair.Cert, legacyPair.Key)
	if err != nil {
		t.Fatal(err)
	}
	first, second := newCA(t, now), newCA(t, now)
	for name, cas := range map[string][2]*CA{"same kind": {first, second}, "from docker-machine's": {legacy, second}} {
		before, after := cas[0], cas[1]
		both := Bundle(before.Pair().Cert, after.Pair().Cert)
		engines := map[string]Pair{"old engine": server(t, before, now, "m1"), "new engine": server(t, after, now, "m1")}
		clients := map[string]Pair{"old client": client(t, before, now), "new client": client(t, after, now)}
		for ename, engine := range engines {
			for cname, c := range clients {
				t.Run(name+"/"+ename+"/"+cname, func(t *testing.T) {
					t.Parallel()
					serverErr, clientErr := shake(t, engineTLS(t, engine, both, now), clientTLS(t, &c, both, now))
					says(t, "server", serverErr, "")
					says(t, "client", clientErr, "")
				})
			}
		}
		// Once the old one is dropped, it opens nothing.
		gone := clients["old client"]
		serverErr, _ := shake(t, engineTLS(t, engines["new engine"], after.Pair().Cert, now), clientTLS(t, &gone, both, now))
		says(t, "server", serverErr, "unknown authority")
		if err := Verify(gone, Need{Roots: after.Pair().Cert, Client: true, Now: now}); !errors.Is(err, ErrAuthority) {
			t.Errorf("Got %v", err)
		}
	}
}
