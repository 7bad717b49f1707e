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
		if r.code < 0 && r.stdout+r.stderr == "" && f.phase(m) == "" {
			continue // it had not begun
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

// TestKilledRotation kills the change to another authority at several points: the
// machines answer at any time, and the same command brings the change to its end.
func TestKilledRotation(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.name("a"), f.name("b")
	f.ok("create", "-d", "docker", a, b)
	first := f.storeAuthority()
	rotate := []string{"regenerate-certs", "--force", "--rotate-ca"}
	for _, after := range []time.Duration{50 * time.Millisecond, 400 * time.Millisecond, 900 * time.Millisecond, 1500 * time.Millisecond, 2500 * time.Millisecond} {
		f.interrupt(after, syscall.SIGKILL, rotate...)
		for _, m := range []string{a, b} {
			eventually(t, 20*time.Second, func() error { // the Engine may be in its restart
				if r := f.run("config", m); r.code != 0 {
					return fmt.Errorf("killed after %s: %s", after, r)
				}
				return nil
			})
		}
	}
	f.ok(rotate...)
	f.docker(a, "info")
	f.docker(b, "info")
	if second := f.storeAuthority(); second.cert.Equal(first.cert) {
		t.Error("The authority is the same as before")
	}
}

// TestKilledRemoval kills rm at several points; the same command ends the work.
func TestKilledRemoval(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	for i, after := range []time.Duration{30 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 350 * time.Millisecond} {
		m := f.name(fmt.Sprintf("r%d", i))
		f.ok("create", "-d", "docker", m)
		if r := f.interrupt(after, syscall.SIGKILL, "rm", "-y", m); r.code < 0 {
			f.ok("ls")
			if strings.Contains(f.ok("ls", "-q"), m) {
				f.ok("rm", "-y", m)
			}
		}
		for _, kind := range []string{"container", "volume"} {
			if left := f.leftovers(kind); len(left) > 0 {
				t.Errorf("Killed after %s, then removed: left %s %v", after, kind, left)
			}
		}
	}
}
