package docker

import (
	"errors"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
)

func TestParsePublish(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"80":                   "80/tcp 127.0.0.1:",
		"8080:80":              "80/tcp 127.0.0.1:8080",
		"53:53/udp":            "53/udp 127.0.0.1:53",
		"132/sctp":             "132/sctp 127.0.0.1:",
		"0.0.0.0:8080:80/tcp":  "80/tcp 0.0.0.0:8080",
		"192.0.2.1::80":        "80/tcp 192.0.2.1:",
		"[::1]:8080:80":        "80/tcp ::1:8080",
		"":                     "error",
		":":                    "error",
		"0:80":                 "error",
		"80:0":                 "error",
		"65536":                "error",
		"-1":                   "error",
		"http":                 "error",
		"80/icmp":              "error",
		"80/":                  "error",
		"8080-8090:80-90":      "error",
		"example.com:8080:80":  "error",
		"::1:8080:80":          "error",
		"1:2:3:4":              "error",
		"[::1:8080:80":         "error",
		" 80":                  "error",
		"127.0.0.1:8080:80:80": "error",
	} {
		p, err := parsePublish(in)
		got := "error"
		if err == nil {
			got = p.port.String() + " " + p.binding.HostIP.String() + ":" + p.binding.HostPort
		}
		if got != want {
			t.Errorf("%q: got %s (%v), want %s", in, got, err, want)
		}
	}
}

func TestParseVolume(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]mounted{
		"data:/data":               {"data", "/data", ""},
		"/srv/www:/var/www:ro":     {"/srv/www", "/var/www", "ro"},
		"/srv:/srv/:ro,z":          {"/srv", "/srv", "ro,z"},
		`C:\Users\me:/home/me`:     {`C:\Users\me`, "/home/me", ""},
		`C:/Users/me:/home/me:ro`:  {`C:/Users/me`, "/home/me", "ro"},
		`\\server\share:/mnt`:      {`\\server\share`, "/mnt", ""},
		"/with:colon:/target":      {},
		"":                         {},
		"/data":                    {},
		"data":                     {},
		"data:":                    {},
		"data:relative":            {},
		"data:/x:":                 {},
		":/x":                      {},
		"data:/":                   {},
		"data:/x/..":               {},
		"./here:/x":                {},
		"../up:/x":                 {},
		"-rf:/x":                   {},
		"a b:/x":                   {},
		"data:/x:ro:rw":            {},
		"/var/run/docker.sock:/s:": {},
	} {
		got, err := parseVolume(in)
		if got != want || (err == nil) != (want != mounted{}) {
			t.Errorf("%q: got %+v, %v; want %+v", in, got, err, want)
		}
	}
}

// FuzzParse demands that what is accepted is what an engine can read, and the
// same when it is read again.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"80", "8080:80/udp", "[::1]:1:2", "127.0.0.1::80", "a:/b", "/a:/b:ro", `C:\a:/b`, "ssh://u@h:22/p", "tcp://h:1", "unix:///s"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := parsePublish(s); err == nil {
			if !p.port.IsValid() || p.port.Num() == 0 || !p.binding.HostIP.IsValid() || p.binding.HostPort == "0" {
				t.Errorf("%q gave %+v", s, p)
			}
		}
		if m, err := parseVolume(s); err == nil {
			again, err := parseVolume(m.String())
			if err != nil || again != m || !strings.HasPrefix(m.target, "/") || m.target == "/" || m.source == "" {
				t.Errorf("%q gave %+v, and then %+v, %v", s, m, again, err)
			}
		}
		if e, err := parseEndpoint(s, "linux"); err == nil {
			if again, err := parseEndpoint(e.Host, "linux"); err != nil || again != e {
				t.Errorf("%q gave %+v, and then %+v, %v", s, e, again, err)
			}
			if e.scheme() == "ssh" {
				target, _ := parseSSH(e.Host)
				for i, a := range target.args() {
					if a == "--" && strings.HasPrefix(target.args()[i+1], "-") {
						t.Errorf("%q gives ssh an option as host: %q", s, target.args())
					}
				}
			}
		}
	})
}

func TestConfigure(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		values drivers.Values
		bad    string // option; empty: fine
	}{
		"defaults":             {nil, ""},
		"all":                  {drivers.Values{"docker-suite": {"trixie"}, "docker-no-engine": {"true"}, "docker-memory": {"2g"}, "docker-cpus": {"1.5"}, "docker-publish": {"80", "81:81"}, "docker-volume": {"a:/a"}, "docker-network": {"lab"}, "docker-subnet": {"172.30.0.0/24"}, "docker-address": {"172.30.0.9"}, "docker-access": {"published"}, "docker-engine": {"ssh://me@example.com"}, "docker-base": {"debian:sid-slim"}}, ""},
		"other release":        {drivers.Values{"docker-suite": {"woody"}}, "docker-suite"},
		"image and no engine":  {drivers.Values{"docker-image": {"x"}, "docker-no-engine": {"true"}}, "docker-no-engine"},
		"too little memory":    {drivers.Values{"docker-memory": {"64m"}}, "docker-memory"},
		"no processors":        {drivers.Values{"docker-cpus": {"0"}}, "docker-cpus"},
		"host network":         {drivers.Values{"docker-network": {"host"}}, "docker-network"},
		"other's namespace":    {drivers.Values{"docker-network": {"container:x"}}, "docker-network"},
		"tiny subnet":          {drivers.Values{"docker-subnet": {"172.30.0.0/30"}}, "docker-subnet"},
		"address out of range": {drivers.Values{"docker-subnet": {"172.30.0.0/24"}, "docker-address": {"172.31.0.9"}}, "docker-address"},
		"password":             {drivers.Values{"docker-engine": {"ssh://me:secret@example.com"}}, "docker-engine"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := New().Configure(c.values)
			var oe *drivers.OptionError
			switch {
			case c.bad == "" && err != nil:
				t.Error(err)
			case c.bad != "" && (!errors.As(err, &oe) || oe.Option != c.bad):
				t.Errorf("got %v, want an error about %s", err, c.bad)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("%v holds the password", err)
			}
		})
	}
}

// TestVariablesAreOurs demands that no option is read from a variable that the
// docker client reads, and each from one of its own.
func TestVariablesAreOurs(t *testing.T) {
	t.Parallel()
	for _, o := range New().Options() {
		if len(o.Env) != 1 || !strings.HasPrefix(o.Env[0], "MACHINE_DOCKER_") {
			t.Errorf("--%s is read from %q", o.Name, o.Env)
		}
	}
}
