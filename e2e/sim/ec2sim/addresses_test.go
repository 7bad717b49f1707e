package ec2sim_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hostsmith/machine/e2e/sim/ec2sim"
)

func TestElasticAddresses(t *testing.T) {
	t.Parallel()
	s, ctx := newSite(t), t.Context()
	id := s.run()
	a, err := s.AllocateAddress(ctx, &ec2.AllocateAddressInput{Domain: "vpc", TagSpecifications: []types.TagSpecification{spec("elastic-ip", "a", "b")}})
	s.good(a, err)
	wear := &ec2.AssociateAddressInput{AllocationId: a.AllocationId, InstanceId: &id}
	_, err = s.AssociateAddress(ctx, wear)
	wantCode(t, err, "IncorrectInstanceState")
	s.clock.forward(step)
	worn, err := s.AssociateAddress(ctx, wear)
	s.good(worn, err)
	has := func(want bool) {
		t.Helper()
		got := s.instance(id).PublicIpAddress
		spec, _ := s.hosts.Spec(id)
		if got == nil || (*got == *a.PublicIp) != want || spec.Public.String() != *got {
			t.Errorf("the instance has %v, the host %s, the elastic one is %s: want it %v", aws.ToString(got), spec.Public, *a.PublicIp, want)
		}
	}
	has(true)
	s.good(s.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{id}}))
	s.clock.forward(step)
	s.good(s.StartInstances(ctx, &ec2.StartInstancesInput{InstanceIds: []string{id}}))
	s.clock.forward(step)
	has(true)
	_, err = s.ReleaseAddress(ctx, &ec2.ReleaseAddressInput{AllocationId: a.AllocationId})
	wantCode(t, err, "InvalidIPAddress.InUse")
	found, err := s.DescribeAddresses(ctx, &ec2.DescribeAddressesInput{Filters: filter("instance-id", id)})
	s.good(found, err)
	if len(found.Addresses) != 1 || *found.Addresses[0].AssociationId != *worn.AssociationId {
		t.Errorf("found %+v", found.Addresses)
	}
	s.good(s.DisassociateAddress(ctx, &ec2.DisassociateAddressInput{AssociationId: worn.AssociationId}))
	has(false)
	_, err = s.DisassociateAddress(ctx, &ec2.DisassociateAddressInput{AssociationId: worn.AssociationId})
	wantCode(t, err, "InvalidAssociationID.NotFound")
	worn, err = s.AssociateAddress(ctx, wear)
	s.good(worn, err)
	s.good(s.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}}))
	s.good(s.DisassociateAddress(ctx, &ec2.DisassociateAddressInput{AssociationId: worn.AssociationId})) // while it shuts down
	s.clock.forward(step)
	if got := ofKind(s.cloud.Ledger(), "elastic-ip"); len(got) != 1 || got[0].Tags["a"] != "b" {
		t.Errorf("the ledger has %v", got)
	}
	s.good(s.ReleaseAddress(ctx, &ec2.ReleaseAddressInput{AllocationId: a.AllocationId}))
	_, err = s.ReleaseAddress(ctx, &ec2.ReleaseAddressInput{AllocationId: a.AllocationId})
	wantCode(t, err, "InvalidAllocationID.NotFound")
	s.cloud.SetQuota(ec2sim.QuotaAddresses, 0)
	_, err = s.AllocateAddress(ctx, &ec2.AllocateAddressInput{})
	wantCode(t, err, "AddressLimitExceeded")
}

func TestSpotInstances(t *testing.T) {
	t.Parallel()
	s, ctx := newSite(t), t.Context()
	once := s.run(spotted(types.SpotMarketOptions{MaxPrice: aws.String("0.10")}))
	again := s.run(spotted(types.SpotMarketOptions{SpotInstanceType: "persistent", InstanceInterruptionBehavior: "stop"}))
	plain := s.run()
	s.clock.forward(step)
	if got := s.instance(once); got.InstanceLifecycle != "spot" || got.SpotInstanceRequestId == nil {
		t.Errorf("it is %+v", got)
	}
	_, err := s.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{once}})
	wantCode(t, err, "UnsupportedOperation")
	if err := s.cloud.Interrupt(ctx, plain); err == nil {
		t.Error("what is no spot instance was interrupted")
	}
	s.good(nil, s.cloud.Interrupt(ctx, once))
	s.good(nil, s.cloud.Interrupt(ctx, again))
	s.clock.forward(step)
	s.wants(once, "terminated")
	s.wants(again, "stopped")
	if got := s.instance(once).StateReason; *got.Code != "Server.SpotInstanceTermination" {
		t.Errorf("the reason is %+v", got)
	}
	open := ofKind(s.cloud.Ledger(), "spot-request")
	if len(open) != 1 {
		t.Fatalf("open: %v", open)
	}
	s.good(s.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{again}}))
	s.clock.forward(step)
	if open := ofKind(s.cloud.Ledger(), "spot-request"); len(open) != 1 {
		t.Errorf("a persistent request ended with its instance: %v", open)
	}
	s.good(s.CancelSpotInstanceRequests(ctx, &ec2.CancelSpotInstanceRequestsInput{SpotInstanceRequestIds: []string{open[0].ID}}))
	all, err := s.DescribeSpotInstanceRequests(ctx, &ec2.DescribeSpotInstanceRequestsInput{Filters: filter("state", "closed", "cancelled")})
	s.good(all, err)
	if len(all.SpotInstanceRequests) != 2 || len(ofKind(s.cloud.Ledger(), "spot-request")) > 0 {
		t.Errorf("requests: %+v", all.SpotInstanceRequests)
	}
}

func TestWhatVanishes(t *testing.T) {
	t.Parallel()
	s, ctx := newSite(t), t.Context()
	id := s.run(tagged)
	group := s.group("g")
	a, err := s.AllocateAddress(ctx, &ec2.AllocateAddressInput{})
	s.good(a, err)
	s.clock.forward(step)
	s.good(s.AssociateAddress(ctx, &ec2.AssociateAddressInput{AllocationId: a.AllocationId, InstanceId: &id}))
	s.good(nil, s.cloud.Vanish("instance", id))
	for kind, id := range map[string]string{"security-group": *group, "elastic-ip": *a.AllocationId} {
		s.good(nil, s.cloud.Vanish(kind, id))
		if err := s.cloud.Vanish(kind, id); err == nil {
			t.Errorf("%s vanished twice", id)
		}
	}
	s.clock.forward(step)
	s.wants(id, "terminated")
	if _, there := s.hosts.Spec(id); there {
		t.Error("its host is there")
	}
}
