package e2e_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// measure is a row of the table.
type measure struct {
	what  string
	runs  int
	mean  time.Duration
	worst time.Duration
	cpu   time.Duration // of the program, mean; unlike the others it hardly grows when the computer is busy
	rss   int64         // KiB, the most of all runs
	procs int           // processes at work at once, the most seen
	goal  string
	note  string
}

// TestBench measures what a person waits for and prints a table. It judges
// nothing: a computer at other work would make it a liar.
func TestBench(t *testing.T) {
	if os.Getenv("MACHINE_BENCH") == "" {
		t.Skip("takes minutes and a quiet computer: make bench")
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		t.Fatal(err)
	}
	f := newFleet(t)
	var rows []measure
	add := func(m measure) {
		rows = append(rows, m)
		t.Logf("%s: %s %s", m.what, m.mean, m.note)
	}
	add(measureBinary(t))

	measureStore(t, f, add)
	measureDockerMachine(t, add)
	if os.Getenv("MACHINE_BENCH") != "store" {
		measureHosts(t, add)
		measureClouds(t, add)
	}

	table := report(t.Context(), rows, strings.Fields(string(load))[0])
	fmt.Println(table)
	if file := os.Getenv("MACHINE_BENCH_OUT"); file != "" {
		if err := os.WriteFile(file, []byte(table), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// measureStore measures what needs no hosts.
func measureStore(t *testing.T, f *fleet, add func(measure)) {
	stub := newStubEngine(t, f, 5000)
	one := f.name("one")
	f.ok("create", "-d", "none", "--url", stub.url(0), one)
	stub.serve()
	add(f.measure("`machine version`", 50, "20 ms, 30 MiB", "version"))
	add(f.measure("`machine env NAME`", 50, "25 ms, 30 MiB", "env", one))
	add(f.measure("`machine config NAME`", 50, "150 ms", "config", one))
	add(f.measure("`machine ip NAME`", 50, "25 ms, 30 MiB", "ip", one))
	add(f.measure("`machine ls -q`", 50, "25 ms, 30 MiB", "ls", "-q"))
	f.ok("rm", "-y", one)

	add(f.measureFresh("`machine create -d none` on a new store", 20, "60 ms"))

	add(measureCreates(t, "", "`machine create -d none`, 50 at once on an empty store", "5 s, one authority, all verifies"))

	stub.machines(500)
	m := f.measure("`machine ls`, 500 machines that answer", 5, "0.5 s, 150 MiB, one process", "ls")
	m.note = stub.check(f, 500)
	add(m)
	add(measureShared(t, f.store, stub))
	stub.machines(5000)
	m = f.measure("`machine ls`, 5,000 machines that answer", 3, "linear", "ls", "--timeout", "60")
	m.note = stub.check(f, 5000)
	add(m)
}

// measureShared measures ls of a store that was copied to an etcd, by somebody who has listed it before.
func measureShared(t *testing.T, store string, stub *stubEngine) measure {
	f := newEtcd(t).operator("ann")
	f.ok("store", "recipients", "add")
	f.ok("store", "copy", store, f.store)
	m := f.measure("`machine ls`, 500 machines that answer, of a store in etcd", 5, "0.5 s, 150 MiB, one process", "ls")
	m.note = stub.check(f, 500)
	return m
}

// measureHosts measures what makes hosts.
func measureHosts(t *testing.T, add func(measure)) {
	h := newHost(t, withEngine)
	g := newFleet(t)
	var created []struct {
		Trips  int `json:"sshRoundTrips"`
		Phases []struct {
			Phase string
			Took  time.Duration
		}
	}
	r := g.run(append([]string{"create", "--output", "json"}, append(h.generic("root"), g.name("g"))...)...)
	if err := json.Unmarshal([]byte(r.stdout), &created); err != nil || r.code != 0 || len(created) != 1 {
		t.Fatalf("%v: %s", err, r)
	}
	note := fmt.Sprintf("%d SSH round trips over one connection", created[0].Trips)
	for _, p := range created[0].Phases {
		note += fmt.Sprintf(", %s %s", p.Phase, p.Took.Round(10*time.Millisecond))
	}
	add(measure{what: "`machine create -d generic`, Engine installed", runs: 1, mean: r.took, worst: r.took, goal: "3 s", note: note})

	d := newFleet(t)
	d.ok("create", "-d", "docker", d.name("warm")) // the node image is built here
	add(d.measure("`machine config NAME`, a warm Engine on a host of `-d docker`", 20, "150 ms", "config", d.name("warm")))
	d.ok("rm", "-y", d.name("warm"))
	add(d.repeat("`machine create -d docker`, until the Engine answers over TLS", 5, "5 s", func(i int) time.Duration {
		name := d.name(fmt.Sprintf("d%d", i))
		r := d.run("create", "-d", "docker", name)
		if r.code != 0 {
			t.Fatalf("%s", r)
		}
		d.ok("rm", "-y", name)
		return r.took
	}))
	add(d.measureSwarm("swarm of one manager and two workers, `-d docker`", 3, "15 s", 1, 2))
	add(d.measureSwarm("swarm of three managers and four workers, `-d docker`", 1, "40 s", 3, 4))
}

func (f *fleet) repeat(what string, runs int, goal string, once func(i int) time.Duration) measure {
	m := measure{what: what, runs: runs, goal: goal}
	for i := range runs {
		took := once(i)
		m.mean += took / time.Duration(runs)
		m.worst = max(m.worst, took)
	}
	return m
}

// measure runs the program several times.
func (f *fleet) measure(what string, runs int, goal string, args ...string) measure {
	f.t.Helper()
	m := measure{goal: goal}
	f.ok(args...) // files are in memory from here on
	n := f.repeat(what, runs, goal, func(int) time.Duration {
		p := f.start(f.t.Context(), args...)
		stop := make(chan struct{})
		seen := make(chan int)
		go func() { seen <- processes(p.cmd.Process.Pid, stop) }()
		r := p.wait()
		close(stop)
		m.procs = max(m.procs, <-seen)
		m.cpu += (p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()) / time.Duration(runs)
		if r.code != 0 {
			f.t.Fatalf("%s", r)
		}
		return r.took
	})
	n.rss, n.procs, n.cpu = f.memory(args...), m.procs, m.cpu
	return n
}

// measureSwarm makes swarms, and removes them.
func (f *fleet) measureSwarm(what string, runs int, goal string, managers, workers int) measure {
	return f.repeat(what, runs, goal, func(i int) time.Duration {
		var names []string
		for n := range managers + workers {
			names = append(names, f.name(fmt.Sprintf("s%dx%dn%d", managers, i, n)))
		}
		begun := time.Now()
		f.ok(append([]string{"create", "-d", "docker", "--swarm-master"}, names[:managers]...)...)
		f.ok(append([]string{"create", "-d", "docker", "--swarm", "--swarm-name", names[0]}, names[managers:]...)...)
		took := time.Since(begun)
		f.ok(append([]string{"rm", "-y", "--force"}, names...)...)
		return took
	})
}

// measureFresh runs create with a new store each time.
func (f *fleet) measureFresh(what string, runs int, goal string) measure {
	store := f.store
	defer func() { f.store = store }()
	args := []string{"create", "-d", "none", "--url", none, "m"}
	m := f.repeat(what, runs, goal, func(int) time.Duration {
		f.store = filepath.Join(f.t.TempDir(), "new")
		r := f.run(args...)
		if r.code != 0 {
			f.t.Fatalf("%s", r)
		}
		return r.took
	})
	f.store = filepath.Join(f.t.TempDir(), "new")
	m.rss = f.memory(args...)
	return m
}

// memory returns the most memory that a run of the program had, in KiB. It is
// asked of a small program that starts it: what Linux says of our own children
// has our own size in it.
func (f *fleet) memory(args ...string) int64 {
	f.t.Helper()
	out := filepath.Join(f.t.TempDir(), "memory")
	cmd := exec.CommandContext(f.t.Context(), "/usr/bin/time", append([]string{"-f", "%M", "-o", out, cmp.Or(f.program, binary)}, args...)...)
	cmd.Env = f.env()
	if text, err := cmd.CombinedOutput(); err != nil {
		f.t.Fatalf("time %v: %v: %s", args, err, text)
	}
	raw, err := os.ReadFile(out)
	if err != nil {
		f.t.Fatal(err)
	}
	kib, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
	if err != nil {
		f.t.Fatal(err)
	}
	return kib
}

// processes counts a process and its children, looking every few milliseconds
// until stop is closed, and returns the most it saw.
func processes(pid int, stop <-chan struct{}) int {
	most := 1
	for {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		if err == nil {
			most = max(most, 1+len(strings.Fields(string(raw))))
		}
		select {
		case <-stop:
			return most
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// stubEngine answers as many Engines would, each with an address of its own on
// loopback, over TLS with client certificates.
type stubEngine struct {
	f         *fleet
	port      int
	listeners []net.Listener
	made      int
}

func newStubEngine(t *testing.T, f *fleet, addresses int) *stubEngine {
	t.Helper()
	s := &stubEngine{f: f}
	for i := range addresses {
		l, err := net.Listen("tcp", net.JoinHostPort(s.ip(i).String(), strconv.Itoa(s.port)))
		if err != nil {
			t.Fatal(err)
		}
		s.port = l.Addr().(*net.TCPAddr).Port
		s.listeners = append(s.listeners, l)
		t.Cleanup(func() { _ = l.Close() })
	}
	return s
}

func (s *stubEngine) ip(i int) net.IP { return net.IPv4(127, 10, byte(i/250), byte(1+i%250)) }
func (s *stubEngine) url(i int) string {
	return "tcp://" + net.JoinHostPort(s.ip(i).String(), strconv.Itoa(s.port))
}

// serve begins to answer, with certificates of the fleet's authority.
func (s *stubEngine) serve() {
	ca := s.f.storeAuthority()
	clients := x509.NewCertPool()
	clients.AddCert(ca.cert)
	answer := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.51")
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "/version") {
			_, _ = io.WriteString(w, `{"Version":"28.5.2","ApiVersion":"1.51","MinAPIVersion":"1.24","Os":"linux","Arch":"amd64"}`)
		} else {
			_, _ = io.WriteString(w, `{}`)
		}
	}
	for i, listener := range s.listeners {
		cert := ca.issue(s.f.t, time.Now().Add(24*time.Hour), s.ip(i))
		server := &http.Server{Handler: http.HandlerFunc(answer), ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
		config := &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert}
		go func() { _ = server.Serve(tls.NewListener(listener, config)) }()
		s.f.t.Cleanup(func() { _ = server.Close() })
	}
}

// machines sees to it that there are n machines, each with an address of its own.
// The first is made by create; the others are copies of its folder.
func (s *stubEngine) machines(n int) {
	s.f.t.Helper()
	name := func(i int) string { return s.f.name(fmt.Sprintf("s%d", i)) }
	if s.made == 0 {
		s.f.ok("create", "-d", "none", "--url", s.url(0), name(0))
		s.made = 1
	}
	for ; s.made < n; s.made++ {
		if err := os.CopyFS(s.f.path(name(s.made), ""), os.DirFS(s.f.path(name(0), ""))); err != nil {
			s.f.t.Fatal(err)
		}
		file := s.f.path(name(s.made), "config.json")
		raw, err := os.ReadFile(file)
		if err != nil {
			s.f.t.Fatal(err)
		}
		raw = bytes.ReplaceAll(raw, []byte(s.url(0)), []byte(s.url(s.made)))
		raw = bytes.ReplaceAll(raw, []byte(`"`+name(0)+`"`), []byte(`"`+name(s.made)+`"`))
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			s.f.t.Fatal(err)
		}
	}
}

// check tells that ls really saw n Engines.
func (s *stubEngine) check(f *fleet, n int) string {
	got := strings.Count(f.ok("ls", "--timeout", "60", "--format", "{{.State}} {{.DockerVersion}}"), "Running v28.5.2")
	if got != n {
		f.t.Errorf("ls shows %d running machines, want %d", got, n)
	}
	return fmt.Sprintf("%d rows with state and version", got)
}

func report(ctx context.Context, rows []measure, load string) string {
	var b strings.Builder
	b.WriteString(`# Benchmarks

What a person waits for, measured with the built program by ` + "`make bench`" + `. Engines
that answer ` + "`ls`" + ` are stubs on loopback, each with an address of its own, over TLS with
client certificates, on the same processors; hosts are real. Goals are the limits
that the project sets itself. Other work on the computer makes times longer; CPU, which is
that of the program alone, hardly grows by it. docker-machine is built of its sources, with those of
its drivers that call no provider, and meets the same Engines.

`)
	b.WriteString("| What | Runs | Mean | Worst | CPU | Memory | Processes | Goal | Note |\n|---|--:|--:|--:|--:|--:|--:|---|---|\n")
	for _, r := range rows {
		memory, count, cpu, mean, worst := "", "", "", "", ""
		if r.runs > 0 {
			mean, worst = short(r.mean), short(r.worst)
		}
		if r.cpu > 0 {
			cpu = short(r.cpu)
		}
		if r.rss > 0 {
			memory = fmt.Sprintf("%.0f MiB", float64(r.rss)/1024)
		}
		if r.procs > 0 {
			count = strconv.Itoa(r.procs)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", r.what, strings.TrimPrefix(strconv.Itoa(r.runs), "0"), mean, worst, cpu, memory, count, r.goal, r.note)
	}
	cpu, _ := exec.CommandContext(ctx, "sh", "-c", "sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1").Output()
	kernel, _ := exec.CommandContext(ctx, "uname", "-sr").Output()
	fmt.Fprintf(&b, "\nMeasured %s on %d × %s, %s, %s, with a load of %s from other work at the beginning.\n", time.Now().UTC().Format("2006-01-02"), runtime.NumCPU(),
		strings.TrimSpace(string(cpu)), strings.TrimSpace(string(kernel)), runtime.Version(), load)
	return b.String()
}

func short(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}
