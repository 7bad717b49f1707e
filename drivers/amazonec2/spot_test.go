package amazonec2

import (
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/ec2sim"
)

// lasting are the options of a spot instance whose request brings another one when
// it ends, and that nothing is asked for twice by the SDK.
func lasting(more drivers.Values) drivers.Values {
	v := drivers.Values{
		"amazonec2-request-spot-instance": {"true"}, "amazonec2-spot-interruption": {"stop"}, "amazonec2-retries": {"-1"},
	}
	for name, value := range more {
		v[name] = value
	}
	return v
}

// ofKind returns the ids of what there is of a kind.
func (s *simulated) ofKind(kind string) []string {
	var ids []string
	for _, r := range s.list(true) {
		if id, ok := strings.CutPrefix(r, kind+"/"); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// TestSpentSpotRequest has a create go on whose spot instance, which it did not hear
// of, has ended: its request would bring another one beside the new one.
func TestSpentSpotRequest(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	m := s.machine(t, lasting(nil))
	s.gate.Inject(sim.Fault{Action: "RunInstances", Mode: sim.Lose})
	if err := m.create(); err == nil {
		t.Fatal("the lost answer was not missed")
	}
	for _, id := range s.ofKind("instance") {
		if err := s.Vanish("instance", id); err != nil {
			t.Fatal(err)
		}
	}
	m.created()
	if open := s.ofKind("spot-request"); !slices.Equal(open, []string{m.saved().SpotRequest}) {
		t.Errorf("there are the spot requests %q, want %s alone", open, m.saved().SpotRequest)
	}
	m.removed(s)
}

// TestSpotAfterAll has a create go on that was about to get an instance on demand
// where no spot instance was to be had, and now gets one.
func TestSpotAfterAll(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	m := s.machine(t, lasting(drivers.Values{"amazonec2-spot-fallback": {"true"}}))
	s.SetQuota(ec2sim.QuotaSpotVCPUs, 0)
	s.gate.Inject(sim.Fault{Action: "RunInstances", Nth: 2, Mode: sim.Fail, Status: 500, Code: "InternalError"})
	if err := m.create(); err == nil || m.saved().Launch.Asked.IsZero() || m.saved().Launch.Spot {
		t.Fatalf("it was not about to get one on demand: %+v (%v)", m.saved().Launch, err)
	}
	s.SetQuota(ec2sim.QuotaSpotVCPUs, 100)
	m.created()
	if m.saved().SpotRequest == "" {
		t.Fatal("it is no spot instance")
	}
	m.removed(s)
}
