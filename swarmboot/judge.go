package swarmboot

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The limits of clocks: at the first the managers' leases and certificates are in
// danger, the second is worth a note.
const (
	skewFatal = 30 * time.Second
	skewNote  = 2 * time.Second
)

// usualMTU is what the engine takes the network's MTU to be, whatever it is: containers on an
// overlay network get 50 bytes less.
const usualMTU = 1500

// judge makes findings of reports, one for each host.
func (p probing) judge(reports []report) []Finding {
	hosts := p.hosts
	var fs []Finding
	for i := range hosts {
		if hosts[i].Runner == nil {
			continue
		}
		if reports[i].err != "" {
			fs = append(fs, Finding{From: hosts[i].Name, Subject: "probe", Verdict: verdictUnknown, Detail: reports[i].err})
		}
		for j := range hosts {
			for _, subject := range p.subjects(i, j) {
				if reports[i].err != "" && !reports[i].tells(j, subject) {
					continue // the one finding above says it all
				}
				f := Finding{From: hosts[i].Name, To: hosts[j].Name, Subject: subject}
				switch {
				case !probeable(hosts[j].Addr):
					f.Verdict, f.Detail = verdictUnknown, fmt.Sprintf("%q is not an IP address", hosts[j].Addr)
				case subject == "mtu":
					f.Verdict, f.Detail = judgePath(reports[i].paths[j])
				default:
					f.Verdict, f.Detail = judgeProbe(reports[i], reports[j], hosts[j].Joining, j, subject)
				}
				f.Fatal = f.Verdict == verdictBlocked && subject == "2377/tcp"
				fs = append(fs, f)
			}
		}
	}
	for i := range hosts {
		if f, ok := p.judgeAddress(i, reports); ok {
			fs = append(fs, f)
		}
		if hosts[i].Joining && reports[i].ipvs == "no" {
			fs = append(fs, Finding{From: hosts[i].Name, Subject: "ipvs", Verdict: verdictDoubtful, Detail: noIPVS})
		}
	}
	return append(fs, judgeClocks(hosts, reports)...)
}

const noIPVS = "the kernel has no IPVS, so that ports published through the ingress network and services' virtual addresses do not work; " +
	"use a kernel with the module ip_vs, or give services --endpoint-mode dnsrr and --publish mode=host"

// judgeAddress tells whether a joining host has the address that was chosen for it. One that it does not have may be
// that of a NAT that leads to it: then peers get answers there.
func (p probing) judgeAddress(i int, reports []report) (Finding, bool) {
	h, own := p.hosts[i], reports[i].addresses
	ip, err := netip.ParseAddr(h.Addr)
	if !h.Given || !h.Joining || err != nil || len(own) == 0 {
		return Finding{}, false
	}
	f := Finding{From: h.Name, Subject: "address", Verdict: verdictOK}
	var has []string
	for _, a := range own {
		if a.ip == ip.WithZone("").Unmap() {
			return f, true
		}
		if !a.ip.IsLoopback() && !a.ip.IsLinkLocalUnicast() && !bridge(a.iface) {
			has = append(has, a.ip.String()+" ("+a.iface+")")
		}
	}
	f.Verdict = verdictElsewhere
	f.Detail = fmt.Sprintf("%s is no address of the host's own", h.Addr)
	if len(has) > 0 {
		f.Detail += ", which has " + strings.Join(has, ", ")
	}
	asked, answered := reached(i, reports)
	f.Fatal = asked && !answered
	if f.Fatal {
		f.Detail += "; and no other host gets an answer there"
	} else if !answered {
		f.Detail += "; it serves only if a NAT leads from it to the host"
	}
	return f, true
}

// bridge tells the interfaces that the engine makes: no other host reaches their addresses.
func bridge(iface string) bool {
	return strings.HasPrefix(iface, "docker") || strings.HasPrefix(iface, "br-") || strings.HasPrefix(iface, "veth")
}

// reached tells whether others asked for host i, and whether something there answered.
func reached(i int, reports []report) (asked, answered bool) {
	for _, r := range reports {
		for at, a := range r.probes {
			if at.peer != i || !strings.HasSuffix(at.subject, "/tcp") {
				continue
			}
			asked = asked || a.word != "untold"
			answered = answered || a.word == "open" || a.word == "refused"
		}
	}
	return asked, answered
}

// tells reports whether there is an answer about a peer.
func (r report) tells(peer int, subject string) bool {
	_, probed := r.probes[probe{peer, subject}]
	_, sized := r.paths[peer]
	return probed || sized && subject == "mtu"
}

// judgeProbe weighs what from got by what to says of its listeners.
func judgeProbe(from, to report, toJoining bool, peer int, subject string) (verdict, detail string) {
	a, ok := from.probes[probe{peer, subject}]
	proto := subject[strings.IndexByte(subject, '/')+1:]
	listens := to.listens[subject]
	switch {
	case !ok:
		return verdictUnknown, "not probed"
	case a.word == "open":
		return verdictOK, ""
	case a.word == "refused" && listens:
		return verdictBlocked, "refused, although the host listens there: a firewall rejects it"
	case a.word == "refused" && (toJoining || to.listing[proto]):
		return verdictOK, "nobody listens yet"
	case a.word == "refused":
		return verdictUnknown, "refused, and whether the host listens is not known"
	case a.word == "silent" && listens:
		return verdictOK, "not verified: the host listens, and does not answer strangers"
	case a.word == "silent" && !to.listing[proto]:
		return verdictUnknown, "no answer, and whether the host listens is not known"
	case a.word == "silent":
		return verdictBlocked, "no answer; a firewall seems to drop it"
	case a.word == "timeout":
		return verdictBlocked, "no answer; a firewall drops it, or there is no way to the host"
	case a.word == "error":
		return verdictBlocked, orElse(reason(a.text), "not reachable")
	}
	return verdictUnknown, orElse(a.text, "not probed")
}

// reason is the end of what a shell says, which tells the error.
func reason(text string) string {
	if i := strings.LastIndex(text, ": "); i >= 0 {
		text = text[i+2:]
	}
	return strings.ToLower(text)
}

func judgePath(p path) (verdict, detail string) {
	size := p.mtu
	if p.word == "tells" {
		if n, err := strconv.Atoi(p.text); err == nil && n >= 68 && n < p.mtu {
			size = n
		}
	}
	advice := func(size int) string {
		return fmt.Sprintf("make overlay networks with --opt com.docker.network.driver.mtu=%d", size)
	}
	switch {
	case p.word == "lost" && p.mtu > 0:
		return verdictSmall, fmt.Sprintf("packets as large as the interface's MTU of %d get lost on the way; find the size that passes and %s",
			p.mtu, strings.Replace(advice(0), "=0", "=SIZE", 1))
	case size == 0:
		return verdictUnknown, orElse(p.text, "not probed")
	case size < p.mtu && size < usualMTU:
		return verdictSmall, fmt.Sprintf("the path carries %d bytes, the interface %d; %s", size, p.mtu, advice(size))
	case size < usualMTU:
		return verdictSmall, fmt.Sprintf("%d bytes; %s", size, advice(size))
	case p.word == "untold":
		return verdictOK, fmt.Sprintf("%d bytes at the interface; not verified: %s", p.mtu, p.text)
	}
	return verdictOK, fmt.Sprintf("%d bytes", size)
}

// judgeClocks compares all clocks with that of one host: a manager that is in the swarm, else the first
// that told its clock. Ours does not matter to the swarm.
func judgeClocks(hosts []Host, reports []report) []Finding {
	told := func(i int) bool { return !reports[i].clock.IsZero() && !reports[i].answered.IsZero() }
	var able []int
	for i := range hosts {
		if told(i) {
			able = append(able, i)
		}
	}
	if len(able) == 0 {
		return nil
	}
	ref := able[0]
	if i := slices.IndexFunc(able, func(i int) bool { return hosts[i].Role == Manager && !hosts[i].Joining }); i >= 0 {
		ref = able[i]
	}
	var fs []Finding
	for i := range hosts {
		if i == ref || !hosts[i].Joining && !hosts[ref].Joining {
			continue
		}
		f := Finding{From: hosts[i].Name, To: hosts[ref].Name, Subject: "clock", Verdict: verdictOK}
		if !told(i) {
			if reports[i].err == "" && hosts[i].Runner != nil {
				f.Verdict, f.Detail = verdictUnknown, "its clock was not told"
				fs = append(fs, f)
			}
			continue
		}
		a, aErr := reports[i].offset()
		b, bErr := reports[ref].offset()
		skew, unsure := a-b, aErr+bErr
		apart, word := skew.Abs()-unsure, "ahead"
		if skew < 0 {
			word = "behind"
		}
		switch {
		case apart > skewNote:
			f.Verdict, f.Fatal = verdictSkewed, apart > skewFatal
			f.Detail = fmt.Sprintf("at least %s %s; set the clocks by NTP", apart.Round(100*time.Millisecond), word)
		case skew.Abs()+unsure > skewFatal:
			f.Verdict, f.Detail = verdictUnknown, fmt.Sprintf("the answer took too long to tell (within %s)", (skew.Abs()+unsure).Round(time.Second))
		}
		fs = append(fs, f)
	}
	return fs
}

// offset is how much the host's clock is ahead of ours, give or take unsure.
func (r report) offset() (ahead, unsure time.Duration) {
	half := r.answered.Sub(r.asked) / 2
	return r.clock.Add(r.clockStep / 2).Sub(r.asked.Add(half)), half + r.clockStep/2
}
