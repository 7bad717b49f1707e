//go:build unix

package qemu

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm"
)

// lockPID does with a pid file what QEMU does. The lock ends with the process.
func lockPID(path string) bool {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return false
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(file.Fd(), unix.F_SETLK, &lock); err != nil {
		return false
	}
	_ = file.Truncate(0)
	_, err = file.WriteString(strconv.Itoa(os.Getpid()) + "\n")
	return err == nil
}

// each runs a test with a QEMU that is ours, and with the real one, if it is
// installed: its guest finds nothing to boot.
func each(t *testing.T, test func(t *testing.T, b *bench)) {
	t.Run("fake", func(t *testing.T) {
		t.Parallel()
		test(t, lifeBench(t, testImage(t), drivers.Values{"qemu-binary": {fakeBinary(t)}}))
	})
	t.Run("real", func(t *testing.T) {
		t.Parallel()
		for _, tool := range []string{"qemu-system-x86_64", "qemu-img"} {
			if _, err := exec.LookPath(tool); err != nil {
				t.Skip(err)
			}
		}
		image := filepath.Join(t.TempDir(), "empty.qcow2")
		if out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", image, "1M").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		test(t, lifeBench(t, image, nil))
	})
}

func lifeBench(t *testing.T, image string, more drivers.Values) *bench {
	t.Helper()
	values := drivers.Values{
		"qemu-image": {image}, "qemu-accel": {"tcg"}, "qemu-arch": {"amd64"}, "qemu-memory": {"128"}, "qemu-cpu-count": {"1"},
		"qemu-firmware": {"bios"}, "qemu-stop-timeout": {"2"}, "qemu-disk-size": {"2"},
	}
	for k, v := range more {
		values[k] = v
	}
	b := newBench(t, Factory(), "m1", t.TempDir(), values)
	b.env.StoreID = t.Name() // of which the network between machines follows
	t.Cleanup(func() {       // what a test that failed left
		uuid := b.open().state.Value.UUID
		for pid, args := range must(commandLines(context.Background())) {
			if uuid != "" && hasUUID(args, uuid) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	})
	return b
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// process returns the machine's only process.
func (b *bench) process() int {
	b.t.Helper()
	pids, err := system{}.all(b.t.Context(), b.open().state.Value.UUID)
	if err != nil || len(pids) != 1 {
		b.t.Fatalf("processes are %v, %v, want one", pids, err)
	}
	return pids[0]
}

func TestLife(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		b.must("check", b.open().Check(t.Context()))
		b.must("create", b.create())
		first, pid := b.is(drivers.Running), b.process()
		b.must("create again", b.create())
		if b.process() != pid {
			t.Error("create started another process")
		}
		if sid, err := unix.Getsid(pid); err != nil || sid != pid {
			t.Errorf("process %d is in session %d, %v, want one of its own", pid, sid, err)
		}
		b.must("pause", b.open().order(t.Context(), "stop"))
		b.is(drivers.Paused)
		b.must("go on", b.open().Start(t.Context()))
		b.is(drivers.Running)
		b.must("stop", b.open().Stop(t.Context()))
		b.is(drivers.Stopped)
		b.must("stop again", b.open().Stop(t.Context()))
		b.must("start", b.open().Start(t.Context()))
		if again := b.is(drivers.Running); again != first {
			t.Errorf("was %+v, is %+v", first, again)
		}
		b.must("kill", b.open().Kill(t.Context()))
		b.is(drivers.Stopped)
		b.must("create while stopped", b.create())
		b.is(drivers.Running)
		uuid := b.open().state.Value.UUID
		b.must("remove", b.open().Remove(t.Context()))
		if left, _ := os.ReadDir(b.env.Dir); len(left) != 0 {
			t.Errorf("left are %v", left)
		}
		if pids, err := (system{}).all(t.Context(), uuid); err != nil || len(pids) != 0 {
			t.Errorf("left are processes %v, %v", pids, err)
		}
		if _, err := b.open().Status(t.Context()); !errors.Is(err, drivers.ErrNotFound) {
			t.Errorf("got %v, want ErrNotFound", err)
		}
	})
}

// TestKilled starts a machine again whose process was killed.
func TestKilled(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		b.must("create", b.create())
		pid := b.process()
		b.must("kill", syscall.Kill(pid, syscall.SIGKILL))
		b.eventually(drivers.Stopped)
		if got, _ := readPID(b.open().path(pidFile)); got != pid {
			t.Errorf("the record of the pid is %d, want the stale %d", got, pid)
		}
		b.must("start", b.open().Start(t.Context()))
		b.is(drivers.Running)
		b.must("remove", b.open().Remove(t.Context()))
	})
}

// eventually waits for a state.
func (b *bench) eventually(want drivers.State) {
	b.t.Helper()
	for begin := time.Now(); time.Since(begin) < 20*time.Second; time.Sleep(20 * time.Millisecond) {
		if s, err := b.open().Status(b.t.Context()); err == nil && s.State == want {
			return
		}
	}
	b.is(want)
}

// TestPIDOfAnother leaves a program alone that has the number of a process of ours.
func TestPIDOfAnother(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		b.must("create", b.create())
		b.must("kill", b.open().Kill(t.Context()))
		other := exec.Command("sleep", "60")
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _, _ = other.Process.Kill(), other.Wait() }()
		b.must("write", os.WriteFile(b.open().path(pidFile), []byte(strconv.Itoa(other.Process.Pid)+"\n"), 0o600))
		b.is(drivers.Stopped)
		b.must("kill", b.open().Kill(t.Context()))
		b.must("remove", b.open().Remove(t.Context()))
		if err := other.Process.Signal(syscall.Signal(0)); err != nil {
			t.Errorf("the other process: %v", err)
		}
	})
}

// TestFrozen ends a QEMU that is there and does not answer.
func TestFrozen(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		b.must("create", b.create())
		w := local()
		w.ask = 500 * time.Millisecond
		b.factory = factory(w)
		b.must("freeze", syscall.Kill(b.process(), syscall.SIGSTOP))
		for until := time.Now().Add(10 * time.Second); time.Now().Before(until); { // until the kernel has stopped it
			if s, err := b.open().Status(t.Context()); err == nil && s.State == drivers.Timeout {
				break
			}
		}
		b.is(drivers.Timeout)
		b.must("remove", b.open().Remove(t.Context()))
	})
}

// TestPortStolenForReal moves to another port if a stopped machine's has gone to others.
func TestPortStolenForReal(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		b.must("create", b.create())
		before := b.is(drivers.Running)
		b.must("kill", b.open().Kill(t.Context()))
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(before.SSHPort)))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		b.must("start", b.open().Start(t.Context()))
		if now := b.is(drivers.Running); now.SSHPort == before.SSHPort || now.SSHPort == 0 || now.EnginePort != before.EnginePort {
			t.Errorf("was %+v, is %+v", before, now)
		}
		b.must("remove", b.open().Remove(t.Context()))
	})
}

// TestStartedTwice starts a machine by two commands at once, and has one process.
func TestStartedTwice(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		b.must("create", b.create())
		b.must("kill", b.open().Kill(t.Context()))
		var wg sync.WaitGroup
		for range 2 {
			d := b.open()
			wg.Go(func() {
				if err := d.Start(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		b.process()
		b.must("remove", b.open().Remove(t.Context()))
	})
}

// TestUnrecorded finds a process that was started by a command that was killed
// before QEMU wrote its pid.
func TestUnrecorded(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		b.must("create", b.create())
		pid := b.process()
		b.must("lose the record", errors.Join(os.Remove(b.open().path(pidFile)), os.Remove(b.open().path(socketFile))))
		b.must("remove", b.open().Remove(t.Context()))
		if (system{}).is(pid, "", time.Now()) || len(commandLine(pid)) > 0 && strings.Contains(strings.Join(commandLine(pid), " "), "qemu.pid") {
			t.Errorf("process %d is still there", pid)
		}
	})
}

// TestSaid shows the words of a QEMU that ends at once.
func TestSaid(t *testing.T) {
	t.Parallel()
	t.Run("fake", func(t *testing.T) {
		t.Parallel()
		b := lifeBench(t, testImage(t), drivers.Values{"qemu-binary": {fakeBinary(t)}})
		said := "Could not access KVM kernel module: Permission denied\n"
		if err := errors.Join(os.MkdirAll(b.env.Dir, 0o700), os.WriteFile(filepath.Join(b.env.Dir, "says"), []byte(said), 0o600)); err != nil {
			t.Fatal(err)
		}
		err := b.create()
		if !errors.Is(err, drivers.ErrPermission) || err.Error() != "start QEMU: Could not access KVM kernel module: Permission denied" {
			t.Errorf("got %v", err)
		}
		b.is(drivers.Stopped)
	})
	t.Run("real", func(t *testing.T) {
		t.Parallel()
		if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
			t.Skip(err)
		}
		for option, value := range map[string]string{"qemu-cpu": "no-such-cpu", "qemu-machine": "no-such-machine", "qemu-extra-arg": "-no-such-option"} {
			b := lifeBench(t, testImage(t), drivers.Values{option: {value}})
			d := b.open()
			d.state.Value = State{UUID: localvm.NewUUID(), Arch: "amd64", Firmware: bios, NATMAC: mac("a", "b", "c"), LANMAC: mac("a", "b", "d"), Accel: "tcg", EngineGuest: 2376, Made: true}
			b.must("prepare", errors.Join(os.MkdirAll(b.env.Dir, 0o700), os.WriteFile(d.path(seedFile), make([]byte, 512), 0o600)))
			if out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", d.path(diskFile), "1M").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if err := d.Start(t.Context()); !errors.Is(err, drivers.ErrOption) {
				t.Errorf("%s: got %v, want ErrOption", option, err)
			}
		}
	})
}
