package plugin

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/hostsmith/machine/drivers"
)

// What may be wrong with a plugin, as opposed to what its provider answers.
var (
	ErrStart     = errors.New("plugin cannot be started")
	ErrCrashed   = errors.New("plugin ended unexpectedly")
	ErrSilent    = errors.New("plugin does not say where it listens")
	ErrGarbage   = errors.New("plugin does not speak the protocol")
	ErrVersion   = errors.New("plugin speaks another version of the protocol")
	ErrHeartbeat = errors.New("plugin does not answer heartbeats")
	ErrHung      = errors.New("plugin does not come back from a call")

	// ErrHostState is about a host that a create has made and that the create cannot go on with.
	ErrHostState = errors.New("plugin does not say that the host can be used")
)

// wrong is an error of a plugin, which advice goes with.
func wrong(kind error, advice, format string, args ...any) error {
	return &drivers.HintError{Err: fmt.Errorf("%w: %w", kind, fmt.Errorf(format, args...)), Advice: advice}
}

// remoteError is what a plugin answered. Only its text comes over the wire.
type remoteError string

func (e remoteError) Error() string { return string(e) }

// lacksMethod tells whether a plugin does not know a method.
func lacksMethod(err error) bool {
	var remote remoteError
	return errors.As(err, &remote) && strings.HasPrefix(string(remote), "rpc: can't find ")
}

// meaning wraps what a plugin answered in the error that callers decide on, if its words tell which.
func meaning(err error) error {
	var remote remoteError
	if !errors.As(err, &remote) {
		return err
	}
	text := strings.ToLower(string(remote))
	for _, m := range []struct {
		err   error // nil: nobody can tell
		words []string
	}{
		// First what only sounds as if a host were gone: a removal would forget one that goes on to cost money.
		{drivers.ErrUnreachable, []string{"no such host", "dial tcp", "i/o timeout", "connection refused", "network is unreachable"}},
		{nil, []string{"executable file not found", "command not found", "no such file", "credentials not found", "profile not found"}},
		{drivers.ErrUnsupported, []string{"does not support", "not supported", "unsupported", "not implemented", "hosts without a driver cannot be"}},
		{drivers.ErrNotFound, []string{"not found", "notfound", "not_found", "does not exist", "doesn't exist", "no such "}},
	} {
		for _, w := range m.words {
			if strings.Contains(text, w) {
				if m.err == nil {
					return err
				}
				return fmt.Errorf("%w: %w", m.err, err)
			}
		}
	}
	return err
}

var (
	hostWords  = regexp.MustCompile(`instance|server|droplet|machine|linode|container|guest|\bvms?\b|\bvm_?id\b`)
	otherWords = regexp.MustCompile(`\b(projects?|regions?|zones?|tenants?|subscriptions?|accounts?|users?|credentials?|tokens?|keys?|endpoints?|profiles?|networks?|clusters?|datacenters?|routes?|pages?)\b`)
)

// absent tells whether err says that the machine's host itself is not there, not something on the way to it: a project
// or a region that credentials of somebody else do not see, or a page at a wrong address.
func absent(err error, machine string) bool {
	if !errors.Is(meaning(err), drivers.ErrNotFound) {
		return false
	}
	var remote remoteError
	if !errors.As(err, &remote) {
		return true // a state, not words
	}
	text := strings.ToLower(string(remote))
	if hostWords.MatchString(text) {
		return true
	}
	named := regexp.MustCompile(`(^|[^a-z0-9])` + regexp.QuoteMeta(strings.ToLower(machine)) + `([^a-z0-9]|$)`)
	return named.MatchString(text) && !otherWords.MatchString(text)
}
