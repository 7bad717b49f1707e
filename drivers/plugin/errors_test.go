package plugin

import (
	"errors"
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
