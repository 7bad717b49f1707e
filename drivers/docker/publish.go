package docker

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/network"
)

// published is a port of the machine that is reachable on the engine's computer.
type published struct {
	port    network.Port
	binding network.PortBinding
}

// parsePublish reads [[ADDRESS:]PORT:]PORT[/PROTOCOL]. Without an address the
// port is reachable on the engine's computer alone.
func parsePublish(s string) (published, error) {
	bad := func(format string, args ...any) (published, error) {
		return published{}, fmt.Errorf("%q: %s", s, fmt.Sprintf(format, args...))
	}
	rest, proto, given := strings.Cut(s, "/")
	if !given {
		proto = string(network.TCP)
	}
	switch network.IPProtocol(proto) {
	case network.TCP, network.UDP, network.SCTP:
	default:
		return bad("%q is no protocol", proto)
	}
	address := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	parts := splitPorts(rest)
	if len(parts) == 3 {
		var err error
		if address, err = netip.ParseAddr(strings.Trim(parts[0], "[]")); err != nil {
			return bad("%q is no address", parts[0])
		}
		parts = parts[1:]
	}
	if len(parts) > 2 || len(parts) == 0 {
		return bad("has too many parts")
	}
	inside, err := portNumber(parts[len(parts)-1])
	if err != nil {
		return bad("%v", err)
	}
	var outside string // empty: the engine chooses
	if len(parts) == 2 && parts[0] != "" {
		n, err := portNumber(parts[0])
		if err != nil {
			return bad("%v", err)
		}
		outside = strconv.Itoa(int(n))
	}
	port, ok := network.PortFrom(inside, network.IPProtocol(proto))
	if !ok {
		return bad("is no port")
	}
	return published{port, network.PortBinding{HostIP: address, HostPort: outside}}, nil
}

// splitPorts splits at colons that are not within brackets.
func splitPorts(s string) []string {
	if strings.HasPrefix(s, "[") {
		if end := strings.Index(s, "]:"); end > 0 {
			return append([]string{s[:end+1]}, strings.Split(s[end+2:], ":")...)
		}
	}
	return strings.Split(s, ":")
}

func portNumber(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		if strings.Contains(s, "-") {
			return 0, fmt.Errorf("%q: ranges of ports are not supported, give each port", s)
		}
		return 0, fmt.Errorf("%q is no port", s)
	}
	return uint16(n), nil
}
