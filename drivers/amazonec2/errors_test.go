package amazonec2

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/hostsmith/machine/drivers"
)

// refusing returns an account whose provider refuses all with a code.
func refusingWith(t *testing.T, code, message string) *account {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `<?xml version="1.0"?><Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>req-1</RequestID></Response>`, code, message)
	}))
	t.Cleanup(server.Close)
	a, err := open(t.Context(), login{accessKey: "AKIA", secretKey: "hush-hush", region: "eu-central-1", endpoint: server.URL, retries: -1})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for code, c := range map[string]struct {
		want          error
		message, says string
	}{
		"UnauthorizedOperation":              {drivers.ErrPermission, "You are not authorized to perform this operation. User: arn:aws:iam::1:user/x is not authorized to perform: ec2:CreateTags on resource: y. Encoded authorization failure message: abcDEF_123-x", "action ec2:CreateTags"},
		"AccessDenied":                       {drivers.ErrPermission, "no", "action ec2:RunInstances"},
		"AuthFailure":                        {drivers.ErrCredentials, "AWS was not able to validate the provided access credentials", "AuthFailure"},
		"ExpiredToken":                       {drivers.ErrCredentials, "x", ""},
		"OptInRequired":                      {drivers.ErrCredentials, "x", ""},
		"VcpuLimitExceeded":                  {drivers.ErrQuota, "You have requested more vCPU capacity than your current vCPU limit of 5", "vCPUs"},
		"AddressLimitExceeded":               {drivers.ErrQuota, "x", "EC2-VPC Elastic IPs"},
		"SecurityGroupLimitExceeded":         {drivers.ErrQuota, "x", "security groups"},
		"FutureLimitExceeded":                {drivers.ErrQuota, "x", "FutureLimitExceeded"},
		"InsufficientInstanceCapacity":       {drivers.ErrCapacity, "x", ""},
		"Unsupported":                        {drivers.ErrCapacity, "x", ""},
		"SpotMaxPriceTooLow":                 {drivers.ErrCapacity, "x", ""},
		"MaxSpotInstanceCountExceeded":       {drivers.ErrQuota, "x", "spot instance requests"},
		"RequestLimitExceeded":               {drivers.ErrThrottled, "x", ""},
		"Throttling":                         {drivers.ErrThrottled, "x", ""},
		"InvalidInstanceID.NotFound":         {drivers.ErrNotFound, "x", ""},
		"InvalidAMIID.NotFound":              {nil, "x", ""},
		"InvalidKeyPair.Duplicate":           {drivers.ErrConflict, "x", ""},
		"DependencyViolation":                {drivers.ErrInUse, "x", ""},
		"InvalidAction":                      {drivers.ErrUnsupported, "x", ""},
		"InternalError":                      {nil, "An internal error has occurred", "InternalError: An internal error has occurred"},
		"RulesPerSecurityGroupLimitExceeded": {drivers.ErrQuota, "x", "rules per security group"},
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			_, err := do(t.Context(), refusingWith(t, code, c.message).runInstances, &ec2.RunInstancesInput{MinCount: aws.Int32(1), MaxCount: aws.Int32(1)})
			if c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if !says(err, code) {
				t.Errorf("%v does not have the code", err)
			}
			for _, part := range []string{code, "RunInstances: ", "(request req-1)", c.says} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			if strings.Contains(err.Error(), "Encoded") || strings.Contains(err.Error(), "hush-hush") {
				t.Errorf("%q says too much", err)
			}
			var hint *drivers.HintError
			if advised := errors.As(err, &hint); !advised && (c.want == drivers.ErrCredentials || c.want == drivers.ErrQuota || c.want == drivers.ErrCapacity || c.want == drivers.ErrPermission) {
				t.Errorf("%v has no advice", err)
			}
		})
	}
}

// TestBareRefusals has servers that do not answer in EC2's words.
func TestBareRefusals(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]error{
		http.StatusNotImplemented: drivers.ErrUnsupported, http.StatusNotFound: drivers.ErrUnsupported, http.StatusMethodNotAllowed: drivers.ErrUnsupported,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>what?</html>", status) }))
		a, err := open(t.Context(), login{accessKey: "AKIA", secretKey: "secret", region: "eu-central-1", endpoint: server.URL, retries: -1})
		if err != nil {
			t.Fatal(err)
		}
		_, err = do(t.Context(), a.describeVpcs, &ec2.DescribeVpcsInput{})
		if !errors.Is(err, want) || !strings.Contains(err.Error(), "DescribeVpcs") {
			t.Errorf("%d: got %v, want %v", status, err, want)
		}
		server.Close()
	}
}

// TestEncodedMessage has the way to read an encoded message be in the advice.
func TestEncodedMessage(t *testing.T) {
	t.Parallel()
	_, err := do(t.Context(), refusingWith(t, "UnauthorizedOperation", "You are not authorized to perform this operation. Encoded authorization failure message: abcDEF_123-x").
		startInstances, &ec2.StartInstancesInput{InstanceIds: []string{"i-1"}})
	var hint *drivers.HintError
	if !errors.As(err, &hint) || !strings.Contains(hint.Advice, "ec2:StartInstances") || !strings.Contains(hint.Advice, "decode-authorization-message --encoded-message abcDEF_123-x") {
		t.Errorf("got %v", err)
	}
}

func TestUnreached(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	a, err := open(t.Context(), login{accessKey: "AKIA", secretKey: "secret", region: "eu-central-1", endpoint: server.URL, retries: -1})
	if err != nil {
		t.Fatal(err)
	}
	server.Close()
	_, err = do(t.Context(), a.describeVpcs, &ec2.DescribeVpcsInput{})
	if !errors.Is(err, drivers.ErrUnreachable) {
		t.Errorf("got %v, want ErrUnreachable", err)
	}
}
