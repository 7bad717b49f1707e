package amazonec2

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim/ec2sim"
)

// behind has the cloud be reached through what changes requests or answers.
func (s *simulated) behind(t testing.TB, middle func(http.Handler) http.Handler) {
	t.Helper()
	server := httptest.NewServer(middle(s.gate))
	t.Cleanup(server.Close)
	s.url = server.URL
}

// without takes elements out of all answers.
func without(names ...string) func(http.Handler) http.Handler {
	var words []string
	for _, n := range names {
		words = append(words, "<"+n+">.*?</"+n+">|<"+n+"/>")
	}
	elements := regexp.MustCompile("(?s)" + strings.Join(words, "|"))
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rec := httptest.NewRecorder()
			next.ServeHTTP(rec, r)
			body := rec.Body.Bytes()
			if !bytes.Contains(body, []byte("<Errors>")) {
				body = elements.ReplaceAll(body, nil)
			}
			maps.Copy(w.Header(), rec.Header())
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			w.WriteHeader(rec.Code)
			_, _ = w.Write(body)
		})
	}
}

// TestSparseAnswers has a cloud that leaves out of its answers what a host does
// not depend on.
func TestSparseAnswers(t *testing.T) {
	t.Parallel()
	for name, values := range map[string]drivers.Values{
		"default": nil,
		"address": {"amazonec2-elastic-ip": {"new"}},
		"spot":    {"amazonec2-request-spot-instance": {"true"}, "amazonec2-spot-interruption": {"stop"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := simulate(t, ec2sim.Config{})
			s.behind(t, without(
				// of instances
				"reason", "stateReason", "networkInterfaceSet", "blockDeviceMapping", "rootDeviceName", "rootDeviceType", "placement", "groupSet",
				"ownerId", "requesterId", "reservationId", "clientToken", "architecture", "monitoring", "privateDnsName", "dnsName", "launchTime",
				"metadataOptions", "cpuOptions", "previousState", "instancesSet.ownerId",
				// of images, types and subnets
				"blockDeviceMappings", "imageOwnerAlias", "imageOwnerId", "creationDate", "imageState", "processorInfo",
				"availableIpAddressCount", "mapPublicIpOnLaunch", "defaultForAz", "availabilityZoneId", "cidrBlock", "ipv6CidrBlockAssociationSet",
				// of key pairs, groups and addresses
				"keyFingerprint", "keyPairId", "groupDescription", "securityGroupRuleSet", "securityGroupArn", "associationId", "domain", "publicIpv4Pool",
			))
			p := quick()
			p.launch = 2 * time.Second
			m := newMachine(t, factory(p), "m1", s.values(values))
			if err := life(m); err != nil {
				t.Fatal(err)
			}
			if left := s.list(true); len(left) > 0 {
				t.Fatalf("left behind: %q", left)
			}
		})
	}
}

// TestGroupsThatAreNotFound has a cloud that does not find a group by its name.
func TestGroupsThatAreNotFound(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	m := s.machine(t, nil)
	m.created()
	s.behind(t, without("securityGroupInfo"))
	m.state = []byte(strings.ReplaceAll(string(m.state), m.saved().Endpoint, s.url))
	m.config = newMachine(t, factory(quick()), "m1", s.values(nil)).config
	m.removed(s)
}

// TestKeyPairsByName has a cloud that deletes key pairs by their names only.
func TestKeyPairsByName(t *testing.T) {
	t.Parallel()
	s := simulate(t, ec2sim.Config{})
	s.behind(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var body bytes.Buffer
			_, _ = body.ReadFrom(r.Body)
			if strings.Contains(body.String(), "Action=DeleteKeyPair&KeyPairId=") {
				_, _ = w.Write([]byte("<DeleteKeyPairResponse><return>true</return></DeleteKeyPairResponse>"))
				return
			}
			r.Body = http.NoBody
			r2 := r.Clone(r.Context())
			r2.Body = readCloser{&body}
			next.ServeHTTP(w, r2)
		})
	})
	m := s.machine(t, nil)
	m.created()
	m.removed(s)
	m.created()
	o := m.open().(drivers.Orphans)
	all, err := o.Tagged(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if err := o.Release(t.Context(), r); err != nil {
			t.Error(err)
		}
	}
	if left := s.list(true); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// heedless takes the filters out of all requests.
func heedless(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		form, err := url.ParseQuery(string(raw))
		if err != nil || form.Get("Action") == "" { // SSM
			r.Body = io.NopCloser(bytes.NewReader(raw))
			next.ServeHTTP(w, r)
			return
		}
		for key := range form {
			if strings.HasPrefix(key, "Filter.") {
				delete(form, key)
			}
		}
		body := form.Encode()
		again, _ := http.NewRequestWithContext(r.Context(), http.MethodPost, "http://"+r.Host+"/", strings.NewReader(body))
		again.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		sum := sha256.Sum256([]byte(body))
		_ = v4.NewSigner().SignHTTP(r.Context(), aws.Credentials{AccessKeyID: ec2sim.AccessKey, SecretAccessKey: ec2sim.SecretKey},
			again, hex.EncodeToString(sum[:]), "ec2", "us-east-1", time.Now())
		next.ServeHTTP(w, again)
	})
}

// TestHeedlessFilters has a cloud that answers with all there is, of others too.
func TestHeedlessFilters(t *testing.T) {
	t.Parallel()
	for name, values := range map[string]drivers.Values{
		"default": nil,
		"much":    {"amazonec2-elastic-ip": {"new"}, "amazonec2-request-spot-instance": {"true"}, "amazonec2-spot-interruption": {"stop"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := simulate(t, ec2sim.Config{})
			if err := plant(t.Context(), s.account(t), "m9"); err != nil {
				t.Fatal(err)
			}
			before := s.list(false)
			s.behind(t, heedless)
			m := s.machine(t, values)
			for _, live := range []func(*machine) error{life, cleaning(s)} {
				if err := live(m); err != nil {
					t.Error(err)
				}
				if left := s.list(true); len(left) > 0 {
					t.Errorf("left behind: %q", left)
				}
			}
			if after := s.list(false); !slices.Equal(before, after) {
				t.Errorf("of others there was %q and is %q", before, after)
			}
		})
	}
}

// TestUnknownFilters has a cloud that refuses a filter.
func TestUnknownFilters(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"instance-id", "instance.group-id", "default-for-az"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := simulate(t, ec2sim.Config{})
			s.behind(t, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					raw, _ := io.ReadAll(r.Body)
					if strings.Contains(string(raw), ".Name="+name+"&") {
						w.WriteHeader(http.StatusBadRequest)
						_, _ = w.Write([]byte("<Response><Errors><Error><Code>InvalidParameterValue</Code><Message>The filter is invalid</Message></Error></Errors></Response>"))
						return
					}
					r.Body = io.NopCloser(bytes.NewReader(raw))
					next.ServeHTTP(w, r)
				})
			})
			f := factory(quick())
			m, other := newMachine(t, f, "m1", s.values(nil)), newMachine(t, f, "m2", s.values(nil))
			if err := errors.Join(other.create(), life(m)); err != nil {
				t.Fatal(err)
			}
			m.created()
			var wg sync.WaitGroup
			for _, m := range []*machine{m, other} {
				wg.Go(func() { m.status(drivers.Running) })
			}
			wg.Wait()
			if err := m.remove(); err != nil {
				t.Fatal(err)
			}
			other.removed(s)
		})
	}
}

type readCloser struct{ *bytes.Buffer }

func (readCloser) Close() error { return nil }
