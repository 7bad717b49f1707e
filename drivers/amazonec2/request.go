package amazonec2

import (
	"cmp"
	"encoding/base64"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// candidate is one way to get an instance.
type candidate struct {
	site
	machineType string
	image       image
	spot        bool
}

// order is all that a request for an instance depends on.
type order struct {
	candidate
	token    string
	key      string   // name of a key pair
	groups   []string // ids
	userData []byte
	tags     []types.Tag
}

// request says an order in EC2's words.
func request(c Config, o order) *ec2.RunInstancesInput {
	in := &ec2.RunInstancesInput{
		MinCount:            aws.Int32(1),
		MaxCount:            aws.Int32(1),
		ClientToken:         aws.String(o.token),
		ImageId:             aws.String(o.image.id),
		InstanceType:        types.InstanceType(o.machineType),
		KeyName:             text(o.key),
		UserData:            aws.String(base64.StdEncoding.EncodeToString(o.userData)),
		BlockDeviceMappings: []types.BlockDeviceMapping{rootVolume(c, o.image)},
		NetworkInterfaces:   []types.InstanceNetworkInterfaceSpecification{networkInterface(c, o)},
		MetadataOptions: &types.InstanceMetadataOptionsRequest{
			HttpEndpoint:            types.InstanceMetadataEndpointStateEnabled,
			HttpTokens:              types.HttpTokensStateRequired,
			HttpPutResponseHopLimit: aws.Int32(2), // so that containers reach it too
		},
		InstanceMarketOptions:            market(c, o.spot),
		Placement:                        placement(c),
		CapacityReservationSpecification: reservation(c),
		CpuOptions:                       cpuOptions(c),
	}
	if o.onlyIPv6 {
		in.MetadataOptions.HttpProtocolIpv6 = types.InstanceMetadataProtocolStateEnabled
	}
	if c.EBSOptimized {
		in.EbsOptimized = aws.Bool(true)
	}
	if c.Monitoring {
		in.Monitoring = &types.RunInstancesMonitoringEnabled{Enabled: aws.Bool(true)}
	}
	if c.CPUCredits != "" {
		in.CreditSpecification = &types.CreditSpecificationRequest{CpuCredits: aws.String(c.CPUCredits)}
	}
	if c.IAMProfile != "" {
		in.IamInstanceProfile = instanceProfile(c.IAMProfile)
	}
	kinds := []types.ResourceType{types.ResourceTypeInstance, types.ResourceTypeVolume, types.ResourceTypeNetworkInterface}
	if o.spot {
		kinds = append(kinds, types.ResourceTypeSpotInstancesRequest)
	}
	for _, kind := range kinds {
		in.TagSpecifications = append(in.TagSpecifications, types.TagSpecification{ResourceType: kind, Tags: o.tags})
	}
	if c.Spot && c.SpotInterruption == "hibernate" && o.spot {
		in.HibernationOptions = &types.HibernationOptionsRequest{Configured: aws.Bool(true)}
	}
	return in
}

func rootVolume(c Config, i image) types.BlockDeviceMapping {
	device := cmp.Or(c.DeviceName, i.root, "/dev/sda1")
	ebs := &types.EbsBlockDevice{
		VolumeSize:          aws.Int32(int32(max(c.RootSize, i.size))),
		VolumeType:          types.VolumeType(c.VolumeType),
		Encrypted:           aws.Bool(true),
		DeleteOnTermination: aws.Bool(true),
		KmsKeyId:            text(c.KMSKey),
		Iops:                count(c.VolumeIOPS),
		Throughput:          count(c.Throughput),
	}
	return types.BlockDeviceMapping{DeviceName: aws.String(device), Ebs: ebs}
}

func networkInterface(c Config, o order) types.InstanceNetworkInterfaceSpecification {
	n := types.InstanceNetworkInterfaceSpecification{
		DeviceIndex:         aws.Int32(0),
		SubnetId:            aws.String(o.subnet),
		Groups:              o.groups,
		DeleteOnTermination: aws.Bool(true),
	}
	if !o.onlyIPv6 { // an elastic address comes in a public one's place
		n.AssociatePublicIpAddress = aws.Bool(!c.PrivateOnly && c.ElasticIP == "")
	}
	if c.IPv6 {
		n.Ipv6AddressCount = aws.Int32(1)
	}
	return n
}

func market(c Config, spot bool) *types.InstanceMarketOptionsRequest {
	if !spot {
		return nil
	}
	o := &types.SpotMarketOptions{
		MaxPrice:                     text(c.SpotPrice),
		SpotInstanceType:             types.SpotInstanceTypeOneTime,
		InstanceInterruptionBehavior: types.InstanceInterruptionBehavior(c.SpotInterruption),
		BlockDurationMinutes:         count(c.BlockDuration),
	}
	if c.SpotInterruption != "terminate" { // only a persistent request brings an instance back
		o.SpotInstanceType = types.SpotInstanceTypePersistent
	}
	return &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot, SpotOptions: o}
}

func placement(c Config) *types.Placement {
	if c.PlacementGroup == "" && c.Tenancy == "" && c.HostID == "" {
		return nil
	}
	p := &types.Placement{GroupName: text(c.PlacementGroup), Tenancy: types.Tenancy(c.Tenancy), HostId: text(c.HostID)}
	if c.HostID != "" && c.Tenancy == "" {
		p.Tenancy = types.TenancyHost
	}
	return p
}

func reservation(c Config) *types.CapacityReservationSpecification {
	switch r := c.Reservation; {
	case r == "":
		return nil
	case r == "open" || r == "none":
		return &types.CapacityReservationSpecification{CapacityReservationPreference: types.CapacityReservationPreference(r)}
	case strings.HasPrefix(r, "arn:"):
		return &types.CapacityReservationSpecification{CapacityReservationTarget: &types.CapacityReservationTarget{CapacityReservationResourceGroupArn: aws.String(r)}}
	default:
		return &types.CapacityReservationSpecification{CapacityReservationTarget: &types.CapacityReservationTarget{CapacityReservationId: aws.String(r)}}
	}
}

func cpuOptions(c Config) *types.CpuOptionsRequest {
	if c.CPUCores == 0 && c.ThreadsPerCore == 0 {
		return nil
	}
	return &types.CpuOptionsRequest{CoreCount: count(c.CPUCores), ThreadsPerCore: count(c.ThreadsPerCore)}
}

func instanceProfile(s string) *types.IamInstanceProfileSpecification {
	if strings.HasPrefix(s, "arn:") {
		return &types.IamInstanceProfileSpecification{Arn: aws.String(s)}
	}
	return &types.IamInstanceProfileSpecification{Name: aws.String(s)}
}

// text returns nil for what was not given.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return aws.String(s)
}

// count returns nil for what was not given.
func count(n int) *int32 {
	if n == 0 {
		return nil
	}
	return aws.Int32(int32(n))
}
