//go:build unix

package hyperv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm/vmtest"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/computer"
	"github.com/hostsmith/machine/e2e/sim/hypervsim"
)

// TestMain makes this program a powershell.exe, or a process that makes or removes a
// machine and may be killed, if it is started as one.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "powershell.exe" {
		os.Exit(play())
	}
	if code, asked := vmtest.Act(context.Background(), elsewhere); asked {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// play is a simulated powershell.exe in a process of its own.
func play() int {
	err := func() error {
		if os.Getenv("HYPERVSIM_HOME") == "" {
			return errors.New("HYPERVSIM_HOME names no folder")
		}
		box, err := hypervsim.New(hypervsim.Config{Home: os.Getenv("HYPERVSIM_HOME")})
		if err != nil {
			return err
		}
		return box.Serve(context.Background(), os.Stdin, os.Stdout)
	}()
	if errors.Is(err, computer.ErrKilled) {
		_ = syscall.Kill(os.Getppid(), syscall.SIGKILL)
		return 1
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// powershell returns a program that plays PowerShell.
func powershell(t testing.TB) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "powershell.exe")
	if err := os.Symlink(self, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// startWith starts a PowerShell with a variable of its own.
func startWith(path, variable string) (*process, error) {
	return startCommand(func(c *exec.Cmd) { c.Env = append(os.Environ(), variable) }, path)
}

// elsewhere is the factory of a process of its own.
func elsewhere() drivers.Factory {
	w := local()
	w.os, w.arch = "linux", "amd64"
	return factory(w)
}

// TestKilled kills the process at operations that change something, before and after,
// and demands that another one completes what it did, or takes all of it away.
func TestKilled(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"newFixedDisk", "convertDisk", "makeNat", "newMachine", "growDisk", "configureMachine", "startMachine"} {
		for _, mode := range []sim.Mode{computer.KillBefore, computer.KillAfter} {
			t.Run(op+" "+string(mode), func(t *testing.T) {
				t.Parallel()
				b := newBench(t, hypervsim.Config{})
				m := b.machine("m1", b.with("nat", "192.168.144.0/24"))
				d := vmtest.Deed{Config: m.Config, Dir: m.Env.Dir, Cache: b.cache}
				if err := b.Inject(sim.Fault{Action: op, Nth: 1, Mode: mode}); err != nil {
					t.Fatal(err)
				}
				if out, err := b.do(d); err == nil || !strings.Contains(err.Error(), "killed") {
					t.Fatalf("%s: %v", out, err)
				}
				if out, err := b.do(d); err != nil {
					t.Fatalf("%s: %v", out, err)
				}
				if b.count(hypervsim.KindMachine) != 1 || b.count(hypervsim.KindSwitch) != 1 || b.count(hypervsim.KindNat) != 1 {
					t.Errorf("there is %v", b.ledger())
				}
				d.Remove = true
				if err := b.Inject(sim.Fault{Action: "removeMachine", Nth: 1, Mode: mode}); err != nil {
					t.Fatal(err)
				}
				if out, err := b.do(d); err == nil {
					t.Fatalf("%s: not killed", out)
				}
				if out, err := b.do(d); err != nil {
					t.Fatalf("%s: %v", out, err)
				}
				if left := b.ledger(); len(left) > 0 {
					t.Errorf("left %v", left)
				}
				if _, err := os.Stat(filepath.Join(d.Dir, "hyperv")); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("the machine's folder is there: %v", err)
				}
			})
		}
	}
}

// do has a process of its own do a deed.
func (b *bench) do(d vmtest.Deed) (string, error) {
	return d.Run(b.t, "HYPERVSIM_HOME="+b.home, "PATH="+filepath.Dir(powershell(b.t)))
}

// TestDataIsData sends what would break out of any quoting through a real process, and
// demands it back letter by letter.
func TestDataIsData(t *testing.T) {
	t.Parallel()
	home := filepath.Join(t.TempDir(), "home")
	exe := powershell(t)
	s := newSession(func() (*process, error) {
		if err := os.MkdirAll(home, 0o700); err != nil {
			return nil, err
		}
		return startWith(exe, "HYPERVSIM_HOME="+home)
	})
	tool := &tool{session: s, log: quiet()}
	id, err := tool.newMachine(t.Context(), newMachineArgs{Name: "m1", Path: filepath.Join(home, strings.ReplaceAll(nasty, "/", "")), Generation: 2, Memory: 1 << 30, Notes: nasty})
	if err != nil {
		t.Fatal(err)
	}
	all, err := tool.machines(t.Context(), []string{id})
	if err != nil {
		t.Fatal(err)
	}
	if v := all[id]; v.Notes != nasty || !strings.Contains(v.Path, nasty) {
		t.Errorf("sent %q, got %q and %q", nasty, v.Notes, v.Path)
	}
	calls, err := os.ReadFile(filepath.Join(home, "hypervsim.calls"))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range calls {
		if b > 0x7e {
			t.Fatalf("a letter of a code page is in %q", calls)
		}
	}
	if n := strings.Count(string(calls), "\n"); n != 2 {
		t.Errorf("%d lines for 2 requests", n)
	}
	s.close()
}

// TestRealProcess demands what a process says when it dies, and that its death is
// survived.
func TestRealProcess(t *testing.T) {
	t.Parallel()
	exe := powershell(t)
	s := newSession(func() (*process, error) { return startWith(exe, "HYPERVSIM_HOME=") })
	err := s.call(t.Context(), quiet(), time.Minute, "probe", none{}, nil)
	if err == nil || !strings.Contains(err.Error(), "HYPERVSIM_HOME names no folder") {
		t.Errorf("got %v", err)
	}
}
