package ec2sim_test

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/hostsmith/machine/e2e/sim/ec2sim"
	"github.com/hostsmith/machine/e2e/sim/host"
)

// stubborn is hosts that shut down only when they are made to.
type stubborn struct {
	*host.Memory
	begun, forced chan struct{}
}

func (h *stubborn) Stop(ctx context.Context, id string, hard bool) error {
	if hard {
		close(h.forced)
	} else {
		close(h.begun)
		<-h.forced
	}
	return h.Memory.Stop(ctx, id, hard)
}

func TestForceWhileStopping(t *testing.T) {
	t.Parallel()
	hosts := &stubborn{host.NewMemory(), make(chan struct{}), make(chan struct{})}
	s, ctx := newSite(t, func(c *ec2sim.Config) { c.Hosts = hosts }), t.Context()
	id := []string{s.run()}
	s.clock.forward(step)
	done := make(chan error)
	go func() {
		_, err := s.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: id})
		done <- err
	}()
	<-hosts.begun
	s.clock.forward(step)
	s.wants(id[0], "stopping")
	s.good(s.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: id, Force: aws.Bool(true)}))
	s.good(nil, <-done)
	s.wants(id[0], "stopped")
	spec, _ := hosts.Spec(id[0])
	if spec.Public.IsValid() {
		t.Errorf("the host keeps %s", spec.Public)
	}
}
