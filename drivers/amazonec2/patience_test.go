package amazonec2

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim/ec2sim"
)

// TestProviderThatNeverAnswers takes requests and leaves it at that.
func TestProviderThatNeverAnswers(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(over) })
	p := quick()
	p.answer = 50 * time.Millisecond
	m := newMachine(t, factory(p), "m1", (&simulated{url: server.URL}).values(drivers.Values{"amazonec2-retries": {"1"}}))
	begin := time.Now()
	if err := m.open().Check(t.Context()); !errors.Is(err, drivers.ErrUnreachable) {
		t.Errorf("got %v, want ErrUnreachable", err)
	}
	if took := time.Since(begin); took > 15*time.Second {
		t.Errorf("it was waited for %v", took)
	}
}

// TestStopOfWhatEnds does not wait for a host to stop that somebody terminates.
func TestStopOfWhatEnds(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{Step: 500 * time.Millisecond})
	p := quick()
	p.launch, p.stop = time.Minute, time.Minute
	m := newMachine(t, factory(p), "m1", s.values(nil))
	m.created()
	in := &ec2.TerminateInstancesInput{InstanceIds: []string{m.saved().Instance}}
	if _, err := do(t.Context(), s.account(t).terminateInstances, in); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := m.open().Stop(t.Context()); !errors.Is(err, drivers.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("it was waited for %v", took)
	}
	m.removed(s)
}

// TestAddressesOfARepeatedRequest has an allocation that was not seen when it was
// asked for again.
func TestAddressesOfARepeatedRequest(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	m := s.machine(t, drivers.Values{"amazonec2-elastic-ip": {"new"}})
	m.created()
	in := &ec2.AllocateAddressInput{Domain: types.DomainTypeVpc, TagSpecifications: []types.TagSpecification{{
		ResourceType: types.ResourceTypeElasticIp,
		Tags:         []types.Tag{{Key: aws.String(tagStore), Value: aws.String(testStore)}, {Key: aws.String(tagMachine), Value: aws.String("m1")}},
	}}}
	if _, err := do(t.Context(), s.account(t).allocateAddress, in); err != nil {
		t.Fatal(err)
	}
	m.removed(s)
}

// TestTypesThatTheRegionLacks are passed over if there is another.
func TestTypesThatTheRegionLacks(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	m := s.machine(t, drivers.Values{"amazonec2-instance-type": {"t9.mega", "t3.micro"}})
	if err := m.open().Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
	m.created()
	if got := m.saved().Launch.Type; got != "t3.micro" {
		t.Errorf("it is a %s", got)
	}
	if !m.told("t9.mega in us-east-1: does not exist") {
		t.Errorf("nobody says why it is no t9.mega: %q", m.notes)
	}
	m.removed(s)
	m = s.machine(t, drivers.Values{"amazonec2-instance-type": {"t9.mega", "t9.giga"}})
	if err := m.open().Check(t.Context()); !errors.Is(err, drivers.ErrOption) || !strings.Contains(err.Error(), "t9.giga") {
		t.Errorf("got %v, want ErrOption for both", err)
	}
}

// TestOptionsOfSpotInstancesAlone says which options do nothing.
func TestOptionsOfSpotInstancesAlone(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	m := s.machine(t, drivers.Values{"amazonec2-spot-price": {"0.05"}})
	m.created()
	if !m.told("--amazonec2-spot-price does nothing without --amazonec2-request-spot-instance") || m.told("--amazonec2-spot-interruption") {
		t.Errorf("it was noted: %q", m.notes)
	}
	m.removed(s)
}
