// Package ssh is a verified SSH connection to one host: dial until ready, run,
// shell, forward. It is the only package that imports x/crypto/ssh. It knows
// nothing of drivers, stores or Docker.
package ssh

import (
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	defaultPort      = 22
	defaultKeepAlive = 15 * time.Second
	keepAliveMisses  = 3
)

// Target is where and how to log in.
type Target struct {
	Host string // address or name
	Port int    // 0: 22
	User string
	Key  string // path of the private key; empty: the agent, then the user's default keys
	Jump string // [user@]host[:port] of a jump host; empty: none

	KnownHosts string // path of the known_hosts file of this machine
	// Pin accepts a host key that is not known and reports it through OnPin; without Pin
	// such a key is refused. The key of a jump host is treated the same way.
	Pin bool
	// OnPin stores the known_hosts line, before anything else is said to the host; its
	// error ends the attempt. Without it Pin accepts nothing.
	OnPin func(line, fingerprint string) error

	// Vouch is the path of a known_hosts file of somebody else's, such as the user's own: a host key that it has is not
	// unknown. It is reported through OnKnown, which is like OnPin.
	Vouch   string
	OnKnown func(line, fingerprint string) error

	KeepAlive time.Duration       // 0: 15 s
	Getenv    func(string) string // SSH_AUTH_SOCK, HOME, USER, TERM; nil: nothing
	Log       *slog.Logger
	// Waiting is told each change of state while DialReady waits, one call at a time and
	// none after DialReady returned; a host that answers at once is not reported. May be nil.
	Waiting func(state State, detail string)
}

// State is how far a connection attempt comes.
type State string

// The states of a connection attempt, in order.
const (
	Unresolved     State = "host name does not resolve"
	NoRoute        State = "no route to the host"
	TimedOut       State = "no answer"
	Refused        State = "connection refused"
	Banner         State = "no SSH banner"
	HostKey        State = "verifying the host key"
	Authentication State = "authenticating"
	Ready          State = "ready"
)

func (t Target) port() int {
	if t.Port == 0 {
		return defaultPort
	}
	return t.Port
}

func (t Target) endpoint() endpoint { return endpoint{t.User, t.Host, t.port()} }

func (t Target) keepAlive() time.Duration {
	if t.KeepAlive <= 0 {
		return defaultKeepAlive
	}
	return t.KeepAlive
}

func (t Target) getenv(key string) string {
	if t.Getenv == nil {
		return ""
	}
	return t.Getenv(key)
}

func (t Target) log() *slog.Logger {
	if t.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return t.Log
}

// home is the user's home directory, "" if it is not known.
func (t Target) home() string {
	if home := t.getenv("HOME"); home != "" {
		return home
	}
	return t.getenv("USERPROFILE")
}

// ownKnownHosts is the user's own known_hosts file, "" if there is no home.
func (t Target) ownKnownHosts() string {
	if home := t.home(); home != "" {
		return filepath.Join(home, ".ssh", "known_hosts")
	}
	return ""
}

// jump returns the jump host; its user is the local one, as it is for OpenSSH.
func (t Target) jump() (endpoint, error) {
	e, err := parseJump(t.Jump)
	if err != nil {
		return e, err
	}
	for _, key := range []string{"USER", "LOGNAME", "USERNAME"} {
		if e.user == "" {
			e.user = t.getenv(key)
		}
	}
	if e.user == "" {
		e.user = t.User
	}
	return e, nil
}

// endpoint is one SSH server and who logs in there.
type endpoint struct {
	user string
	host string
	port int
}

func (e endpoint) addr() string { return net.JoinHostPort(e.host, strconv.Itoa(e.port)) }

// parseJump reads [user@]host[:port]; an IPv6 address with a port stands in brackets.
func parseJump(s string) (endpoint, error) {
	bad := func(why string) (endpoint, error) {
		return endpoint{}, fmt.Errorf("parse jump host %q: %w: %s", s, ErrJump, why)
	}
	e := endpoint{host: s, port: defaultPort}
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		e.user, e.host = s[:i], s[i+1:]
		if e.user == "" {
			return bad("empty user")
		}
	}
	port := ""
	switch {
	case strings.HasPrefix(e.host, "["):
		host, rest, found := strings.Cut(e.host[1:], "]")
		if !found {
			return bad("missing ]")
		}
		e.host = host
		if rest != "" {
			if port, found = strings.CutPrefix(rest, ":"); !found || port == "" {
				return bad("unexpected text after ]")
			}
		}
	case strings.Count(e.host, ":") == 1:
		e.host, port, _ = strings.Cut(e.host, ":")
		if port == "" {
			return bad("empty port")
		}
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return bad("invalid port")
		}
		e.port = int(n)
	}
	if e.host == "" {
		return bad("empty host")
	}
	// A leading dash would be an option of OpenSSH, a space or a quote would leave its place there.
	if strings.HasPrefix(e.host, "-") || strings.HasPrefix(e.user, "-") || strings.ContainsFunc(e.user+e.host, unsafeInName) {
		return bad("invalid character")
	}
	if strings.ContainsAny(e.host, "[]/") {
		return bad("invalid character")
	}
	return e, nil
}

// unsafeInName is what no user or host name holds.
func unsafeInName(r rune) bool {
	return r <= ' ' || r == 0x7f || strings.ContainsRune("'\"`$;&|<>(){}*?!#,\\^", r)
}
