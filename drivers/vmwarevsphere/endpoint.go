package vmwarevsphere

import (
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// endpoint returns the URL of the vCenter's SOAP interface, without a user.
func (c Config) endpoint() (*url.URL, error) {
	text := c.VCenter
	if !strings.Contains(text, "://") {
		if host, _, err := net.SplitHostPort(text); err != nil && !strings.HasPrefix(text, "[") && strings.Count(text, ":") > 1 {
			text = "[" + text + "]" // a bare IPv6 address
		} else if host == "" && err == nil {
			return nil, errors.New("names no host")
		}
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("is no name, address or URL") // the cause would quote what may be a password
	}
	_, password := u.User.Password()
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("is no https URL")
	case u.Hostname() == "":
		return nil, errors.New("names no host")
	case password:
		return nil, errors.New("holds a password, which belongs into --vmwarevsphere-password or VSPHERE_PASSWORD")
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	if u.Port() == "" && c.Port != 0 && (c.Port != 443 || u.Scheme != "https") {
		u.Host = net.JoinHostPort(u.Hostname(), strconv.Itoa(c.Port))
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/sdk"
	}
	return u, nil
}

// username returns the user to log in as: the option, or that of the URL.
func (c Config) username() string {
	if c.Username != "" {
		return c.Username
	}
	if u, err := url.Parse(c.VCenter); err == nil && u.User != nil {
		return u.User.Username()
	}
	return ""
}
