package swarmboot_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostsmith/machine/swarmboot"
)

// inside runs commands on a host of the lab with only some tools on its PATH.
type inside struct {
	l    *lab
	i    int
	path string
}

func (r inside) Run(ctx context.Context, cmd string, stdin io.Reader, stdout io.Writer) error {
	c := exec.CommandContext(ctx, "nsenter", "--net=/run/netns/"+r.l.netns(r.i), "/bin/sh", "-c", cmd)
	c.Stdin, c.Stdout = stdin, stdout
	var stderr strings.Builder
	c.Stderr = &stderr
	c.Env = []string{"PATH=" + r.path}
	err := c.Run()
	if stderr.Len() > 0 {
		r.l.t.Logf("host %d: %s", r.i, stderr.String())
	}
	return err
}

// toolbox makes a folder to be a PATH with some tools; name=target gives a tool another name.
func toolbox(t *testing.T, tools ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, tool := range append(tools, "sh", "date", "sed", "tr", "sort", "head", "sleep", "ip") {
		name, target, ok := strings.Cut(tool, "=")
		if !ok {
			target = name
		}
		path, err := exec.LookPath(target)
		if err != nil {
			t.Skipf("needs %s", target)
		}
		if resolved, err := filepath.EvalSymlinks(path); err == nil && !strings.Contains(resolved, "busybox") {
			path = resolved
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// on calls fn in the network of host i: what it opens stays there. The thread goes back to where it was and is not
// ended, because the engines that it may have started would end with it.
func (l *lab) on(i int, fn func() error) {
	l.t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		l.t.Fatal(err)
	}
	defer home.Close()
	there, err := os.Open("/run/netns/" + l.netns(i))
	if err != nil {
		l.t.Fatal(err)
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		l.t.Fatal(err)
	}
	err = fn()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		panic(back) // every later test would be in the wrong network
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) listen(i int, subject string) {
	l.t.Helper()
	port, proto, _ := strings.Cut(subject, "/")
	l.on(i, func() error {
		var c io.Closer
		var err error
		if proto == "tcp" {
			c, err = net.Listen("tcp4", ":"+port)
		} else {
			c, err = net.ListenPacket("udp4", ":"+port)
		}
		if err == nil {
			l.t.Cleanup(func() { _ = c.Close() })
		}
		return err
	})
}

// rule lets the firewall of host i treat packets from host j to a port in its own way.
func (l *lab) rule(i, j int, subject string, target ...string) {
	l.t.Helper()
	port, proto, _ := strings.Cut(subject, "/")
	args := append([]string{"iptables", "-w", "-A", "INPUT", "-s", l.addr(j), "-p", proto, "--dport", port, "-j"}, target...)
	if out, err := l.in(i, args...).CombinedOutput(); err != nil {
		l.t.Fatalf("%v: %v: %s", args, err, out)
	}
}

func TestRealPreflight(t *testing.T) {
	needLab(t, "iptables", "ping")
	t.Parallel()
	boxes := map[string][]string{
		"bash":    {"bash", "timeout", "ping"},
		"perl":    {"perl"},
		"python3": {"python3=/usr/bin/python3"},
		"nc":      {"nc=busybox", "timeout=busybox"},
		"curl":    {"curl"},
		"none":    nil,
	}
	if _, err := os.Stat("/usr/bin/python3"); err != nil {
		delete(boxes, "python3")
	}
	for tool, box := range boxes {
		t.Run(tool, func(t *testing.T) {
			t.Parallel()
			path := toolbox(t, box...)
			l := newLab(t)
			var hosts []swarmboot.Host
			for i, name := range []string{"m1", "w1", "w2", "w3", "m2"} {
				l.host(i + 1)
				h := swarmboot.Host{Name: name, Addr: l.addr(i + 1), Runner: inside{l, i + 1, path}, Joining: i > 0, Role: wrk}
				if name[0] == 'm' {
					h.Role = mgr
				}
				hosts = append(hosts, h)
			}
			l.listen(1, "2377/tcp")
			l.listen(1, "7789/udp")
			l.rule(1, 2, "2377/tcp", "DROP")
			l.rule(1, 3, "2377/tcp", "REJECT", "--reject-with", "icmp-host-prohibited")
			l.rule(1, 4, "2377/tcp", "REJECT", "--reject-with", "tcp-reset")
			l.rule(1, 2, "7946/udp", "DROP")
			l.rule(1, 3, "7946/udp", "REJECT", "--reject-with", "icmp-admin-prohibited")
			l.rule(1, 3, "7789/udp", "REJECT", "--reject-with", "icmp-port-unreachable")
			l.rule(2, 1, "7946/tcp", "DROP")

			start := time.Now()
			got := make(map[string]swarmboot.Finding)
			for _, f := range swarmboot.Preflight(t.Context(), hosts, 7789) {
				got[f.From+" "+f.To+" "+f.Subject] = f
				if f.Verdict != "ok" {
					t.Log(f)
				}
			}
			if d := time.Since(start); d > 20*time.Second {
				t.Errorf("it took %s", d)
			}
			want := map[string]string{
				"w1 m1 2377/tcp": "blocked", // dropped
				"w2 m1 2377/tcp": "blocked", // prohibited
				"w3 m1 2377/tcp": "blocked", // reset, though the port is listened on
				"m1 m2 2377/tcp": "ok",
				"m2 m1 2377/tcp": "ok", // really connected
				"w1 m1 7946/udp": "blocked",
				"w2 m1 7946/udp": "blocked",
				"w2 m1 7789/udp": "blocked",
				"w1 m1 7789/udp": "ok", // silent, but listened on
				"m2 m1 7946/udp": "ok",
				"m1 w1 7946/tcp": "blocked",
				"w2 w1 7946/tcp": "ok",
				"w3 m1 mtu":      "ok",
				"w3 m1 clock":    "ok",
			}
			for k, verdict := range want {
				switch {
				case strings.HasSuffix(k, "udp") && (tool == "nc" || tool == "curl"), tool == "none" && k[len(k)-4] == '/':
					verdict = "unknown"
				}
				f := got[k]
				if f.Verdict != verdict {
					t.Errorf("got %v, want %s", f, verdict)
				}
				if f.Fatal != (verdict == "blocked" && strings.HasSuffix(k, "2377/tcp")) {
					t.Errorf("%v: fatal is %v", f, f.Fatal)
				}
			}
			if want := countProbes(hosts) + len(hosts) - 1; len(got) != want {
				t.Errorf("got %d findings, want %d", len(got), want)
			}
		})
	}
}

// countProbes counts the findings of pairs of hosts.
func countProbes(hosts []swarmboot.Host) (n int) {
	for i, a := range hosts {
		for j, b := range hosts {
			if i != j && (a.Joining || b.Joining) {
				n += 4
				if b.Role == mgr {
					n++
				}
			}
		}
	}
	return n
}

func TestRealPreflightPath(t *testing.T) {
	needLab(t, "ping", "bash")
	t.Parallel()
	path := toolbox(t, "bash", "timeout", "ping")
	for name, c := range map[string]struct {
		interfaces, way int
		verdict, detail string
	}{
		"usual":  {1500, 1500, "ok", "1500 bytes"},
		"small":  {1460, 1460, "small", "driver.mtu=1460"},
		"larger": {9000, 9000, "ok", "9000 bytes"},
		"hole":   {1500, 1400, "small", "get lost on the way"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			var hosts []swarmboot.Host
			for i := 1; i <= 2; i++ {
				l.host(i)
				l.ip("-n", l.netns(i), "link", "set", "eth0", "mtu", fmt.Sprint(c.interfaces))
				l.ip("-n", l.ns+"-hub", "link", "set", fmt.Sprintf("v%d", i), "mtu", fmt.Sprint(c.interfaces))
				hosts = append(hosts, swarmboot.Host{Name: fmt.Sprintf("m%d", i), Addr: l.addr(i), Runner: inside{l, i, path}, Joining: true, Role: mgr})
			}
			l.ip("-n", l.ns+"-hub", "link", "set", "v2", "mtu", fmt.Sprint(c.way))
			for _, f := range swarmboot.Preflight(t.Context(), hosts, swarmboot.DataPathPort) {
				if f.Subject == "mtu" && f.From == "m1" && (f.Verdict != c.verdict || !strings.Contains(f.Detail, c.detail)) {
					t.Errorf("got %v, want %s with %q", f, c.verdict, c.detail)
				}
				if f.Subject != "mtu" && f.Verdict != "ok" {
					t.Errorf("got %v, want ok", f)
				}
			}
		})
	}
}
