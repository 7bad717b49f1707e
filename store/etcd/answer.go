package etcd

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// silence is why there was no answer, in words that a person understands. Raw has gRPC's own.
type silence struct{ err error }

var (
	dialled   = regexp.MustCompile(`Error while dialing: (?:dial tcp:? )?(.*)`)
	shaken    = regexp.MustCompile(`authentication handshake failed: (.*)`)
	described = regexp.MustCompile(`desc = "?(.*)`)
)

func (e *silence) Error() string {
	text := e.err.Error()
	cause := func(in *regexp.Regexp) string {
		found := in.FindStringSubmatch(text)
		if found == nil {
			return ""
		}
		return strings.NewReplacer(`\"`, `"`, ": connect: ", ": ").Replace(strings.TrimSuffix(found[1], `"`))
	}
	if why := cause(dialled); why != "" {
		return why
	}
	if why := cause(shaken); why != "" {
		return "no connection by TLS: " + why
	}
	if why := cause(described); why != "" && status.Code(e.err) != codes.DeadlineExceeded {
		return why
	}
	if errors.Is(e.err, context.DeadlineExceeded) || status.Code(e.err) == codes.DeadlineExceeded {
		return "nothing came in time"
	}
	return text
}

func (e *silence) Unwrap() error { return e.err }

// Raw is what the connection said, for whoever looks for more.
func (e *silence) Raw() string { return e.err.Error() }
