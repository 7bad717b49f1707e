package ec2sim_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hostsmith/machine/e2e/sim/ec2sim"
	"github.com/hostsmith/machine/e2e/sim/host"
)

type change = func(*ec2.RunInstancesInput)

func profiled(name string) change {
	return func(in *ec2.RunInstancesInput) {
		in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: &name}
	}
}

func disk(name string, ebs types.EbsBlockDevice) change {
	return func(in *ec2.RunInstancesInput) {
		in.BlockDeviceMappings = append(in.BlockDeviceMappings, types.BlockDeviceMapping{DeviceName: &name, Ebs: &ebs})
	}
}

func spotted(options types.SpotMarketOptions) change {
	return func(in *ec2.RunInstancesInput) {
		in.InstanceMarketOptions = &types.InstanceMarketOptionsRequest{MarketType: "spot", SpotOptions: &options}
	}
}

func in(zone string) change {
	return func(in *ec2.RunInstancesInput) { in.Placement = &types.Placement{AvailabilityZone: &zone} }
}

func ofType(t types.InstanceType) change {
	return func(in *ec2.RunInstancesInput) { in.InstanceType = t }
}

func TestLaunchesThatAreRefused(t *testing.T) {
	t.Parallel()
	s, ctx := newSite(t), t.Context()
	s.good(nil, s.cloud.SetCapacity("c5.large", "us-east-1a", 0))
	s.good(nil, s.cloud.SetCapacity("c5.large", "us-east-1b", -1))
	subnet := s.subnet()
	for what, test := range map[string]struct {
		change change
		code   string
	}{
		"no such image":      {func(in *ec2.RunInstancesInput) { in.ImageId = aws.String("ami-12345678") }, "InvalidAMIID.NotFound"},
		"odd image":          {func(in *ec2.RunInstancesInput) { in.ImageId = aws.String("ubuntu") }, "InvalidAMIID.Malformed"},
		"no such type":       {ofType("t9.huge"), "InvalidParameterValue"},
		"other architecture": {ofType("t4g.micro"), "InvalidParameterValue"},
		"no such zone":       {in("us-east-1z"), "InvalidParameterValue"},
		"no such subnet":     {func(in *ec2.RunInstancesInput) { in.SubnetId = aws.String("subnet-12345678") }, "InvalidSubnetID.NotFound"},
		"no such key":        {func(in *ec2.RunInstancesInput) { in.KeyName = aws.String("k") }, "InvalidKeyPair.NotFound"},
		"no such group":      {func(in *ec2.RunInstancesInput) { in.SecurityGroupIds = []string{"sg-12345678"} }, "InvalidGroup.NotFound"},
		"no such profile":    {profiled("p"), "InvalidParameterValue"},
		"large user data": {func(in *ec2.RunInstancesInput) {
			in.UserData = aws.String(base64.StdEncoding.EncodeToString(make([]byte, 16385)))
		}, "InvalidParameterValue"},
		"odd user data":     {func(in *ec2.RunInstancesInput) { in.UserData = aws.String("#!") }, "InvalidUserData.Malformed"},
		"small root":        {disk("/dev/sda1", types.EbsBlockDevice{VolumeSize: aws.Int32(4)}), "InvalidBlockDeviceMapping"},
		"no size":           {disk("/dev/sdf", types.EbsBlockDevice{VolumeType: "gp3"}), "MissingParameter"},
		"key without lock":  {disk("/dev/sda1", types.EbsBlockDevice{KmsKeyId: aws.String("k")}), "InvalidParameterDependency"},
		"iops of gp2":       {disk("/dev/sda1", types.EbsBlockDevice{VolumeType: "gp2", Iops: aws.Int32(3000)}), "InvalidParameterCombination"},
		"throughput of gp3": {disk("/dev/sda1", types.EbsBlockDevice{VolumeType: "gp3", Throughput: aws.Int32(2001)}), "InvalidParameterCombination"},
		"no room":           {func(i *ec2.RunInstancesInput) { ofType("c5.large")(i); in("us-east-1a")(i) }, "InsufficientInstanceCapacity"},
		"not offered":       {func(i *ec2.RunInstancesInput) { ofType("c5.large")(i); in("us-east-1b")(i) }, "Unsupported"},
		"no IPv6":           {func(in *ec2.RunInstancesInput) { in.Ipv6AddressCount = aws.Int32(1) }, "InvalidParameterValue"},
		"poor":              {spotted(types.SpotMarketOptions{MaxPrice: aws.String("0.0001")}), "SpotMaxPriceTooLow"},
		"stopped and gone":  {spotted(types.SpotMarketOptions{InstanceInterruptionBehavior: "stop"}), "InvalidParameterCombination"},
		"credits": {func(i *ec2.RunInstancesInput) {
			ofType("m5.large")(i)
			i.CreditSpecification = &types.CreditSpecificationRequest{CpuCredits: aws.String("standard")}
		}, "InvalidParameterCombination"},
		"half of CpuOptions":  {func(in *ec2.RunInstancesInput) { in.CpuOptions = &types.CpuOptionsRequest{CoreCount: aws.Int32(1)} }, "InvalidParameterCombination"},
		"no such reservation": {reserved("cr-0123"), "InvalidCapacityReservationId.NotFound"},
		"tags of vpcs": {func(in *ec2.RunInstancesInput) {
			in.TagSpecifications = []types.TagSpecification{spec("vpc", "a", "b")}
		}, "InvalidParameterValue"},
		"AWS's tags": {func(in *ec2.RunInstancesInput) {
			in.TagSpecifications = []types.TagSpecification{spec("instance", "aws:x", "b")}
		}, "InvalidParameterValue"},
		"subnet twice": {func(in *ec2.RunInstancesInput) {
			in.SubnetId, in.NetworkInterfaces = &subnet, []types.InstanceNetworkInterfaceSpecification{{DeviceIndex: aws.Int32(0)}}
		}, "InvalidParameterCombination"},
		"a template": {func(in *ec2.RunInstancesInput) {
			in.LaunchTemplate = &types.LaunchTemplateSpecification{LaunchTemplateName: aws.String("x")}
		}, "NotSimulated"},
	} {
		_, err := s.RunInstances(ctx, s.order(test.change))
		if err == nil || !strings.Contains(err.Error(), " "+test.code+":") {
			t.Errorf("%s: %v, want %s", what, err, test.code)
		}
	}
	s.cloud.SetQuota(ec2sim.QuotaVCPUs, 3)
	s.cloud.SetQuota(ec2sim.QuotaSpotVCPUs, 1)
	_, err := s.RunInstances(ctx, s.order(ofType("m5.xlarge")))
	wantCode(t, err, "VcpuLimitExceeded")
	_, err = s.RunInstances(ctx, s.order(spotted(types.SpotMarketOptions{})))
	wantCode(t, err, "MaxSpotInstanceCountExceeded")
	if left := s.cloud.Ledger(); len(left) > 0 {
		t.Errorf("refused launches made %v", left)
	}
	if got := s.instance(s.run(ofType("c5.large"))); *got.Placement.AvailabilityZone != "us-east-1c" {
		t.Errorf("it is in %s", *got.Placement.AvailabilityZone)
	}
}

func reserved(id string) change {
	return func(in *ec2.RunInstancesInput) {
		in.CapacityReservationSpecification = &types.CapacityReservationSpecification{CapacityReservationTarget: &types.CapacityReservationTarget{CapacityReservationId: &id}}
	}
}

func TestLaunchInAllDetail(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *ec2sim.Config) { c.IPv6, c.Profiles, c.Reservations = true, []string{"p"}, []string{"cr-1"} })
	s.good(nil, s.cloud.SetCapacity("m5.large", "us-east-1a", 0))
	subnet, group := s.subnet(), s.group("g")
	id := s.run(ofType("m5.large"), profiled("p"), reserved("cr-1"), disk("/dev/sda1", types.EbsBlockDevice{VolumeSize: aws.Int32(30), Encrypted: aws.Bool(true), VolumeType: "gp3", Throughput: aws.Int32(250)}),
		disk("/dev/sdf", types.EbsBlockDevice{VolumeSize: aws.Int32(5), DeleteOnTermination: aws.Bool(false)}),
		func(in *ec2.RunInstancesInput) {
			in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{
				DeviceIndex: aws.Int32(0), SubnetId: &subnet, Groups: []string{*group}, AssociatePublicIpAddress: aws.Bool(false), Ipv6AddressCount: aws.Int32(1),
			}}
			in.MetadataOptions = &types.InstanceMetadataOptionsRequest{HttpTokens: "required", HttpPutResponseHopLimit: aws.Int32(2)}
			in.CpuOptions = &types.CpuOptionsRequest{CoreCount: aws.Int32(1), ThreadsPerCore: aws.Int32(1)}
			in.Monitoring = &types.RunInstancesMonitoringEnabled{Enabled: aws.Bool(true)}
			in.DisableApiTermination = aws.Bool(true)
		})
	got := s.instance(id)
	if got.PublicIpAddress != nil || got.Ipv6Address == nil || *got.SubnetId != subnet || *got.SecurityGroups[0].GroupId != *group || got.MetadataOptions.HttpTokens != "required" ||
		*got.MetadataOptions.HttpPutResponseHopLimit != 2 || *got.CpuOptions.ThreadsPerCore != 1 || got.Monitoring.State != "enabled" || len(got.BlockDeviceMappings) != 2 ||
		*got.CapacityReservationId != "cr-1" || !strings.HasSuffix(*got.IamInstanceProfile.Arn, "/p") {
		t.Errorf("got %+v", got)
	}
	volumes, err := s.DescribeVolumes(t.Context(), &ec2.DescribeVolumesInput{Filters: filter("attachment.instance-id", id)})
	s.good(volumes, err)
	if v := volumes.Volumes[0]; *v.Size != 30 || !*v.Encrypted || *v.Throughput != 250 || *v.Iops != 3000 {
		t.Errorf("the root volume is %+v", v)
	}
	end := &ec2.TerminateInstancesInput{InstanceIds: []string{id}}
	_, err = s.TerminateInstances(t.Context(), end)
	wantCode(t, err, "OperationNotPermitted")
	s.good(s.ModifyInstanceAttribute(t.Context(), &ec2.ModifyInstanceAttributeInput{InstanceId: &id, DisableApiTermination: &types.AttributeBooleanValue{Value: aws.Bool(false)}}))
	s.good(s.TerminateInstances(t.Context(), end))
	s.clock.forward(step)
	kept := ofKind(s.cloud.Ledger(), "volume")
	if len(kept) != 1 || kept[0].ID != *got.BlockDeviceMappings[1].Ebs.VolumeId {
		t.Errorf("kept: %v", kept)
	}
	s.good(s.DeleteVolume(t.Context(), &ec2.DeleteVolumeInput{VolumeId: &kept[0].ID}))
}

func TestClientTokens(t *testing.T) {
	t.Parallel()
	s, ctx := newSite(t), t.Context()
	once := func(in *ec2.RunInstancesInput) { in.ClientToken = aws.String("once") }
	id := s.run(once)
	if again := s.run(once); again != id {
		t.Errorf("it is %s, then %s", id, again)
	}
	_, err := s.RunInstances(ctx, s.order(once, tagged))
	wantCode(t, err, "IdempotentParameterMismatch")
	s.good(s.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}}))
	s.clock.forward(step)
	if again := s.run(once); again != id {
		t.Errorf("after the end it is %s", again)
	}
	if got := ofKind(s.cloud.Ledger(), "instance"); len(got) != 0 {
		t.Errorf("there are %v", got)
	}
}

func TestStatesThatDoNotFit(t *testing.T) {
	t.Parallel()
	s, ctx := newSite(t), t.Context()
	id := []string{s.run()}
	_, err := s.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: id})
	wantCode(t, err, "IncorrectInstanceState")
	s.clock.forward(step)
	s.good(s.StartInstances(ctx, &ec2.StartInstancesInput{InstanceIds: id}))
	s.good(s.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: id, Force: aws.Bool(true)}))
	_, err = s.StartInstances(ctx, &ec2.StartInstancesInput{InstanceIds: id})
	wantCode(t, err, "IncorrectInstanceState")
	_, err = s.RebootInstances(ctx, &ec2.RebootInstancesInput{InstanceIds: id})
	wantCode(t, err, "IncorrectInstanceState")
	s.good(s.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: id}))
	_, err = s.StartInstances(ctx, &ec2.StartInstancesInput{InstanceIds: id})
	wantCode(t, err, "IncorrectInstanceState")
	s.clock.forward(step)
	s.good(s.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: id}))
	_, err = s.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: append(id, "i-12345678")})
	wantCode(t, err, "InvalidInstanceID.NotFound")
}

func TestHostsThatShutDown(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := s.run()
	dying := s.run(func(in *ec2.RunInstancesInput) { in.InstanceInitiatedShutdownBehavior = "terminate" })
	s.clock.forward(step)
	s.wants(id, "running")
	s.wants(dying, "running")
	for _, h := range []string{id, dying} {
		s.good(nil, s.hosts.Stop(t.Context(), h, false))
	}
	s.clock.forward(step)
	s.wants(id, "stopped")
	if got := s.instance(id); *got.StateReason.Code != "Client.InstanceInitiatedShutdown" || got.PublicIpAddress != nil {
		t.Errorf("it is %+v", got)
	}
	s.wants(dying, "shutting-down")
	s.clock.forward(step)
	s.wants(dying, "terminated")
}

func TestConsole(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := s.run()
	out, err := s.GetConsoleOutput(t.Context(), &ec2.GetConsoleOutputInput{InstanceId: &id, Latest: aws.Bool(true)})
	s.good(out, err)
	text, err := base64.StdEncoding.DecodeString(*out.Output)
	if err != nil || !strings.Contains(string(text), "login:") {
		t.Errorf("the console says %q, %v", text, err)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	want := []string{}
	for range 3 {
		out, err := s.RunInstances(t.Context(), s.order(tagged, func(in *ec2.RunInstancesInput) { in.MinCount, in.MaxCount = aws.Int32(4), aws.Int32(4) }))
		s.good(out, err)
		for _, in := range out.Instances {
			want = append(want, *in.InstanceId)
		}
	}
	s.run()
	got, pages := []string{}, 0
	var token *string
	for pages == 0 || token != nil {
		out, err := s.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{MaxResults: aws.Int32(5), NextToken: token, Filters: filter("tag:a", "?")})
		s.good(out, err)
		for _, r := range out.Reservations {
			for _, in := range r.Instances {
				got = append(got, *in.InstanceId)
			}
		}
		token, pages = out.NextToken, pages+1
	}
	if pages != 3 || !slices.Equal(got, want) {
		t.Errorf("%d pages: %v, want %v", pages, got, want)
	}
	many := make([]string, 201)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	_, err := s.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{Filters: filter("tag:a", many...)})
	wantCode(t, err, "FilterLimitExceeded")
}

func TestRegionsAreApart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.run()
	far := s.as(ec2sim.AccessKey, ec2sim.SecretKey, "eu-central-1")
	out, err := far.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{})
	s.good(out, err)
	if len(out.Reservations) > 0 {
		t.Errorf("there are %+v", out.Reservations)
	}
	_, err = far.RunInstances(t.Context(), s.order())
	wantCode(t, err, "InvalidAMIID.NotFound")
}

func TestNoDefaultVPC(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *ec2sim.Config) { c.NoDefaultVPC = true })
	_, err := s.RunInstances(t.Context(), s.order())
	wantCode(t, err, "VPCIdNotSpecified")
	subnet := s.subnet()
	if got := s.instance(s.run(func(in *ec2.RunInstancesInput) { in.SubnetId = &subnet })); got.PublicIpAddress != nil {
		t.Errorf("it has %s", *got.PublicIpAddress)
	}
}

func TestImages(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	find := func(owners ...string) []types.Image {
		out, err := s.DescribeImages(t.Context(), &ec2.DescribeImagesInput{Owners: owners, Filters: []types.Filter{
			{Name: aws.String("name"), Values: []string{"ubuntu/images/hvm-ssd*/ubuntu-noble-24.04-amd64-server-*"}}, {Name: aws.String("state"), Values: []string{"available"}},
		}})
		s.good(out, err)
		slices.SortFunc(out.Images, func(a, b types.Image) int { return strings.Compare(*b.CreationDate, *a.CreationDate) })
		return out.Images
	}
	if got := find("099720109477"); len(got) != 3 || *got[0].ImageId != s.image || got[0].Architecture != "x86_64" {
		t.Errorf("Canonical has %+v", got)
	}
	if got := find(); *got[0].OwnerId == "099720109477" {
		t.Error("nobody has images with Canonical's names")
	}
}

func TestTypes(t *testing.T) {
	t.Parallel()
	s, ctx := newSite(t), t.Context()
	out, err := s.DescribeInstanceTypes(ctx, &ec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{"t4g.micro"}})
	s.good(out, err)
	if got := out.InstanceTypes[0].ProcessorInfo.SupportedArchitectures; !slices.Equal(got, []types.ArchitectureType{"arm64"}) {
		t.Errorf("architectures: %v", got)
	}
	_, err = s.DescribeInstanceTypes(ctx, &ec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{"t9.huge"}})
	wantCode(t, err, "InvalidInstanceType")
	s.good(nil, s.cloud.SetCapacity("t3.micro", "us-east-1b", -1))
	offered, err := s.DescribeInstanceTypeOfferings(ctx, &ec2.DescribeInstanceTypeOfferingsInput{LocationType: "availability-zone", Filters: filter("instance-type", "t3.micro")})
	s.good(offered, err)
	if n := len(offered.InstanceTypeOfferings); n != 2 {
		t.Errorf("offered in %d zones", n)
	}
}

// Many at once get what is theirs, and no address twice.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	s, ctx := newSite(t), t.Context()
	const n = 12
	ids := make([]string, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			once := func(in *ec2.RunInstancesInput) { in.ClientToken = aws.String(fmt.Sprint("token", i/2)) }
			out, err := s.RunInstances(ctx, s.order(once))
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = *out.Instances[0].InstanceId
			if _, err := s.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: ids[i : i+1]}); err != nil {
				t.Error(err)
			}
			s.cloud.Ledger()
		})
	}
	wg.Wait()
	private, public := map[string]bool{}, map[string]bool{}
	for i, id := range ids {
		if id != ids[i/2*2] {
			t.Errorf("one token made %s and %s", id, ids[i/2*2])
		}
		in := s.instance(id)
		private[*in.PrivateIpAddress], public[*in.PublicIpAddress] = true, true
	}
	if len(private) != n/2 || len(public) != n/2 {
		t.Errorf("addresses: %v, %v", private, public)
	}
	for _, id := range ids {
		wg.Go(func() {
			_, err := s.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s.clock.forward(step)
	s.cloud.Ledger()
	s.clock.forward(step)
	if left := s.cloud.Ledger(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// slow is hosts that take their time and may fail.
type slow struct {
	*host.Memory
	begun, go_ chan struct{}
	fail       bool
}

func (h *slow) Launch(ctx context.Context, s host.Spec) error {
	if h.fail {
		return errors.New("no host")
	}
	close(h.begun)
	<-h.go_
	if err := ctx.Err(); err != nil {
		return err
	}
	return h.Memory.Launch(ctx, s)
}

func TestACallerThatGoesAway(t *testing.T) {
	t.Parallel()
	hosts := &slow{Memory: host.NewMemory(), begun: make(chan struct{}), go_: make(chan struct{})}
	s := newSite(t, func(c *ec2sim.Config) { c.Hosts = hosts })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := s.RunInstances(ctx, s.order())
		done <- err
	}()
	<-hosts.begun
	made := ofKind(s.cloud.Ledger(), "instance") // others are answered meanwhile
	cancel()
	if err := <-done; err == nil || len(made) != 1 {
		t.Fatalf("the call ended with %v, made %v", err, made)
	}
	s.clock.forward(step)
	s.wants(made[0].ID, "pending")
	ended := make(chan error)
	go func() {
		_, err := s.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{made[0].ID}})
		ended <- err
	}()
	close(hosts.go_)
	s.good(nil, <-ended)
	if _, there := hosts.Spec(made[0].ID); there {
		t.Error("the host outlives its instance")
	}
}

func TestAHostThatFails(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *ec2sim.Config) { c.Hosts = &slow{Memory: host.NewMemory(), fail: true} })
	once := func(in *ec2.RunInstancesInput) { in.ClientToken = aws.String("once") }
	_, err := s.RunInstances(t.Context(), s.order(once))
	wantCode(t, err, "InternalError")
	if got := s.instance(s.run(once)); got.State.Name != "terminated" || *got.StateReason.Code != "Server.InternalError" {
		t.Errorf("it is %+v", got.StateReason)
	}
}
