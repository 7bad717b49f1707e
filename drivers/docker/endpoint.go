package docker

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/hostsmith/machine/drivers"
)

// Endpoint is where an Engine answers and how to speak TLS with it. It is
// recorded with a machine, so that later commands do not depend on the
// environment.
type Endpoint struct {
	Host string `json:"host,omitempty"` // unix://, npipe://, tcp:// or ssh://
	// CertPath is a folder with ca.pem, cert.pem and key.pem; empty: no TLS.
	CertPath string `json:"certPath,omitempty"`
}

// scheme returns what stands before "://".
func (e Endpoint) scheme() string {
	scheme, _, _ := strings.Cut(e.Host, "://")
	return scheme
}

// remote returns the name of the engine's computer, or "" if it is this one.
func (e Endpoint) remote() string {
	switch e.scheme() {
	case "tcp", "ssh":
	default:
		return ""
	}
	u, err := url.Parse(e.Host)
	if err != nil {
		return ""
	}
	host := u.Hostname()
	if a, err := netip.ParseAddr(host); host == "localhost" || err == nil && a.IsLoopback() {
		return ""
	}
	return host
}

// parseEndpoint checks the address of an Engine.
func parseEndpoint(s, goos string) (Endpoint, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || rest == "" {
		return Endpoint{}, fmt.Errorf("%q is no address of an Engine", s)
	}
	switch scheme {
	case "unix":
		if !strings.HasPrefix(rest, "/") {
			return Endpoint{}, fmt.Errorf("%q has no absolute path", s)
		}
	case "npipe":
		if goos != "windows" {
			return Endpoint{}, fmt.Errorf("%q: named pipes exist on Windows only", s)
		}
	case "tcp":
		if _, _, err := net.SplitHostPort(strings.TrimSuffix(rest, "/")); err != nil {
			return Endpoint{}, fmt.Errorf("%q has no host and port", s)
		}
		s = strings.TrimSuffix(s, "/")
	case "ssh":
		if _, err := parseSSH(s); err != nil {
			return Endpoint{}, err
		}
	default:
		return Endpoint{}, fmt.Errorf("%q: unknown protocol %s", s, scheme)
	}
	return Endpoint{Host: s}, nil
}

// finder looks for the Engine that the docker client would use.
type finder struct {
	getenv   func(string) string
	goos     string
	readFile func(string) ([]byte, error)
	exists   func(string) bool
}

// resolve returns the endpoint that the option or the environment names, else
// the local one. It speaks with nobody.
func resolve(option string, getenv func(string) string) (Endpoint, error) {
	return finder{
		getenv: getenv, goos: runtime.GOOS, readFile: os.ReadFile,
		exists: func(path string) bool { _, err := os.Stat(path); return err == nil },
	}.resolve(option)
}

// resolve looks at the option, DOCKER_HOST, the docker context and the usual
// sockets, in this order. While DOCKER_MACHINE_NAME is set, DOCKER_HOST points
// at one of our own machines, which is no place to make machines.
func (f finder) resolve(option string) (Endpoint, error) {
	host := f.getenv("DOCKER_HOST")
	ofMachine := f.getenv("DOCKER_MACHINE_NAME") != ""
	if ofMachine {
		host = ""
	}
	if option != "" {
		host = option
	}
	if host == "" {
		ep, err := f.context()
		if err != nil || ep.Host != "" {
			return ep, err
		}
		return f.local(), nil
	}
	ep, err := parseEndpoint(host, f.goos)
	if err != nil {
		return Endpoint{}, fmt.Errorf("find the Docker Engine: %w: %w", drivers.ErrOption, err)
	}
	if ep.scheme() == "tcp" && !ofMachine && f.getenv("DOCKER_TLS_VERIFY") != "" {
		if ep.CertPath = f.getenv("DOCKER_CERT_PATH"); ep.CertPath == "" {
			ep.CertPath = f.config()
		}
		if ep.CertPath, err = filepath.Abs(ep.CertPath); err != nil {
			return Endpoint{}, fmt.Errorf("find the certificates of the Docker Engine: %w", err)
		}
	}
	return ep, nil
}

// local returns the socket of an Engine on this computer: the first that
// exists, else the one that an installed Engine would have.
func (f finder) local() Endpoint {
	if f.goos == "windows" {
		return Endpoint{Host: "npipe:////./pipe/docker_engine"}
	}
	const usual = "/var/run/docker.sock"
	sockets := []string{usual}
	if home := f.home(); home != "" {
		sockets = append(sockets, filepath.Join(home, ".docker/run/docker.sock"), filepath.Join(home, ".docker/desktop/docker.sock"))
	}
	if run := f.getenv("XDG_RUNTIME_DIR"); run != "" {
		sockets = append(sockets, filepath.Join(run, "docker.sock"))
	}
	for _, socket := range sockets {
		if f.exists(socket) {
			return Endpoint{Host: "unix://" + socket}
		}
	}
	return Endpoint{Host: "unix://" + usual}
}

func (f finder) home() string {
	if f.goos == "windows" {
		return f.getenv("USERPROFILE")
	}
	return f.getenv("HOME")
}

// config returns the folder of the docker client's configuration; empty: unknown.
func (f finder) config() string {
	if dir := f.getenv("DOCKER_CONFIG"); dir != "" {
		return dir
	}
	if home := f.home(); home != "" {
		return filepath.Join(home, ".docker")
	}
	return ""
}

// errNoContext is a docker context that is named and does not exist.
var errNoContext = errors.New("no such docker context")
