package etcd

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestSilenceInPlainWords(t *testing.T) {
	t.Parallel()
	if got := (&silence{fmt.Errorf("get: %w", context.DeadlineExceeded)}).Error(); got != "nothing came in time" {
		t.Errorf("got %s", got)
	}
	lost := func(desc string) error {
		return fmt.Errorf("%w: connection error: desc = %q", context.DeadlineExceeded, desc)
	}
	for want, err := range map[string]error{
		"127.0.0.1:1: connection refused":                lost("transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused"),
		"lookup no.invalid on 10.0.0.1:53: no such host": lost("transport: Error while dialing: dial tcp: lookup no.invalid on 10.0.0.1:53: no such host"),
		`no connection by TLS: x509: certificate is valid for "a", not b`: lost(
			`transport: authentication handshake failed: x509: certificate is valid for "a", not b`),
		"error reading server preface: EOF":  lost("error reading server preface: EOF"),
		"10.0.0.2:2379: i/o timeout":         status.Error(codes.Unavailable, `connection error: desc = "transport: Error while dialing: dial tcp 10.0.0.2:2379: i/o timeout"`),
		"nothing came in time":               status.Error(codes.DeadlineExceeded, "context deadline exceeded"),
		"etcdserver: request timed out":      status.Error(codes.Unavailable, "etcdserver: request timed out"),
		"something that nobody has seen yet": errors.New("something that nobody has seen yet"),
	} {
		s := &silence{err}
		if s.Error() != want || s.Raw() != err.Error() || !errors.Is(s, err) {
			t.Errorf("got  %s\nwant %s", s, want)
		}
	}
}
