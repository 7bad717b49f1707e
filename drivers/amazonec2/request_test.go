package amazonec2

import (
	"flag"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/hostsmith/machine/drivers"
)

var update = flag.Bool("update", false, "write the golden files")

// sent returns what goes over the wire when do calls the provider, a parameter a line.
func sent(t *testing.T, do func(a *account)) string {
	t.Helper()
	var lines []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		for key, values := range r.PostForm {
			if key != "Version" {
				lines = append(lines, key+"="+strings.Join(values, ","))
			}
		}
		http.Error(w, "<Response><Errors><Error><Code>Enough</Code></Error></Errors></Response>", http.StatusBadRequest)
	}))
	defer server.Close()
	a, err := open(t.Context(), login{accessKey: "AKIA", secretKey: "secret", region: "eu-central-1", endpoint: server.URL, retries: -1})
	if err != nil {
		t.Fatal(err)
	}
	do(a)
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("sent\n%s\nwant\n%s", got, want)
	}
}

func configured(t *testing.T, values drivers.Values) (*driver, error) {
	t.Helper()
	f := Factory()
	config, secrets, err := f.Configure(values)
	if err != nil {
		return nil, err
	}
	d, err := f.Open(config, secrets, nil, nil, drivers.Env{Machine: "m1", StoreID: "0123456789abcdef", Creator: "machine/1"})
	if err != nil {
		t.Fatal(err)
	}
	if own, ok := d.(*ownKey); ok {
		return own.driver, nil
	}
	return d.(*driver), nil
}

func TestRunInstances(t *testing.T) {
	t.Parallel()
	type v = drivers.Values
	for name, c := range map[string]struct {
		values v
		spot   bool
		six    bool
	}{
		"run-ipv6-only":   {values: v{"amazonec2-ipv6": {"true"}}, six: true},
		"run-default":     {},
		"run-private":     {values: v{"amazonec2-private-address-only": {"true"}}},
		"run-ipv6":        {values: v{"amazonec2-ipv6": {"true"}}},
		"run-elastic":     {values: v{"amazonec2-elastic-ip": {"new"}}},
		"run-spot":        {values: v{"amazonec2-request-spot-instance": {"true"}}, spot: true},
		"run-spot-price":  {values: v{"amazonec2-request-spot-instance": {"true"}, "amazonec2-spot-price": {"0.05"}, "amazonec2-spot-interruption": {"stop"}}, spot: true},
		"run-fallback":    {values: v{"amazonec2-request-spot-instance": {"true"}, "amazonec2-spot-fallback": {"true"}}},
		"run-hibernate":   {values: v{"amazonec2-request-spot-instance": {"true"}, "amazonec2-spot-interruption": {"hibernate"}}, spot: true},
		"run-tags":        {values: v{"amazonec2-tags": {"team,web,stage,test"}, "amazonec2-tag": {"cost=a=b", "stage=real", "Name=other"}}},
		"run-volume":      {values: v{"amazonec2-root-size": {"40"}, "amazonec2-volume-type": {"io2"}, "amazonec2-volume-iops": {"4000"}, "amazonec2-kms-key": {"alias/mine"}, "amazonec2-device-name": {"/dev/xvda"}}},
		"run-throughput":  {values: v{"amazonec2-volume-throughput": {"250"}, "amazonec2-root-size": {"4"}}},
		"run-placement":   {values: v{"amazonec2-placement-group": {"near"}, "amazonec2-tenancy": {"dedicated"}}},
		"run-host":        {values: v{"amazonec2-host-id": {"h-0123"}}},
		"run-reservation": {values: v{"amazonec2-capacity-reservation": {"cr-0123"}}},
		"run-reserved":    {values: v{"amazonec2-capacity-reservation": {"arn:aws:resource-groups:x"}}},
		"run-unreserved":  {values: v{"amazonec2-capacity-reservation": {"none"}}},
		"run-cpu":         {values: v{"amazonec2-cpu-cores": {"2"}, "amazonec2-threads-per-core": {"1"}, "amazonec2-cpu-credits": {"standard"}}},
		"run-profile":     {values: v{"amazonec2-iam-instance-profile": {"worker"}, "amazonec2-monitoring": {"true"}, "amazonec2-use-ebs-optimized-instance": {"true"}}},
		"run-profile-arn": {values: v{"amazonec2-iam-instance-profile": {"arn:aws:iam::123456789012:instance-profile/worker"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := configured(t, c.values)
			if err != nil {
				t.Fatal(err)
			}
			o := order{
				candidate: candidate{
					site: site{"subnet-1", "eu-central-1a", "vpc-1", c.six}, machineType: "t3.micro", spot: c.spot,
					image: image{id: "ami-1", root: "/dev/sda1", size: 8},
				},
				token: "machine-token", key: "machine-m1-01234567", groups: []string{"sg-1", "sg-2"},
				userData: []byte("#cloud-config\n"), tags: d.tags("m1", true),
			}
			golden(t, name, sent(t, func(a *account) { _, _ = a.runInstances(t.Context(), request(d.cfg, o)) }))
		})
	}
}

func TestAuthorizeIngress(t *testing.T) {
	t.Parallel()
	ports := []drivers.Port{
		{Number: 2376, Protocol: "tcp"}, {Number: 7946, Protocol: "tcp", Peers: true},
		{Number: 7946, Protocol: "udp", Peers: true}, {Number: 4789, Protocol: "udp", Peers: true},
	}
	from := []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("2001:db8::/64")}
	for name, values := range map[string]drivers.Values{
		"ingress-default": nil,
		"ingress-open":    {"amazonec2-open-port": {"80", "53/udp"}, "amazonec2-ipv6": {"true"}, "amazonec2-ssh-port": {"2222"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := configured(t, values)
			if err != nil {
				t.Fatal(err)
			}
			rules := rulesFor(d.cfg, ports, from, "sg-1")
			golden(t, name, sent(t, func(a *account) {
				_, _ = a.authorizeIngress(t.Context(), &ec2.AuthorizeSecurityGroupIngressInput{GroupId: aws.String("sg-1"), IpPermissions: permissions(rules)})
			}))
			have := rulesIn(permissions(rules))
			for _, r := range rules {
				if !have[r] {
					t.Errorf("%+v is not found again", r)
				}
			}
			if len(have) != len(rules) {
				t.Errorf("%d rules became %d", len(rules), len(have))
			}
		})
	}
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ec2, ssm, given, env, set string
		insecure                  bool
	}{
		"AWS":                {},
		"AWS without TLS":    {ec2: "http://ec2.eu-central-1.amazonaws.com", ssm: "http://ssm.eu-central-1.amazonaws.com", insecure: true},
		"override":           {given: "https://cloud.example.com", ec2: "https://cloud.example.com", ssm: "https://cloud.example.com"},
		"override of EC2":    {given: "https://vpce-1.ec2.eu-central-1.vpce.amazonaws.com", ec2: "https://vpce-1.ec2.eu-central-1.vpce.amazonaws.com"},
		"override and SSM's": {given: "https://cloud.example.com", env: "x", set: "https://ssm.example.com", ec2: "https://cloud.example.com", ssm: "https://ssm.example.com"},
		"environment":        {set: "https://env.example.com", ec2: "https://env.example.com", ssm: "https://env.example.com"},
		"environment, plain": {set: "https://env.example.com", insecure: true, ec2: "http://env.example.com", ssm: "http://env.example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := login{endpoint: c.given, insecure: c.insecure, ssmURL: c.env}
			e, s := text(c.set), text(c.set)
			if l.direct(&e, "ec2", "eu-central-1"); aws.ToString(e) != c.ec2 {
				t.Errorf("EC2 is at %q, want %q", aws.ToString(e), c.ec2)
			}
			if l.directSSM(&s, "eu-central-1"); aws.ToString(s) != c.ssm {
				t.Errorf("SSM is at %q, want %q", aws.ToString(s), c.ssm)
			}
		})
	}
}

func TestParseEndpoint(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"": "", "ec2.example.com": "https://ec2.example.com", "http://127.0.0.1:80/": "http://127.0.0.1:80",
		"ftp://x": "!", "https://u:p@x": "!", "://": "!",
	} {
		got, err := parseEndpoint(given, false)
		if err != nil {
			got = "!"
		}
		if got != want {
			t.Errorf("%q became %q (%v), want %q", given, got, err, want)
		}
		if u, err := url.Parse(got); err != nil || got != "!" && got != "" && u.Host == "" {
			t.Errorf("%q is no URL", got)
		}
	}
	if got, _ := parseEndpoint("ec2.example.com", true); got != "http://ec2.example.com" {
		t.Errorf("without TLS it is %q", got)
	}
}
