package swarmboot

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// report is what one host told.
type report struct {
	err             string // why it was not asked, or did not get to the end
	asked, answered time.Time
	clock           time.Time     // of the host, at some time between asked and answered; zero: not told
	clockStep       time.Duration // how exactly it was told
	addresses       []ownAddress
	tool            string
	ipvs            string          // yes or no: whether the kernel has it; empty: not told
	listing         map[string]bool // protocols whose listeners it told
	listens         map[string]bool // subjects
	probes          map[probe]answer
	paths           map[int]path
}

// ownAddress is an address that a host has on an interface.
type ownAddress struct {
	ip    netip.Addr
	iface string
}

type probe struct {
	peer    int
	subject string
}

// answer is how a probe ended: open, refused, timeout, silent, error or untold.
type answer struct{ word, text string }

// path is the way to a peer: the MTU of the interface, and whether packets of that size get through:
// passes, tells (size), lost or untold.
type path struct {
	mtu        int
	word, text string
}

// parseReport reads what the script wrote. Lines that are not the script's, such as a login banner, are
// passed over, and so is whatever makes no sense.
func parseReport(text string, hosts int) report {
	r := report{
		listing: make(map[string]bool),
		listens: make(map[string]bool),
		probes:  make(map[probe]answer),
		paths:   make(map[int]path),
	}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "pf" {
			continue
		}
		switch f[1] {
		case "clock":
			r.clock, r.clockStep = parseClock(f[2])
		case "address":
			if ip, err := netip.ParseAddr(f[2]); err == nil && len(f) > 3 {
				r.addresses = append(r.addresses, ownAddress{ip.WithZone("").Unmap(), printable(f[3:4])})
			}
		case "ipvs":
			r.ipvs = f[2]
		case "tool":
			r.tool = f[2]
		case "listing":
			r.listing[f[2]] = true
		case "listen":
			r.listens[f[2]] = true
		case "probe":
			if peer, ok := parsePeer(f[2], hosts); ok && len(f) > 4 {
				r.probes[probe{peer, f[3]}] = answer{f[4], printable(f[5:])}
			}
		case "path":
			peer, ok := parsePeer(f[2], hosts)
			if !ok || len(f) < 5 {
				continue
			}
			mtu, err := strconv.Atoi(f[3])
			if err != nil || mtu < 0 || mtu > 1<<20 {
				continue
			}
			r.paths[peer] = path{mtu, f[4], printable(f[5:])}
		}
	}
	return r
}

func parsePeer(s string, hosts int) (int, bool) {
	i, err := strconv.Atoi(s)
	return i, err == nil && i >= 0 && i < hosts
}

// parseClock reads seconds and, if date knows them, nanoseconds: busybox's does not.
func parseClock(s string) (time.Time, time.Duration) {
	whole, frac, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || sec <= 0 || sec > 1<<40 {
		return time.Time{}, 0
	}
	if nsec, err := strconv.ParseInt(frac, 10, 64); err == nil && len(frac) == 9 && nsec >= 0 {
		return time.Unix(sec, nsec), 0
	}
	return time.Unix(sec, 0), time.Second
}

// printable joins words of a foreign host for a message.
func printable(words []string) string {
	s := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.Join(words, " "))
	if r := []rune(s); len(r) > 200 {
		s = string(r[:200])
	}
	return redact(s)
}
