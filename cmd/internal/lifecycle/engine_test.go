package lifecycle

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/store"
)

// urlDriver is a machine that is only a URL.
type urlDriver struct{ url string }

type urlConfig struct {
	URL string `option:"=url" help:"where the engine answers" required:"true"`
}

func urlFactory() drivers.Factory {
	return drivers.Define("url", "only a URL", func() urlConfig { return urlConfig{} },
		func(c urlConfig, _ *drivers.Durable[struct{}], _ drivers.Env) (drivers.Driver, error) {
			return urlDriver{c.URL}, nil
		})
}

func (d urlDriver) EngineURL() string                                 { return d.url }
func (urlDriver) Check(context.Context) error                         { return nil }
func (urlDriver) Create(context.Context, drivers.CreateRequest) error { return nil }
func (urlDriver) Start(context.Context) error                         { return drivers.ErrUnsupported }
func (urlDriver) Stop(context.Context) error                          { return drivers.ErrUnsupported }
func (urlDriver) Remove(context.Context) error                        { return nil }
func (d urlDriver) Status(context.Context) (drivers.Status, error) {
	u, err := url.Parse(d.url)
	return drivers.Status{State: drivers.Running, Host: u.Hostname()}, err
}

// stubEngine is an engine that answers clients of the manager's authority.
func stubEngine(t *testing.T, m *Manager, api http.HandlerFunc) string {
	t.Helper()
	a, err := m.ensureAuthority(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := a.ca.Server([]string{"127.0.0.1"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(a.trust)
	srv := httptest.NewUnstartedServer(api)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return "tcp://" + srv.Listener.Addr().String()
}

func versionAPI(w http.ResponseWriter, _ *http.Request) {
	_ = json.NewEncoder(w).Encode(map[string]string{"Version": "28.5.2", "ApiVersion": "1.51"})
}

func createURL(t *testing.T, m *Manager, names []string, url string) {
	t.Helper()
	_, err := m.Create(t.Context(), CreateRequest{Names: names, Driver: "url", Options: drivers.Values{"url": {url}}})
	if err != nil {
		t.Fatal(err)
	}
}

func TestUnmanagedMachine(t *testing.T) {
	t.Parallel()
	m, _ := newManager(t, urlFactory())
	url := stubEngine(t, m, versionAPI)
	createURL(t, m, []string{"u1"}, url)

	ep, err := m.Endpoint(t.Context(), "u1", false)
	if err != nil || ep.URL != url || ep.IP != "127.0.0.1" || ep.CertPath != m.Store.CertsDir() {
		t.Errorf("endpoint %+v, %v", ep, err)
	}
	if v, err := m.EngineVersion(t.Context(), "u1"); err != nil || v != "28.5.2" {
		t.Errorf("version %q, %v", v, err)
	}
	if name, err := m.Active(t.Context(), url, time.Second); err != nil || name != "u1" {
		t.Errorf("active %q, %v", name, err)
	}
	if _, err := m.Active(t.Context(), "tcp://192.0.2.1:1", time.Second); !errors.Is(err, ErrNoActive) {
		t.Errorf("active of another host: %v", err)
	}
	rows, err := m.List(t.Context(), ListRequest{DockerHost: url})
	if err != nil || len(rows) != 1 || rows[0].Active != "*" || rows[0].DockerVersion != "v28.5.2" || rows[0].State != drivers.Running {
		t.Errorf("rows %+v, %v", rows, err)
	}
	_, err = m.Create(t.Context(), CreateRequest{Names: []string{"u1"}, Driver: "url", Options: drivers.Values{"url": {url}}})
	if !errors.Is(err, store.ErrExist) {
		t.Errorf("create again: %v", err)
	}
	for what, err := range map[string]error{
		"provision": m.Provision(t.Context(), ProvisionRequest{Names: []string{"u1"}}),
		"stop":      m.Stop(t.Context(), []string{"u1"}),
	} {
		if !errors.Is(err, drivers.ErrUnsupported) {
			t.Errorf("%s: %v", what, err)
		}
	}
	var already *AlreadyError
	if err := m.Start(t.Context(), []string{"u1"}); !errors.As(err, &already) {
		t.Errorf("start: %v", err)
	}
	removed, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"u1", "u2"}})
	if len(removed) != 1 || !errors.Is(err, store.ErrNotExist) {
		t.Errorf("removed %v, %v", removed, err)
	}
	if names, err := m.Names(); err != nil || len(names) != 0 {
		t.Errorf("left: %v, %v", names, err)
	}
}

func TestEngineOfAnotherAuthorityIsRefused(t *testing.T) {
	t.Parallel()
	m, _ := newManager(t, urlFactory())
	other, _ := newManager(t, urlFactory())
	createURL(t, m, []string{"u1"}, stubEngine(t, other, versionAPI))
	_, err := m.Endpoint(t.Context(), "u1", false)
	if !errors.Is(err, ErrTLS) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
}

// TestListEndsAtItsTimeout lists machines that take connections and never answer.
func TestListEndsAtItsTimeout(t *testing.T) {
	t.Parallel()
	m, _ := newManager(t, urlFactory())
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	names := make([]string, 200)
	for i := range names {
		names[i] = fmt.Sprintf("dead%d", i)
	}
	createURL(t, m, names, "tcp://"+ln.Addr().String())
	createURL(t, m, []string{"alive"}, stubEngine(t, m, versionAPI))
	start := time.Now()
	rows, err := m.List(t.Context(), ListRequest{Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("took %s", took)
	}
	states := map[State]int{}
	for _, r := range rows {
		states[r.State]++
	}
	if states[drivers.Timeout] != 200 || states[drivers.Running] != 1 {
		t.Errorf("states: %v", states)
	}
}

func TestBadRecordSpoilsOneRow(t *testing.T) {
	t.Parallel()
	m, _ := newManager(t, urlFactory())
	createURL(t, m, []string{"a", "b"}, stubEngine(t, m, versionAPI))
	if err := os.WriteFile(filepath.Join(m.Store.MachineDir("a"), "config.json"), []byte(`{"ConfigVersion":4,`), 0o600); err != nil {
		t.Fatal(err)
	}
	rows, err := m.List(t.Context(), ListRequest{})
	if err != nil || len(rows) != 2 || rows[0].State != drivers.Error || rows[0].Error == "" || rows[1].State != drivers.Running {
		t.Errorf("rows %+v, %v", rows, err)
	}
	if _, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"a"}}); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("remove: %v", err)
	}
	if removed, err := m.Remove(t.Context(), RemoveRequest{Names: []string{"a"}, Force: true}); err != nil || len(removed) != 1 {
		t.Errorf("remove by force: %v, %v", removed, err)
	}
}
