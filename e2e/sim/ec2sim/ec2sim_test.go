package ec2sim_test

import (
	"encoding/base64"
	"errors"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"

	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/ec2sim"
	"github.com/hostsmith/machine/e2e/sim/host"
)

const (
	zone   = "us-east-1a"
	noble  = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
	pubKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6fK1WJkCFJ3nJZIHl2mVkaLr8Nw8C1Sn0BRHQGY0cB me"
)

// clock is a time that moves when it is told to.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// site is a cloud and a client of it.
type site struct {
	*ec2.Client
	t     *testing.T
	cloud *ec2sim.Cloud
	hosts *host.Memory
	clock *clock
	url   string
	image string
}

const step = time.Second // of instances

func newSite(t *testing.T, change ...func(*ec2sim.Config)) *site {
	t.Helper()
	s := &site{t: t, hosts: host.NewMemory(), clock: &clock{now: time.Now()}}
	config := ec2sim.Config{Hosts: s.hosts, Now: s.clock.Now, Step: step}
	for _, c := range change {
		c(&config)
	}
	var err error
	if s.cloud, err = ec2sim.New(config); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.cloud)
	t.Cleanup(server.Close)
	s.url = server.URL
	s.Client = s.as(ec2sim.AccessKey, ec2sim.SecretKey, "us-east-1")
	s.image = s.parameter(noble)
	return s
}

func (s *site) as(access, secret, region string) *ec2.Client {
	return ec2.New(ec2.Options{
		Region: region, BaseEndpoint: &s.url, Credentials: credentials.NewStaticCredentialsProvider(access, secret, ""),
		Retryer: aws.NopRetryer{},
	})
}

func (s *site) parameter(name string) string {
	s.t.Helper()
	client := ssm.New(ssm.Options{
		Region: "us-east-1", BaseEndpoint: &s.url, Credentials: credentials.NewStaticCredentialsProvider(ec2sim.AccessKey, ec2sim.SecretKey, ""),
	})
	out, err := client.GetParameter(s.t.Context(), &ssm.GetParameterInput{Name: &name})
	if err != nil {
		s.t.Fatal(err)
	}
	return *out.Parameter.Value
}

// order is a good RunInstances.
func (s *site) order(change ...func(*ec2.RunInstancesInput)) *ec2.RunInstancesInput {
	in := &ec2.RunInstancesInput{ImageId: &s.image, InstanceType: "t3.micro", MinCount: aws.Int32(1), MaxCount: aws.Int32(1)}
	for _, c := range change {
		c(in)
	}
	return in
}

func (s *site) run(change ...func(*ec2.RunInstancesInput)) string {
	s.t.Helper()
	out, err := s.RunInstances(s.t.Context(), s.order(change...))
	if err != nil {
		s.t.Fatal(err)
	}
	return *out.Instances[0].InstanceId
}

func (s *site) instance(id string) types.Instance {
	s.t.Helper()
	out, err := s.DescribeInstances(s.t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	if err != nil {
		s.t.Fatal(err)
	}
	return out.Reservations[0].Instances[0]
}

func (s *site) wants(id string, state types.InstanceStateName) {
	s.t.Helper()
	if got := s.instance(id).State.Name; got != state {
		s.t.Errorf("%s is %s, want %s", id, got, state)
	}
}

func (s *site) good(_ any, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code {
		t.Errorf("got %v, want the code %s", err, code)
	}
}

func ofKind(all []sim.Resource, kind string) []sim.Resource {
	var found []sim.Resource
	for _, r := range all {
		if r.Kind == kind {
			found = append(found, r)
		}
	}
	return found
}

func spec(kind types.ResourceType, key, value string) types.TagSpecification {
	return types.TagSpecification{ResourceType: kind, Tags: []types.Tag{{Key: &key, Value: &value}}}
}

func TestLifeOfAnInstance(t *testing.T) {
	t.Parallel()
	s, ctx := newSite(t), t.Context()
	key, err := s.ImportKeyPair(ctx, &ec2.ImportKeyPairInput{
		KeyName: aws.String("k"), PublicKeyMaterial: []byte(pubKey), TagSpecifications: []types.TagSpecification{spec("key-pair", "a", "b")},
	})
	s.good(key, err)
	group, err := s.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: aws.String("g"), Description: aws.String("d")})
	s.good(group, err)
	id := s.run(func(in *ec2.RunInstancesInput) {
		in.KeyName, in.SecurityGroupIds = aws.String("k"), []string{*group.GroupId}
		in.UserData = aws.String(base64.StdEncoding.EncodeToString([]byte("#cloud-config\n")))
		in.TagSpecifications = []types.TagSpecification{spec("instance", "Name", "one"), spec("volume", "Name", "disk"), spec("network-interface", "Name", "net")}
		in.BlockDeviceMappings = []types.BlockDeviceMapping{{DeviceName: aws.String("/dev/sda1"), Ebs: &types.EbsBlockDevice{
			VolumeSize: aws.Int32(20), VolumeType: "gp3", Encrypted: aws.Bool(true),
		}}}
	})
	s.wants(id, "pending")
	s.clock.forward(step)
	s.wants(id, "running")
	in := s.instance(id)
	spec, _ := s.hosts.Spec(id)
	if spec.Public.String() != *in.PublicIpAddress || spec.Private.String() != *in.PrivateIpAddress || spec.User != "ubuntu" ||
		len(spec.Keys) != 1 || spec.Keys[0] != pubKey || string(spec.UserData) != "#cloud-config\n" {
		t.Errorf("the host is %+v, the instance has %s and %s", spec, *in.PublicIpAddress, *in.PrivateIpAddress)
	}
	private, _ := s.hosts.Networks()
	if !private.Contains(spec.Private) {
		t.Errorf("%s is not in %s", spec.Private, private)
	}
	for _, kind := range []string{"instance", "volume", "network-interface", "security-group", "key-pair"} {
		if got := ofKind(s.cloud.Ledger(), kind); len(got) != 1 {
			t.Errorf("the ledger has of %s: %v", kind, got)
		}
	}

	s.good(s.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{id}}))
	s.wants(id, "stopping")
	s.clock.forward(step)
	s.wants(id, "stopped")
	if got := s.instance(id); got.PublicIpAddress != nil {
		t.Errorf("a stopped instance has %s", *got.PublicIpAddress)
	}
	s.good(s.StartInstances(ctx, &ec2.StartInstancesInput{InstanceIds: []string{id}}))
	s.clock.forward(step)
	s.wants(id, "running")
	if got := s.instance(id); *got.PublicIpAddress == *in.PublicIpAddress || *got.PrivateIpAddress != *in.PrivateIpAddress {
		t.Errorf("after stop and start: %s and %s", *got.PublicIpAddress, *got.PrivateIpAddress)
	}

	s.good(s.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}}))
	s.wants(id, "shutting-down")
	s.clock.forward(step)
	s.wants(id, "terminated")
	if _, there := s.hosts.Spec(id); there {
		t.Error("the host is still there")
	}
	_, err = s.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: group.GroupId})
	wantCode(t, err, "DependencyViolation")
	s.clock.forward(step)
	s.good(s.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: group.GroupId}))
	s.good(s.DeleteKeyPair(ctx, &ec2.DeleteKeyPairInput{KeyPairId: key.KeyPairId}))
	if left := s.cloud.Ledger(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

var _ sim.Provider = (*ec2sim.Cloud)(nil)
