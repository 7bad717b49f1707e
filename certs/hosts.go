package certs

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// cleanHosts brings hosts into the form that certificates have them in: sorted,
// each one once, lower case, addresses in their shortest form. The error wraps
// ErrHostName and names the first that is neither an address nor a DNS name.
func cleanHosts(hosts []string) ([]string, error) {
	out := make([]string, 0, len(hosts))
	for _, host := range hosts {
		clean, err := cleanHost(host)
		if err != nil {
			return nil, err
		}
		out = append(out, clean)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// CheckHost returns why host, an address or a DNS name, cannot be in a certificate; the error
// wraps ErrHostName.
func CheckHost(host string) error {
	_, err := cleanHost(host)
	return err
}

func cleanHost(host string) (string, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Zone() != "" {
			return "", fmt.Errorf("%q: %w: a certificate has no place for the zone %q", host, ErrHostName, addr.Zone())
		}
		return addr.Unmap().String(), nil
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if why := notDNS(name); why != "" {
		return "", fmt.Errorf("%q: %w: %s", host, ErrHostName, why)
	}
	return name, nil
}

// notDNS returns why crypto/x509 and others would not match name as a DNS name. An
// underscore passes: it is no host name's, but it is in use and matched.
func notDNS(name string) string {
	switch {
	case name == "":
		return "it is empty"
	case len(name) > 253:
		return "it is longer than 253 characters"
	case strings.ContainsAny(name, "[]"):
		return "write an IPv6 address without brackets"
	case strings.Contains(name, "://"):
		return "write it without scheme"
	case strings.Contains(name, ":"):
		return "write it without port"
	}
	labels := strings.Split(name, ".")
	numeric := 0
	for i, label := range labels {
		switch {
		case label == "*" && i == 0 && len(labels) > 1:
			continue
		case label == "":
			return "two dots follow each other"
		case len(label) > 63:
			return "a part between dots is longer than 63 characters"
		case label[0] == '-':
			return "a part begins with a hyphen"
		}
		for _, r := range label {
			if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' {
				if r > 127 {
					return fmt.Sprintf("%q is not ASCII, use the xn-- form", r)
				}
				return fmt.Sprintf("%q is not allowed", r)
			}
		}
		if strings.Trim(label, "0123456789") == "" {
			numeric++
		}
	}
	if numeric == 4 && len(labels) == 4 {
		return "it looks like an IP address and is none"
	}
	return ""
}
