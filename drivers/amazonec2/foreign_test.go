package amazonec2

import (
	"errors"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/ec2sim"
)

// TestActionsThatAreNotToBeHad has clouds that do not know an action, or do not
// let the user. What is only looked up is done without. What cannot be done
// without is named, and nothing is left.
func TestActionsThatAreNotToBeHad(t *testing.T) {
	t.Parallel()
	const needed, spared = false, true
	for action, c := range map[string]struct {
		spared bool
		values drivers.Values
	}{
		"GetParameter":                  {spared, nil},
		"DescribeInstanceTypes":         {spared, nil},
		"GetConsoleOutput":              {spared, nil},
		"DescribeKeyPairs":              {spared, nil},
		"DescribeAddresses":             {spared, nil},
		"DescribeVolumes":               {spared, nil},
		"DescribeNetworkInterfaces":     {spared, nil},
		"DescribeSpotInstanceRequests":  {spared, nil},
		"DescribeVpcs":                  {needed, drivers.Values{"amazonec2-private-address-only": {"true"}}},
		"DescribeImages":                {needed, nil},
		"DescribeSubnets":               {needed, nil},
		"DescribeSecurityGroups":        {needed, nil},
		"CreateSecurityGroup":           {needed, nil},
		"AuthorizeSecurityGroupIngress": {needed, nil},
		"ImportKeyPair":                 {needed, nil},
		"RunInstances":                  {needed, nil},
		"DescribeInstances":             {needed, nil},
		"StopInstances":                 {needed, nil},
		"StartInstances":                {needed, nil},
		"TerminateInstances":            {needed, nil},
		"DeleteKeyPair":                 {needed, nil},
		"DeleteSecurityGroup":           {needed, nil},
		"AllocateAddress":               {needed, drivers.Values{"amazonec2-elastic-ip": {"new"}}},
		"AssociateAddress":              {needed, drivers.Values{"amazonec2-elastic-ip": {"new"}}},
		"ReleaseAddress":                {needed, drivers.Values{"amazonec2-elastic-ip": {"new"}}},
		"CancelSpotInstanceRequests":    {needed, drivers.Values{"amazonec2-request-spot-instance": {"true"}, "amazonec2-spot-interruption": {"stop"}}},
	} {
		for name, f := range map[string]struct {
			fault sim.Fault
			want  error
		}{
			"unknown": {sim.Fault{Status: 400, Code: "InvalidAction"}, drivers.ErrUnsupported},
			"denied":  {sim.Fault{Status: 403, Code: "UnauthorizedOperation"}, drivers.ErrPermission},
			"absent":  {sim.Fault{Status: 501, Code: "NotImplemented"}, drivers.ErrUnsupported},
		} {
			t.Run(action+"/"+name, func(t *testing.T) {
				t.Parallel()
				s := simulate(t, ec2sim.Config{})
				m := s.machine(t, c.values)
				f.fault.Action, f.fault.Times, f.fault.Mode = action, -1, sim.Fail
				s.gate.Inject(f.fault)
				err := life(m)
				if err == nil {
					_, err = m.open().(drivers.Orphans).Tagged(t.Context())
				}
				if c.spared && err != nil {
					t.Errorf("it is not done without: %v", err)
				}
				if !c.spared && (!errors.Is(err, f.want) || !strings.Contains(err.Error(), action)) {
					t.Errorf("got %v, want %v that names the action", err, f.want)
				}
				s.gate.Clear()
				m.removed(s)
			})
		}
	}
}

// TestRestartWithoutReboot has a cloud that only stops and starts.
func TestRestartWithoutReboot(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	s.gate.Inject(sim.Fault{Action: "RebootInstances", Times: -1, Mode: sim.Fail, Status: 400, Code: "InvalidAction"})
	m := s.machine(t, nil)
	m.created()
	if err := m.open().(drivers.Restarter).Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if calls := s.gate.Calls(); calls["StopInstances"] != 1 || calls["StartInstances"] != 1 {
		t.Errorf("it made %v", calls)
	}
	m.status(drivers.Running)
	m.removed(s)
}

// TestSmallPages has a cloud whose answers come in many pages, some of them empty.
func TestSmallPages(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{Page: 1})
	s.makeGroup(t, "theirs")
	f := factory(quick())
	var all []*machine
	for _, name := range []string{"m1", "m2", "m3"} {
		m := newMachine(t, f, name, s.values(drivers.Values{"amazonec2-image-owner": {"099720109477"}, "amazonec2-image-name": {"ubuntu/images/*"}, "amazonec2-request-spot-instance": {"true"}}))
		m.created()
		all = append(all, m)
	}
	if got := len(all[0].saved().Groups.IDs); got != 1 || len(s.list(true)) != 3*5+1 {
		t.Errorf("%d groups, and all is %q", got, s.list(true))
	}
	found, err := all[0].open().(drivers.Orphans).Tagged(t.Context())
	if err != nil || len(found) != 3*3+1 { // volumes and interfaces are no orphans while they are used
		t.Errorf("found %v (%v)", found, err)
	}
	for i, m := range all {
		if err := m.remove(); err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	if left := s.list(true); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
