package ec2sim_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hostsmith/machine/e2e/sim/ec2sim"
)

func (s *site) group(name string) *string {
	s.t.Helper()
	out, err := s.CreateSecurityGroup(s.t.Context(), &ec2.CreateSecurityGroupInput{GroupName: &name, Description: &name})
	if err != nil {
		s.t.Fatal(err)
	}
	return out.GroupId
}

func port(n int32, cidrs ...string) types.IpPermission {
	p := types.IpPermission{IpProtocol: aws.String("tcp"), FromPort: &n, ToPort: &n}
	for _, c := range cidrs {
		p.IpRanges = append(p.IpRanges, types.IpRange{CidrIp: &c})
	}
	return p
}

func TestRulesOfGroups(t *testing.T) {
	t.Parallel()
	s, ctx := newSite(t), t.Context()
	id := s.group("g")
	open := func(all ...types.IpPermission) error {
		_, err := s.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: id, IpPermissions: all})
		return err
	}
	six := types.IpPermission{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(22), ToPort: aws.Int32(22), Ipv6Ranges: []types.Ipv6Range{{CidrIpv6: aws.String("2001:db8::1/128")}}}
	self := types.IpPermission{IpProtocol: aws.String("-1"), UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: id, Description: aws.String("each other")}}}
	s.good(nil, open(port(22, "192.0.2.1/32", "198.51.100.7/24"), six, self))

	wantCode(t, open(port(2376, "192.0.2.1/32"), port(22, "192.0.2.1/32")), "InvalidPermission.Duplicate")
	wantCode(t, open(port(2376, "192.0.2.1/32", "192.0.2.1/32")), "InvalidParameterValue")
	wantCode(t, open(port(2376, "192.0.2.1")), "InvalidParameterValue")
	wantCode(t, open(port(70000, "192.0.2.1/32")), "InvalidParameterValue")
	wantCode(t, open(types.IpPermission{IpProtocol: aws.String("tcp"), IpRanges: []types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}}), "MissingParameter")
	wantCode(t, open(types.IpPermission{IpProtocol: aws.String("-1"), UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: aws.String("sg-12345678")}}}), "InvalidGroup.NotFound")

	out, err := s.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{*id}})
	s.good(out, err)
	got := out.SecurityGroups[0].IpPermissions
	if len(got) != 2 || len(got[0].IpRanges) != 2 || *got[0].IpRanges[1].CidrIp != "198.51.100.0/24" || len(got[0].Ipv6Ranges) != 1 || *got[1].UserIdGroupPairs[0].GroupId != *id {
		t.Errorf("permissions: %+v", got)
	}
	rules, err := s.DescribeSecurityGroupRules(ctx, &ec2.DescribeSecurityGroupRulesInput{Filters: filter("group-id", *id)})
	s.good(rules, err)
	if len(rules.SecurityGroupRules) != 5 { // one of them lets all out
		t.Errorf("rules: %+v", rules.SecurityGroupRules)
	}
	s.good(s.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: id, IpPermissions: []types.IpPermission{port(22, "198.51.100.0/24"), six}}))
	_, err = s.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: id, IpPermissions: []types.IpPermission{six}})
	wantCode(t, err, "InvalidPermission.NotFound")
	s.cloud.SetQuota(ec2sim.QuotaRules, 3)
	wantCode(t, open(port(1, "192.0.2.1/32", "192.0.2.2/32")), "RulesPerSecurityGroupLimitExceeded")
	s.good(nil, open(port(1, "192.0.2.1/32")))
}

func filter(name string, values ...string) []types.Filter {
	return []types.Filter{{Name: &name, Values: values}}
}

func TestGroups(t *testing.T) {
	t.Parallel()
	s, ctx := newSite(t), t.Context()
	make := func(name string) error {
		_, err := s.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: &name, Description: aws.String("d")})
		return err
	}
	remove := func(id *string) error {
		_, err := s.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: id})
		return err
	}
	a, b := s.group("a"), s.group("b")
	wantCode(t, make("a"), "InvalidGroup.Duplicate")
	wantCode(t, make("sg-a"), "InvalidParameterValue")
	wantCode(t, make("ä"), "InvalidParameterValue")
	s.good(s.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: a, IpPermissions: []types.IpPermission{
		{IpProtocol: aws.String("-1"), UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: b}}},
	}}))
	wantCode(t, remove(b), "DependencyViolation")
	s.good(nil, remove(a))
	s.good(nil, remove(b))
	wantCode(t, remove(b), "InvalidGroup.NotFound")
	all, err := s.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{})
	s.good(all, err)
	wantCode(t, remove(all.SecurityGroups[0].GroupId), "CannotDelete")
	s.cloud.SetQuota(ec2sim.QuotaGroups, 1)
	wantCode(t, make("c"), "SecurityGroupLimitExceeded")
	foreign, err := s.cloud.AddGroup("us-east-1", "foreign")
	s.good(foreign, err)
	if got := ofKind(s.cloud.Ledger(), "security-group"); len(got) != 1 || got[0].ID != foreign || len(got[0].Tags) != 0 {
		t.Errorf("the ledger: %v", got)
	}
	s.good(nil, s.cloud.Vanish("security-group", foreign))
}

func TestKeyPairs(t *testing.T) {
	t.Parallel()
	s, ctx := newSite(t), t.Context()
	load := func(name, public string) error {
		_, err := s.ImportKeyPair(ctx, &ec2.ImportKeyPairInput{KeyName: &name, PublicKeyMaterial: []byte(public)})
		return err
	}
	s.good(nil, load("ed", pubKey))
	s.good(nil, load("rsa", rsaKey(t, 2048)))
	wantCode(t, load("ed", pubKey), "InvalidKeyPair.Duplicate")
	wantCode(t, load("x", "ssh-ed25519 AAAA"), "InvalidKey.Format")
	wantCode(t, load("x", rsaKey(t, 3072)), "InvalidKey.Format")
	wantCode(t, load("x", "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBA=="), "InvalidKey.Format")
	out, err := s.DescribeKeyPairs(ctx, &ec2.DescribeKeyPairsInput{KeyNames: []string{"ed"}, IncludePublicKey: aws.Bool(true)})
	s.good(out, err)
	if k := out.KeyPairs[0]; k.KeyType != "ed25519" || *k.PublicKey != pubKey {
		t.Errorf("the key is %+v", k)
	}
	for range 2 {
		s.good(s.DeleteKeyPair(ctx, &ec2.DeleteKeyPairInput{KeyName: aws.String("ed")}))
	}
	_, err = s.DescribeKeyPairs(ctx, &ec2.DescribeKeyPairsInput{KeyNames: []string{"ed"}})
	wantCode(t, err, "InvalidKeyPair.NotFound")
	foreign, err := s.cloud.AddKeyPair("us-east-1", "foreign", pubKey)
	s.good(foreign, err)
	s.good(nil, s.cloud.Vanish("key-pair", foreign))
	if err := s.cloud.Vanish("key-pair", foreign); err == nil {
		t.Error("it vanished twice")
	}
}

func rsaKey(t *testing.T, bits int) string {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	var blob []byte
	for _, part := range [][]byte{[]byte("ssh-rsa"), big.NewInt(int64(k.E)).Bytes(), append([]byte{0}, k.N.Bytes()...)} {
		blob = append(binary.BigEndian.AppendUint32(blob, uint32(len(part))), part...)
	}
	return fmt.Sprintf("ssh-rsa %s", base64.StdEncoding.EncodeToString(blob))
}

func TestNewThingsAreNotKnownAtOnce(t *testing.T) {
	t.Parallel()
	const delay = 3 * time.Second
	s, ctx := newSite(t, func(c *ec2sim.Config) { c.Delay = delay }), t.Context()
	group := s.group("g")
	_, err := s.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{*group}})
	wantCode(t, err, "InvalidGroup.NotFound")
	_, err = s.RunInstances(ctx, s.order(func(in *ec2.RunInstancesInput) { in.SecurityGroupIds = []string{*group} }))
	wantCode(t, err, "InvalidGroup.NotFound")
	s.good(s.ImportKeyPair(ctx, &ec2.ImportKeyPairInput{KeyName: aws.String("k"), PublicKeyMaterial: []byte(pubKey)}))
	_, err = s.RunInstances(ctx, s.order(func(in *ec2.RunInstancesInput) { in.KeyName = aws.String("k") }))
	wantCode(t, err, "InvalidKeyPair.NotFound")

	id := s.run(func(in *ec2.RunInstancesInput) { in.ClientToken = aws.String("once") })
	_, err = s.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	wantCode(t, err, "InvalidInstanceID.NotFound")
	_, err = s.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{id}, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}})
	wantCode(t, err, "InvalidInstanceID.NotFound")
	found, err := s.DescribeInstances(ctx, &ec2.DescribeInstancesInput{Filters: filter("client-token", "once")})
	s.good(found, err)
	if len(found.Reservations) > 0 {
		t.Errorf("found: %+v", found.Reservations)
	}
	if again := s.run(func(in *ec2.RunInstancesInput) { in.ClientToken = aws.String("once") }); again != id {
		t.Errorf("again it is %s", again)
	}
	s.clock.forward(delay)
	s.wants(id, "running")
	found, err = s.DescribeInstances(ctx, &ec2.DescribeInstancesInput{Filters: filter("client-token", "once")})
	s.good(found, err)
	if len(found.Reservations) != 1 {
		t.Errorf("found: %+v", found.Reservations)
	}
}
