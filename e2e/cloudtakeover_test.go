package e2e_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// TestCloudTakeOver has an instance that docker-machine made. It is seen, and its end
// is that of its record.
func TestCloudTakeOver(t *testing.T) {
	t.Parallel()
	needEngines(t)
	p := providers()[0]
	c, f := newCloudFleet(t, p, "memory")
	f.extra = slices.DeleteFunc(f.extra, func(pair string) bool { // which the record has
		return strings.HasPrefix(pair, "AWS_ACCESS_KEY_ID=") || strings.HasPrefix(pair, "AWS_SECRET_ACCESS_KEY=")
	})
	name := f.name("old")
	driver := c.dockerMachine(name)
	record, err := json.Marshal(map[string]any{"ConfigVersion": 3, "DriverName": p.driver, "Name": name, "Driver": driver, "HostOptions": map[string]any{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(f.path(name, "config.json")), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.path(name, "config.json"), record, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, func() error {
		if got := f.ok("status", name); got != "Running" {
			return fmt.Errorf("got %q", got)
		}
		return nil
	})
	if ip := f.ok("ip", name); ip == "" || ip == driver["IPAddress"] {
		t.Errorf("got %q", ip)
	}
	secret := driver["SecretKey"].(string)
	if out := f.ok("inspect", name); strings.Contains(out, secret) {
		t.Errorf("the secret is shown: %s", out)
	}
	f.ok("stop", name)
	if got := f.ok("status", name); got != "Stopped" {
		t.Errorf("got %q", got)
	}
	if now, err := os.ReadFile(f.path(name, "config.json")); err != nil || strings.Contains(string(now), secret) {
		t.Errorf("the secret stays in the record (%v)", err)
	}
	f.ok("rm", "-y", name)
	eventually(t, time.Minute, func() error { // the network interface goes after the instance
		if left := c.ledger(); len(left) > 0 {
			return fmt.Errorf("rm left %v", left)
		}
		return nil
	})
}

// dockerMachine makes an instance as docker-machine did, and returns what it recorded of it.
func (c *cloud) dockerMachine(name string) map[string]any {
	c.t.Helper()
	env, ctx := c.ready.Env, c.t.Context()
	authority, err := os.ReadFile(env["AWS_CA_BUNDLE"])
	if err != nil {
		c.t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(authority)
	api := ec2.New(ec2.Options{
		HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}},
		Region:     env["AWS_REGION"], BaseEndpoint: aws.String(env["AWS_ENDPOINT_URL"]),
		Credentials: credentials.NewStaticCredentialsProvider(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], ""),
	})
	images, err := api.DescribeImages(ctx, &ec2.DescribeImagesInput{Filters: []types.Filter{{Name: aws.String("architecture"), Values: []string{"x86_64"}}}})
	if err != nil {
		c.t.Fatal(err)
	}
	_, err = api.ImportKeyPair(ctx, &ec2.ImportKeyPairInput{KeyName: &name, PublicKeyMaterial: []byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS old")})
	if err != nil {
		c.t.Fatal(err)
	}
	out, err := api.RunInstances(ctx, &ec2.RunInstancesInput{
		MinCount: aws.Int32(1), MaxCount: aws.Int32(1), ImageId: images.Images[0].ImageId, InstanceType: types.InstanceTypeT3Micro, KeyName: &name,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return map[string]any{
		"IPAddress": "192.0.2.1", "MachineName": name, "SSHUser": "ubuntu", "SSHPort": 22, "SSHKeyPath": "", "StorePath": "/s", "Region": env["AWS_REGION"],
		"AccessKey": env["AWS_ACCESS_KEY_ID"], "SecretKey": env["AWS_SECRET_ACCESS_KEY"], "Endpoint": env["AWS_ENDPOINT_URL"], "KeyName": name,
		"InstanceId": aws.ToString(out.Instances[0].InstanceId), "VpcId": aws.ToString(out.Instances[0].VpcId), "Tags": "", "RetryCount": 5,
	}
}
