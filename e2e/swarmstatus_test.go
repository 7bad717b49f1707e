package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/e2e/browsertest"
)

// seenSwarm is what "swarm status" tells, as far as these tests look at it.
type seenSwarm struct {
	Health   string
	AskedVia string
	CanLose  int
	Nodes    []struct {
		Machine, Hostname, Role, State, Availability, Reachability, Problem, CertProblem string
		Leader                                                                           bool
		Tasks                                                                            int
		CertExpires                                                                      time.Time
	}
	Services []struct {
		Name, Error              string
		Wanted, Running, Failing int
	}
	Findings []struct{ Severity, Kind, Subject, Text, Advice string }
	URL      string // of swarm ui
}

func (s seenSwarm) finding(kind, subject string) string {
	for _, f := range s.Findings {
		if f.Kind == kind && f.Subject == subject {
			return f.Text + "\n" + f.Advice
		}
	}
	return ""
}

// looked is the status of a swarm and the exit code.
func (f *fleet) looked(swarm string) (seenSwarm, result) {
	f.t.Helper()
	r := f.run("swarm", "status", "--output", "json", swarm)
	var s seenSwarm
	if err := json.Unmarshal([]byte(r.stdout), &s); err != nil {
		f.t.Fatalf("swarm status: %v\n%s", err, r)
	}
	return s, r
}

// following is a command that goes on until it is interrupted.
type following struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *bufio.Scanner
	done  bool
}

func (f *fleet) follow(args ...string) *following {
	f.t.Helper()
	x := &following{t: f.t, cmd: exec.CommandContext(f.t.Context(), binary, args...)}
	x.cmd.Env = f.env()
	x.cmd.Stderr = os.Stderr
	out, err := x.cmd.StdoutPipe()
	if err == nil {
		err = x.cmd.Start()
	}
	if err != nil {
		f.t.Fatal(err)
	}
	x.lines = bufio.NewScanner(out)
	x.lines.Buffer(nil, 1<<20)
	f.t.Cleanup(func() {
		if !x.done {
			_ = x.cmd.Process.Kill()
			_ = x.cmd.Wait()
		}
	})
	return x
}

// line returns the next line of stdout.
func (x *following) line() string {
	x.t.Helper()
	if !x.lines.Scan() {
		x.t.Fatalf("machine %v ended: %v", x.cmd.Args[1:], x.lines.Err())
	}
	return x.lines.Text()
}

// interrupted ends the command by Ctrl-C, which is how it is meant to end.
func (x *following) interrupted() {
	x.t.Helper()
	x.done = true
	if err := x.cmd.Process.Signal(os.Interrupt); err != nil {
		x.t.Fatal(err)
	}
	for x.lines.Scan() {
	}
	if err := x.cmd.Wait(); err != nil {
		x.t.Errorf("machine %v after Ctrl-C: %v, want exit code 0", x.cmd.Args[1:], err)
	}
}

// TestSwarmStatus looks at a swarm of three managers and a worker in good times and in bad ones.
func TestSwarmStatus(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	managers, w := f.names("m1", "m2", "m3"), f.name("w1")
	swarm := "s" + f.prefix
	f.ok(append([]string{"create", "-d", "docker", "--swarm-master", "--swarm-name", swarm}, managers...)...)
	f.ok("create", "-d", "docker", "--swarm", "--swarm-name", swarm, w)
	env := f.dockerEnv(managers[0])

	t.Run("healthy", func(t *testing.T) {
		f := f.in(t)
		s, r := f.looked(swarm)
		if r.code != 0 || s.Health != "healthy" || s.CanLose != 1 || len(s.Nodes) != 4 || len(s.Findings) != 0 {
			t.Fatalf("Got %+v\n%s", s, r)
		}
		for _, n := range s.Nodes {
			if left := time.Until(n.CertExpires).Hours() / 24; left < 85 || left > 91 {
				t.Errorf("The certificate of %s ends in %.1f days (%s), want some 90", n.Machine, left, n.CertProblem)
			}
		}
		text := f.ok("swarm", "status", w) // by the name of a member
		for _, want := range append([]string{"3 managers, 3 reachable, 2 needed; 1 may be lost", "Leader: ", " days\n", w}, managers...) {
			if !strings.Contains(text, want) {
				t.Errorf("The status does not say %q:\n%s", want, text)
			}
		}
	})
	t.Run("inspect", func(t *testing.T) {
		f := f.in(t)
		out := f.ok("swarm", "inspect", swarm)
		token := f.docker(managers[0], "swarm", "join-token", "-q", "worker")
		for _, secret := range []string{token, "SWMTKN", "JoinTokens", "SigningCAKey\"", "UnlockKey\""} {
			if strings.Contains(out, secret) {
				t.Errorf("swarm inspect tells %s", secret)
			}
		}
		if got := f.ok("swarm", "inspect", "-f", "{{len .Nodes}} {{.Cluster.ID}} {{len .Record.Members}}", swarm); !strings.HasPrefix(got, "4 ") || !strings.HasSuffix(got, " 4") {
			t.Errorf("Got %q", got)
		}
	})
	t.Run("services", func(t *testing.T) {
		f := f.in(t)
		f.loadHello(w)
		on := []string{"service", "create", "--detach", "--no-resolve-image", "--endpoint-mode", "dnsrr", "--constraint", "node.role==worker"}
		f.dockerWith(env, append(on, "--name", "hello", "--replicas", "2", helloImage)...)
		f.dockerWith(env, append(on, "--name", "broken", "--entrypoint", "/nothing-there", "--restart-delay", "1s", helloImage)...)
		eventually(t, time.Minute, func() error {
			s, r := f.looked(swarm)
			if r.code != 0 || len(s.Services) != 2 || s.Services[0].Failing == 0 || s.Services[1].Running != 2 || s.Services[0].Error == "" {
				return fmt.Errorf("got services %+v", s.Services)
			}
			if advice := s.finding("service-failing", "broken"); s.Health != "warning" || !strings.Contains(advice, "service ps --no-trunc broken") {
				return fmt.Errorf("health %s, finding %q", s.Health, advice)
			}
			return nil
		})
		f.dockerWith(env, "service", "rm", "broken")
	})
	t.Run("graph", func(t *testing.T) {
		f := f.in(t)
		text, svg := f.ok("swarm", "graph", swarm), f.ok("swarm", "graph", "--output", "svg", swarm)
		for _, want := range append([]string{w, "hello.1", "hello.2"}, managers...) {
			if !strings.Contains(text, want) || !strings.Contains(svg, want) {
				t.Errorf("%s is not in both pictures:\n%s", want, text)
			}
		}
		for d := xml.NewDecoder(strings.NewReader(svg)); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("the SVG: %v", err)
			}
		}
	})
	t.Run("ui", func(t *testing.T) { f.in(t).checkUI(swarm, w, env) })
	t.Run("promoted by hand", func(t *testing.T) {
		f := f.in(t)
		watch := f.follow("swarm", "status", "--watch", "--output", "json", "--interval", "300ms", swarm)
		watch.line() // how it was
		f.dockerWith(env, "node", "promote", w)
		for changed := false; !changed; {
			var s seenSwarm
			line := watch.line()
			if err := json.Unmarshal([]byte(line), &s); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			changed = strings.Contains(s.finding("role-changed", w), "machine swarm demote "+w)
		}
		watch.interrupted()
		eventually(t, time.Minute, func() error { // the managers take some time to make it one of theirs
			out, err := f.dockerCommand(t.Context(), env, "node", "demote", w).CombinedOutput()
			if err != nil {
				return fmt.Errorf("demote: %w: %s", err, out)
			}
			return nil
		})
		eventually(t, time.Minute, func() error {
			if s, _ := f.looked(swarm); s.finding("role-changed", w) != "" || s.CanLose != 1 {
				return fmt.Errorf("demoted again, and got %+v", s.Findings)
			}
			return nil
		})
	})
	t.Run("removed by hand", func(t *testing.T) {
		f := f.in(t)
		f.dockerWith(env, "node", "rm", "--force", w)
		eventually(t, time.Minute, func() error {
			s, r := f.looked(swarm)
			if got := s.finding("removed-by-hand", w); r.code != 0 || s.Health != "warning" || !strings.Contains(got, "machine swarm leave --force "+w) {
				return fmt.Errorf("got %q\n%s", got, r)
			}
			return nil
		})
	})
	t.Run("manager killed", func(t *testing.T) {
		f := f.in(t)
		f.ok("kill", managers[2])
		eventually(t, 2*time.Minute, func() error {
			s, r := f.looked(swarm)
			got := s.finding("node-down", managers[2])
			if r.code != 0 || s.CanLose != 0 || !strings.Contains(got, "machine start "+managers[2]) {
				return fmt.Errorf("got %q\n%s", got, r)
			}
			return nil
		})
	})
	t.Run("quorum lost", func(t *testing.T) {
		f := f.in(t)
		f.ok("kill", managers[1])
		advice := "machine start " + managers[1] + " " + managers[2] + "; if they are lost for good: machine swarm recover " + swarm
		eventually(t, 2*time.Minute, func() error {
			s, r := f.looked(swarm)
			if r.code != 1 || s.Health != "quorum lost" || s.AskedVia != "" || !strings.Contains(s.finding("quorum-lost", ""), advice) {
				return fmt.Errorf("got %s", r)
			}
			states := map[string]string{}
			for _, n := range s.Nodes {
				states[n.Machine] = n.State
			}
			if states[managers[1]] != "no answer" || states[managers[0]] != "active" && states[managers[0]] != "hangs" { // it takes some time to see that it leads no more
				return fmt.Errorf("got states %v", states)
			}
			return nil
		})
		r := f.fails(1, "swarm", "status", swarm)
		for _, want := range []string{"quorum lost", "each engine is shown as it sees itself", "no answer", advice, managers[0]} {
			if !strings.Contains(r.stdout, want) {
				t.Errorf("The table does not say %q: %s", want, r)
			}
		}
		if !strings.Contains(r.stderr, advice) || !strings.Contains(r.stderr, "SWARM_NO_LEADER") {
			t.Errorf("The error does not say what to do: %s", r)
		}
		if r := f.fails(1, "swarm", "graph", swarm); !strings.Contains(r.stdout, managers[0]) {
			t.Errorf("There is no picture: %s", r)
		}
	})
	t.Run("nothing answers", func(t *testing.T) {
		f := f.in(t)
		f.ok("kill", managers[0])
		if r := f.fails(1, "swarm", "status", swarm); !strings.Contains(r.stdout, "machine start "+strings.Join(managers, " ")) || !strings.Contains(r.stderr, "SWARM_NO_MANAGER") {
			t.Errorf("Got %s", r)
		}
	})
}

// checkUI compares what the page shows in a browser with what the command line says.
func (f *fleet) checkUI(swarm, worker string, env []string) {
	t := f.t
	b := browsertest.Open(t, "evil.example")
	ui := f.follow("swarm", "ui", "--interval", "300ms", swarm)
	url := ui.line()
	host, _, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	if !strings.HasPrefix(host, "127.0.0.1:") {
		t.Errorf("The page is at %s, want it on the loopback", url)
	}
	refused := func(what string, change func(*http.Request)) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		change(req)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusForbidden || strings.Contains(string(body), swarm) {
			t.Errorf("%s: got %s: %s", what, resp.Status, body)
		}
	}
	refused("another host name", func(r *http.Request) { r.Host = "evil.example" })

	const limit = time.Minute
	p := b.Page()
	p.Open(url)
	p.Until(limit, func() error {
		s, r := f.looked(swarm)
		if r.code != 0 {
			return fmt.Errorf("%s", r)
		}
		var want [][]string
		for _, n := range s.Nodes {
			manager := n.Reachability
			if n.Leader {
				manager = "leader"
			}
			if manager == "" {
				manager = "-"
			}
			want = append(want, []string{n.Machine, n.Role, n.State, n.Availability, manager})
		}
		got := p.Rows("#nodes")
		for i := range got {
			got[i] = got[i][:min(5, len(got[i]))]
		}
		if !slices.EqualFunc(got, want, slices.Equal) {
			return fmt.Errorf("the page shows %q, the status says %q", got, want)
		}
		if health := p.Text("#health"); health != s.Health || p.Text("#title") != "Swarm "+swarm {
			return fmt.Errorf("the page says %s, the status %s", health, s.Health)
		}
		services := p.Rows("#services")
		if len(services) != 1 || services[0][0] != "hello" || services[0][2] != "2/2" {
			return fmt.Errorf("services %q", services)
		}
		if tasks := p.Rows("#tasks"); len(tasks) < 2 || tasks[0][1] != worker {
			return fmt.Errorf("tasks %q", tasks)
		}
		return nil
	})
	refused("the token again", func(*http.Request) {})
	second := b.Page()
	second.Open(url)
	second.Until(limit, func() error {
		if got := second.Text("body"); !strings.Contains(got, "serves once") {
			return fmt.Errorf("another browser is shown %q", got)
		}
		return nil
	})
	availability := func(want string) func() error {
		return func() error {
			for _, row := range p.Rows("#nodes") {
				if len(row) > 3 && row[0] == worker && row[3] == want {
					return nil
				}
			}
			return fmt.Errorf("the page does not show %s as %s", worker, want)
		}
	}
	f.dockerWith(env, "node", "update", "--availability", "pause", worker)
	p.Until(limit, availability("pause"))
	f.dockerWith(env, "node", "update", "--availability", "active", worker)
	p.Until(limit, availability("active"))
	if got := b.Complaints(); slices.ContainsFunc(got, func(c string) bool { return !strings.Contains(c, "403") }) {
		t.Errorf("The page complains: %q", got)
	}
	ui.interrupted()
	p.Until(limit, func() error {
		if got := p.Text("#link"); !strings.Contains(got, "connection lost") {
			return fmt.Errorf("the end of the command is not shown: %q", got)
		}
		return nil
	})
}
