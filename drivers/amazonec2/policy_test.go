package amazonec2

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/ec2sim"
)

//go:embed policy.json
var policy []byte

// statements returns the actions of the policy by statement.
func statements(t *testing.T) map[string][]string {
	t.Helper()
	var p struct {
		Statement []struct {
			Sid    string
			Action []string
		}
	}
	if err := json.Unmarshal(policy, &p); err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, s := range p.Statement {
		all[s.Sid] = s.Action
	}
	return all
}

const restrictedKey, restrictedSecret = "AKIARESTRICTED000000", "restricted-secret-key"

// life does with a machine all that people do.
func life(m *machine) error {
	ctx := m.t.Context()
	return first(
		func() error { return m.open().Check(ctx) },
		m.create,
		func() error { _, err := m.open().Status(ctx); return err },
		func() error { return m.open().(drivers.Restarter).Restart(ctx) },
		func() error { return m.open().Stop(ctx) },
		func() error { return m.open().Start(ctx) },
		func() error { return m.open().(drivers.Killer).Kill(ctx) },
		m.remove,
	)
}

// cleaning has a machine interrupted, seen, and what it left released.
func cleaning(s *simulated) func(m *machine) error {
	return func(m *machine) error {
		ctx := m.t.Context()
		if err := m.create(); err != nil {
			return err
		}
		o := m.open().(drivers.Orphans)
		if _, err := o.(drivers.ConsoleReader).Console(ctx); err != nil {
			return err
		}
		all, err := o.Tagged(ctx)
		if err != nil {
			return err
		}
		for _, r := range append(all, drivers.Resource{Kind: kindVolume, ID: "vol-00000000000000000"}, drivers.Resource{Kind: kindInterface, ID: "eni-00000000000000000"}) {
			if err := o.Release(ctx, r); err != nil {
				return err
			}
		}
		if note := m.note("this was not looked at"); note != "" {
			return fmt.Errorf("%w: %s", drivers.ErrPermission, note)
		}
		m.state = nil
		return nil
	}
}

func first(acts ...func() error) error {
	for _, act := range acts {
		if err := act(); err != nil {
			return err
		}
	}
	return nil
}

// TestPolicy has the page's policy be enough, and each of its actions needed.
func TestPolicy(t *testing.T) {
	t.Parallel()
	all := statements(t)
	spot := drivers.Values{"amazonec2-request-spot-instance": {"true"}, "amazonec2-elastic-ip": {"new"}}
	for sid, c := range map[string]struct {
		with   []string // other statements
		spared bool     // each of its actions can be done without
		values drivers.Values
		act    func(*simulated) func(*machine) error
	}{
		"Machines":         {act: func(*simulated) func(*machine) error { return life }},
		"LookingUp":        {with: []string{"Machines"}, spared: true, act: func(*simulated) func(*machine) error { return life }},
		"CleaningUp":       {with: []string{"Machines", "ElasticAddresses"}, values: spot, act: cleaning},
		"ElasticAddresses": {with: []string{"Machines", "CleaningUp"}, values: drivers.Values{"amazonec2-elastic-ip": {"new"}}, act: func(*simulated) func(*machine) error { return life }},
		"PrivateAddresses": {with: []string{"Machines"}, values: drivers.Values{"amazonec2-private-address-only": {"true"}}, act: func(*simulated) func(*machine) error { return life }},
	} {
		try := func(t *testing.T, without string) (*simulated, error) {
			var actions []string
			for _, s := range append([]string{sid}, c.with...) {
				actions = append(actions, all[s]...)
			}
			actions = slices.DeleteFunc(actions, func(a string) bool { return a == without })
			s := simulate(t, ec2sim.Config{Keys: []ec2sim.Key{{Access: restrictedKey, Secret: restrictedSecret, Actions: actions}}})
			values := s.values(c.values)
			values["amazonec2-access-key"], values["amazonec2-secret-key"] = []string{restrictedKey}, []string{restrictedSecret}
			return s, c.act(s)(newMachine(t, factory(quick()), "m1", values))
		}
		t.Run(sid, func(t *testing.T) {
			t.Parallel()
			if len(all[sid]) == 0 {
				t.Fatal("the policy has no such statement")
			}
			s, err := try(t, "")
			if err != nil {
				t.Fatal(err)
			}
			if left := s.list(true); len(left) > 0 {
				t.Fatalf("left behind: %q", left)
			}
			for _, action := range all[sid] {
				t.Run(action, func(t *testing.T) {
					t.Parallel()
					_, err := try(t, action)
					if c.spared && err != nil {
						t.Errorf("it is not done without: %v", err)
					}
					if !c.spared && (!errors.Is(err, drivers.ErrPermission) || !strings.Contains(err.Error(), action)) {
						t.Errorf("without it: %v", err)
					}
				})
			}
		})
	}
	known := 0
	for range all {
		known++
	}
	if known != 5 {
		t.Errorf("the policy has %d statements, and 5 are tested", known)
	}
}

// TestUnheardKeyPair has the policy be enough for a machine that was interrupted.
func TestUnheardKeyPair(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	m := s.machine(t, drivers.Values{"amazonec2-retries": {"-1"}})
	s.gate.Inject(sim.Fault{Action: "ImportKeyPair", Mode: sim.Lose})
	if err := m.create(); !errors.Is(err, drivers.ErrUnreachable) {
		t.Fatalf("got %v, want ErrUnreachable", err)
	}
	m.removed(s)
}

// TestVanishedKeyPair has the first statement be enough where somebody deleted
// the key pair.
func TestVanishedKeyPair(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{Keys: []ec2sim.Key{{Access: restrictedKey, Secret: restrictedSecret, Actions: statements(t)["Machines"]}}})
	values := s.values(nil)
	values["amazonec2-access-key"], values["amazonec2-secret-key"] = []string{restrictedKey}, []string{restrictedSecret}
	m := newMachine(t, factory(quick()), "m1", values)
	m.created()
	if err := s.Vanish("key-pair", m.saved().Key.ID); err != nil {
		t.Fatal(err)
	}
	m.removed(s)
}

// TestPolicyIsOnThePage has the page show the policy that is tested.
func TestPolicyIsOnThePage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/drivers/amazonec2.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "```json\n"+strings.TrimSpace(string(policy))+"\n```") {
		t.Error("docs/drivers/amazonec2.md shows another policy than policy.json")
	}
}
