package amazonec2

import (
	"errors"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim/ec2sim"
)

func TestLabel(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	m := s.machine(t, nil)
	label := func(labels map[string]string) error { return m.open().(drivers.Labeler).Label(t.Context(), labels) }
	if err := label(map[string]string{"a": "b"}); !errors.Is(err, drivers.ErrNotFound) {
		t.Errorf("before there is an instance: %v", err)
	}
	m.created()
	for _, value := range []string{"1700000000", "1700000600"} { // the second takes the place of the first
		if err := label(map[string]string{"runner_manager_heartbeat": value, "team": "ci"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, own := range []string{tagStore, tagMachine, tagCreator} {
		if err := label(map[string]string{own: "other"}); !errors.Is(err, drivers.ErrConflict) {
			t.Errorf("%s: %v", own, err)
		}
	}
	i, _, err := s.account(t).instance(t.Context(), m.saved().Instance)
	if err != nil || tag(i.Tags, "runner_manager_heartbeat") != "1700000600" || tag(i.Tags, "team") != "ci" || tag(i.Tags, tagMachine) != "m1" {
		t.Errorf("its tags are %v, %v", i.Tags, err)
	}
	m.removed(s)
}
