package lifecycle

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/provision"
	"github.com/hostsmith/machine/provision/ssh"
)

// engine calls the Docker Engine API of one machine over TLS. It implements
// swarmboot.Engine.
type engine struct {
	name   string // the machine's
	base   string // https://host:port
	client *http.Client
	tunnel *tunnel // nil: reached directly
}

// APIError is an answer of 400 or above of an engine.
type APIError struct {
	Status  int
	Text    string
	Request string // method and path
}

func (e *APIError) Error() string {
	return fmt.Sprintf("%s: engine answers %d: %s", e.Request, e.Status, e.Text)
}

// StatusCode returns the HTTP status.
func (e *APIError) StatusCode() int { return e.Status }

// Message returns what the engine said.
func (e *APIError) Message() string { return e.Text }

// Do implements swarmboot.Engine.
func (e *engine) Do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, e.base+path, body)
	if err != nil {
		return err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := e.client.Do(req)
	if err != nil {
		var ue *url.Error // repeats the method and the whole URL
		if errors.As(err, &ue) {
			err = ue.Err
		}
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return fmt.Errorf("%s %s of %s: %w", method, path, e.name, err)
	}
	defer resp.Body.Close()
	if w, ok := out.(io.Writer); ok && resp.StatusCode < 400 {
		if _, err := io.Copy(w, resp.Body); err != nil {
			return fmt.Errorf("%s %s of %s: %w", method, path, e.name, cmp.Or(context.Cause(ctx), err))
		}
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("%s %s of %s: %w", method, path, e.name, err)
	}
	if resp.StatusCode >= 400 {
		return e.refusal(resp.StatusCode, method, path, data)
	}
	if out == nil || len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("%s %s of %s: %w", method, path, e.name, err)
	}
	return nil
}

// dialFunc reaches an address, perhaps through a tunnel.
type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// engineURL returns where the machine's engine answers, as docker clients write it.
func (x *machine) engineURL() string {
	if u, ok := x.drv.(drivers.Unmanaged); ok {
		return u.EngineURL()
	}
	if x.rec.Address.Host == "" {
		return ""
	}
	if x.rec.OverSSH {
		return x.sshURL()
	}
	return "tcp://" + net.JoinHostPort(x.rec.Address.Host, strconv.Itoa(x.clientPort()))
}

// enginePort is where the engine listens on its host, clientPort where a client reaches it.
func (x *machine) enginePort() int {
	if p := x.rec.HostOptions.EngineOptions.Port; p != 0 {
		return p
	}
	if p := x.rec.Address.EnginePort; p != 0 && (x.own() || x.driverless()) {
		return p // nothing stands between such a host's port and the client's
	}
	return provision.DefaultPort
}

func (x *machine) clientPort() int {
	if p := x.rec.Address.EnginePort; p != 0 {
		return p
	}
	return x.enginePort()
}

// engine opens the machine's engine with what is on disk. dial may be nil.
func (x *machine) engine(ctx context.Context, dial dialFunc) (*engine, error) {
	if x.rec.OverSSH {
		return x.engineOverSSH()
	}
	base, err := x.engineBase()
	if err != nil {
		return nil, err
	}
	conf, err := x.clientTLS(ctx)
	if err != nil {
		return nil, fmt.Errorf("open engine of %q: %w", x.rec.Name, err)
	}
	if dial != nil || x.rec.SSH.Jump == "" {
		return newEngine(x.rec.Name, base, conf, dial), nil
	}
	t := &tunnel{target: x.target()}
	eng := newEngine(x.rec.Name, base, conf, t.dial)
	eng.tunnel = t
	return eng, nil
}

// tunnel reaches an engine behind a jump host through an SSH connection that is made when it is
// first needed.
type tunnel struct {
	target ssh.Target

	mu   sync.Mutex
	conn *ssh.Client
}

func (t *tunnel) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := t.login(ctx)
	if err != nil {
		return nil, err
	}
	return conn.DialContext(ctx, network, addr)
}

func (t *tunnel) login(ctx context.Context) (*ssh.Client, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn == nil {
		conn, err := ssh.Dial(ctx, t.target)
		if err != nil {
			return nil, err
		}
		t.conn = conn
	}
	return t.conn, nil
}

func (t *tunnel) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn != nil {
		_ = t.conn.Close() // nothing is under way
		t.conn = nil
	}
}

func (x *machine) engineBase() (string, error) {
	raw := x.engineURL()
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("open engine of %q: %w", x.rec.Name, ErrNotRunning)
	}
	return "https://" + u.Host, nil
}

// connectLimit bounds connecting and the handshake each. It is longer than a list waits: there an engine
// that does not answer is late, not broken.
const connectLimit = listTimeout + 5*time.Second

func newEngine(name, base string, conf *tls.Config, dial dialFunc) *engine {
	if dial == nil {
		dial = (&net.Dialer{Timeout: connectLimit}).DialContext
	}
	return &engine{name: name, base: base, client: &http.Client{Transport: &http.Transport{
		DialContext:         dial,
		TLSClientConfig:     conf,
		TLSHandshakeTimeout: connectLimit,
		// An engine takes 20 s to answer a join that finds nobody; one that hangs never answers.
		ResponseHeaderTimeout: time.Minute,
		MaxIdleConns:          2,
		IdleConnTimeout:       30 * time.Second,
	}}}
}

// lightly has the next connection agree on its keys without the exchange that also withstands quantum computers. It is a
// quarter of a handshake's work on both sides, and an engine's version is no secret.
func (e *engine) lightly() {
	if t, ok := e.client.Transport.(*http.Transport); ok && t.TLSClientConfig != nil { // else it is reached through SSH
		t.TLSClientConfig = t.TLSClientConfig.Clone()
		t.TLSClientConfig.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}
	}
}

// close drops idle connections.
func (e *engine) close() {
	e.client.CloseIdleConnections()
	if e.tunnel != nil {
		e.tunnel.close()
	}
}

// engineVersion is what an engine says of itself.
type engineVersion struct {
	Version       string
	APIVersion    string `json:"ApiVersion"`
	MinAPIVersion string
	Os, Arch      string
}

func (e *engine) version(ctx context.Context) (v engineVersion, err error) {
	err = e.Do(ctx, http.MethodGet, "/version", nil, &v)
	return v, err
}

// tlsProblem tells whether err comes from certificates, which waiting does not heal.
func tlsProblem(err error) bool {
	var verify *tls.CertificateVerificationError
	var alert tls.AlertError
	return errors.As(err, &verify) || errors.As(err, &alert)
}
