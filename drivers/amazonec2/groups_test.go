package amazonec2

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim/ec2sim"
)

// groupOf returns a security group by its name.
func (s *simulated) groupOf(t *testing.T, name string) types.SecurityGroup {
	t.Helper()
	out, err := do(t.Context(), s.account(t).describeGroups, &ec2.DescribeSecurityGroupsInput{Filters: []types.Filter{filter("group-name", name)}})
	if err != nil || len(out.SecurityGroups) != 1 {
		t.Fatalf("found %v groups %s (%v)", len(out.SecurityGroups), name, err)
	}
	return out.SecurityGroups[0]
}

func (s *simulated) makeGroup(t *testing.T, name string) string {
	t.Helper()
	out, err := do(t.Context(), s.account(t).createGroup, &ec2.CreateSecurityGroupInput{
		GroupName: aws.String(name), Description: aws.String("theirs"), VpcId: aws.String(s.vpc(t)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return aws.ToString(out.GroupId)
}

// revoke takes all rules from a group, as its owner would in the console.
func (s *simulated) revoke(t *testing.T, g types.SecurityGroup) {
	t.Helper()
	c := ec2.New(ec2.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(s.url),
		Credentials: credentials.NewStaticCredentialsProvider(ec2sim.AccessKey, ec2sim.SecretKey, ""),
	})
	_, err := c.RevokeSecurityGroupIngress(t.Context(), &ec2.RevokeSecurityGroupIngressInput{GroupId: g.GroupId, IpPermissions: g.IpPermissions})
	if err != nil {
		t.Fatal(err)
	}
}

func TestClosedByDefault(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	m := s.machine(t, nil)
	m.created()
	g := s.groupOf(t, "machine-01234567")
	self := aws.ToString(g.GroupId)
	want := map[rule]bool{{"tcp", 22, "127.0.0.1/32"}: true, {"tcp", 2376, "127.0.0.1/32"}: true, {"udp", 7946, self}: true}
	got := rulesIn(g.IpPermissions)
	if len(got) != len(want) {
		t.Errorf("it admits %v, want %v", got, want)
	}
	for r := range want {
		if !got[r] {
			t.Errorf("it does not admit %v", r)
		}
	}
	if !m.told("admits", "127.0.0.1/32 to 22/tcp, 2376/tcp", "its members to 7946/udp") {
		t.Errorf("nobody was told: %q", m.notes)
	}
	m.removed(s)
}

func TestGroupsOfTheUser(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	byID := s.makeGroup(t, "by-id")
	s.makeGroup(t, "by-name")
	m := s.machine(t, drivers.Values{"amazonec2-security-group": {byID, "by-name", "fresh"}, "amazonec2-open-port": {"80"}})
	m.created()
	for _, name := range []string{"by-id", "by-name"} {
		if g := s.groupOf(t, name); len(g.IpPermissions) > 0 || len(g.Tags) > 0 {
			t.Errorf("group %s was changed: %v %v", name, g.IpPermissions, g.Tags)
		}
	}
	if got := rulesIn(s.groupOf(t, "fresh").IpPermissions); !got[rule{"tcp", 80, "0.0.0.0/0"}] {
		t.Errorf("the new group admits %v", got)
	}
	if st := m.saved().Groups; len(st.IDs) != 3 || st.IDs[0] != byID || len(st.Ours) != 1 {
		t.Errorf("the state has %+v", st)
	}
	m.removed(s)
	s.groupOf(t, "by-id")
	s.groupOf(t, "by-name")
}

func TestReadOnlyGroups(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	m := s.machine(t, drivers.Values{"amazonec2-security-group": {"web"}, "amazonec2-security-group-readonly": {"true"}})
	if err := m.create(); !errors.Is(err, drivers.ErrOption) {
		t.Fatalf("got %v, want ErrOption", err)
	}
	s.makeGroup(t, "web")
	m.created()
	m.removed(s)
	s.groupOf(t, "web")
}

// TestChangedAddressIsAdmitted has a caller move between a stop and a start.
func TestChangedAddressIsAdmitted(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	m := s.machine(t, nil)
	first := m.created()
	if err := m.open().Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	g := s.groupOf(t, "machine-01234567")
	s.revoke(t, g)
	m.factory = factory(quick()) // another command
	if err := m.open().Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := m.status(drivers.Running)
	if first.Host == second.Host || first.Peer != second.Peer {
		t.Errorf("its addresses were %q and %q and are %q and %q", first.Host, first.Peer, second.Host, second.Peer)
	}
	if got := rulesIn(s.groupOf(t, "machine-01234567").IpPermissions); !got[rule{"tcp", 22, "127.0.0.1/32"}] || !got[rule{"tcp", 2376, "127.0.0.1/32"}] {
		t.Errorf("it admits %v", got)
	}
	m.removed(s)
}

// TestSharedGroupComesAndGoes has machines of several commands share a group
// that others of them remove.
func TestSharedGroupComesAndGoes(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	p := quick()
	p.settle = p.gone
	var wg sync.WaitGroup
	errs := make([]error, 5)
	for i := range errs {
		wg.Go(func() {
			m := newMachine(t, factory(p), "m"+string(rune('a'+i)), s.values(nil))
			for range 3 {
				if errs[i] = m.create(); errs[i] != nil {
					return
				}
				if errs[i] = m.remove(); errs[i] != nil {
					return
				}
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
	if slices.Contains(kinds(s.list(false)), "security-group") {
		t.Errorf("groups are left: %q", s.list(false))
	}
}

// TestGroupInForeignUse has somebody use a group of ours for an instance of theirs.
func TestGroupInForeignUse(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	m := s.machine(t, nil)
	m.created()
	st := m.saved()
	a := s.account(t)
	out, err := do(t.Context(), a.runInstances, &ec2.RunInstancesInput{
		MinCount: aws.Int32(1), MaxCount: aws.Int32(1), ImageId: aws.String(st.Launch.Image), InstanceType: "t3.micro", SecurityGroupIds: st.Groups.IDs,
	})
	if err != nil {
		t.Fatal(err)
	}
	theirs := aws.ToString(out.Instances[0].InstanceId)
	if err := m.remove(); !errors.Is(err, drivers.ErrInUse) || !strings.Contains(err.Error(), theirs) {
		t.Errorf("got %v, want ErrInUse", err)
	}
	if got := kinds(s.list(true)); !slices.Equal(got, []string{"security-group"}) {
		t.Errorf("left are %v", got)
	}
	if err := s.Vanish("instance", theirs); err != nil {
		t.Fatal(err)
	}
	m.removed(s)
}

func TestPortsAreOpenedLater(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	m := s.machine(t, nil)
	m.created()
	ports := []drivers.Port{{Number: 7789, Protocol: "udp", Peers: true}, {Number: 80, Protocol: "tcp"}}
	for range 2 {
		if err := m.open().(drivers.PortOpener).OpenPorts(t.Context(), ports); err != nil {
			t.Fatal(err)
		}
	}
	g := s.groupOf(t, "machine-01234567")
	got := rulesIn(g.IpPermissions)
	if !got[rule{"udp", 7789, aws.ToString(g.GroupId)}] || len(got) != 4 {
		t.Errorf("it admits %v", got)
	}
	if !m.told("admits", "its members to 7789/udp") {
		t.Errorf("nobody was told: %q", m.notes)
	}
	m.removed(s)

	s.makeGroup(t, "web")
	theirs := s.machine(t, drivers.Values{"amazonec2-security-group": {"web"}})
	theirs.created()
	if err := theirs.open().(drivers.PortOpener).OpenPorts(t.Context(), ports); err != nil {
		t.Fatal(err)
	}
	if g := s.groupOf(t, "web"); len(g.IpPermissions) > 0 || !theirs.told("stay as they are; they must admit its members to 7789/udp") {
		t.Errorf("it admits %v, notes %q", g.IpPermissions, theirs.notes)
	}
	theirs.removed(s)
}
