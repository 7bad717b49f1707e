package swarmboot_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostsmith/machine/swarmboot"
)

// teller of a host: text is what its script writes, %CLOCK% its clock.
type told struct {
	text  string
	ahead time.Duration
	late  time.Duration // until it answers
	err   error

	mu     sync.Mutex
	cmd    string
	script string
}

func (r *told) Run(ctx context.Context, cmd string, stdin io.Reader, stdout io.Writer) error {
	b, _ := io.ReadAll(stdin)
	r.mu.Lock()
	r.cmd, r.script = r.cmd+cmd, string(b)
	r.mu.Unlock()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(r.late):
	}
	now := time.Now().Add(r.ahead)
	text := strings.ReplaceAll(r.text, "%CLOCK%", fmt.Sprintf("%d.%09d", now.Unix(), now.Nanosecond()))
	text = strings.ReplaceAll(text, "%SECONDS%", fmt.Sprint(now.Unix()))
	for i := 0; i < len(text); i += 7 { // in pieces, as they come over a network
		_, _ = stdout.Write([]byte(text[i:min(i+7, len(text))]))
	}
	return r.err
}

func TestPreflightFindings(t *testing.T) {
	const listing = "pf listing tcp\npf listing udp\n"
	for name, c := range map[string]struct {
		m, w *told // a manager that is in the swarm, a worker that joins
	}{
		"fine": {
			&told{text: "Welcome to m1\npf clock %CLOCK%\n" + listing + "pf listen 2377/tcp\npf listen 4789/udp\npf tool bash\n" +
				"pf probe 1 7946/tcp refused \npf probe 1 7946/udp refused\npf probe 1 4789/udp refused\npf path 1 1500 passes\n"},
			&told{text: "pf clock %CLOCK%\npf ipvs yes\n" + listing + "pf tool bash\n" +
				"pf probe 0 2377/tcp open \npf probe 0 7946/tcp open\npf probe 0 7946/udp refused\npf probe 0 4789/udp silent\npf path 0 9000 passes\n", ahead: time.Second},
		},
		"firewalls": {
			&told{text: "pf clock %CLOCK%\n" + listing + "pf listen 2377/tcp\npf listen 4789/udp\npf tool bash\n" +
				"pf probe 1 7946/tcp timeout\npf probe 1 7946/udp silent\npf probe 1 4789/udp error bash: connect: Operation not permitted\npf path 1 1460 passes\n"},
			&told{text: "pf clock %CLOCK%\n" + listing + "pf tool bash\n" +
				"pf probe 0 2377/tcp refused\npf probe 0 7946/tcp error bash: connect: No route to host bash: line 1: /dev/tcp/10.0.0.1/7946: No route to host \n" +
				"pf probe 0 7946/udp silent\npf probe 0 4789/udp refused\npf path 0 1500 tells 1420\n"},
		},
		"no-tools": {
			&told{text: "pf clock %CLOCK%\n" + listing + "pf tool none\npf probe 1 7946/tcp untold no bash with timeout, perl or python3\npf path 1 0 untold no ip\n"},
			&told{text: "pf clock %SECONDS%.%N\npf tool none\npf path 0 1500 untold no ping\n", ahead: 1500 * time.Millisecond},
		},
		"silence": { // what the other side listens on is not known
			&told{text: "pf clock %CLOCK%\npf probe 1 7946/udp silent\npf path 1 1500 lost\n"},
			&told{text: "pf clock %CLOCK%\npf probe 0 7946/udp silent\n"},
		},
		"clock-behind": {&told{text: "pf clock %CLOCK%\n", ahead: time.Hour}, &told{text: "pf clock %CLOCK%\n", ahead: time.Hour - 40*time.Second}},
		"clock-ahead":  {&told{text: "pf clock %CLOCK%\n"}, &told{text: "pf clock %CLOCK%\n", ahead: 3 * time.Second}},
		"clock-slow":   {&told{text: "pf clock %CLOCK%\n"}, &told{text: "pf clock %CLOCK%\n", ahead: 10 * time.Second, late: 50 * time.Second / 3}},
		"clock-unsure": {&told{text: "pf clock %CLOCK%\n", late: 29 * time.Second}, &told{text: "pf clock %CLOCK%\n", late: 29 * time.Second, ahead: 8 * time.Second}},
		"clock-untold": {&told{text: "pf clock %CLOCK%\n"}, &told{text: "pf clock soon\n"}},
		"no-ipvs":      {&told{text: "pf clock %CLOCK%\npf ipvs no\n"}, &told{text: "pf clock %CLOCK%\npf ipvs no\n"}},
		"unreachable":  {&told{text: "pf clock %CLOCK%\n"}, &told{err: errors.New("dial tcp 10.0.1.1:22: connection refused")}},
		"hangs":        {&told{text: "pf clock %CLOCK%\n"}, &told{late: time.Hour}},
		"nonsense": {
			&told{text: "pf\npf clock -5\npf probe 99 7946/tcp open\npf probe x 7946/tcp open\npf probe 1\npf path 1 -1 passes\npf path 1 99999999999999999999 passes\npf path 1 1500\n" +
				"pf probe 1 7946/tcp \x1b[31mopen\npf probe 1 7946/udp error \x1b[31mred\x07 " + strings.Repeat("long ", 500) + "\n"},
			&told{text: strings.Repeat("spam", 1<<19) + "\npf probe 0 2377/tcp open\n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				hosts := []swarmboot.Host{
					{Name: "m1", Addr: "10.0.0.1", Runner: c.m, Role: mgr},
					{Name: "w1", Addr: "10.0.1.1", Runner: c.w, Role: wrk, Joining: true},
				}
				var got strings.Builder
				for _, f := range swarmboot.Preflight(t.Context(), hosts, swarmboot.DataPathPort) {
					fatal := ""
					if f.Fatal {
						fatal = " (fatal)"
					}
					fmt.Fprintf(&got, "%v%s\n", f, fatal)
				}
				golden(t, "preflight/"+name, got.String())
				if c.m.cmd != "sh" || c.w.cmd != "sh" {
					t.Errorf("got commands %q and %q, want one sh each", c.m.cmd, c.w.cmd)
				}
			})
		})
	}
}

// TestPreflightAddress gives a host an address by hand: 10.0.1.1.
func TestPreflightAddress(t *testing.T) {
	const others = "pf address 127.0.0.1 lo\npf address 172.17.0.1 docker0\npf address fe80::1 eth0\npf address 192.168.0.7 eth0\npf address 2001:db8::7 eth1\n"
	for name, c := range map[string]struct {
		m, w    string
		verdict string // and what follows of the finding
		fatal   bool
	}{
		"own":           {w: "pf address 10.0.1.1 eth1\n" + others, verdict: "ok"},
		"nobody asks":   {w: others, verdict: "elsewhere: 10.0.1.1 is no address of the host's own, which has 192.168.0.7 (eth0), 2001:db8::7 (eth1); it serves only if a NAT leads from it to the host"},
		"NAT":           {m: "pf probe 1 7946/tcp refused\n", w: others, verdict: "elsewhere: 10.0.1.1 is no address of the host's own, which has 192.168.0.7 (eth0), 2001:db8::7 (eth1)"},
		"nobody there":  {m: "pf probe 1 7946/tcp timeout\n", w: others, verdict: "elsewhere: 10.0.1.1 is no address of the host's own, which has 192.168.0.7 (eth0), 2001:db8::7 (eth1); and no other host gets an answer there", fatal: true},
		"cannot be had": {m: "pf probe 1 7946/tcp untold no bash\n", w: "pf address 127.0.0.1 lo\n", verdict: "elsewhere: 10.0.1.1 is no address of the host's own; it serves only if a NAT leads from it to the host"},
		"untold":        {w: "pf address x eth0\npf address 10.0.0.1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				hosts := []swarmboot.Host{
					{Name: "m1", Addr: "10.0.0.1", Runner: &told{text: "pf clock %CLOCK%\n" + c.m}, Role: mgr},
					{Name: "w1", Addr: "10.0.1.1", Given: true, Runner: &told{text: "pf clock %CLOCK%\n" + c.w}, Role: wrk, Joining: true},
				}
				var got, want string
				if c.verdict != "" {
					want = "w1: address " + c.verdict
				}
				for _, f := range swarmboot.Preflight(t.Context(), hosts, swarmboot.DataPathPort) {
					if f.Subject == "address" {
						got += f.String()
						if f.Fatal != c.fatal {
							t.Errorf("fatal: %v", f.Fatal)
						}
					}
				}
				if got != want {
					t.Errorf("got  %q\nwant %q", got, want)
				}
			})
		})
	}
	t.Run("alone", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			alone := []swarmboot.Host{{Name: "m1", Addr: "10.0.1.1", Given: true, Runner: &told{text: others}, Role: mgr, Joining: true}}
			if fs := swarmboot.Preflight(t.Context(), alone, swarmboot.DataPathPort); len(fs) != 1 || fs[0].Verdict != "elsewhere" || fs[0].Fatal {
				t.Errorf("got %v", fs)
			}
		})
	})
}

func TestPreflightAsksOnlyWhatIsNew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		runners := make(map[string]*told)
		var hosts []swarmboot.Host
		add := func(name, addr string, role swarmboot.Role, joining bool) {
			runners[name] = &told{text: "pf clock %CLOCK%\n"}
			hosts = append(hosts, swarmboot.Host{Name: name, Addr: addr, Runner: runners[name], Role: role, Joining: joining})
		}
		add("m1", "10.0.0.1", mgr, false)
		add("w1", "10.0.0.2", wrk, false)
		add("w2", "fe80::1%eth0", wrk, true)
		add("evil", "10.0.0.4'; reboot; '", wrk, true)
		add("odd", "fe80::2%$(reboot)", wrk, true)
		for i := range 30 {
			add(fmt.Sprintf("x%d", i), fmt.Sprintf("10.0.1.%d", i), wrk, true)
		}
		fs := swarmboot.Preflight(t.Context(), hosts, 7789)
		m1 := runners["m1"].script
		if strings.Contains(m1, "10.0.0.2") {
			t.Error("m1 probes w1, and both are in the swarm")
		}
		if !strings.Contains(m1, "\npeer 2 'fe80::1%eth0' 7946/tcp 7946/udp 7789/udp mtu\n") {
			t.Error("m1 does not probe w2")
		}
		if !strings.Contains(runners["w2"].script, "\npeer 0 '10.0.0.1' 2377/tcp 7946/tcp 7946/udp 7789/udp mtu\n") {
			t.Error("w2 does not probe m1")
		}
		if !strings.Contains(m1, "\nbegin 7789\n") {
			t.Error("m1 does not look who listens on the data path port")
		}
		for name, r := range runners {
			if strings.Contains(r.script, "reboot") {
				t.Errorf("%s runs what stands in an address", name)
			}
		}
		if n := strings.Count(m1, "\nwait\n"); n != 3 {
			t.Errorf("31 peers are probed in %d batches, want 3", n)
		}
		for _, f := range fs {
			if f.To == "evil" && f.Subject != "clock" && f.Verdict != "unknown" {
				t.Errorf("got %v, want unknown", f)
			}
		}

		alone := &told{}
		if fs := swarmboot.Preflight(t.Context(), []swarmboot.Host{{Name: "m1", Addr: "10.0.0.1", Runner: alone, Joining: true, Role: mgr}}, swarmboot.DataPathPort); len(fs) != 0 || alone.cmd != "" {
			t.Errorf("got %v and %q, want nothing for one host", fs, alone.cmd)
		}
	})
}

// TestPreflightOfSilentManager: a manager that nobody can log in to is probed all the same.
func TestPreflightOfSilentManager(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w1 := &told{text: "pf clock %CLOCK%\npf tool bash\npf probe 0 2377/tcp refused\npf probe 0 7946/tcp timeout\npf probe 0 7946/udp silent\npf probe 0 4789/udp refused\npf path 0 1500 passes\n"}
		hosts := []swarmboot.Host{{Name: "m1", Addr: "10.0.0.1", Role: mgr}, {Name: "w1", Addr: "10.0.0.2", Role: wrk, Joining: true, Runner: w1}}
		var got []string
		for _, f := range swarmboot.Preflight(t.Context(), hosts, swarmboot.DataPathPort) {
			got = append(got, f.From+" "+f.To+" "+f.Subject+" "+f.Verdict)
			if f.Fatal {
				t.Errorf("%v is fatal", f)
			}
		}
		want := []string{"w1 m1 2377/tcp unknown", "w1 m1 7946/tcp blocked", "w1 m1 7946/udp unknown", "w1 m1 4789/udp unknown", "w1 m1 mtu ok"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

func FuzzPreflightReport(f *testing.F) {
	f.Add("pf clock 1700000000.123456789\npf probe 1 7946/tcp open\npf path 1 1500 tells 1400\n")
	f.Add("pf clock 1700000000.%N\npf listing udp\npf listen 2377/tcp\npf probe 0 4789/udp silent x\n")
	f.Add("pf probe -1 7946/tcp error \x00\npf path 1 9223372036854775808 lost\npf clock 9999999999999999999\n")
	f.Fuzz(func(t *testing.T, text string) {
		hosts := []swarmboot.Host{
			{Name: "m1", Addr: "10.0.0.1", Runner: &told{text: text}, Role: mgr},
			{Name: "w1", Addr: "10.0.1.1", Runner: &told{text: text}, Role: wrk, Joining: true},
		}
		for _, f := range swarmboot.Preflight(t.Context(), hosts, swarmboot.DataPathPort) {
			switch f.Verdict {
			case "ok", "blocked", "skewed", "small", "unknown":
			default:
				t.Errorf("got verdict %q", f.Verdict)
			}
			if f.Fatal && f.Verdict != "skewed" && (f.Verdict != "blocked" || f.Subject != "2377/tcp") {
				t.Errorf("%v is fatal", f)
			}
			if s := f.String(); strings.ContainsAny(s, "\n\r\x1b\x00") || len(s) > 2000 {
				t.Errorf("got %q", s)
			}
		}
	})
}
