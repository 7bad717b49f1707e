package virtualbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/cloudimage"
	"github.com/hostsmith/machine/drivers/internal/localvm/vmtest"
	"github.com/hostsmith/machine/e2e/sim/host"
	"github.com/hostsmith/machine/e2e/sim/vboxsim"
)

func imageWith(firmware []string) cloudimage.Image { return cloudimage.Image{Firmware: firmware} }

func TestLife(t *testing.T) {
	t.Parallel()
	hosts := host.NewMemory()
	b := newBench(t, vboxsim.Config{Hosts: hosts})
	m := b.machine("m1", b.with())
	m.Create()
	s := m.Status()
	want := drivers.Status{State: drivers.Running, Host: "192.168.56.30", SSHPort: 22, User: "machine"}
	if s != want {
		t.Errorf("got %+v, want %+v", s, want)
	}
	st := saved(m)
	spec, ok := hosts.Spec(st.UUID)
	if !ok || spec.Private.String() != "192.168.56.30" || spec.Hostname != "m1" || !strings.Contains(string(spec.UserData), "ssh_keys") {
		t.Errorf("the guest got %+v", spec)
	}
	text, err := m.Open().Console(t.Context())
	if err != nil || !strings.Contains(string(text), "Welcome to m1") {
		t.Errorf("console: %q, %v", text, err)
	}
	if err := m.Open().Stop(t.Context()); err != nil || m.Status().State != drivers.Stopped {
		t.Errorf("stop: %v", err)
	}
	if err := m.Open().Start(t.Context()); err != nil || m.Status() != want {
		t.Errorf("start: %v, %+v", err, m.Status())
	}
	m.Remove()
	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	if _, err := os.Stat(st.Folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the machine's folder is there: %v", err)
	}
}

// TestListOfFifty demands that the states of fifty machines are one call.
func TestListOfFifty(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{})
	b.world.linger = local().linger
	m := b.machine("m1", b.with())
	m.Create()
	before, err := b.Calls()
	if err != nil {
		t.Fatal(err)
	}
	f := factory(b.world)
	var g sync.WaitGroup
	for range 50 {
		g.Go(func() {
			d, err := f.Open(m.Config, nil, m.State, nil, m.Env)
			if err == nil {
				_, err = d.Status(t.Context())
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
	after, err := b.Calls()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(after) - len(before); n > 3 {
		t.Errorf("%d calls for 50 states, want 3 at most", n)
	}
}

// TestConcurrent creates and removes machines of processes that share nothing but
// the lock.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{})
	machines := make([]*testMachine, 6)
	for i := range machines {
		machines[i] = b.machine(fmt.Sprintf("m%d", i), b.with())
	}
	var g sync.WaitGroup
	each := func(fn func(*testMachine) error) {
		for _, m := range machines {
			g.Go(func() {
				if err := fn(m); err != nil {
					t.Error(err)
				}
			})
		}
		g.Wait()
	}
	ctx := context.WithoutCancel(t.Context())
	req := vmtest.Request()
	each(func(m *testMachine) error { return m.Open().Create(ctx, req) })
	if b.count(vboxsim.KindAdapter) != 1 || b.count(vboxsim.KindMachine) != len(machines) {
		t.Errorf("%v", b.ledger())
	}
	seen := map[string]bool{}
	for _, m := range machines {
		seen[m.Status().Host] = true
	}
	if len(seen) != len(machines) {
		t.Errorf("%d machines have %d addresses", len(machines), len(seen))
	}
	each(func(m *testMachine) error { return m.Open().Remove(ctx) })
	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// TestCalls demands that each call is told to the maintainer.
func TestCalls(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{})
	m := b.machine("m1", b.with())
	m.Create()
	if log := m.Log.String(); !strings.Contains(log, "msg=VBoxManage") || !strings.Contains(log, "createvm") || !strings.Contains(log, "took=") {
		t.Errorf("log:\n%s", log)
	}
}

// TestExecute runs real programs: the answer, the exit code, and the end of ctx.
func TestExecute(t *testing.T) {
	t.Parallel()
	a, err := execute(t.Context(), "/bin/sh", []string{"-c", "echo out; echo err >&2; exit 3"}, []string{"LANG=C"})
	if err != nil || a != (answer{"out\n", "err\n", 3}) {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := execute(t.Context(), "/nonexistent", nil, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, cause)
	defer cancel()
	if _, err := execute(ctx, "/bin/sh", []string{"-c", "sleep 60 & wait"}, nil); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
}
