package amazonec2

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/ec2sim"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		values  drivers.Values
		private bool // the client's side
	}{
		"public":             {},
		"private only":       {drivers.Values{"amazonec2-private-address-only": {"true"}}, true},
		"private for client": {drivers.Values{"amazonec2-use-private-address": {"true"}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := simulate(t, ec2sim.Config{})
			m := s.machine(t, c.values)
			got := m.created()
			if got.Host == "" || !strings.HasPrefix(got.Peer, "10.77.") || (got.Host == got.Peer) != c.private {
				t.Errorf("it is reached at %s and by peers at %s", got.Host, got.Peer)
			}
			m.removed(s)
		})
	}
}

func TestOwnNetwork(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{NoDefaultVPC: true})
	m := s.machine(t, drivers.Values{"amazonec2-vpc-id": {s.vpc(t)}, "amazonec2-private-address-only": {"true"}, "amazonec2-zone": {"b"}})
	if got := m.created(); got.Host != got.Peer {
		t.Errorf("it is reached at %s and by peers at %s", got.Host, got.Peer)
	}
	if zone := m.saved().Launch.Zone; zone != "us-east-1b" {
		t.Errorf("it is in %s", zone)
	}
	if !m.told("admits 10.77.0.0/16 to 22/tcp") {
		t.Errorf("nobody was told: %q", m.notes)
	}
	m.removed(s)
}

func TestIPv6(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{IPv6: true})
	m := s.machine(t, drivers.Values{"amazonec2-ipv6": {"true"}})
	m.created()
	i, _, err := s.account(t).instance(t.Context(), m.saved().Instance)
	if err != nil || aws.ToString(i.Ipv6Address) == "" {
		t.Errorf("it has no IPv6 address (%v)", err)
	}
	m.removed(s)
}

func TestElasticAddress(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	a := s.account(t)
	theirs, err := do(t.Context(), a.allocateAddress, &ec2.AllocateAddressInput{Domain: types.DomainTypeVpc})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []string{newAddress, aws.ToString(theirs.PublicIp), aws.ToString(theirs.AllocationId)} {
		m := s.machine(t, drivers.Values{"amazonec2-elastic-ip": {e}})
		before := m.created()
		if e != newAddress && before.Host != aws.ToString(theirs.PublicIp) {
			t.Errorf("%s: it is at %s", e, before.Host)
		}
		if err := m.open().Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := m.open().Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if after := m.status(drivers.Running); after != before {
			t.Errorf("%s: a stop and a start made %+v of %+v", e, after, before)
		}
		m.removed(s)
	}
	if found, err := a.findAddress(t.Context(), func(types.Address) bool { return true }, filter("allocation-id", aws.ToString(theirs.AllocationId))); err != nil || found == nil {
		t.Errorf("the user's address was released (%v)", err)
	}
}

func TestSpot(t *testing.T) {
	t.Parallel()
	for behavior, stops := range map[string]bool{"terminate": false, "stop": true} {
		t.Run(behavior, func(t *testing.T) {
			t.Parallel()
			s := simulate(t, ec2sim.Config{})
			m := s.machine(t, drivers.Values{"amazonec2-request-spot-instance": {"true"}, "amazonec2-spot-interruption": {behavior}})
			m.created()
			if st := m.saved(); st.SpotRequest == "" || !st.Launch.Spot {
				t.Errorf("the state has %+v", st)
			}
			err := m.open().Stop(t.Context())
			if h := new(drivers.HintError); !stops && (!errors.Is(err, drivers.ErrUnsupported) || !errors.As(err, &h)) {
				t.Errorf("stop: got %v, want ErrUnsupported", err)
			} else if stops && err != nil {
				t.Error(err)
			}
			m.removed(s)
		})
	}
}

func TestOwnKeys(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	file := keyFile(t)
	m := s.machine(t, drivers.Values{"amazonec2-ssh-keypath": {file}})
	m.created()
	if got := m.open().(drivers.SSHAccess).SSHAccess(); got.KeyFile != file || got.Jump != "" {
		t.Errorf("the way in is %+v", got)
	}
	spec, _ := s.hosts.Spec(m.saved().Instance)
	if len(spec.Keys) != 1 || !sameKey(spec.Keys[0], testKey) || !strings.Contains(string(spec.UserData), strings.Fields(testKey)[1]) {
		t.Errorf("the host has keys %q", spec.Keys)
	}
	own := m.saved().Key.Name
	at := s.machine(t, drivers.Values{"amazonec2-ssh-keypath": {file}, "amazonec2-keypair-name": {own}})
	at.name = "m2"
	at.created()
	if got := at.saved().Key; got != (Key{Name: own}) {
		t.Errorf("the state has %+v", got)
	}
	if err := at.remove(); err != nil {
		t.Fatal(err)
	}
	if found, err := s.account(t).findKey(t.Context(), own, false); err != nil || found == nil {
		t.Errorf("the user's key pair is gone (%v)", err)
	}
	m.removed(s)
	if _, ok := s.machine(t, nil).open().(drivers.SSHAccess); ok {
		t.Error("a machine with a key of ours says how to log in")
	}
}

func TestUserData(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	file := filepath.Join(t.TempDir(), "user-data")
	if err := os.WriteFile(file, []byte("#!/bin/sh\necho from-the-owner\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := s.machine(t, drivers.Values{"amazonec2-userdata": {file}})
	m.created()
	spec, _ := s.hosts.Spec(m.saved().Instance)
	for _, part := range []string{"from-the-owner", "OPENSSH PRIVATE KEY", strings.Fields(testKey)[1]} {
		if !strings.Contains(string(spec.UserData), part) {
			t.Errorf("user data lacks %q:\n%s", part, spec.UserData)
		}
	}
	twice := wish()
	twice.UserData = []byte("#cloud-config\n")
	other := s.machine(t, drivers.Values{"amazonec2-userdata": {file}})
	other.name = "m2"
	if err := other.open().Create(t.Context(), twice); !errors.Is(err, drivers.ErrOption) {
		t.Errorf("got %v, want ErrOption", err)
	}
	m.removed(s)
}

func TestConsole(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	m := s.machine(t, nil)
	m.created()
	s.gate.Inject(sim.Fault{Action: "GetConsoleOutput", Mode: sim.Fail, Status: 400, Code: "UnknownParameter"}) // the newest output is not to be had
	text, err := m.open().(drivers.ConsoleReader).Console(t.Context())
	if err != nil || !strings.Contains(string(text), "login:") {
		t.Errorf("it printed %q (%v)", text, err)
	}
	m.removed(s)
}

// TestStopByForce has a host that does not shut down.
func TestStopByForce(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{Step: 300 * time.Millisecond})
	p := quick()
	p.stop = 100 * time.Millisecond
	m := newMachine(t, factory(p), "m1", s.values(nil))
	m.created()
	calls := s.gate.Calls()["StopInstances"]
	_ = m.open().Stop(t.Context()) // it may take longer than this test's patience
	if got := s.gate.Calls()["StopInstances"] - calls; got != 2 {
		t.Errorf("it was told to stop %d times, want once more by force", got)
	}
	m.removed(s)
}

func TestNoCredentials(t *testing.T) {
	// Not parallel: the SDK reads the environment of the process.
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_WEB_IDENTITY_TOKEN_FILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", "/nonexistent")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
	begin := time.Now()
	m := newMachine(t, Factory(), "m1", nil)
	err := m.open().Check(t.Context())
	h := new(drivers.HintError)
	if !errors.Is(err, drivers.ErrCredentials) || !errors.As(err, &h) || !strings.Contains(h.Advice, "AWS_ACCESS_KEY_ID") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %v to find out", took)
	}
	m = newMachine(t, Factory(), "m1", drivers.Values{"amazonec2-profile": {"missing"}})
	if err := m.open().Check(t.Context()); !errors.Is(err, drivers.ErrCredentials) || !strings.Contains(err.Error(), "missing") {
		t.Errorf("got %v", err)
	}
}

// TestAnotherAccount has credentials of somebody else neither call a machine gone
// nor forget it.
func TestAnotherAccount(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	m := s.machine(t, nil)
	m.created()
	kept := m.state
	st := m.saved()
	if st.Account != ec2sim.Account || st.Endpoint != s.url || st.Region != "us-east-1" {
		t.Errorf("the state has account %q, endpoint %q, region %q", st.Account, st.Endpoint, st.Region)
	}
	replaced := []string{st.Instance, "i-00000000000000000", st.Account, "210987654321"}
	m.state = json.RawMessage(strings.NewReplacer(replaced...).Replace(string(kept)))
	if _, err := m.open().Status(t.Context()); !errors.Is(err, drivers.ErrNotFound) {
		t.Errorf("its group is there: got %v, want ErrNotFound", err)
	}
	replaced = append(replaced, st.Groups.Ours[0], "sg-00000000000000000")
	m.state = json.RawMessage(strings.NewReplacer(replaced...).Replace(string(kept)))
	if _, err := m.open().Status(t.Context()); !errors.Is(err, drivers.ErrCredentials) {
		t.Errorf("status: got %v, want ErrCredentials", err)
	}
	if err := m.remove(); !errors.Is(err, drivers.ErrCredentials) || !strings.Contains(err.Error(), "210987654321") {
		t.Errorf("remove: got %v, want ErrCredentials", err)
	}
	if err := m.create(); !errors.Is(err, drivers.ErrCredentials) {
		t.Errorf("create: got %v, want ErrCredentials", err)
	}
	if m.saved().Instance == "" {
		t.Error("the machine was forgotten")
	}
	m.state = kept
	m.removed(s)
}

// TestEnvironment has the SDK find endpoint and credentials.
func TestEnvironment(t *testing.T) {
	// Not parallel: the SDK reads the environment of the process.
	s := simulate(t, ec2sim.Config{})
	t.Setenv("AWS_ENDPOINT_URL", s.url)
	t.Setenv("AWS_REGION", "eu-west-1")
	t.Setenv("AWS_ACCESS_KEY_ID", ec2sim.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", ec2sim.SecretKey)
	m := newMachine(t, factory(quick()), "m1", nil)
	m.created()
	if st := m.saved(); st.Region != "eu-west-1" || st.Endpoint != s.url {
		t.Errorf("it is in %q at %q", st.Region, st.Endpoint)
	}
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_ENDPOINT_URL", "")
	m.factory = factory(quick()) // another command, elsewhere
	m.removed(s)
}

// TestOwnAuthority has an endpoint whose certificate only the user trusts, and
// which is named for EC2 alone: images are asked for there too.
func TestOwnAuthority(t *testing.T) {
	// Not parallel: the SDK reads the environment of the process.
	s := simulate(t, ec2sim.Config{})
	server := httptest.NewUnstartedServer(s.gate)
	shaken := new(atomic.Int32)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			shaken.Add(1)
		}
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ENDPOINT_URL_EC2", server.URL)
	values := drivers.Values{"amazonec2-access-key": {ec2sim.AccessKey}, "amazonec2-secret-key": {ec2sim.SecretKey}, "amazonec2-retries": {"5"}}
	m := newMachine(t, factory(quick()), "m1", values)
	h := new(drivers.HintError)
	if err := m.open().Check(t.Context()); !errors.Is(err, drivers.ErrUnreachable) || !errors.As(err, &h) || !strings.Contains(h.Advice, "AWS_CA_BUNDLE") {
		t.Errorf("got %v, want that the certificate is not trusted", err)
	}
	if n := shaken.Load(); n > 2 { // one of EC2, one of its images
		t.Errorf("%d connections to a server that is not trusted", n)
	}
	t.Setenv("AWS_CA_BUNDLE", bundle)
	m = newMachine(t, factory(quick()), "m1", values)
	m.created()
	if asked := s.gate.Calls()["GetParameter"]; asked != 1 {
		t.Errorf("the images' parameter was asked for %d times", asked)
	}
	t.Setenv("AWS_ENDPOINT_URL_EC2", "")
	m.factory = factory(quick())
	m.removed(s)
}
