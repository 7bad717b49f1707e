package amazonec2

import (
	"errors"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/ec2sim"
)

func TestImages(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		values            drivers.Values
		image, arch, user string
	}{
		"default":     {nil, "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64", amd64, "ubuntu"},
		"arm64":       {drivers.Values{"amazonec2-instance-type": {"t4g.micro"}}, "ubuntu-noble-24.04-arm64", arm64, "ubuntu"},
		"debian":      {drivers.Values{"amazonec2-image": {"debian-13"}}, "debian-13-amd64", amd64, "admin"},
		"by name":     {drivers.Values{"amazonec2-image-owner": {"136693071363"}, "amazonec2-image-name": {"debian-12-*"}}, "debian-12-amd64", amd64, "admin"},
		"amazon":      {drivers.Values{"amazonec2-image": {"al2023"}}, "al2023-ami-2023", amd64, "ec2-user"},
		"parameter":   {drivers.Values{"amazonec2-image": {"/aws/service/debian/release/12/latest/amd64"}, "amazonec2-ssh-user": {"me"}}, "debian-12-amd64", amd64, "me"},
		"first image": {drivers.Values{"amazonec2-image": {"ubuntu-22.04"}}, "ubuntu-jammy-22.04-amd64", amd64, "ubuntu"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := simulate(t, ec2sim.Config{})
			m := s.machine(t, c.values)
			status := m.created()
			l := m.saved().Launch
			if !strings.Contains(l.ImageName, c.image) || l.Architecture != c.arch || status.User != c.user {
				t.Errorf("it is %s for %s, user %s; want %s for %s, user %s", l.ImageName, l.Architecture, status.User, c.image, c.arch, c.user)
			}
			if !m.told(l.Image, l.Zone, l.Subnet, l.Type) {
				t.Errorf("nobody was told: %q", m.notes)
			}
			m.removed(s)
		})
	}
}

// TestNoParameters has a cloud that only speaks like EC2.
func TestNoParameters(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	s.gate.Inject(sim.Fault{Action: "GetParameter", Times: -1, Mode: sim.Fail, Status: 404, Code: "UnknownOperationException"})
	m := s.machine(t, nil)
	m.created()
	if got := m.saved().Launch.ImageName; !strings.Contains(got, "noble-24.04-amd64-server-20250821") {
		t.Errorf("took image %s", got)
	}
	m.removed(s)
}

// TestNoImage has the advice be about what is amiss.
func TestNoImage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault  sim.Fault
		values drivers.Values
		advice string
	}{
		"denied":  {sim.Fault{Action: "DescribeImages", Times: -1, Mode: sim.Fail, Status: 403, Code: "UnauthorizedOperation"}, nil, "ec2:DescribeImages"},
		"missing": {sim.Fault{Action: "DescribeImages", Times: -1, Mode: sim.Fail, Status: 400, Code: "InvalidAMIID.NotFound"}, drivers.Values{"amazonec2-ami": {"ami-00000000000000000"}}, "region"},
		"unnamed": {values: drivers.Values{"amazonec2-instance-type": {"t4g.micro"}, "amazonec2-image-owner": {"self"}, "amazonec2-image-name": {"none-*"}}, advice: "--owners self"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := simulate(t, ec2sim.Config{})
			s.gate.Inject(sim.Fault{Action: "GetParameter", Times: -1, Mode: sim.Fail, Status: 400, Code: "ParameterNotFound"})
			if c.fault.Action != "" {
				s.gate.Inject(c.fault)
			}
			err := s.machine(t, c.values).open().Check(t.Context())
			h := new(drivers.HintError)
			if err == nil || !errors.As(err, &h) || !strings.Contains(h.Advice, c.advice) {
				t.Errorf("got %v with advice %q, want %q", err, h.Advice, c.advice)
			}
		})
	}
}

func TestWrongArchitecture(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	m := s.machine(t, nil)
	m.created()
	other := s.machine(t, drivers.Values{"amazonec2-ami": {m.saved().Launch.Image}, "amazonec2-instance-type": {"t4g.micro"}})
	if err := other.open().Check(t.Context()); !errors.Is(err, drivers.ErrOption) || !strings.Contains(err.Error(), "arm64") {
		t.Errorf("got %v, want ErrOption", err)
	}
	m.removed(s)
}

func TestArchitectureByName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a1.large", "t4g.micro", "m7gd.large", "c6gn.metal", "im4gn.large", "is4gen.large", "x2gd.medium", "hpc7g.4xlarge", "g5g.xlarge", "i4g.large"} {
		if archByName(name) != arm64 {
			t.Errorf("%s is arm64", name)
		}
	}
	for _, name := range []string{"t3.micro", "m5dn.large", "g4dn.xlarge", "g6e.xlarge", "c7i-flex.large", "u-6tb1.metal", "inf1.xlarge", "x2iedn.large", "p4de.24xlarge"} {
		if archByName(name) != amd64 {
			t.Errorf("%s is amd64", name)
		}
	}
}
