package e2e_test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// silent listens on loopback and never answers, which is the worst that an
// address can do to a client.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close() // held open until the test ends
		}
	}()
	return l.Addr().String()
}

// TestListUnreachable lists 200 machines that do not answer.
func TestListUnreachable(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	const n = 200
	addr := silent(t)
	args := []string{"create", "-d", "none", "--url", "tcp://" + addr}
	for i := range n {
		args = append(args, f.name(fmt.Sprintf("u%d", i)))
	}
	f.ok(args...)
	r := f.run("ls", "--timeout", "2")
	if r.code != 0 {
		t.Fatalf("%s", r)
	}
	if r.took > 4*time.Second {
		t.Errorf("ls with a timeout of 2 s took %s", r.took)
	}
	lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
	if len(lines) != n+1 {
		t.Errorf("Got %d lines, want %d", len(lines), n+1)
	}
	if got := strings.Count(r.stdout, "Timeout"); got != n {
		t.Errorf("Got %d rows with Timeout, want %d\n%s", got, n, lines[1])
	}
	q := f.run("ls", "-q")
	if q.took > time.Second {
		t.Errorf("ls -q, which asks nobody, took %s", q.took)
	}
}

// TestReadersDoNotWrite runs the commands that only read on a store that
// nobody may write to.
func TestReadersDoNotWrite(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	m := f.name("m")
	f.ok("create", "-d", "docker", m)
	before := snapshot(t, f.store)
	for _, args := range [][]string{
		{"ls"}, {"ls", "-q"}, {"ip", m}, {"url", m}, {"env", m}, {"config", m}, {"inspect", m}, {"status", m}, {"active"}, {"version", m},
		{"ls", "--format", "json"}, {"provision", "--dry-run", m},
	} {
		f.run(args...)
	}
	after := snapshot(t, f.store)
	for name, state := range before {
		if after[name] != state {
			t.Errorf("%s: was %s, is %s", name, state, after[name])
		}
	}
	for name := range after {
		if _, ok := before[name]; !ok {
			t.Errorf("%s was made by a command that reads", name)
		}
	}
}

// snapshot returns size and time of change of every file; logs are not the store's.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	root := os.DirFS(dir)
	err := walkFiles(root, func(name string, info os.FileInfo) {
		if !strings.HasPrefix(name, "logs/") {
			files[name] = fmt.Sprint(info.Size(), info.ModTime())
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestMachineArguments checks "default" and options after the name.
func TestMachineArguments(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	r := f.fails(2, "url")
	if !strings.Contains(r.stderr, "default") {
		t.Errorf("No name given: %s", r)
	}
	f.ok("create", "default", "-d", "none", "--url", "tcp://127.0.0.1:9")
	if got := f.ok("url"); got != "tcp://127.0.0.1:9" {
		t.Errorf("Got %q", got)
	}
	if got := f.ok("inspect", "default", "-f", "{{.DriverName}}"); got != "none" {
		t.Errorf("Got %q", got)
	}
	f.ok("rm", "default", "-y")
	if got := f.ok("ls", "-q"); got != "" {
		t.Errorf("Got %q", got)
	}
}
