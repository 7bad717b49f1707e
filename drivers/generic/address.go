package generic

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// A name has letters, digits, dashes and underscores between its dots, and its
// last part is no number, or it would be an address.
var (
	hostName = regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?$`)
	zoneName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
	number   = regexp.MustCompile(`(^|\.)[0-9]+\.?$`)
)

// address accepts an IPv4 or IPv6 address without brackets, or a DNS name.
func address(s string) error {
	if ip, err := netip.ParseAddr(s); err == nil {
		if ip.Zone() != "" && !zoneName.MatchString(ip.Zone()) {
			return fmt.Errorf("%q names no network interface", s)
		}
		if ip.IsUnspecified() || ip.IsMulticast() {
			return fmt.Errorf("%s is not the address of a host", s)
		}
		return nil
	}
	switch {
	case strings.Contains(s, "://"):
		return fmt.Errorf("%q is a URL: give the host alone", s)
	case strings.Contains(s, "@"):
		return fmt.Errorf("%q holds a user: give it by --generic-ssh-user", s)
	case strings.HasPrefix(s, "["):
		return fmt.Errorf("%q has brackets: give the address alone", s)
	case strings.Count(s, ":") == 1:
		return fmt.Errorf("%q holds a port: give it by an option of its own", s)
	case len(s) > 253 || !hostName.MatchString(s) || number.MatchString(s):
		return fmt.Errorf("%q is neither an address nor a host name", s)
	}
	return nil
}

// user accepts what no program takes for an option, for two words or for
// something to expand.
func user(s string) error {
	odd := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(`_.@\+-`, r)
	}
	switch {
	case s == "":
		return errors.New("is empty")
	case strings.HasPrefix(s, "-"):
		return fmt.Errorf("%q begins with a dash", s)
	case strings.ContainsFunc(s, odd):
		return fmt.Errorf("%q has characters that are not for login names", s)
	}
	return nil
}

// jump accepts [user@]host[:port]. An IPv6 address with a port is in brackets.
func jump(s string) error {
	host := s
	if i := strings.LastIndex(s, "@"); i >= 0 {
		if err := user(s[:i]); err != nil {
			return fmt.Errorf("user %w", err)
		}
		host = s[i+1:]
	}
	port, found := "", false
	if inner, ok := strings.CutPrefix(host, "["); ok {
		after := ""
		if host, after, found = strings.Cut(inner, "]"); !found {
			return fmt.Errorf("%q has no closing bracket", s)
		}
		if port, found = strings.CutPrefix(after, ":"); !found && after != "" {
			return fmt.Errorf("%q goes on after the bracket", s)
		}
	} else if strings.Count(host, ":") == 1 {
		host, port, found = strings.Cut(host, ":")
	}
	if found {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("%q is not a port", port)
		}
	}
	return address(host)
}
