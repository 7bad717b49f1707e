package e2e_test

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func walkFiles(root fs.FS, visit func(name string, info os.FileInfo)) error {
	return fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		visit(name, info)
		return nil
	})
}

// interrupt starts a command and sends it a signal after a while; the command may
// have ended before.
func (f *fleet) interrupt(after time.Duration, sig syscall.Signal, args ...string) result {
	f.t.Helper()
	p := f.start(f.t.Context(), args...)
	if p.err != nil {
		f.t.Fatal(p.err)
	}
	time.Sleep(after)
	_ = p.cmd.Process.Signal(sig)
	return p.wait()
}

// TestKilledCreate kills create at many points. Afterwards ls works, and either
// create again completes the machine or rm removes all there is of it.
func TestKilledCreate(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	var killed int
	for i, after := range []time.Duration{
		20 * time.Millisecond, 60 * time.Millisecond, 150 * time.Millisecond, 300 * time.Millisecond, 500 * time.Millisecond,
		800 * time.Millisecond, 1200 * time.Millisecond, 1700 * time.Millisecond, 2300 * time.Millisecond, 3 * time.Second, 4 * time.Second,
	} {
		m := f.name(fmt.Sprintf("k%d", i))
		r := f.interrupt(after, syscall.SIGKILL, "create", "-d", "docker", m)
		if r.code >= 0 {
			f.ok("rm", "-y", m)
			continue
		}
		killed++
		f.ok("ls")
		if i%2 == 0 {
			f.ok("create", "-d", "docker", m)
			f.docker(m, "info")
			if got := f.leftovers("container"); len(got) != 1 {
				t.Errorf("Killed after %s, created again: containers %v, want one", after, got)
			}
			f.ok("rm", "-y", m)
		} else if r := f.run("rm", "-y", m); r.code != 0 && !strings.Contains(r.stderr, "does not exist") {
			t.Errorf("Killed after %s: %s", after, r)
		}
		for _, kind := range []string{"container", "volume", "network"} {
			if left := f.leftovers(kind); len(left) > 0 {
				t.Errorf("Killed after %s, then removed: left %s %v", after, kind, left)
			}
		}
		if got := f.ok("ls", "-q"); got != "" {
			t.Errorf("Killed after %s, then removed: ls shows %q", after, got)
		}
	}
	if killed < 5 {
		t.Errorf("Only %d commands were killed before they ended", killed)
	}
}

// TestKilledInstall kills create while it installs an Engine over SSH, again and
// again on one host, then lets it finish.
func TestKilledInstall(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := newHost(t, bareTrixie)
	m := f.name("m")
	create := append([]string{"create", "--engine-source", "distro"}, append(h.generic("admin"), m)...)
	for _, after := range []time.Duration{500 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second, 5 * time.Second} {
		f.interrupt(after, syscall.SIGKILL, create...)
		f.ok("ls")
	}
	f.ok(create...)
	f.docker(m, "info")
}

// TestInterrupted sends Ctrl-C at several points: the command ends soon with 130
// and says how to go on.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	var interrupted int
	for i, after := range []time.Duration{100 * time.Millisecond, 700 * time.Millisecond, 1500 * time.Millisecond, 2500 * time.Millisecond} {
		m := f.name(fmt.Sprintf("c%d", i))
		r := f.interrupt(after, syscall.SIGINT, "create", "-d", "docker", m)
		if r.code == 0 {
			f.ok("rm", "-y", m)
			continue
		}
		interrupted++
		if r.code != 130 {
			t.Errorf("Got exit code %d, want 130\n%s", r.code, r)
		}
		if r.took > after+5*time.Second {
			t.Errorf("Ended %s after Ctrl-C", r.took-after)
		}
		f.ok("ls")
		if i%2 == 0 {
			f.ok("create", "-d", "docker", m)
			f.docker(m, "info")
		}
		if r := f.run("rm", "-y", m); r.code != 0 && !strings.Contains(r.stderr, "does not exist") {
			t.Errorf("%s", r)
		}
		if left := f.leftovers("container"); len(left) > 0 {
			t.Errorf("Left %v", left)
		}
	}
	if interrupted < 2 {
		t.Errorf("Only %d commands were interrupted before they ended", interrupted)
	}
}
