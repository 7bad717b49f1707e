package swarmboot

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Host is one end of a preflight.
type Host struct {
	Name    string
	Addr    string // that it advertises
	Given   bool   // the address is a person's choice: is it one of the host's own?
	Runner  Runner // nil: others probe it, and it is not asked
	Joining bool   // not yet in the swarm
	Role    Role
}

// Finding is one result of a preflight.
type Finding struct {
	From, To string // machine names
	Subject  string // "2377/tcp", "7946/tcp", "7946/udp", "4789/udp" or the swarm's own, "clock", "mtu", "address"; "probe" if From could not be asked
	Verdict  string // ok, blocked, skewed, small, elsewhere, unknown; unfit or doubtful of what an engine says
	Detail   string
	Fatal    bool
}

// The verdicts of findings.
const (
	verdictOK        = "ok"
	verdictBlocked   = "blocked"
	verdictSkewed    = "skewed"
	verdictSmall     = "small"
	verdictElsewhere = "elsewhere"
	verdictUnknown   = "unknown"
	verdictUnfit     = "unfit"    // of an engine
	verdictDoubtful  = "doubtful" // of an engine that may do all the same
)

// String is the finding on one line.
func (f Finding) String() string {
	s := f.From
	if f.To != "" {
		s += " to " + f.To
	}
	s += ": " + f.Subject + " " + f.Verdict
	if f.Detail != "" {
		s += ": " + f.Detail
	}
	return s
}

// A host probes atOnce peers together; one that does not answer costs some eight seconds.
const (
	atOnce    = 12
	batchTime = 10 * time.Second
	askTime   = 20 * time.Second // to reach the host and to be told its clock
)

//go:embed preflight.sh
var preflightScript string

// Preflight probes between hosts what a swarm needs: 2377/tcp to managers, 7946 tcp and udp and the swarm's data
// path port (udp) between all, clocks within 30 s, path MTU. One round trip per host, concurrently. It changes
// nothing.
//
// Hosts that are both in the swarm already are not probed against each other. Findings come in the order of
// hosts, those that are ok among them. Fatal are a blocked 2377/tcp to a manager, without which nothing joins,
// clocks more than 30 s apart, and an address that is not the joining host's own and that no peer gets an answer
// from; what cannot be found out, for want of a tool or because a host does not
// answer, is unknown and never fatal. A port where nobody listens yet counts as ok when the host itself refuses the
// connection; a firewall that refuses in the host's name is told apart only if somebody listens.
func Preflight(ctx context.Context, hosts []Host, dataPathPort int) []Finding {
	limit := askTime + batchTime*time.Duration(1+len(hosts)/atOnce)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the probes took more than %s", limit))
	defer cancel()
	p := probing{hosts: hosts, dataPathPort: dataPathPort}
	reports := make([]report, len(hosts))
	var wg sync.WaitGroup
	for i := range hosts {
		wg.Go(func() { reports[i] = p.ask(ctx, i) })
	}
	wg.Wait()
	return p.judge(reports)
}

// probing is one preflight.
type probing struct {
	hosts        []Host
	dataPathPort int
}

// ask runs the script on one host.
func (p probing) ask(ctx context.Context, i int) report {
	script, asks := p.script(i)
	runner := p.hosts[i].Runner
	if !asks || runner == nil {
		return report{}
	}
	out := &stamped{start: time.Now()}
	err := runner.Run(ctx, "sh", strings.NewReader(script), out)
	r := parseReport(out.text(), len(p.hosts))
	r.asked, r.answered = out.start, out.first
	if err != nil {
		r.err = redact(err.Error())
	}
	return r
}

// subjects are what host i probes at host j.
func (p probing) subjects(i, j int) []string {
	from, to := p.hosts[i], p.hosts[j]
	if i == j || !from.Joining && !to.Joining {
		return nil
	}
	var s []string
	if to.Role == Manager {
		s = append(s, "2377/tcp")
	}
	return append(s, "7946/tcp", "7946/udp", strconv.Itoa(p.dataPathPort)+"/udp", "mtu")
}

// script is what host i runs; false: there is nothing to ask it.
func (p probing) script(i int) (string, bool) {
	var b strings.Builder
	b.WriteString(preflightScript)
	fmt.Fprintf(&b, "\nmain() {\nbegin %d\n", p.dataPathPort)
	asks, peers := p.hosts[i].Given && p.hosts[i].Joining, 0
	for j, h := range p.hosts {
		todo := p.subjects(i, j)
		asks = asks || len(todo) > 0
		if len(todo) == 0 || !probeable(h.Addr) {
			continue
		}
		fmt.Fprintf(&b, "peer %d '%s' %s\n", j, h.Addr, strings.Join(todo, " "))
		if peers++; peers%atOnce == 0 {
			b.WriteString("wait\n")
		}
	}
	b.WriteString("wait\n}\nmain\n")
	return b.String(), asks
}

// probeable: an address goes into a script, so it has to be one.
func probeable(addr string) bool {
	ip, err := netip.ParseAddr(addr)
	return err == nil && (ip.Zone() == "" || strings.Trim(ip.Zone(), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == "")
}

// stamped collects output and notes when the first line of it, which tells the clock, came.
type stamped struct {
	start time.Time

	mu    sync.Mutex
	first time.Time
	buf   bytes.Buffer
}

// maxReport is far more than the script writes about a thousand peers.
const maxReport = 1 << 20

func (s *stamped) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if room := maxReport - s.buf.Len(); room > 0 {
		s.buf.Write(p[:min(room, len(p))])
	}
	if s.first.IsZero() {
		const line = "pf clock"
		tail := s.buf.Bytes()
		tail = tail[max(0, len(tail)-len(p)-len(line)):]
		if bytes.Contains(tail, []byte(line)) {
			s.first = time.Now()
		}
	}
	return len(p), nil
}

func (s *stamped) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}
