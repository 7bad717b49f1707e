package provision

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// The tests of this file provision real hosts: system containers of an image with
// systemd and without an engine, whose name on the local Docker Engine
// MACHINE_TEST_IMAGE gives. They install packages from the distribution's mirrors.

// node is a system container, and a Runner for it.
type node struct {
	name string
	user string // empty: root
}

func startNode(t *testing.T) node {
	t.Helper()
	image := os.Getenv("MACHINE_TEST_IMAGE")
	if image == "" {
		t.Skip("MACHINE_TEST_IMAGE names no image of a system container")
	}
	b := make([]byte, 4)
	_, _ = rand.Read(b)
	n := node{name: fmt.Sprintf("prov-%x", b)}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		_ = exec.CommandContext(ctx, "docker", "rm", "-fv", n.name).Run()
		_ = exec.CommandContext(ctx, "docker", "volume", "rm", "-f", n.name).Run()
	})
	out, err := exec.CommandContext(t.Context(), "docker", "run", "-d", "--name", n.name, "--hostname", n.name, "--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE",
		"--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined", "--security-opt", "systempaths=unconfined",
		"--device-cgroup-rule", "a *:* rwm", "--cgroupns=private", "--tmpfs", "/run:exec", "--tmpfs", "/run/lock", "--tmpfs", "/tmp:exec",
		"-v", n.name+":/var/lib/docker", image).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	n.await(t)
	return n
}

// await waits until the host has booted.
func (n node) await(t *testing.T) {
	t.Helper()
	for range 300 {
		state, _ := exec.CommandContext(t.Context(), "docker", "exec", n.name, "systemctl", "is-system-running").Output()
		if s := strings.TrimSpace(string(state)); s == "running" || s == "degraded" {
			return
		}
		<-time.After(100 * time.Millisecond)
	}
	t.Fatal("the container does not come up")
}

func (n node) Run(ctx context.Context, cmd string, stdin io.Reader, stdout io.Writer) error {
	args := []string{"exec", "-i"}
	if n.user != "" {
		args = append(args, "-u", n.user)
	}
	c := exec.CommandContext(ctx, "docker", append(args, n.name, "bash", "-c", cmd)...)
	var stderr bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr, c.WaitDelay = stdin, stdout, &stderr, 5*time.Second
	err := c.Run()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return &exitError{exit.ExitCode(), stderr.String()}
	}
	return err
}

// sh runs a command on the host and returns what it prints.
func (n node) sh(t *testing.T, script string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "docker", "exec", n.name, "bash", "-c", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}

// identity is a CA with a server and a client certificate.
type identity struct {
	tls    TLS
	client *tls.Config
}

func newIdentity(t *testing.T) identity {
	t.Helper()
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	issue := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (certPEM, keyPEM []byte, key *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if signer == nil {
			signer = key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
		if err != nil {
			t.Fatal(err)
		}
		pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), key
	}
	caPEM, _, caKey := issue(ca, ca, nil)
	leaf := func(usage x509.ExtKeyUsage) ([]byte, []byte) {
		c, k, _ := issue(&x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage}}, ca, caKey)
		return c, k
	}
	var id identity
	id.tls.CA = caPEM
	id.tls.Cert, id.tls.Key = leaf(x509.ExtKeyUsageServerAuth)
	pair, err := tls.X509KeyPair(leaf(x509.ExtKeyUsageClientAuth))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(caPEM)
	id.client = &tls.Config{RootCAs: pool, ServerName: "localhost", Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	return id
}

// version asks the host's engine over TLS.
func (n node) version(t *testing.T, port int, config *tls.Config) (string, error) {
	t.Helper()
	ip, err := exec.CommandContext(t.Context(), "docker", "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", n.name).Output()
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+net.JoinHostPort(strings.TrimSpace(string(ip)), fmt.Sprint(port))+"/version", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	_, after, _ := strings.Cut(string(body), `"Version":"`)
	version, _, _ := strings.Cut(after, `"`)
	return version, err
}

// provision does what a caller does, and returns the facts that it began with.
func (n node) provision(t *testing.T, e Engine, id identity) (*journal, error) {
	t.Helper()
	f, err := Probe(t.Context(), n, e)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := Plan(f, e, id.tls)
	if err != nil {
		return nil, err
	}
	var j journal
	err = Apply(t.Context(), n, steps, j.step)
	t.Logf("%s\n%v", j.String(), err)
	return &j, err
}

// settledPlan fails unless nothing is left to do.
func (n node) settledPlan(t *testing.T, e Engine, id identity) Facts {
	t.Helper()
	f, err := Probe(t.Context(), n, e)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := Plan(f, e, id.tls)
	if err != nil || len(steps) != 0 {
		t.Errorf("a second plan is not empty: %v\n%s", err, render(steps))
	}
	return f
}

func (n node) starts(t *testing.T) string {
	return n.sh(t, "journalctl -u docker.service -o cat --no-pager | grep -c 'Daemon has completed initialization' || :")
}

// serve serves to the host and returns the base URL.
func (n node) serve(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return "http://" + n.sh(t, "ip route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p'") + ":" + port
}

// isNewest fails the test if another upgrade would do anything to the engine.
func (n node) isNewest(t *testing.T, e Engine) {
	t.Helper()
	f, err := Probe(t.Context(), n, e)
	if err != nil {
		t.Fatal(err)
	}
	if steps, err := planPackages(f, e); err != nil || len(steps) > 0 {
		t.Errorf("%+v: %s is installed, %q is to be had: %v, %v", e, f.PackageVersion, f.Candidate, steps, err)
	}
}
