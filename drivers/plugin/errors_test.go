package plugin

import (
	"errors"
	"fmt"
	"testing"

	"github.com/hostsmith/machine/drivers"
)

// TestMeaning never takes what goes wrong on the way for a host that is gone.
func TestMeaning(t *testing.T) {
	t.Parallel()
	all := []error{drivers.ErrNotFound, drivers.ErrUnreachable, drivers.ErrUnsupported}
	for text, want := range map[string]error{
		"droplet not found": drivers.ErrNotFound,
		"GET https://api.example.com/v2/droplets/4711: 404 The resource you were accessing could Not Found": drivers.ErrNotFound,
		`Get "https://api.example.com/v2/droplets/4711": dial tcp: lookup api.example.com: no such host`:    drivers.ErrUnreachable,
		`Get "https://api.example.com/": dial tcp 192.0.2.1:443: connect: connection refused`:               drivers.ErrUnreachable,
		`exec: "virsh": executable file not found in $PATH`:                                                 nil,
		"open /home/jo/.config/token: no such file or directory":                                            nil,
		"generic driver does not support stop":                                                              drivers.ErrUnsupported,
		"out of memory":                                                                                     nil,
	} {
		err := meaning(remoteError(text))
		for _, is := range all {
			if errors.Is(err, is) != (is == want) { //nolint:errorlint // a table's entry
				t.Errorf("%q: got %v, want %v", text, err, want)
			}
		}
	}
}

// TestAbsent never takes something else that is not there for the host: its record would be forgotten.
func TestAbsent(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"droplet not found":          true,
		"pebble web-1 not found":     true,
		"InvalidInstanceID.NotFound": true,
		"VM 100 does not exist":      true,
		"The resource 'projects/p/zones/z/instances/x' was not found": true,
		"GET https://api.example.com/v2/droplets/4711: 404 Not Found": true,
		"Domain not found: no domain with matching name 'web-1'":      true,
		"404 Not Found":                           false,
		"404 page not found":                      false,
		"The resource 'projects/p' was not found": false,
		"region web-1 not found":                  false,
		"tenant does not exist":                   false,
		"Subscription 'x' not found":              false,
		"project web-10 not found":                false,
		"pebble web-10 not found":                 false,
		"Post https://api.example.com: dial tcp: lookup x: no such host":  false,
		"the server said: Get https://x/instances: i/o timeout not found": false,
	} {
		if got := absent(fmt.Errorf("asked: %w", remoteError(text)), "web-1"); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	if !absent(fmt.Errorf("web-1: %w", drivers.ErrNotFound), "web-1") || absent(nil, "web-1") {
		t.Error("a state counts, and nothing does not")
	}
}
