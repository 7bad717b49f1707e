// Package caller finds the address that a provider sees this computer at, so
// that a firewall can admit it and nobody else.
package caller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Public is the service that answers with the caller's address, one line of
// text: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/authorizing-access-to-an-instance.html
const Public = "https://checkip.amazonaws.com"

const patience = 10 * time.Second

var errLate = errors.New("no answer in 10 s")

// Ask returns the address that the service at a URL sees the caller at.
func Ask(ctx context.Context, client *http.Client, service string) (netip.Prefix, error) {
	addr, err := ask(ctx, client, service)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("ask %s for this computer's address: %w", service, err)
	}
	return alone(addr), nil
}

func ask(ctx context.Context, client *http.Client, service string) (netip.Addr, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errLate)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, service, nil)
	if err != nil {
		return netip.Addr{}, err
	}
	resp, err := client.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return netip.Addr{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 256))
	if err != nil {
		return netip.Addr{}, err
	}
	if resp.StatusCode != http.StatusOK {
		return netip.Addr{}, errors.New(resp.Status)
	}
	return netip.ParseAddr(strings.TrimSpace(string(body)))
}

// Towards returns the address that connections to the endpoint leave this
// computer from. It is what the endpoint sees unless an address translation is
// between. Nothing is sent.
func Towards(ctx context.Context, endpoint string) (netip.Prefix, error) {
	fail := func(err error) (netip.Prefix, error) {
		return netip.Prefix{}, fmt.Errorf("find this computer's address towards %s: %w", endpoint, err)
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return netip.Prefix{}, errors.New("find this computer's address towards the endpoint: not a URL") // it may hold a password
	}
	if u.Hostname() == "" {
		return fail(errors.New("no host in it"))
	}
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "udp", net.JoinHostPort(u.Hostname(), "443"))
	if err != nil {
		return fail(err)
	}
	defer conn.Close()
	local, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return fail(errors.New("no address"))
	}
	return alone(local.AddrPort().Addr()), nil
}

func alone(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	return netip.PrefixFrom(addr, addr.BitLen())
}

// Prefixes reads what a user allows: CIDRs and single addresses.
func Prefixes(words []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, w := range words {
		if addr, err := netip.ParseAddr(w); err == nil {
			all = append(all, alone(addr))
			continue
		}
		p, err := netip.ParsePrefix(w)
		if err != nil {
			return nil, fmt.Errorf("%q is no address and no CIDR such as 192.0.2.0/24", w)
		}
		if p != p.Masked() {
			return nil, fmt.Errorf("%s has bits beyond its mask: %s is meant, or the address alone", w, p.Masked())
		}
		all = append(all, p)
	}
	return all, nil
}
