package cli

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
	"flag"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
)

var update = flag.Bool("update", false, "rewrite golden files")

// TestMain makes the test binary the program itself, under both its names, and the programs of this
// computer that it starts: those write down how they were called.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"machine":                    runProgram,
		"docker-machine":             runProgram,
		"docker-machine-driver-fake": runProgram,
		"recorder":                   record,
	})
}

// urlDriver is a machine that is only a URL, as the built-in driver none.
func urlDriver() drivers.Factory {
	type config struct {
		URL string `option:"=url" env:"URLDRIVER_URL" help:"URL of the engine" required:"true"`
	}
	return drivers.Define("none", "an engine that runs already, by its URL", func() config { return config{} },
		func(c config, _ *drivers.Durable[struct{}], _ drivers.Env) (drivers.Driver, error) {
			return byURL(c.URL), nil
		})
}

type byURL string

func (u byURL) EngineURL() string                                 { return string(u) }
func (byURL) Check(context.Context) error                         { return nil }
func (byURL) Create(context.Context, drivers.CreateRequest) error { return nil }
func (byURL) Start(context.Context) error                         { return drivers.ErrUnsupported }
func (byURL) Stop(context.Context) error                          { return drivers.ErrUnsupported }
func (byURL) Remove(context.Context) error                        { return nil }
func (u byURL) Status(context.Context) (s drivers.Status, err error) {
	host, port, err := net.SplitHostPort(strings.TrimPrefix(string(u), "tcp://"))
	if err != nil {
		return s, err
	}
	_, err = fmt.Sscan(port, &s.EnginePort)
	s.State, s.Host = drivers.Running, host
	return s, err
}

func testDrivers() drivers.Table { return drivers.Table{urlDriver(), fake.New(nil)} }

// testPlugins finds the driver rock, whose options are not among the built-in ones, where TEST_PLUGIN is set.
func testPlugins() func(string) (drivers.Factory, error) {
	if os.Getenv("TEST_PLUGIN") == "" {
		return nil
	}
	type config struct {
		Token drivers.Secret `option:"token" env:"ROCK_TOKEN" help:"who may have rocks"`
	}
	rock := drivers.Define("rock", "rocks", func() config { return config{} },
		func(config, *drivers.Durable[struct{}], drivers.Env) (drivers.Driver, error) {
			return byURL("tcp://127.0.0.1:1"), nil
		})
	return func(name string) (drivers.Factory, error) {
		f, err := drivers.Table{rock}.Lookup(name)
		return loadable{f}, err
	}
}

// loadable is a driver whose options are asked for.
type loadable struct{ drivers.Factory }

func (loadable) Load() error { return nil }

// runProgram is main with drivers that need no provider.
func runProgram() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(Run(ctx, os.Args, Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Getenv: os.Getenv, Environ: os.Environ(),
		Drivers: testDrivers(), Plugins: testPlugins(), Version: "1.2.3", Commit: "abc1234", Now: time.Now,
		Caught: func() bool { return ctx.Err() != nil },
	}))
}

// record appends the name and the arguments of a program to $RECORD, prints the ssh configuration
// that it was given, and exits with $RECORD_EXIT.
func record() {
	f, err := os.OpenFile(os.Getenv("RECORD"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(f, "%s\n", filepath.Base(os.Getenv("RECORD_AS")))
	for i, arg := range os.Args[1:] {
		fmt.Fprintf(f, "  [%s]\n", arg)
		if i > 0 && os.Args[i] == "-F" || strings.HasPrefix(arg, "ssh -F ") {
			name := strings.Trim(strings.TrimPrefix(arg, "ssh -F "), "'")
			if config, err := os.ReadFile(name); err == nil {
				info, _ := os.Stat(name)
				fmt.Fprintf(f, "%v\n%s", info.Mode().Perm(), config)
			}
		}
	}
	if err := f.Close(); err != nil {
		panic(err)
	}
	code := 0
	_, _ = fmt.Sscan(os.Getenv("RECORD_EXIT"), &code)
	os.Exit(code)
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:           filepath.Join("testdata", "script"),
		UpdateScripts: *update,
		Setup:         setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits,
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "sh":
				return runtime.GOOS != "windows", nil
			case "ipv6":
				l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "[::1]:0")
				if err == nil {
					err = l.Close()
				}
				return err == nil, nil
			}
			return false, errors.New("unknown condition " + cond)
		},
	})
}

// exits runs a program and wants an exit code: exits CODE PROGRAM ARG...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strings.Contains(ts.ReadFile("stderr"), "goroutine ") { // a panic exits with 2
		ts.Fatalf("%s panics", strings.Join(args[1:], " "))
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("%s exits with %d, want %s", strings.Join(args[1:], " "), got, args[0])
	}
}

// setup gives a script an empty store, an engine that answers to clients of the store's authority at $ENGINE, an
// SSH server at $SSHPORT, and a provider in a folder.
func setup(e *testscript.Env) error {
	store := filepath.Join(e.WorkDir, "store")
	pki, err := newPKI()
	if err != nil {
		return err
	}
	engine := httptest.NewUnstartedServer(http.HandlerFunc(answer))
	engine.TLS = pki.server
	engine.StartTLS()
	e.Defer(engine.Close)
	engine6 := ""
	if l, err := net.Listen("tcp", "[::1]:0"); err == nil {
		on6 := httptest.NewUnstartedServer(http.HandlerFunc(answer))
		_ = on6.Listener.Close()
		on6.Listener, on6.TLS = l, pki.server
		on6.StartTLS()
		e.Defer(on6.Close)
		engine6 = "tcp://" + l.Addr().String()
	}
	sshd, err := newSSHServer()
	if err != nil {
		return err
	}
	e.Defer(sshd.close)
	images := httptest.NewServer(http.FileServer(http.Dir(filepath.Join(e.WorkDir, "images"))))
	e.Defer(images.Close)
	if err := makeImage(filepath.Join(e.WorkDir, "images")); err != nil {
		return err
	}
	tlsDir := filepath.Join(e.WorkDir, "tls")
	if err := pki.write(tlsDir); err != nil {
		return err
	}
	for name, value := range map[string]string{
		"HOME":                    e.WorkDir,
		"USERPROFILE":             e.WorkDir,
		"SHELL":                   "/bin/bash",
		"MACHINE_STORAGE_PATH":    store,
		"MACHINE_TLS_CA_CERT":     filepath.Join(tlsDir, "ca.pem"),
		"MACHINE_TLS_CA_KEY":      filepath.Join(tlsDir, "ca-key.pem"),
		"MACHINE_TLS_CLIENT_CERT": filepath.Join(tlsDir, "cert.pem"),
		"MACHINE_TLS_CLIENT_KEY":  filepath.Join(tlsDir, "key.pem"),
		"MACHINE_DRIVER":          "",
		"ENGINE":                  "tcp://" + engine.Listener.Addr().String(),
		"ENGINE6":                 engine6,
		"IMAGES":                  images.URL,
		"NOWHERE":                 "tcp://127.0.0.1:1",
		"SSHPORT":                 sshd.port(),
		"FAKE_STATE_DIR":          filepath.Join(e.WorkDir, "provider"),
		"RECORD":                  filepath.Join(e.WorkDir, "record"),
		"STORE":                   store,
		// Where the race detector is in: a race ends a program at once, which fails the script, and none stays for a
		// second after its end, as it would by default.
		"GORACE": "atexit_sleep_ms=0 halt_on_error=1",
	} {
		e.Setenv(name, value)
	}
	return nil
}

// makeImage puts something that may be the image of a disk into a folder that is served at $IMAGES.
func makeImage(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "disk.img"), bytes.Repeat([]byte{0xeb, 0}, 2048), 0o600)
}

// answer is as much of an engine as the program asks for here.
func answer(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Api-Version", "1.51")
	switch {
	case strings.HasSuffix(r.URL.Path, "/version"):
		fmt.Fprint(w, `{"Version":"28.5.2","ApiVersion":"1.51","MinAPIVersion":"1.24"}`)
	case strings.HasSuffix(r.URL.Path, "/_ping"):
		fmt.Fprint(w, "OK")
	default:
		http.NotFound(w, r)
	}
}

// pki is an authority, a server and a client of it.
type pki struct {
	files  map[string][]byte
	server *tls.Config
}

func newPKI() (*pki, error) {
	now := time.Now()
	template := func(serial int64, name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{Organization: []string{name}},
			NotBefore: now.Add(-time.Hour), NotAfter: now.Add(200 * 24 * time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		}
	}
	ca := template(1, "test")
	ca.IsCA, ca.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature
	server := template(2, "test.server")
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	server.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	client := template(3, "test.client")
	client.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}

	p := &pki{files: map[string][]byte{}}
	caKey, err := p.issue(ca, ca, nil, "ca.pem", "ca-key.pem")
	if err != nil {
		return nil, err
	}
	if _, err := p.issue(server, ca, caKey, "server.pem", "server-key.pem"); err != nil {
		return nil, err
	}
	if _, err := p.issue(client, ca, caKey, "cert.pem", "key.pem"); err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(p.files["server.pem"], p.files["server-key.pem"])
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.files["ca.pem"])
	p.server = &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: roots,
		ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
	}
	return p, nil
}

func (p *pki) issue(c, parent *x509.Certificate, by *ecdsa.PrivateKey, certFile, keyFile string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if by == nil {
		by = key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	p.files[certFile] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	p.files[keyFile] = pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})
	return key, nil
}

func (p *pki) write(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name, data := range p.files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}
