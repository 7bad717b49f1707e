package amazonec2

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim/ec2sim"
)

// made is what docker-machine made and recorded of a machine.
type made struct {
	*machine
	record       map[string]any
	image, group string
}

// dockerMachine makes an instance as docker-machine did: without tags, and named
// only when it ran.
func (s *simulated) dockerMachine(t *testing.T, name string, spot bool) *made {
	t.Helper()
	a, ctx := s.account(t), t.Context()
	group := s.makeGroup(t, "docker-machine-"+name)
	if _, err := do(ctx, a.importKeyPair, &ec2.ImportKeyPairInput{KeyName: aws.String(name), PublicKeyMaterial: []byte(testKey)}); err != nil {
		t.Fatal(err)
	}
	images, err := do(ctx, a.describeImages, &ec2.DescribeImagesInput{Owners: []string{"099720109477"}, Filters: []types.Filter{filter("architecture", "x86_64")}})
	if err != nil {
		t.Fatal(err)
	}
	m := &made{image: aws.ToString(images.Images[0].ImageId), group: group}
	in := &ec2.RunInstancesInput{
		MinCount: aws.Int32(1), MaxCount: aws.Int32(1), ImageId: aws.String(m.image), InstanceType: "t3.micro", KeyName: aws.String(name), SecurityGroupIds: []string{group},
		BlockDeviceMappings: []types.BlockDeviceMapping{{DeviceName: aws.String("/dev/sda1"), Ebs: &types.EbsBlockDevice{DeleteOnTermination: aws.Bool(true), VolumeSize: aws.Int32(16)}}},
	}
	if spot {
		in.InstanceMarketOptions = &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot}
	}
	out, err := do(ctx, a.runInstances, in)
	if err != nil {
		t.Fatal(err)
	}
	m.machine = &machine{t: t, factory: factory(quick()), name: name, dir: t.TempDir()}
	if err := os.WriteFile(filepath.Join(m.dir, "id_rsa.pub"), []byte(testKey), 0o600); err != nil {
		t.Fatal(err)
	}
	m.record = map[string]any{
		"IPAddress": "192.0.2.1", "MachineName": name, "SSHUser": "ubuntu", "SSHPort": 22, "SSHKeyPath": "/s/machines/" + name + "/id_rsa", "StorePath": "/s",
		"SwarmMaster": false, "SwarmHost": "", "SwarmDiscovery": "", "Id": "0123456789abcdef", "AccessKey": ec2sim.AccessKey, "SecretKey": ec2sim.SecretKey, "SessionToken": "",
		"Region": "us-east-1", "AMI": m.image, "SSHKeyID": 0, "ExistingKey": false, "KeyName": name, "InstanceId": aws.ToString(out.Instances[0].InstanceId),
		"InstanceType": "t3.micro", "PrivateIPAddress": "", "SecurityGroupId": "", "SecurityGroupIds": []string{group}, "SecurityGroupName": "",
		"SecurityGroupNames": []string{"docker-machine-" + name}, "SecurityGroupReadOnly": false, "OpenPorts": nil, "Tags": "team,web", "ReservationId": "",
		"DeviceName": "/dev/sda1", "RootSize": 16, "VolumeType": "gp2", "IamInstanceProfile": "", "VpcId": s.vpc(t), "SubnetId": "", "Zone": "a",
		"RequestSpotInstance": spot, "SpotPrice": "0.50", "BlockDurationMinutes": 0, "PrivateIPOnly": false, "UsePrivateIP": false, "UseEbsOptimizedInstance": false,
		"Monitoring": false, "SSHPrivateKeyPath": "", "RetryCount": 5, "Endpoint": s.url, "DisableSSL": false, "UserDataFile": "",
	}
	return m.recorded(nil)
}

// recorded changes the record.
func (m *made) recorded(change map[string]any) *made {
	m.t.Helper()
	maps.Copy(m.record, change)
	var err error
	if m.config, err = json.Marshal(m.record); err != nil {
		m.t.Fatal(err)
	}
	return m
}

// kinds are the kinds of all that is in the cloud but the groups, which docker-machine left.
func (s *simulated) kinds() []string {
	var all []string
	for _, r := range s.Ledger() {
		if r.Kind != "security-group" {
			all = append(all, r.Kind)
		}
	}
	slices.Sort(all)
	return all
}

// TestDockerMachine has instances of docker-machine go on: seen, stopped, started,
// killed, and removed with all that docker-machine removed.
func TestDockerMachine(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	before := s.kinds()
	m := s.dockerMachine(t, "old", false)
	groups := len(s.Ledger()) - len(s.kinds())
	now := m.status(drivers.Running)
	if now.Host == "" || now.Peer == "" || now.User != "ubuntu" || now.SSHPort != 22 || m.state != nil {
		t.Errorf("%+v, saved %s", now, m.state)
	}
	if k, ok := m.open().(drivers.HostKeySeeder); !ok || k.SeedsHostKey() {
		t.Error("docker-machine seeded no host key")
	}
	for _, step := range []struct {
		do   func() error
		want drivers.State
	}{
		{func() error { return m.open().Stop(t.Context()) }, drivers.Stopped},
		{func() error { return m.open().Start(t.Context()) }, drivers.Running},
		{func() error { return m.open().(drivers.Restarter).Restart(t.Context()) }, drivers.Running},
		{func() error { return m.open().(drivers.Killer).Kill(t.Context()) }, drivers.Stopped},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		m.status(step.want)
	}
	m.recorded(map[string]any{"UsePrivateIP": true})
	if s := m.status(drivers.Stopped); s.Host != now.Peer {
		t.Errorf("got %s, want the private address", s.Host)
	}
	for range 2 {
		if err := m.remove(); err != nil {
			t.Fatal(err)
		}
	}
	if left := s.kinds(); !slices.Equal(left, before) || len(s.Ledger())-len(left) != groups {
		t.Errorf("left %v", s.Ledger())
	}
	if strings.Contains(string(m.state), ec2sim.SecretKey) {
		t.Errorf("the secret is in %s", m.state)
	}
}

// TestDockerMachineSpot removes a spot instance of docker-machine with its request,
// whose id docker-machine did not record.
func TestDockerMachineSpot(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	before := s.kinds()
	m := s.dockerMachine(t, "old", true)
	if err := m.remove(); err != nil {
		t.Fatal(err)
	}
	if left := s.kinds(); !slices.Equal(left, before) || s.gate.Calls()["CancelSpotInstanceRequests"] != 1 {
		t.Errorf("left %v, %v", s.Ledger(), s.gate.Calls())
	}
}

// TestDockerMachineOfOthers removes nothing but what the record names and what
// docker-machine made for it.
func TestDockerMachineOfOthers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change map[string]any
		public string // of the key pair that was imported here; empty: as at EC2
		want   []string
	}{
		"a key pair of the user's":      {change: map[string]any{"ExistingKey": true}, want: []string{"key-pair"}},
		"another key pair of the name":  {public: strings.Replace(testKey, "GPKS", "GPKT", 1), want: []string{"key-pair"}},
		"a create that failed early":    {change: map[string]any{"InstanceId": "", "KeyName": ""}, want: []string{"instance", "key-pair"}},
		"another instance of its name":  {change: map[string]any{"InstanceId": "i-0123456789abcdef0"}, want: []string{"instance"}},
		"a spot instance that is gone":  {change: map[string]any{"InstanceId": "i-0123456789abcdef0", "RequestSpotInstance": true}, want: []string{"instance"}},
		"a record of before many names": {change: map[string]any{"SecurityGroupNames": nil, "SecurityGroupName": "docker-machine-old"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := simulate(t, ec2sim.Config{})
			m := s.dockerMachine(t, "old", false).recorded(c.change)
			if c.public != "" {
				if err := os.WriteFile(filepath.Join(m.dir, "id_rsa.pub"), []byte(c.public), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := m.remove(); err != nil {
				t.Fatal(err)
			}
			left := slices.DeleteFunc(s.kinds(), func(k string) bool { return k != "instance" && k != "key-pair" })
			if !slices.Equal(left, c.want) {
				t.Errorf("left %v, want %v", left, c.want)
			}
		})
	}
}

// TestDockerMachineElsewhere has credentials of another account: neither the
// instance nor its VPC is there, and rm must not forget what goes on elsewhere.
func TestDockerMachineElsewhere(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	m := s.dockerMachine(t, "old", false).recorded(map[string]any{"InstanceId": "i-0123456789abcdef0", "VpcId": "vpc-0123456789abcdef0"})
	if err := m.remove(); !errors.Is(err, drivers.ErrCredentials) || !strings.Contains(err.Error(), "vpc-0123456789abcdef0") {
		t.Errorf("got %v", err)
	}
	if _, err := m.open().Status(t.Context()); !errors.Is(err, drivers.ErrCredentials) {
		t.Errorf("got %v", err)
	}
	m.recorded(map[string]any{"VpcId": s.vpc(t)})
	if _, err := m.open().Status(t.Context()); !errors.Is(err, drivers.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// TestInheritedConfiguration keeps secrets apart, and can be described.
func TestInheritedConfiguration(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	m := s.dockerMachine(t, "old", false)
	h, ok, err := m.factory.(drivers.Heir).Inherit(m.config)
	if err != nil || !ok || strings.Contains(string(h.Config)+string(h.State), ec2sim.SecretKey) || !strings.Contains(string(h.Secrets), ec2sim.SecretKey) {
		t.Fatalf("got %s, %s, %v, %v", h.Config, h.State, ok, err)
	}
	values, err := m.factory.(drivers.Describer).Describe(h.Config)
	if err != nil {
		t.Fatal(err)
	}
	for option, want := range map[string]string{
		"amazonec2-ami": m.image, "amazonec2-tags": "team,web", "amazonec2-security-group": "docker-machine-old", "amazonec2-zone": "a", "amazonec2-endpoint": s.url,
	} {
		if got := values[option]; len(got) != 1 || got[0] != want {
			t.Errorf("%s: got %q, want %s", option, got, want)
		}
	}
	m.config, m.secrets, m.state = h.Config, h.Secrets, h.State
	m.status(drivers.Running)
}
