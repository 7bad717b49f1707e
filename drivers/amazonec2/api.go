package amazonec2

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

// call is one operation of EC2.
type call[I, O any] func(context.Context, *I, ...func(*ec2.Options)) (*O, error)

// api is the operations that the driver uses. It holds them as functions: a
// client that can be reached from an interface value would keep all its
// hundreds of operations in the program.
type api struct {
	runInstances         call[ec2.RunInstancesInput, ec2.RunInstancesOutput]
	describeInstances    call[ec2.DescribeInstancesInput, ec2.DescribeInstancesOutput]
	startInstances       call[ec2.StartInstancesInput, ec2.StartInstancesOutput]
	stopInstances        call[ec2.StopInstancesInput, ec2.StopInstancesOutput]
	rebootInstances      call[ec2.RebootInstancesInput, ec2.RebootInstancesOutput]
	terminateInstances   call[ec2.TerminateInstancesInput, ec2.TerminateInstancesOutput]
	getConsoleOutput     call[ec2.GetConsoleOutputInput, ec2.GetConsoleOutputOutput]
	describeImages       call[ec2.DescribeImagesInput, ec2.DescribeImagesOutput]
	describeTypes        call[ec2.DescribeInstanceTypesInput, ec2.DescribeInstanceTypesOutput]
	describeVpcs         call[ec2.DescribeVpcsInput, ec2.DescribeVpcsOutput]
	describeSubnets      call[ec2.DescribeSubnetsInput, ec2.DescribeSubnetsOutput]
	describeGroups       call[ec2.DescribeSecurityGroupsInput, ec2.DescribeSecurityGroupsOutput]
	createGroup          call[ec2.CreateSecurityGroupInput, ec2.CreateSecurityGroupOutput]
	authorizeIngress     call[ec2.AuthorizeSecurityGroupIngressInput, ec2.AuthorizeSecurityGroupIngressOutput]
	deleteGroup          call[ec2.DeleteSecurityGroupInput, ec2.DeleteSecurityGroupOutput]
	describeKeyPairs     call[ec2.DescribeKeyPairsInput, ec2.DescribeKeyPairsOutput]
	importKeyPair        call[ec2.ImportKeyPairInput, ec2.ImportKeyPairOutput]
	deleteKeyPair        call[ec2.DeleteKeyPairInput, ec2.DeleteKeyPairOutput]
	describeAddresses    call[ec2.DescribeAddressesInput, ec2.DescribeAddressesOutput]
	allocateAddress      call[ec2.AllocateAddressInput, ec2.AllocateAddressOutput]
	associateAddress     call[ec2.AssociateAddressInput, ec2.AssociateAddressOutput]
	releaseAddress       call[ec2.ReleaseAddressInput, ec2.ReleaseAddressOutput]
	describeSpotRequests call[ec2.DescribeSpotInstanceRequestsInput, ec2.DescribeSpotInstanceRequestsOutput]
	cancelSpotRequests   call[ec2.CancelSpotInstanceRequestsInput, ec2.CancelSpotInstanceRequestsOutput]
	describeVolumes      call[ec2.DescribeVolumesInput, ec2.DescribeVolumesOutput]
	deleteVolume         call[ec2.DeleteVolumeInput, ec2.DeleteVolumeOutput]
	describeInterfaces   call[ec2.DescribeNetworkInterfacesInput, ec2.DescribeNetworkInterfacesOutput]
	createTags           call[ec2.CreateTagsInput, ec2.CreateTagsOutput]
	deleteInterface      call[ec2.DeleteNetworkInterfaceInput, ec2.DeleteNetworkInterfaceOutput]

	getParameter func(context.Context, *ssm.GetParameterInput, ...func(*ssm.Options)) (*ssm.GetParameterOutput, error)
}

func newAPI(c *ec2.Client, s *ssm.Client) api {
	return api{
		runInstances:         c.RunInstances,
		describeInstances:    c.DescribeInstances,
		startInstances:       c.StartInstances,
		stopInstances:        c.StopInstances,
		rebootInstances:      c.RebootInstances,
		terminateInstances:   c.TerminateInstances,
		getConsoleOutput:     c.GetConsoleOutput,
		describeImages:       c.DescribeImages,
		describeTypes:        c.DescribeInstanceTypes,
		describeVpcs:         c.DescribeVpcs,
		describeSubnets:      c.DescribeSubnets,
		describeGroups:       c.DescribeSecurityGroups,
		createGroup:          c.CreateSecurityGroup,
		authorizeIngress:     c.AuthorizeSecurityGroupIngress,
		deleteGroup:          c.DeleteSecurityGroup,
		describeKeyPairs:     c.DescribeKeyPairs,
		importKeyPair:        c.ImportKeyPair,
		deleteKeyPair:        c.DeleteKeyPair,
		describeAddresses:    c.DescribeAddresses,
		allocateAddress:      c.AllocateAddress,
		associateAddress:     c.AssociateAddress,
		releaseAddress:       c.ReleaseAddress,
		describeSpotRequests: c.DescribeSpotInstanceRequests,
		cancelSpotRequests:   c.CancelSpotInstanceRequests,
		describeVolumes:      c.DescribeVolumes,
		deleteVolume:         c.DeleteVolume,
		describeInterfaces:   c.DescribeNetworkInterfaces,
		createTags:           c.CreateTags,
		deleteInterface:      c.DeleteNetworkInterface,
		getParameter:         s.GetParameter,
	}
}

// do calls an operation. Its error says what the provider said, and wraps what
// callers decide on.
func do[I, O any](ctx context.Context, op call[I, O], in *I, opts ...func(*ec2.Options)) (*O, error) {
	out, err := op(ctx, in, opts...)
	if err != nil {
		return nil, fault(ctx, err)
	}
	return out, nil
}
