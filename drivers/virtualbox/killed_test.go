//go:build unix

package virtualbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm/vmtest"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/computer"
	"github.com/hostsmith/machine/e2e/sim/vboxsim"
)

// TestMain makes this program a VBoxManage, or a process that makes or removes a
// machine and may be killed, if it is started as one.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "VBoxManage" {
		os.Exit(manage())
	}
	if code, asked := vmtest.Act(context.Background(), elsewhere); asked {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// manage is a call of the simulated VBoxManage in a process of its own.
func manage() int {
	box, err := vboxsim.New(vboxsim.Config{Home: os.Getenv("VBOX_USER_HOME")})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	a := box.Run(context.Background(), "/", os.Args[1:])
	if a.Kill {
		_ = syscall.Kill(os.Getppid(), syscall.SIGKILL)
		return 1
	}
	fmt.Fprint(os.Stdout, a.Stdout)
	fmt.Fprint(os.Stderr, a.Stderr)
	return a.Exit
}

// elsewhere is the factory of a process of its own.
func elsewhere() drivers.Factory {
	w := local()
	w.os, w.arch, w.networks = "linux", "amd64", "/nonexistent"
	w.addrs = func() ([]hostAddr, error) { return nil, nil }
	return factory(w)
}

// TestKilled kills the process at calls that change something, before and after, and
// demands that another one completes what it did, or takes all of it away.
func TestKilled(t *testing.T) {
	t.Parallel()
	for _, f := range []sim.Fault{
		{Action: "convertfromraw", Nth: 1, Mode: computer.KillAfter},
		{Action: "createvm", Nth: 1, Mode: computer.KillBefore},
		{Action: "createvm", Nth: 1, Mode: computer.KillAfter},
		{Action: "hostonlyif", Nth: 1, Mode: computer.KillBefore},
		{Action: "hostonlyif", Nth: 1, Mode: computer.KillAfter},
		{Action: "setextradata", Nth: 2, Mode: computer.KillAfter},
		{Action: "hostonlyif", Nth: 2, Mode: computer.KillBefore},
		{Action: "modifyvm", Nth: 1, Mode: computer.KillAfter},
		{Action: "storageattach", Nth: 1, Mode: computer.KillAfter},
		{Action: "storageattach", Nth: 2, Mode: computer.KillAfter},
		{Action: "startvm", Nth: 1, Mode: computer.KillAfter},
	} {
		t.Run(fmt.Sprintf("%s %d %s", f.Action, f.Nth, f.Mode), func(t *testing.T) {
			t.Parallel()
			for _, then := range []string{"create", "remove"} {
				killed(t, f, then == "create")
			}
		})
	}
	for _, call := range []string{"controlvm", "unregistervm", "closemedium", "hostonlyif"} {
		t.Run("remove at "+call, func(t *testing.T) {
			t.Parallel()
			w := newKillable(t)
			w.must(false)
			w.inject(sim.Fault{Action: call, Nth: 1, Mode: computer.KillAfter})
			w.dies(true)
			w.must(true)
			w.empty()
		})
	}
}

func killed(t *testing.T, f sim.Fault, completes bool) {
	t.Helper()
	w := newKillable(t)
	w.inject(f)
	w.dies(false)
	if completes {
		w.must(false)
		counts := map[string]int{}
		for _, r := range w.b.ledger() {
			counts[r.Kind]++
		}
		if counts[vboxsim.KindMachine] != 1 || counts[vboxsim.KindAdapter] != 1 || counts[vboxsim.KindMedium] != 2 {
			t.Errorf("then create: %v", w.b.ledger())
		}
	}
	w.must(true)
	w.empty()
}

// killable is a machine that processes work on.
type killable struct {
	t    *testing.T
	b    *bench
	deed vmtest.Deed
}

func newKillable(t *testing.T) *killable {
	t.Helper()
	b := newBench(t, vboxsim.Config{})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tool := filepath.Join(b.vars["PATH"], "VBoxManage")
	if err := errors.Join(os.Remove(tool), os.Symlink(self, tool)); err != nil {
		t.Fatal(err)
	}
	config, _, err := factory(b.world).Configure(b.with())
	if err != nil {
		t.Fatal(err)
	}
	return &killable{t, b, vmtest.Deed{Config: config, Dir: t.TempDir(), Cache: b.cache}}
}

func (w *killable) inject(f sim.Fault) {
	w.t.Helper()
	if err := w.b.Inject(f); err != nil {
		w.t.Fatal(err)
	}
}

// process has another process create or remove the machine.
func (w *killable) process(remove bool) (string, error) {
	w.t.Helper()
	w.deed.Remove = remove
	var env []string
	for k, v := range w.b.vars {
		env = append(env, k+"="+v)
	}
	return w.deed.Run(w.t, env...)
}

func (w *killable) must(remove bool) {
	w.t.Helper()
	if out, err := w.process(remove); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
}

func (w *killable) dies(remove bool) {
	w.t.Helper()
	out, err := w.process(remove)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		w.t.Fatalf("not killed: %v: %s", err, out)
	}
}

func (w *killable) empty() {
	w.t.Helper()
	if left := w.b.ledger(); len(left) > 0 {
		w.t.Errorf("left %v", left)
	}
	if extra, err := w.b.Extra(w.t.Context()); err != nil || len(extra) > 0 {
		w.t.Errorf("marks %v, %v", extra, err)
	}
	if _, err := os.Stat(filepath.Join(w.deed.Dir, "virtualbox")); !errors.Is(err, os.ErrNotExist) {
		w.t.Errorf("the machine's folder is there: %v", err)
	}
}
