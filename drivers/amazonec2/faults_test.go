package amazonec2

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/ec2sim"
)

func kinds(list []string) []string {
	var all []string
	for _, r := range list {
		kind, _, _ := strings.Cut(r, "/")
		all = append(all, kind)
	}
	slices.Sort(all)
	return all
}

// TestLostAnswers has the connection break after each call in turn, which the
// SDK hides by asking again.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	for _, mode := range []sim.Mode{sim.Lose, sim.Throttle} {
		for _, action := range []string{
			"GetParameter", "DescribeImages", "DescribeInstanceTypes", "DescribeSubnets", "DescribeSecurityGroups", "CreateSecurityGroup",
			"AuthorizeSecurityGroupIngress", "ImportKeyPair", "RunInstances", "DescribeInstances", "AllocateAddress", "AssociateAddress",
			"TerminateInstances", "DeleteKeyPair", "DeleteSecurityGroup", "ReleaseAddress",
		} {
			if mode == sim.Throttle && action != "RunInstances" && action != "AllocateAddress" {
				continue // the SDK slows down for seconds
			}
			t.Run(fmt.Sprintf("%s/%s", mode, action), func(t *testing.T) {
				t.Parallel()
				s := simulate(t, ec2sim.Config{})
				m := s.machine(t, drivers.Values{"amazonec2-elastic-ip": {"new"}})
				s.gate.Inject(sim.Fault{Action: action, Mode: mode})
				err := m.create()
				if action == "AllocateAddress" && mode == sim.Lose { // has no token: it must not be repeated blindly
					if !errors.Is(err, drivers.ErrUnreachable) {
						t.Errorf("got %v, want ErrUnreachable", err)
					}
					err = m.create()
				}
				if err != nil {
					t.Fatal(err)
				}
				m.status(drivers.Running)
				want := []string{"elastic-ip", "instance", "key-pair", "network-interface", "security-group", "volume"}
				if got := kinds(s.list(true)); !slices.Equal(got, want) {
					t.Errorf("made %v, want %v", got, want)
				}
				m.removed(s)
			})
		}
	}
}

// TestLateIDs has a new id unknown for a while.
func TestLateIDs(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{Delay: 200 * time.Millisecond, Step: 50 * time.Millisecond})
	p := quick()
	p.settle = 10 * time.Second
	m := newMachine(t, factory(p), "m1", s.values(drivers.Values{"amazonec2-elastic-ip": {"new"}}))
	first := m.created()
	if first.Host == "" || first.Peer == "" || first.Host == first.Peer {
		t.Errorf("its addresses are %q and %q", first.Host, first.Peer)
	}
	m.removed(s)
}

// TestLateKeys has the key pair of a second machine, whose group is there already, be
// unknown for a while after its import.
func TestLateKeys(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{Delay: 300 * time.Millisecond})
	p := quick()
	p.settle = 10 * time.Second
	f := factory(p)
	first := newMachine(t, f, "m1", s.values(nil))
	first.created()
	second := newMachine(t, f, "m2", s.values(nil))
	second.created()
	if err := first.remove(); err != nil {
		t.Fatal(err)
	}
	second.removed(s)
}

// TestUnheardInstance has a machine removed whose launch nobody heard of, and
// which shows up late.
func TestUnheardInstance(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{Delay: 200 * time.Millisecond})
	p := quick()
	p.settle = 2 * time.Second
	m := newMachine(t, factory(p), "m1", s.values(drivers.Values{"amazonec2-retries": {"-1"}}))
	s.gate.Inject(sim.Fault{Action: "RunInstances", Mode: sim.Lose})
	if err := m.create(); !errors.Is(err, drivers.ErrUnreachable) {
		t.Fatalf("got %v, want ErrUnreachable", err)
	}
	if m.saved().Instance != "" || !slices.Contains(kinds(s.list(true)), "instance") {
		t.Fatal("there is no instance that nobody heard of")
	}
	m.removed(s)
}

// TestUnheardInstanceUnfiltered has a cloud that does not find instances by the token of
// their launch.
func TestUnheardInstanceUnfiltered(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	m := s.machine(t, drivers.Values{"amazonec2-retries": {"-1"}})
	s.gate.Inject(sim.Fault{Action: "RunInstances", Mode: sim.Lose})
	if err := m.create(); !errors.Is(err, drivers.ErrUnreachable) {
		t.Fatalf("got %v, want ErrUnreachable", err)
	}
	s.gate.Inject(sim.Fault{Action: "DescribeInstances", Mode: sim.Fail, Status: 400, Code: "InvalidParameterValue"})
	m.removed(s)
}

// TestOtherParameters has a create that is continued with another image ask for
// what an earlier one got.
func TestOtherParameters(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	m := s.machine(t, drivers.Values{"amazonec2-retries": {"-1"}})
	s.gate.Inject(sim.Fault{Action: "RunInstances", Mode: sim.Lose})
	if err := m.create(); err == nil {
		t.Fatal("the lost answer was not missed")
	}
	again := s.machine(t, drivers.Values{"amazonec2-image": {"debian-13"}})
	again.state = m.state
	again.created()
	if got := kinds(s.list(true)); len(got) != 5 {
		t.Errorf("made %v", got)
	}
	again.removed(s)
}

func TestCapacity(t *testing.T) {
	t.Parallel()
	const micro, small = "t3.micro", "t3.small"
	type room struct {
		kind, zone string
		n          int
	}
	nowhere := func(kind string, n int) []room {
		return []room{{kind, "us-east-1a", n}, {kind, "us-east-1b", n}, {kind, "us-east-1c", n}}
	}
	for name, c := range map[string]struct {
		rooms  []room
		quotas map[ec2sim.Quota]int
		values drivers.Values
		want   string // type and zone
		err    error
	}{
		"another zone":              {rooms: []room{{micro, "us-east-1a", 0}}, want: micro + " us-east-1b"},
		"zone without the type":     {rooms: []room{{micro, "us-east-1a", -1}, {micro, "us-east-1b", -1}}, want: micro + " us-east-1c"},
		"another type":              {rooms: nowhere(micro, 0), values: drivers.Values{"amazonec2-instance-type": {micro + "," + small}}, want: small + " us-east-1a"},
		"the zone that was named":   {rooms: []room{{micro, "us-east-1b", 0}}, values: drivers.Values{"amazonec2-zone": {"b"}}, err: drivers.ErrCapacity},
		"none anywhere":             {rooms: nowhere(micro, 0), err: drivers.ErrCapacity},
		"no vCPUs":                  {quotas: map[ec2sim.Quota]int{ec2sim.QuotaVCPUs: 1}, err: drivers.ErrQuota},
		"no groups":                 {quotas: map[ec2sim.Quota]int{ec2sim.QuotaGroups: 0}, err: drivers.ErrQuota},
		"no addresses":              {quotas: map[ec2sim.Quota]int{ec2sim.QuotaAddresses: 0}, values: drivers.Values{"amazonec2-elastic-ip": {"new"}}, err: drivers.ErrQuota},
		"spot, no capacity":         {quotas: map[ec2sim.Quota]int{ec2sim.QuotaSpotVCPUs: 0}, values: drivers.Values{"amazonec2-request-spot-instance": {"true"}}, err: drivers.ErrQuota},
		"spot, then on demand":      {quotas: map[ec2sim.Quota]int{ec2sim.QuotaSpotVCPUs: 0}, values: drivers.Values{"amazonec2-request-spot-instance": {"true"}, "amazonec2-spot-fallback": {"true"}}, want: micro + " us-east-1a"},
		"spot, too cheap, fallback": {values: drivers.Values{"amazonec2-request-spot-instance": {"true"}, "amazonec2-spot-fallback": {"true"}, "amazonec2-spot-price": {"0.0001"}}, want: micro + " us-east-1a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := simulate(t, ec2sim.Config{})
			for _, r := range c.rooms {
				if err := s.SetCapacity(r.kind, r.zone, r.n); err != nil {
					t.Fatal(err)
				}
			}
			for q, n := range c.quotas {
				s.SetQuota(q, n)
			}
			m := s.machine(t, c.values)
			err := m.create()
			if runs := s.gate.Calls()["RunInstances"]; c.err == drivers.ErrQuota && runs > 1 {
				t.Errorf("an exhausted quota was asked of %d times", runs)
			}
			if !errors.Is(err, c.err) {
				t.Fatalf("got %v, want %v", err, c.err)
			}
			if c.err == nil {
				l := m.saved().Launch
				if got := l.Type + " " + l.Zone; got != c.want || l.Spot {
					t.Errorf("took %s (spot: %v), want %s", got, l.Spot, c.want)
				}
			} else if h := new(drivers.HintError); !errors.As(err, &h) {
				t.Errorf("%v has no advice", err)
			}
			m.removed(s)
		})
	}
}

func TestNoDefaultVPC(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{NoDefaultVPC: true})
	err := s.machine(t, nil).open().Check(t.Context())
	h := new(drivers.HintError)
	if !errors.As(err, &h) || !strings.Contains(err.Error(), "no default VPC") || !strings.Contains(h.Advice, "create-default-vpc") {
		t.Errorf("got %v", err)
	}
}

// TestNoDefaultSubnets has a cloud that knows a default VPC, and no default subnets.
func TestNoDefaultSubnets(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	s.gate.Inject(sim.Fault{Action: "DescribeSubnets", Mode: sim.Fail, Status: 400, Code: "InvalidParameterValue"})
	m := s.machine(t, nil)
	m.created()
	m.removed(s)
}

// TestRemoveOfANewInstance has a machine be removed before all of EC2 knows its
// instance.
func TestRemoveOfANewInstance(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{Delay: 300 * time.Millisecond})
	p := quick()
	p.settle = 3 * time.Second
	m := newMachine(t, factory(p), "m1", s.values(nil))
	s.gate.Inject(sim.Fault{Action: "DescribeInstances", Mode: sim.Fail, Status: 400, Code: "InvalidParameterValue"})
	if err := m.create(); err == nil || m.saved().Instance == "" {
		t.Fatalf("the create did not end between launch and look (%v)", err)
	}
	m.removed(s)
}

// TestCreateOfANewInstance has a create go on before all of EC2 knows the instance that
// it has made: another one would be made beside it.
func TestCreateOfANewInstance(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{Delay: 500 * time.Millisecond})
	p := quick()
	p.settle = 10 * time.Second
	m := newMachine(t, factory(p), "m1", s.values(nil))
	s.gate.Inject(sim.Fault{Action: "DescribeInstances", Mode: sim.Fail, Status: 400, Code: "InvalidParameterValue"})
	if err := m.create(); err == nil || m.saved().Instance == "" {
		t.Fatalf("the create did not end between launch and look (%v)", err)
	}
	first := m.saved().Instance
	m.created()
	if got := s.ofKind("instance"); !slices.Equal(got, []string{first}) {
		t.Errorf("there are %q, want %s alone", got, first)
	}
	m.removed(s)
}

// TestRemoveOfWhatIsNew has a machine be removed before all of EC2 knows what was made
// for it last, and costs money.
func TestRemoveOfWhatIsNew(t *testing.T) {
	t.Parallel()
	denied := func(action string) sim.Fault {
		return sim.Fault{Action: action, Mode: sim.Fail, Status: 403, Code: "UnauthorizedOperation"}
	}
	for name, c := range map[string]struct {
		values drivers.Values
		fault  sim.Fault
		want   error
	}{
		"key pair": {nil, denied("CreateSecurityGroup"), drivers.ErrPermission},
		"key pair that was not heard of": {
			drivers.Values{"amazonec2-retries": {"-1"}}, sim.Fault{Action: "ImportKeyPair", Mode: sim.Lose}, drivers.ErrUnreachable,
		},
		"security group":  {nil, denied("AuthorizeSecurityGroupIngress"), drivers.ErrPermission},
		"spot request":    {lasting(nil), denied("DescribeInstances"), drivers.ErrPermission},
		"elastic address": {drivers.Values{"amazonec2-elastic-ip": {"new"}}, denied("AssociateAddress"), drivers.ErrPermission},
		"elastic address that was not heard of": {
			drivers.Values{"amazonec2-elastic-ip": {"new"}}, sim.Fault{Action: "AllocateAddress", Mode: sim.Lose}, drivers.ErrUnreachable,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := simulate(t, ec2sim.Config{Delay: 500 * time.Millisecond})
			p := quick()
			p.settle = 10 * time.Second
			m := newMachine(t, factory(p), "m1", s.values(c.values))
			s.gate.Inject(c.fault)
			if err := m.create(); !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			m.removed(s)
		})
	}
}

// TestRemoveTriesAllParts: what cannot be removed is told, all of it, and keeps nothing else but what it uses; the next
// removal takes the rest.
func TestRemoveTriesAllParts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ denied, left []string }{
		"instance":        {[]string{"TerminateInstances"}, []string{"instance", "elastic-ip", "key-pair", "security-group"}},
		"address":         {[]string{"ReleaseAddress"}, []string{"elastic-ip"}},
		"address and key": {[]string{"ReleaseAddress", "DeleteKeyPair"}, []string{"elastic-ip", "key-pair"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := simulate(t, ec2sim.Config{})
			m := s.machine(t, drivers.Values{"amazonec2-elastic-ip": {"new"}})
			m.created()
			for _, action := range c.denied {
				s.gate.Inject(sim.Fault{Action: action, Times: -1, Mode: sim.Fail, Status: 403, Code: "UnauthorizedOperation"})
			}
			err := m.remove()
			for _, action := range c.denied {
				if err == nil || !strings.Contains(err.Error(), "ec2:"+action) {
					t.Errorf("got %v, want what %s is needed for", err, action)
				}
			}
			for _, kind := range []string{"instance", "elastic-ip", "key-pair", "security-group"} {
				if left := len(s.ofKind(kind)) > 0; left != slices.Contains(c.left, kind) {
					t.Errorf("%s is left: %v; there are %q", kind, left, s.list(true))
				}
			}
			s.gate.Clear()
			m.removed(s)
		})
	}
}
