package certs

import (
	"errors"
	"testing"
)

func TestCheckHost(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"192.0.2.7", "2001:db8::1", "m1", "a.example.org", "*.example.org"} {
		if err := CheckHost(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "a:2376", "tcp://a", "[::1]", "a b", "fe80::1%eth0"} {
		if err := CheckHost(bad); !errors.Is(err, ErrHostName) {
			t.Errorf("%q: %v, want ErrHostName", bad, err)
		}
	}
}
