//go:build unix

package virtualbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/computer"
	"github.com/hostsmith/machine/e2e/sim/vboxsim"
)

// TestMain makes this program a VBoxManage, or a process that makes or removes a
// machine and may be killed, if it is started as one.
func TestMain(m *testing.M) {
	switch {
	case filepath.Base(os.Args[0]) == "VBoxManage":
		os.Exit(manage())
	case os.Getenv("VIRTUALBOX_TEST_ACT") != "":
		os.Exit(act(os.Getenv("VIRTUALBOX_TEST_ACT")))
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

// deed is what a process does with a machine.
type deed struct {
	Config  json.RawMessage
	Dir     string
	Cache   string
	Request drivers.CreateRequest
	Remove  bool
}

func act(file string) int {
	var d deed
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	var m drivers.Driver
	if err == nil {
		m, err = openOnDisk(d)
	}
	if err == nil && d.Remove {
		err = m.Remove(context.Background())
	} else if err == nil {
		err = m.Create(context.Background(), d.Request)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// openOnDisk opens a machine whose state is a file.
func openOnDisk(d deed) (drivers.Driver, error) {
	w := local()
	w.os, w.arch, w.networks = "linux", "amd64", "/nonexistent"
	w.addrs = func() ([]hostAddr, error) { return nil, nil }
	path := filepath.Join(d.Dir, "state.json")
	state, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	save := func(state json.RawMessage) error {
		if err := os.WriteFile(path+".new", state, 0o600); err != nil {
			return err
		}
		return os.Rename(path+".new", path)
	}
	return factory(w).Open(d.Config, nil, state, save, drivers.Env{Machine: "m1", StoreID: testStore, Creator: "machine/1.0", Dir: d.Dir, Cache: d.Cache, Getenv: os.Getenv})
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
	deed deed
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
	return &killable{t, b, deed{Config: config, Dir: t.TempDir(), Cache: b.cache, Request: request(t)}}
}

func (w *killable) inject(f sim.Fault) {
	w.t.Helper()
	if err := w.b.Inject(f); err != nil {
		w.t.Fatal(err)
	}
}

// process has another process create or remove the machine.
func (w *killable) process(remove bool) ([]byte, error) {
	w.t.Helper()
	w.deed.Remove = remove
	text, err := json.Marshal(w.deed)
	if err != nil {
		w.t.Fatal(err)
	}
	file := filepath.Join(w.t.TempDir(), "deed.json")
	write(w.t, file, string(text), 0o600)
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	c := exec.CommandContext(w.t.Context(), self)
	c.Env = append(os.Environ(), "VIRTUALBOX_TEST_ACT="+file, "GORACE=atexit_sleep_ms=0") // or each call takes a second
	for k, v := range w.b.vars {
		c.Env = append(c.Env, k+"="+v)
	}
	return c.CombinedOutput()
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
