package azure

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"testing"
)

// TestPassing does not repeat what cannot go better.
func TestPassing(t *testing.T) {
	t.Parallel()
	untrusted := fmt.Errorf("Get: %w", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}})
	for _, c := range []struct {
		err  error
		want bool
	}{{errors.New("connection reset by peer"), true}, {untrusted, false}} {
		if got := passing(nil, c.err); got != c.want {
			t.Errorf("%v: got %v", c.err, got)
		}
	}
}
