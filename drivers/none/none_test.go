package none_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest"
	"github.com/hostsmith/machine/drivers/none"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, drivertest.Harness{
		Existing: true,
		NoPower:  true,
		New: func(testing.TB) drivertest.World {
			return drivertest.World{
				Factory: none.New(),
				Values:  drivers.Values{"url": {"tcp://192.0.2.7:2376"}},
				Bad:     map[string][]string{"url": {"192.0.2.7:2376"}},
				Spoil:   map[string]any{"URL": "nowhere"},
			}
		},
	})
}

// TestLenient: docker-machine took any word for a URL.
func TestLenient(t *testing.T) {
	t.Parallel()
	for url, ok := range map[string]bool{"url5": true, "none": true, "192.0.2.7:2376": true, "tcp://192.0.2.7:2376": true, "": false, "tcp://": false, "tcp://u:p@h:1": false} {
		config, _, err := none.Lenient().Configure(drivers.Values{"url": {url}})
		if (err == nil) != ok {
			t.Errorf("%q: %v", url, err)
		}
		if err != nil {
			continue
		}
		d, err := none.New().Open(config, nil, nil, nil, drivers.Env{})
		if err != nil {
			t.Fatal(err)
		}
		if s, err := d.Status(t.Context()); err != nil || s.State != drivers.Running {
			t.Errorf("%q: %v, %v", url, s, err)
		}
	}
}

// open returns the driver of a stored URL, which Configure may never have seen.
func open(t *testing.T, url string) drivers.Driver {
	t.Helper()
	config, err := json.Marshal(map[string]string{"URL": url})
	if err != nil {
		t.Fatal(err)
	}
	d, err := none.New().Open(config, nil, nil, nil, drivers.Env{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestURLs(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]drivers.Status{
		"tcp://192.0.2.7:2376":            {Host: "192.0.2.7", EnginePort: 2376},
		"tcp://192.0.2.7":                 {Host: "192.0.2.7"},
		"tcp://[2001:db8::1]:2376":        {Host: "2001:db8::1", EnginePort: 2376},
		"https://engine.example.com":      {Host: "engine.example.com"},
		"http://localhost:2375/prefix":    {Host: "localhost", EnginePort: 2375},
		"ssh://me@engine.example.com:222": {Host: "engine.example.com", EnginePort: 222},
		"unix:///var/run/docker.sock":     {},
		"npipe:////./pipe/docker_engine":  {},
	} {
		want.State = drivers.Running
		if _, _, err := none.New().Configure(drivers.Values{"url": {url}}); err != nil {
			t.Errorf("%s: %v", url, err)
		}
		d := open(t, url)
		if got, err := d.Status(t.Context()); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", url, got, err, want)
		}
		if got := d.(drivers.Unmanaged).EngineURL(); got != url {
			t.Errorf("%s: got URL %s", url, got)
		}
	}
}

func TestBadURLs(t *testing.T) {
	t.Parallel()
	said := map[string]string{}
	for url, want := range map[string]string{
		"":                      "must be given",
		"192.0.2.7:2376":        "is not a URL",
		"engine":                "does not begin with one of tcp://, https://, http://, ssh://, unix://, npipe://",
		"tcp://":                `"tcp://" has no host`,
		"tcp://:2376":           `"tcp://:2376" has no host`,
		"tcp://h:0":             "0 is not a port",
		"tcp://h:65536":         "65536 is not a port",
		"tcp://u@h:1":           "tcp URL has a user",
		"https://h:1?x=y":       "https URL has a query or a fragment",
		"ssh://u:hush@h":        "holds a password, which would be stored and shown",
		"unix://var/run/x.sock": `"unix://var/run/x.sock" is not the path of a socket`,
	} {
		_, _, err := none.New().Configure(drivers.Values{"url": {url}})
		if !errors.Is(err, drivers.ErrOption) || err.Error() != "invalid option --url: "+want {
			t.Errorf("%q: got %v, want %s", url, err, want)
			continue
		}
		if other, ok := said[err.Error()]; ok {
			t.Errorf("%q and %q: both say %q", url, other, err)
		}
		said[err.Error()] = url
	}
	for _, url := range []string{"tcp:h:1", "tcp:///x", "ftp://h", "tcp://u:hush@h:1", "tcp://u:hush@h:x", "tcp://h:1#f", "tcp://h:1?", "unix://", "TCP://h:1"} {
		_, _, err := none.New().Configure(drivers.Values{"url": {url}})
		if !errors.Is(err, drivers.ErrOption) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: got %v, want ErrOption without the password", url, err)
		}
	}
}

func TestCannot(t *testing.T) {
	t.Parallel()
	d := open(t, "tcp://h:1")
	for want, err := range map[string]error{
		"hosts without a driver cannot be started":   d.Start(t.Context()),
		"hosts without a driver cannot be stopped":   d.Stop(t.Context()),
		"hosts without a driver cannot be killed":    d.(drivers.Killer).Kill(t.Context()),
		"hosts without a driver cannot be restarted": d.(drivers.Restarter).Restart(t.Context()),
	} {
		if !errors.Is(err, drivers.ErrUnsupported) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestOldRecord(t *testing.T) {
	t.Parallel()
	old := `{"IPAddress":"192.0.2.7:2376","MachineName":"m","SSHUser":"","SSHPort":0,"SSHKeyPath":"","StorePath":"/s","SwarmMaster":false,"URL":"tcp://192.0.2.7:2376"}`
	d, err := none.New().Open(json.RawMessage(old), nil, nil, nil, drivers.Env{})
	if err != nil {
		t.Fatal(err)
	}
	if got := d.(drivers.Unmanaged).EngineURL(); got != "tcp://192.0.2.7:2376" {
		t.Errorf("got URL %q of docker-machine's record", got)
	}
}

func FuzzURL(f *testing.F) {
	for _, seed := range []string{"tcp://h:1", "unix:///s", "ssh://u@h", "tcp://[::1%25eth0]:1", "tcp://u:hush@h:1", "://", "tcp://h:1?#", "uniX:///s"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, url string) {
		config, _, err := none.New().Configure(drivers.Values{"url": {url}})
		if err != nil {
			if !errors.Is(err, drivers.ErrOption) {
				t.Errorf("got %v, want ErrOption", err)
			}
			return
		}
		d, err := none.New().Open(config, nil, nil, nil, drivers.Env{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := d.Status(t.Context())
		if err != nil || d.(drivers.Unmanaged).EngineURL() != url {
			t.Errorf("got %+v, %v", s, err)
		}
		if local := strings.HasPrefix(url, "unix:") || strings.HasPrefix(url, "npipe:"); local != (s.Host == "") {
			t.Errorf("%q has host %q", url, s.Host)
		}
	})
}
