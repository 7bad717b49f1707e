package amazonec2

import (
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"golang.org/x/crypto/ssh"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/ec2sim"
	"github.com/hostsmith/machine/e2e/sim/host"
)

const (
	testStore = "0123456789abcdef"
	testKey   = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS test"
)

// quick is a pace for a provider in memory.
func quick() pace {
	return pace{first: 2 * time.Millisecond, most: 20 * time.Millisecond, settle: 60 * time.Millisecond,
		launch: 20 * time.Second, stop: 20 * time.Second, gone: 20 * time.Second, answer: 20 * time.Second, backoff: 20 * time.Millisecond}
}

// simulated is a cloud of its own.
type simulated struct {
	*ec2sim.Cloud
	gate  *sim.Gate
	hosts *host.Memory
	url   string
}

func simulate(t testing.TB, c ec2sim.Config) *simulated {
	t.Helper()
	hosts := host.NewMemory()
	c.Hosts = hosts
	if c.Step == 0 {
		c.Step = -1
	}
	cloud, err := ec2sim.New(c)
	if err != nil {
		t.Fatal(err)
	}
	gate := sim.NewGate(cloud)
	server := httptest.NewServer(gate)
	t.Cleanup(func() {
		gate.Clear()
		server.Close()
	})
	return &simulated{cloud, gate, hosts, server.URL}
}

// values are options that lead to the cloud.
func (s *simulated) values(more drivers.Values) drivers.Values {
	all := drivers.Values{
		"amazonec2-endpoint": {s.url}, "amazonec2-region": {"us-east-1"},
		"amazonec2-access-key": {ec2sim.AccessKey}, "amazonec2-secret-key": {ec2sim.SecretKey},
	}
	for k, v := range more {
		all[k] = v
	}
	return all
}

// account returns a client that may do everything.
func (s *simulated) account(t testing.TB) *account {
	t.Helper()
	a, err := open(t.Context(), login{accessKey: ec2sim.AccessKey, secretKey: ec2sim.SecretKey, region: "us-east-1", endpoint: s.url})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// list returns what is the store's, or what is not.
func (s *simulated) list(ours bool) []string {
	var all []string
	for _, r := range s.Ledger() {
		if (r.Tags[tagStore] == testStore) == ours {
			line := r.Kind + "/" + r.ID
			if !ours {
				line += fmt.Sprint(r.Name, r.Tags)
			}
			all = append(all, line)
		}
	}
	return all
}

// hostKey returns the same key each time.
func hostKey() []byte {
	block, err := ssh.MarshalPrivateKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), "")
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(block)
}

func wish() drivers.CreateRequest {
	return drivers.CreateRequest{
		AuthorizedKey: testKey,
		HostKey:       hostKey(),
		OpenPorts:     []drivers.Port{{Number: 2376, Protocol: "tcp"}, {Number: 7946, Protocol: "udp", Peers: true}},
	}
}

// world is a cloud as the suite sees it.
func (s *simulated) world(t testing.TB, values drivers.Values) drivertest.World {
	return drivertest.World{
		Factory: factory(quick()),
		Values:  s.values(values),
		Env:     drivers.Env{StoreID: testStore, Creator: "test/1", Dir: "/nonexistent"},
		Request: wish(),
		Bad: map[string][]string{
			"amazonec2-region":                  {"EU Central"},
			"amazonec2-endpoint":                {"ftp://x"},
			"amazonec2-image":                   {"windows-95"},
			"amazonec2-image-owner":             {"123456789012"},
			"amazonec2-keypair-name":            {"mine"},
			"amazonec2-instance-type":           {"big"},
			"amazonec2-zone":                    {"a b"},
			"amazonec2-allow":                   {"everybody"},
			"amazonec2-open-port":               {"http"},
			"amazonec2-elastic-ip":              {"old"},
			"amazonec2-security-group-readonly": {"true"},
			"amazonec2-spot-price":              {"much"},
			"amazonec2-spot-fallback":           {"true"},
			"amazonec2-tags":                    {"a,b,c"},
			"amazonec2-tag":                     {"machine-store=x"},
		},
		Refused: map[string]drivers.Values{
			"credentials": {"amazonec2-secret-key": {"wrong-secret-key"}},
			"image":       {"amazonec2-ami": {"ami-00000000000000000"}},
			"subnet":      {"amazonec2-subnet-id": {"subnet-00000000000000000"}},
			"zone":        {"amazonec2-zone": {"z"}},
			"vpc":         {"amazonec2-vpc-id": {"vpc-00000000000000000"}},
			"type":        {"amazonec2-instance-type": {"x9.mega"}},
			"parameter":   {"amazonec2-image": {"/aws/service/none"}},
			"user data":   {"amazonec2-userdata": {"/nonexistent/user-data"}},
			"key pair":    {"amazonec2-keypair-name": {"none"}, "amazonec2-ssh-keypath": {"/nonexistent/key"}},
			"key":         {"amazonec2-ssh-keypath": {"/nonexistent/key"}},
		},
		Spoil: map[string]any{
			"Region": "gone", "Types": []string{"?"}, "Image": "?", "Subnets": []string{"?"}, "Zones": []string{"?"}, "VPC": "?",
			"Allow": []string{"?"}, "UserData": "/nonexistent", "Tags": []string{"?"}, "Groups": []string{"?"}, "KeyPair": "?",
		},
		Resources: func(context.Context) ([]string, error) { return s.list(true), nil },
		Foreign:   func(context.Context) ([]string, error) { return s.list(false), nil },
		Vanish: func(_ context.Context, resource string) error {
			kind, id, _ := strings.Cut(resource, "/")
			err := s.Vanish(kind, id)
			belongs := kind == "volume" || kind == "network-interface"
			if belongs || errors.Is(err, sim.ErrUnknown) || err != nil && strings.Contains(err.Error(), "DependencyViolation") {
				return nil // it went with what it belongs to, or goes only with it
			}
			return err
		},
		Plant:   func(ctx context.Context, machine string) error { return plant(ctx, s.account(t), machine) },
		Observe: s.gate.Observe,
	}
}

// plant makes what looks like a machine's but for the tags.
func plant(ctx context.Context, a *account, machine string) error {
	d := &driver{env: drivers.Env{Machine: machine, StoreID: "another", Creator: "test/1"}}
	theirs := func(kind types.ResourceType) []types.TagSpecification {
		return []types.TagSpecification{{ResourceType: kind, Tags: d.tags(machine, true)}}
	}
	if _, err := do(ctx, a.importKeyPair, &ec2.ImportKeyPairInput{
		KeyName: aws.String("machine-" + machine + "-01234567"), PublicKeyMaterial: []byte(testKey), TagSpecifications: theirs(types.ResourceTypeKeyPair),
	}); err != nil {
		return err
	}
	sites, err := a.sites(ctx, defaults())
	if err != nil {
		return err
	}
	if _, err := do(ctx, a.createGroup, &ec2.CreateSecurityGroupInput{
		GroupName: aws.String("web"), Description: aws.String("theirs"), VpcId: aws.String(sites[0].vpc),
	}); err != nil {
		return err
	}
	if _, err := do(ctx, a.allocateAddress, &ec2.AllocateAddressInput{Domain: types.DomainTypeVpc, TagSpecifications: theirs(types.ResourceTypeElasticIp)}); err != nil {
		return err
	}
	i, err := a.image(ctx, defaults(), amd64)
	if err != nil {
		return err
	}
	_, err = do(ctx, a.runInstances, &ec2.RunInstancesInput{
		MinCount: aws.Int32(1), MaxCount: aws.Int32(1), ImageId: aws.String(i.id), InstanceType: "t3.micro",
		TagSpecifications: theirs(types.ResourceTypeInstance),
	})
	return err
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, values := range map[string]drivers.Values{
		"default": nil,
		"much":    {"amazonec2-elastic-ip": {"new"}, "amazonec2-security-group": {"web,extra"}, "amazonec2-tags": {"team,web"}, "amazonec2-tag": {"stage=test"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			drivertest.Run(t, drivertest.Harness{New: func(t testing.TB) drivertest.World {
				return simulate(t, ec2sim.Config{Regions: []string{"us-east-1"}, Zones: 2}).world(t, values)
			}})
		})
	}
}

// vpc returns the id of the cloud's VPC.
func (s *simulated) vpc(t testing.TB) string {
	out, err := do(t.Context(), s.account(t).describeVpcs, &ec2.DescribeVpcsInput{})
	if err != nil {
		t.Fatal(err)
	}
	return aws.ToString(out.Vpcs[0].VpcId)
}

func keyFile(t *testing.T) string {
	file := filepath.Join(t.TempDir(), "id")
	if err := os.WriteFile(file+".pub", []byte(testKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
