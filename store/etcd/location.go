package etcd

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hostsmith/machine/store"
)

const (
	defaultPort  = "2379"
	defaultLease = 30 * time.Second
	minLease     = 2 * time.Second // the shortest that an etcd of default settings grants
	maxLease     = 10 * time.Minute
)

// Location says where a shared store is:
//
//	etcd://host[:port][,host[:port]...]/prefix[?lease=30s]
//
// etcds:// is the same over TLS.
type Location struct {
	Hosts  []string // host:port, in the order given
	Prefix string   // of all keys: begins with a slash, does not end in one
	TLS    bool
	Lease  time.Duration // how long a lock outlives its holder
}

// Is tells whether text is meant as the location of a shared store rather than a folder.
func Is(text string) bool {
	return strings.HasPrefix(text, "etcd:/") || strings.HasPrefix(text, "etcds:/") // with one slash it is a mistake
}

// Parse reads a location.
func Parse(text string) (Location, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	l := Location{TLS: scheme == "etcds", Lease: defaultLease}
	if scheme != "etcd" && scheme != "etcds" {
		return l, wrong("it must begin with etcd:// or etcds://")
	}
	if strings.Contains(rest, "@") {
		return l, wrong("it must have no user and no password: give them as MACHINE_ETCD_USER and MACHINE_ETCD_PASSWORD")
	}
	if strings.Contains(rest, "#") {
		return l, wrong("# is not allowed")
	}
	rest, query, _ := strings.Cut(rest, "?")
	hosts, path, _ := strings.Cut(rest, "/")
	for host := range strings.SplitSeq(hosts, ",") {
		host, err := hostPort(host)
		if err != nil {
			return l, err
		}
		if slices.Contains(l.Hosts, host) {
			return l, wrong("%s is there twice", host)
		}
		l.Hosts = append(l.Hosts, host)
	}
	path = strings.Trim(path, "/")
	if path == "" {
		return l, wrong("a prefix for the keys is missing, such as /machine")
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsFunc(part, notInPrefix) {
			return l, wrong("prefix %q: only letters, digits, dots, hyphens and underscores between slashes", path)
		}
	}
	l.Prefix = "/" + path
	return l, l.options(query)
}

func notInPrefix(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_'
}

func (l *Location) options(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return wrong("what follows the ? cannot be read")
	}
	for name, value := range values {
		if name != "lease" || len(value) != 1 {
			return wrong("%q is no option, only lease=TIME", name)
		}
		l.Lease, err = time.ParseDuration(value[0])
		if err != nil || l.Lease < minLease || l.Lease > maxLease || l.Lease%time.Second != 0 {
			return wrong("lease %q: it must be whole seconds from %v to %v", value[0], minLease, maxLease)
		}
	}
	return nil
}

// hostPort returns host:port in one way of writing it.
func hostPort(text string) (string, error) {
	host, port := text, defaultPort
	if bare, ok := strings.CutPrefix(text, "["); ok && strings.HasSuffix(bare, "]") {
		host = strings.TrimSuffix(bare, "]")
	} else if strings.Contains(text, ":") {
		var err error
		if host, port, err = net.SplitHostPort(text); err != nil {
			return "", wrong("%q is no host:port", text)
		}
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != port {
		return "", wrong("%q is no port", port)
	}
	if net.ParseIP(host) == nil && (host == "" || strings.ContainsFunc(host, notInPrefix)) {
		return "", wrong("%q is no host", text)
	}
	return net.JoinHostPort(strings.ToLower(host), port), nil
}

// String returns the location as Parse takes it.
func (l Location) String() string {
	scheme := "etcd"
	if l.TLS {
		scheme = "etcds"
	}
	text := scheme + "://" + strings.Join(l.Hosts, ",") + l.Prefix
	if l.Lease != defaultLease {
		text += "?lease=" + l.Lease.String()
	}
	return text
}

// ID is the same for the same hosts and prefix, and short enough for a file name.
func (l Location) ID() string {
	hosts := slices.Sorted(slices.Values(l.Hosts))
	sum := sha256.Sum256([]byte(strings.Join(hosts, ",") + l.Prefix))
	return hex.EncodeToString(sum[:6])
}

// local tells whether all hosts are this computer.
func (l Location) local() bool {
	return !slices.ContainsFunc(l.Hosts, func(host string) bool {
		name, _, _ := net.SplitHostPort(host)
		ip := net.ParseIP(name)
		return name != "localhost" && (ip == nil || !ip.IsLoopback())
	})
}

func wrong(format string, args ...any) error {
	return &store.HintError{
		Err:    fmt.Errorf("%w: "+format, append([]any{store.ErrLocation}, args...)...),
		Advice: "write it as etcd://HOST[:PORT][,HOST...]/PREFIX, such as etcds://etcd.example.com/machine",
	}
}
