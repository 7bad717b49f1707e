package ec2sim_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/ec2sim"
)

// post sends a signed form and returns the answer's status and text.
func (s *site) post(query string) (int, string) {
	s.t.Helper()
	return s.send("us-east-1", query, func(*http.Request) {})
}

func (s *site) send(region, query string, change func(*http.Request)) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+"/", strings.NewReader(query))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	creds := aws.Credentials{AccessKeyID: ec2sim.AccessKey, SecretAccessKey: ec2sim.SecretKey}
	if err := v4.NewSigner().SignHTTP(s.t.Context(), creds, req, sum(query), "ec2", region, s.clock.Now()); err != nil {
		s.t.Fatal(err)
	}
	change(req)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

const version = "&Version=2016-11-15"

// ids are what is different each time.
var ids = regexp.MustCompile(`([a-z]+-)[0-9a-f]{17}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.]+Z`)

func TestAnswersOnTheWire(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *ec2sim.Config) { c.Zones, c.Regions = 1, []string{"us-east-1"} })
	for _, test := range []struct {
		query  string
		status int
		want   string
	}{
		{
			"Action=CreateSecurityGroup&GroupName=a%3Cb&GroupDescription=d", 400,
			"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>InvalidParameterValue</Code>" +
				"<Message>Invalid value &#39;a&lt;b&#39; for groupName.</Message></Error></Errors><RequestID>ID</RequestID></Response>",
		},
		{
			"Action=DescribeAvailabilityZones", 200,
			"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DescribeAvailabilityZonesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>ID</requestId>" +
				"<availabilityZoneInfo><item><groupName>us-east-1</groupName><networkBorderGroup>us-east-1</networkBorderGroup><optInStatus>opt-in-not-required</optInStatus>" +
				"<regionName>us-east-1</regionName><zoneState>available</zoneState><zoneId>use1-az1</zoneId><zoneName>us-east-1a</zoneName><zoneType>availability-zone</zoneType></item>" +
				"</availabilityZoneInfo></DescribeAvailabilityZonesResponse>",
		},
		{
			"Action=DescribeInstances&Filter.1.Name=tag%3AName&Filter.1.Value.1=x", 200,
			"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DescribeInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>ID</requestId>" +
				"<reservationSet></reservationSet></DescribeInstancesResponse>",
		},
		{
			"Action=CreateTags&ResourceId.1=" + s.subnet() + "&Tag.1.Key=a&Tag.1.Value=b", 200,
			"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CreateTagsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>ID</requestId><return>true</return></CreateTagsResponse>",
		},
		{
			"Action=DescribeTags", 200,
			"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DescribeTagsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>ID</requestId>" +
				"<tagSet><item><key>a</key><resourceId>subnet-ID</resourceId><resourceType>subnet</resourceType><value>b</value></item></tagSet></DescribeTagsResponse>",
		},
	} {
		status, text := s.post(test.query + version)
		if got := ids.ReplaceAllString(text, "${1}ID"); status != test.status || got != test.want {
			t.Errorf("%s: %d\n%s\nwant %d\n%s", test.query, status, got, test.status, test.want)
		}
	}
}

func (s *site) subnet() string {
	s.t.Helper()
	out, err := s.DescribeSubnets(s.t.Context(), &ec2.DescribeSubnetsInput{})
	if err != nil {
		s.t.Fatal(err)
	}
	return *out.Subnets[0].SubnetId
}

func TestRequestsThatAreWrong(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	run := "Action=RunInstances&ImageId=" + s.image + "&InstanceType=t3.micro&MinCount=1&MaxCount=1"
	for query, code := range map[string]string{
		"Action=RunAway":                                 "InvalidAction",
		"Action=CreateVpc":                               "InvalidAction",
		"Action=RunInstances&ImageId=" + s.image:         "MissingParameter",
		run + "&Instancetype=t3.micro":                   "UnknownParameter",
		run + "&SecurityGroupId=sg-12345678":             "UnknownParameter",
		run + "&SecurityGroupId.x=sg-12345678":           "UnknownParameter",
		run + "&Placement.Zone=a":                        "UnknownParameter",
		run + "&Placement=a":                             "UnknownParameter",
		run + "&ImageId.1=a":                             "UnknownParameter",
		run + "&ImageId=ami-12345678":                    "InvalidParameterValue",
		run + "&EbsOptimized=yes":                        "InvalidParameterValue",
		run + "&Ipv6AddressCount=one":                    "InvalidParameterValue",
		run + "&BlockDeviceMapping.1.Ebs.VolumeType=gp9": "InvalidParameterValue",
		run + "&Monitoring=":                             "MissingParameter",
		run + "&Placement.PartitionNumber=1":             "NotSimulated",
		run + "&LaunchTemplate.LaunchTemplateName=x":     "NotSimulated",
		run + "&BlockDeviceMapping.1.DeviceName=a&BlockDeviceMapping.1.Ebs.OutpostArn=x": "NotSimulated",
		run + "&DryRun=true": "DryRunOperation",
		"Action=DescribeInstances&Filter.1.Name=a.b&Filter.1.Value.1=c":         "InvalidParameterValue",
		"Action=DescribeInstanceStatus&Filter.1.Name=vpc-id&Filter.1.Value.1=c": "InvalidParameterValue",
		"Action=DescribeVpcs&Filter.1.Name=dhcp-options-id&Filter.1.Value.1=c":  "NotSimulated",
		"Action=DescribeVpcs&Filter.1.Name=vpc-id":                              "InvalidParameterValue",
		"Action=DescribeVpcs&Filter.1.Name=a.b&Filter.1.Value.1=c":              "InvalidParameterValue",
		"Action=DescribeInstances&MaxResults=4":                                 "InvalidParameterValue",
		"Action=DescribeInstances&NextToken=x":                                  "InvalidNextToken",
		"Action=DescribeInstances&InstanceId.1=i-1":                             "InvalidInstanceID.Malformed",
		"Action=DescribeInstances&InstanceId.1=i-12345678":                      "InvalidInstanceID.NotFound",
		"Action=DescribeInstances&MaxResults=5&InstanceId.1=i-12345678":         "InvalidParameterCombination",
		"Action=DescribeSecurityGroups&GroupId.1=g":                             "InvalidGroupId.Malformed",
	} {
		if _, text := s.post(query + version); !strings.Contains(text, "<Code>"+code+"</Code>") {
			t.Errorf("%s: %s, want %s", query, text, code)
		}
	}
	if _, text := s.post("Action=DescribeVpcs&Version=2010-01-01"); !strings.Contains(text, "NoSuchVersion") {
		t.Errorf("an old version: %s", text)
	}
	if left := s.cloud.Ledger(); len(left) > 0 {
		t.Errorf("refused requests made %v", left)
	}
	if status, _ := s.post(run + "&DryRun=true" + version); status != http.StatusPreconditionFailed {
		t.Errorf("a rehearsal: %d", status)
	}
}

func TestSignatures(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	query := "Action=DescribeVpcs" + version
	for what, test := range map[string]struct {
		region string
		change func(*http.Request)
		status int
		code   string
	}{
		"good":         {"us-east-1", func(*http.Request) {}, 200, ""},
		"none":         {"us-east-1", func(r *http.Request) { r.Header.Del("Authorization") }, 400, "MissingAuthenticationToken"},
		"another body": {"us-east-1", func(r *http.Request) { body(r, query+"&DryRun=true") }, 401, "AuthFailure"},
		"another path": {"us-east-1", func(r *http.Request) { r.URL.Path = "/x" }, 401, "AuthFailure"},
		"another host": {"us-east-1", func(r *http.Request) { r.Host = "ec2.example.com" }, 401, "AuthFailure"},
		"another time": {"us-east-1", func(r *http.Request) {
			r.Header.Set("X-Amz-Date", time.Now().Add(-time.Minute).UTC().Format("20060102T150405Z"))
		}, 401, "AuthFailure"},
		"another service": {"us-east-1", func(r *http.Request) { replace(r, "/ec2/", "/s3/") }, 401, "AuthFailure"},
		"unknown key":     {"us-east-1", func(r *http.Request) { replace(r, ec2sim.AccessKey, "AKIAI44QH8DHBEXAMPLE") }, 401, "AuthFailure"},
		"a session":       {"us-east-1", func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "x") }, 401, "AuthFailure"},
		"unknown region":  {"mars-north-1", func(*http.Request) {}, 401, "AuthFailure"},
	} {
		status, text := s.send(test.region, query, test.change)
		if status != test.status || !strings.Contains(text, test.code) {
			t.Errorf("%s: %d %s, want %d %s", what, status, text, test.status, test.code)
		}
	}
	s.clock.forward(time.Hour)
	_, err := s.DescribeVpcs(t.Context(), &ec2.DescribeVpcsInput{})
	wantCode(t, err, "RequestExpired")
}

func body(r *http.Request, text string) {
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
}

func replace(r *http.Request, from, to string) {
	r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), from, to, 1))
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	s, ctx := newSite(t, func(c *ec2sim.Config) { c.Profiles = []string{"p"} }), t.Context()
	s.cloud.AddKey("AKIDSOME", "secret", "ec2:RunInstances", "ec2:Describe*")
	some := s.as("AKIDSOME", "secret", "us-east-1")
	s.good(some.RunInstances(ctx, s.order()))
	s.good(some.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{}))
	_, err := some.RunInstances(ctx, s.order(tagged))
	wantCode(t, err, "UnauthorizedOperation")
	if !strings.Contains(err.Error(), "is not authorized to perform: ec2:CreateTags") || !strings.Contains(err.Error(), "Encoded authorization failure message: ") {
		t.Errorf("the words are %v", err)
	}
	_, err = some.RunInstances(ctx, s.order(profiled("p")))
	wantCode(t, err, "UnauthorizedOperation")
	_, err = some.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{"i-12345678"}})
	wantCode(t, err, "UnauthorizedOperation")
	_, err = s.as("AKIDSOME", "wrong", "us-east-1").DescribeVpcs(ctx, &ec2.DescribeVpcsInput{})
	wantCode(t, err, "AuthFailure")
	s.cloud.RemoveKey("AKIDSOME")
	_, err = some.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{})
	wantCode(t, err, "AuthFailure")
}

func tagged(in *ec2.RunInstancesInput) {
	in.TagSpecifications = append(in.TagSpecifications, spec("instance", "a", "b"))
}

func TestSSMAndSTS(t *testing.T) {
	t.Parallel()
	s, ctx := newSite(t), t.Context()
	s.cloud.AddKey("AKIDNONE", "secret")
	for _, test := range []struct{ access, secret, ssm, sts string }{
		{ec2sim.AccessKey, ec2sim.SecretKey, "", ""},
		{ec2sim.AccessKey, "wrong", "InvalidSignatureException", "SignatureDoesNotMatch"},
		{"AKIDUNKNOWN", "x", "UnrecognizedClientException", "InvalidClientTokenId"},
		{"AKIDNONE", "secret", "AccessDeniedException", ""},
	} {
		chain := credentials.NewStaticCredentialsProvider(test.access, test.secret, "")
		parameters := ssm.New(ssm.Options{Region: "us-east-1", BaseEndpoint: &s.url, Credentials: chain, Retryer: aws.NopRetryer{}})
		people := sts.New(sts.Options{Region: "us-east-1", BaseEndpoint: &s.url, Credentials: chain, Retryer: aws.NopRetryer{}})
		_, err := parameters.GetParameters(ctx, &ssm.GetParametersInput{Names: []string{noble, "/no/such"}})
		if test.ssm != "" {
			wantCode(t, err, test.ssm)
		} else {
			s.good(nil, err)
		}
		who, err := people.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		if test.sts != "" {
			wantCode(t, err, test.sts)
		} else if s.good(nil, err); *who.Account != ec2sim.Account {
			t.Errorf("%s is of %s", test.access, *who.Account)
		}
		if test.ssm == "" {
			_, err = parameters.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String("/no/such")})
			wantCode(t, err, "ParameterNotFound")
		}
	}
}

func TestThrottling(t *testing.T) {
	t.Parallel()
	s, ctx := newSite(t, func(c *ec2sim.Config) { c.Rate, c.Burst = 2, 4 }), t.Context() // newSite asked once
	for range 3 {
		s.good(s.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{}))
	}
	_, err := s.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{})
	wantCode(t, err, "RequestLimitExceeded")
	if status, _ := s.post("Action=DescribeVpcs" + version); status != http.StatusServiceUnavailable {
		t.Errorf("the status is %d", status)
	}
	s.clock.forward(time.Second)
	s.good(s.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{}))
	s.good(s.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{}))
	_, err = s.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{})
	wantCode(t, err, "RequestLimitExceeded")
}

func TestBehindAGate(t *testing.T) {
	t.Parallel()
	s, ctx := newSite(t), t.Context()
	gate := sim.NewGate(s.cloud)
	server := httptest.NewServer(gate)
	t.Cleanup(server.Close)
	s.url = server.URL
	client := s.as(ec2sim.AccessKey, ec2sim.SecretKey, "us-east-1")
	gate.Inject(sim.Fault{Action: "RunInstances", Mode: sim.Throttle})
	_, err := client.RunInstances(ctx, s.order())
	wantCode(t, err, "RequestLimitExceeded")
	gate.Inject(sim.Fault{Action: "RunInstances", Mode: sim.Fail, Status: 500, Code: "InsufficientInstanceCapacity", Text: "no room"})
	_, err = client.RunInstances(ctx, s.order())
	wantCode(t, err, "InsufficientInstanceCapacity")
	gate.Inject(sim.Fault{Action: "RunInstances", Mode: sim.Lose})
	if _, err = client.RunInstances(ctx, s.order()); err == nil {
		t.Error("a lost answer came")
	}
	if made := ofKind(s.cloud.Ledger(), "instance"); len(made) != 1 {
		t.Errorf("made: %v", made)
	}
	gate.Inject(sim.Fault{Action: "GetParameter", Mode: sim.Throttle})
	parameters := ssm.New(ssm.Options{Region: "us-east-1", BaseEndpoint: &s.url, Credentials: credentials.NewStaticCredentialsProvider(ec2sim.AccessKey, ec2sim.SecretKey, ""), Retryer: aws.NopRetryer{}})
	_, err = parameters.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(noble)})
	wantCode(t, err, "ThrottlingException")
	if got := gate.Calls(); got["RunInstances"] != 3 || got["GetParameter"] != 1 {
		t.Errorf("calls: %v", got)
	}
}

// Everything that is described is answered, and the other way round.
func TestAllThatIsDescribedIsThere(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	text, err := os.ReadFile("api.json")
	if err != nil {
		t.Fatal(err)
	}
	var api struct{ Actions map[string]any }
	if err := json.Unmarshal(text, &api); err != nil {
		t.Fatal(err)
	}
	for _, action := range slices.Sorted(maps.Keys(api.Actions)) {
		if _, text := s.post(url.Values{"Action": {action}}.Encode() + version); strings.Contains(text, "InvalidAction") {
			t.Errorf("%s is not there", action)
		}
	}
}

func sum(text string) string {
	b := sha256.Sum256([]byte(text))
	return hex.EncodeToString(b[:])
}
