package amazonec2

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim/ec2sim"
)

// machine is what a store would hold of a machine.
type machine struct {
	t       *testing.T
	factory drivers.Factory
	name    string
	config  json.RawMessage
	secrets json.RawMessage
	dir     string

	mu    sync.Mutex
	state json.RawMessage
	notes []string
}

func newMachine(t *testing.T, f drivers.Factory, name string, values drivers.Values) *machine {
	t.Helper()
	config, secrets, err := f.Configure(values)
	if err != nil {
		t.Fatal(err)
	}
	return &machine{t: t, factory: f, name: name, config: config, secrets: secrets}
}

// machine returns a machine in the cloud with clients of its own.
func (s *simulated) machine(t *testing.T, values drivers.Values) *machine {
	t.Helper()
	return newMachine(t, factory(quick()), "m1", s.values(values))
}

// open opens the driver anew, as each command does.
func (m *machine) open() drivers.Driver {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	env := drivers.Env{
		Machine: m.name, StoreID: testStore, Creator: "test/1", Dir: m.dir,
		Note: func(_ context.Context, text string) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.notes = append(m.notes, text)
		},
	}
	d, err := m.factory.Open(m.config, m.secrets, m.state, func(state json.RawMessage) error {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.state = state
		return nil
	}, env)
	if err != nil {
		m.t.Fatal(err)
	}
	return d
}

func (m *machine) create() error { return m.open().Create(m.t.Context(), wish()) }
func (m *machine) remove() error { return m.open().Remove(m.t.Context()) }

// created fails the test unless the machine runs.
func (m *machine) created() drivers.Status {
	m.t.Helper()
	if err := m.create(); err != nil {
		m.t.Fatal(err)
	}
	return m.status(drivers.Running)
}

func (m *machine) status(want drivers.State) drivers.Status {
	m.t.Helper()
	s, err := m.open().Status(m.t.Context())
	if err != nil || s.State != want {
		m.t.Fatalf("it is %q (%v), want %s", s.State, err, want)
	}
	return s
}

func (m *machine) saved() State {
	m.t.Helper()
	var s State
	if err := json.Unmarshal(m.state, &s); err != nil {
		m.t.Fatal(err)
	}
	return s
}

// told tells whether a note has all of the words.
func (m *machine) told(words ...string) bool { return m.note(words...) != "" }

// note returns a note that has all of the words.
func (m *machine) note(words ...string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, note := range m.notes {
		all := true
		for _, word := range words {
			all = all && strings.Contains(note, word)
		}
		if all {
			return note
		}
	}
	return ""
}

// removed fails the test unless the machine and all of it is gone.
func (m *machine) removed(s *simulated) {
	m.t.Helper()
	if err := m.remove(); err != nil {
		m.t.Fatal(err)
	}
	if left := s.list(true); len(left) > 0 {
		m.t.Fatalf("left behind: %q", left)
	}
}

func TestAtMostTwelveCalls(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	m := s.machine(t, nil)
	if err := m.open().Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.created()
	calls := s.gate.Calls()
	if calls[""] > 12 {
		t.Errorf("a create takes %d calls: %v", calls[""], calls)
	}
	m.removed(s)
	t.Logf("create %d calls, with remove %v", calls[""], s.gate.Calls())
}

func TestManyMachinesShareCalls(t *testing.T) {
	t.Parallel()
	const n = 20
	s := simulate(t, ec2sim.Config{})
	f := factory(quick())
	var all []*machine
	for i := range n {
		all = append(all, newMachine(t, f, fmt.Sprintf("m%d", i), s.values(nil)))
	}
	each := func(do func(*machine) error) {
		t.Helper()
		errs := make([]error, n)
		var wg sync.WaitGroup
		for i, m := range all {
			wg.Go(func() { errs[i] = do(m) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	each((*machine).create)
	calls := s.gate.Calls()
	t.Logf("%d creates: %v", n, calls)
	if calls[""] > 5*n || calls["CreateSecurityGroup"] != 1 || calls["GetParameter"] != 1 || calls["DescribeSubnets"] != 1 {
		t.Errorf("%d creates make %v", n, calls)
	}
	before := s.gate.Calls()["DescribeInstances"]
	each(func(m *machine) error {
		_, err := m.open().Status(t.Context())
		return err
	})
	if asked := s.gate.Calls()["DescribeInstances"] - before; asked > 3 {
		t.Errorf("the status of %d machines takes %d calls", n, asked)
	}
	each((*machine).remove)
	if left := s.list(true); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	t.Logf("%d lives: %v", n, s.gate.Calls())
}

// TestManyMachinesAtASlowProvider has more creates at once than the provider
// takes requests.
func TestManyMachinesAtASlowProvider(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{Rate: 40, Burst: 10})
	f := factory(quick())
	errs := make([]error, 25)
	var wg sync.WaitGroup
	for i := range errs {
		m := newMachine(t, f, fmt.Sprintf("m%d", i), s.values(nil))
		wg.Go(func() {
			if errs[i] = m.create(); errs[i] == nil {
				errs[i] = m.remove()
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if left := s.list(true); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
