package docker

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
)

func TestResolve(t *testing.T) {
	t.Parallel()
	const (
		lab   = "/home/me/.docker/contexts/"
		labID = "a51146d38077ff992eba84cf1d5e9b249073503eb74868699016153b031a38f7" // sha256 of its name
	)
	for name, c := range map[string]struct {
		option string
		env    map[string]string
		goos   string
		files  map[string]string
		want   Endpoint
		fails  error
	}{
		"nothing said":    {want: Endpoint{Host: "unix:///var/run/docker.sock"}},
		"windows":         {goos: "windows", want: Endpoint{Host: "npipe:////./pipe/docker_engine"}},
		"desktop's":       {files: map[string]string{"/home/me/.docker/run/docker.sock": ""}, want: Endpoint{Host: "unix:///home/me/.docker/run/docker.sock"}},
		"rootless":        {env: map[string]string{"XDG_RUNTIME_DIR": "/run/user/7"}, files: map[string]string{"/run/user/7/docker.sock": ""}, want: Endpoint{Host: "unix:///run/user/7/docker.sock"}},
		"usual one first": {files: map[string]string{"/var/run/docker.sock": "", "/home/me/.docker/run/docker.sock": ""}, want: Endpoint{Host: "unix:///var/run/docker.sock"}},
		"environment":     {env: map[string]string{"DOCKER_HOST": "tcp://192.0.2.7:2375"}, want: Endpoint{Host: "tcp://192.0.2.7:2375"}},
		"with TLS": {
			env:  map[string]string{"DOCKER_HOST": "tcp://192.0.2.7:2376/", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/certs"},
			want: Endpoint{Host: "tcp://192.0.2.7:2376", CertPath: "/certs"},
		},
		"with TLS, usual place": {
			env:  map[string]string{"DOCKER_HOST": "tcp://192.0.2.7:2376", "DOCKER_TLS_VERIFY": "1"},
			want: Endpoint{Host: "tcp://192.0.2.7:2376", CertPath: "/home/me/.docker"},
		},
		"no TLS on a socket": {env: map[string]string{"DOCKER_HOST": "unix:///s", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/certs"}, want: Endpoint{Host: "unix:///s"}},
		"a machine of ours": {
			env:  map[string]string{"DOCKER_HOST": "tcp://172.28.0.2:2376", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/m", "DOCKER_MACHINE_NAME": "m1"},
			want: Endpoint{Host: "unix:///var/run/docker.sock"},
		},
		"option before environment": {
			option: "tcp://192.0.2.8:2375", env: map[string]string{"DOCKER_HOST": "tcp://192.0.2.7:2375"},
			want: Endpoint{Host: "tcp://192.0.2.8:2375"},
		},
		"option, certificates of a machine": {
			option: "tcp://192.0.2.8:2375", env: map[string]string{"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/m", "DOCKER_MACHINE_NAME": "m1"},
			want: Endpoint{Host: "tcp://192.0.2.8:2375"},
		},
		"malformed": {env: map[string]string{"DOCKER_HOST": "here"}, fails: drivers.ErrOption},
		"context of the configuration": {
			files: map[string]string{
				"/home/me/.docker/config.json":          `{"currentContext":"lab"}`,
				lab + "meta/" + labID + "/meta.json":    `{"Name":"lab","Endpoints":{"docker":{"Host":"tcp://192.0.2.9:2376"}}}`,
				lab + "tls/" + labID + "/docker/ca.pem": "",
			},
			want: Endpoint{Host: "tcp://192.0.2.9:2376", CertPath: lab + "tls/" + labID + "/docker"},
		},
		"context of the environment": {
			env: map[string]string{"DOCKER_CONTEXT": "lab", "DOCKER_CONFIG": "/c"},
			files: map[string]string{
				"/c/config.json": `{"currentContext":"other"}`,
				"/c/contexts/meta/" + labID + "/meta.json": `{"Endpoints":{"docker":{"Host":"unix:///lab.sock"}}}`,
			},
			want: Endpoint{Host: "unix:///lab.sock"},
		},
		"environment before context": {
			env:   map[string]string{"DOCKER_HOST": "unix:///s"},
			files: map[string]string{"/home/me/.docker/config.json": `{"currentContext":"lab"}`},
			want:  Endpoint{Host: "unix:///s"},
		},
		"default context":          {env: map[string]string{"DOCKER_CONTEXT": "default"}, want: Endpoint{Host: "unix:///var/run/docker.sock"}},
		"context that is gone":     {env: map[string]string{"DOCKER_CONTEXT": "lab"}, fails: errNoContext},
		"configuration is garbage": {files: map[string]string{"/home/me/.docker/config.json": `{`}, want: Endpoint{Host: "unix:///var/run/docker.sock"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.goos == "" {
				c.goos = "linux"
			}
			f := finder{
				goos: c.goos,
				getenv: func(k string) string {
					if k == "HOME" || k == "USERPROFILE" {
						return "/home/me"
					}
					return c.env[k]
				},
				readFile: func(p string) ([]byte, error) {
					if b, ok := c.files[p]; ok {
						return []byte(b), nil
					}
					return nil, fs.ErrNotExist
				},
				exists: func(p string) bool { _, ok := c.files[p]; return ok },
			}
			got, err := f.resolve(c.option)
			if got != c.want || !errors.Is(err, c.fails) {
				t.Errorf("got %+v, %v; want %+v, %v", got, err, c.want, c.fails)
			}
		})
	}
}

func TestSSHArguments(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"ssh://example.com":                  "-T -o ConnectTimeout=10 -- example.com docker system dial-stdio",
		"ssh://me@example.com:2222":          "-T -o ConnectTimeout=10 -l me -p 2222 -- example.com docker system dial-stdio",
		"ssh://me@example.com/run/it's.sock": `-T -o ConnectTimeout=10 -l me -- example.com docker --host 'unix:///run/it'\''s.sock' system dial-stdio`,
		"ssh://-oProxyCommand=x@example.com": "",
		"ssh://-oProxyCommand=x":             "",
		"ssh://me:pw@example.com":            "",
		"ssh://":                             "",
		"ssh://example.com?x=1":              "",
		"ssh://example.com:port":             "",
	} {
		target, err := parseSSH(in)
		got := ""
		if err == nil {
			got = strings.Join(target.args(), " ")
		}
		if got != want {
			t.Errorf("%s: got %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestRoutable(t *testing.T) {
	t.Parallel()
	local, remote := Endpoint{Host: "unix:///s"}, Endpoint{Host: "tcp://192.0.2.7:2376"}
	for name, c := range map[string]struct {
		ep       Endpoint
		goos, os string
		security []string
		want     bool
	}{
		"linux":      {local, "linux", "Debian GNU/Linux 12 (bookworm)", []string{"name=seccomp,profile=default"}, true},
		"loopback":   {Endpoint{Host: "tcp://127.0.0.1:2375"}, "linux", "Debian", nil, true},
		"desktop":    {local, "linux", "Docker Desktop", nil, false},
		"mac":        {local, "darwin", "Alpine Linux v3.20", nil, false},
		"windows":    {Endpoint{Host: "npipe:////./pipe/docker_engine"}, "windows", "Docker Desktop", nil, false},
		"rootless":   {local, "linux", "Debian", []string{"name=seccomp,profile=builtin", "name=rootless"}, false},
		"elsewhere":  {remote, "linux", "Debian", nil, false},
		"behind ssh": {Endpoint{Host: "ssh://me@example.com"}, "linux", "Debian", nil, false},
	} {
		if got := routable(c.ep, c.goos, c.os, c.security); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
	if got := publishAddress(remote).String(); got != "0.0.0.0" {
		t.Errorf("a remote engine publishes on %s", got)
	}
	if got := publishAddress(local).String(); got != "127.0.0.1" {
		t.Errorf("a local engine publishes on %s", got)
	}
}

func TestProxyArgs(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		"HTTP_PROXY": "http://proxy.example.com:3128", "https_proxy": "proxy.example.com:3128",
		"FTP_PROXY": "http://localhost:3128", "no_proxy": "example.com",
	}
	got := proxyArgs(func(k string) string { return env[k] })
	keys := make([]string, 0, len(got))
	for k, v := range got {
		keys = append(keys, k+"="+v)
	}
	slices.Sort(keys)
	want := []string{"HTTPS_PROXY=proxy.example.com:3128", "HTTP_PROXY=http://proxy.example.com:3128", "NO_PROXY=example.com"}
	if !slices.Equal(keys, want) {
		t.Errorf("got %q, want %q", keys, want)
	}
	if got := proxyArgs(func(string) string { return "" }); len(got) > 0 {
		t.Errorf("got %v from nothing", got)
	}
	if got := proxyArgs(func(string) string { return "http://127.0.0.1:8080" }); len(got) > 0 {
		t.Errorf("a proxy on loopback gave %v", got)
	}
}
