package docker

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
)

// TestEnginesWords holds what Engines 20.10, 26.1 and 28.5 were seen to say.
func TestEnginesWords(t *testing.T) {
	t.Parallel()
	const networking = "failed to set up container networking: "
	for words, c := range map[string]struct {
		address, network bool // another address, another network may do
		kind             error
		hint             string
	}{
		"Address already in use":              {address: true, kind: drivers.ErrConflict, hint: "docker network inspect"},
		networking + "Address already in use": {address: true, kind: drivers.ErrConflict},
		"driver failed programming external connectivity on endpoint support (0d06): Bind for 127.0.0.1:5555 failed: port is already allocated":                                        {kind: drivers.ErrConflict, hint: "--docker-publish"},
		"driver failed programming external connectivity on endpoint m1 (0d06): Error starting userland proxy: listen tcp4 127.0.0.1:80: bind: address already in use":                 {kind: drivers.ErrConflict, hint: "--docker-publish"},
		networking + "driver failed programming external connectivity on endpoint m1 (26d2): failed to bind host port for 127.0.0.1:46373:172.28.0.170:80/tcp: address already in use": {kind: drivers.ErrConflict, hint: "--docker-publish"},
		"network machine is ambiguous (2 matches found based on name)":                                                                                                                 {network: true},
		"Invalid address 172.29.0.2: It does not belong to any of this network's subnets":                                                                                              {network: true},
		"invalid config for network q: invalid endpoint settings:\nno configured subnet or ip-range contain the IP address 172.30.9.7":                                                 {network: true},
		"invalid config for network r: invalid endpoint settings:\nuser specified IP address is supported only when connecting to networks with user configured subnets":               {kind: drivers.ErrConflict, hint: "docker network create --subnet"},
		"Minimum memory limit allowed is 6MB":                                    {kind: drivers.ErrOption},
		"Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available": {kind: drivers.ErrOption},
		"write /var/lib/docker/tmp/x: no space left on device":                   {kind: drivers.ErrQuota, hint: "docker system df"},
		"authorization denied by plugin opa: no":                                 {kind: drivers.ErrCredentials},
	} {
		said := errors.New("Error response from daemon: " + words)
		if addressTaken(said) != c.address || networkChanged(said) != c.network {
			t.Errorf("%s: address %v, network %v", words, addressTaken(said), networkChanged(said))
		}
		err := fault(t.Context(), Endpoint{Host: "unix:///s"}, "do it", said)
		if c.kind != nil && !errors.Is(err, c.kind) || !strings.Contains(hintOf(err), c.hint) || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: got %v (%s)", words, err, hintOf(err))
		}
	}
}

func TestFaultKeepsTheCause(t *testing.T) {
	t.Parallel()
	cause := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if err := fault(ctx, Endpoint{}, "do it", context.Canceled); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	if err := fault(t.Context(), Endpoint{}, "do it", nil); err != nil {
		t.Errorf("got %v from nothing", err)
	}
}
