package amazonec2

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/batch"
	"github.com/hostsmith/machine/drivers/internal/caller"
	"github.com/hostsmith/machine/drivers/internal/memo"
)

// login is what leads to an account and region.
type login struct {
	accessKey, secretKey, sessionToken drivers.Secret

	profile  string
	region   string // empty: the profile's, else fallbackRegion
	endpoint string // empty: AWS's own, or what environment and profile say
	insecure bool
	retries  int
	ssmURL   string        // the environment's for SSM
	backoff  time.Duration // between two tries, at most; 0: the SDK's
	answer   time.Duration // to one try, at most
}

const fallbackRegion = "us-east-1"

func (d *driver) login() login {
	endpoint, _ := parseEndpoint(d.cfg.Endpoint, d.cfg.Insecure) // Validate has seen it
	l := login{
		accessKey: d.cfg.AccessKey, secretKey: d.cfg.SecretKey, sessionToken: d.cfg.SessionToken,
		profile: d.cfg.Profile, region: d.cfg.Region, endpoint: endpoint, insecure: d.cfg.Insecure,
		retries: d.cfg.Retries, backoff: d.pace.backoff, answer: d.pace.answer, ssmURL: d.env.Getenv("AWS_ENDPOINT_URL_SSM"),
	}
	if d.state.Value.Region != "" { // once something is made, it is there
		l.region = d.state.Value.Region
	}
	if l.endpoint == "" {
		l.endpoint = d.state.Value.Endpoint
	}
	return l
}

// key is what logins of the same client have in common.
func (l login) key() string {
	secret := sha256.Sum256([]byte(string(l.accessKey) + "\x00" + string(l.secretKey) + "\x00" + string(l.sessionToken)))
	return fmt.Sprintf("%x %q %q %q %v %d", secret, l.profile, l.region, l.endpoint, l.insecure, l.retries)
}

// accounts are the clients of one command.
type accounts struct {
	known memo.Answers[*account]
	pace  pace
}

func newAccounts(p pace) *accounts { return &accounts{pace: p} }

func (a *accounts) of(ctx context.Context, l login) (*account, error) {
	return a.known.Get(ctx, l.key(), func(ctx context.Context) (*account, error) { return open(ctx, l) })
}

// account is a region of an account: its client and what is known of it.
type account struct {
	api
	region   string
	endpoint string // of EC2 if it is not AWS's own
	keyID    string // access key id
	http     *http.Client

	instances *batch.Group[string, types.Instance]
	images    memo.Answers[image]
	types     memo.Answers[machineType]
	subnets   memo.Answers[[]types.Subnet]
	vpcs      memo.Answers[types.Vpc]
	groups    memo.Answers[*group]
	callers   memo.Answers[netip.Prefix]
	owners    memo.Answers[string]
}

// open makes the client. It fails when there are no credentials; whether they
// are good shows with the first request.
func open(ctx context.Context, l login) (*account, error) {
	cfg, err := config.LoadDefaultConfig(ctx, l.options()...)
	if err != nil {
		return nil, credentialsError(ctx, fmt.Errorf("read AWS configuration: %w", err))
	}
	found, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, credentialsError(ctx, fmt.Errorf("find AWS credentials: %w", err))
	}
	retryer := l.retryer()
	cfg.Retryer = func() aws.Retryer { return retryer }
	c := ec2.NewFromConfig(cfg, func(o *ec2.Options) { l.direct(&o.BaseEndpoint, "ec2", o.Region) })
	if base := aws.ToString(c.Options().BaseEndpoint); l.endpoint == "" && base != "" && !amazons(base) {
		l.endpoint = base // who sends EC2 elsewhere means no image of AWS
	}
	s := ssm.NewFromConfig(cfg, func(o *ssm.Options) { l.directSSM(&o.BaseEndpoint, o.Region) })
	a := &account{api: newAPI(c, s), region: cfg.Region, keyID: found.AccessKeyID, http: &http.Client{Transport: overIPv4()}}
	if base := aws.ToString(c.Options().BaseEndpoint); base != "" && !amazons(base) {
		a.endpoint = base
	}
	a.instances = &batch.Group[string, types.Instance]{Ask: a.askInstances, Max: 200}
	return a, nil
}

// options are what a user chose of what the SDK would find out by itself.
func (l login) options() []func(*config.LoadOptions) error {
	opts := []func(*config.LoadOptions) error{
		config.WithDefaultRegion(fallbackRegion),
		config.WithLogger(logging.Nop{}),
		config.WithEC2RoleCredentialOptions(quickRole),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(l.answer)),
	}
	if l.region != "" {
		opts = append(opts, config.WithRegion(l.region))
	}
	if l.profile != "" {
		opts = append(opts, config.WithSharedConfigProfile(l.profile))
	}
	if l.accessKey != "" {
		opts = append(opts, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(
			string(l.accessKey), string(l.secretKey), string(l.sessionToken))))
	}
	return opts
}

// quickRole has the search for an instance's role end soon where there is none
// because this is no instance.
func quickRole(o *ec2rolecreds.Options) {
	o.Client = imds.New(imds.Options{
		HTTPClient: awshttp.NewBuildableClient().WithTimeout(2 * time.Second),
		Retryer:    aws.NopRetryer{},
	})
}

// retryer returns what all requests of an account share, so that they slow down
// together when the provider asks for it.
func (l login) retryer() aws.RetryerV2 {
	return retry.NewAdaptiveMode(func(o *retry.AdaptiveModeOptions) {
		o.StandardOptions = append(o.StandardOptions, func(o *retry.StandardOptions) {
			o.MaxAttempts = max(l.retries, 0) + 1
			if l.backoff > 0 {
				o.MaxBackoff = l.backoff
			}
			o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(final)}, o.Retryables...)
		})
	})
}

// final tells of answers that the same request gets again: that there is no
// capacity comes as a fault of the server, which the SDK would try again for long,
// and it takes a certificate that is not trusted for a bad connection.
func final(err error) aws.Ternary {
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return aws.FalseTernary
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		if kind, _ := meaning(api.ErrorCode()); errors.Is(kind, drivers.ErrCapacity) || errors.Is(kind, drivers.ErrQuota) {
			return aws.FalseTernary
		}
	}
	return aws.UnknownTernary
}

// direct sends requests where the user wants them.
func (l login) direct(base **string, service, region string) {
	switch {
	case l.endpoint != "":
		*base = aws.String(l.endpoint)
	case l.insecure && aws.ToString(*base) != "":
		*base = aws.String(strings.Replace(**base, "https://", "http://", 1))
	case l.insecure:
		*base = aws.String("http://" + service + "." + region + ".amazonaws.com")
	}
}

// directSSM sends the questions for images to the same endpoint as all others,
// unless that is a part of AWS that knows EC2 only, or the environment names one for SSM.
func (l login) directSSM(base **string, region string) {
	if l.endpoint != "" && (amazons(l.endpoint) || l.ssmURL != "") {
		l.endpoint = ""
	}
	l.direct(base, "ssm", region)
}

// overIPv4 returns a transport that tells the address which a machine's public
// IPv4 address is reached from, also of a computer that has both kinds.
func overIPv4() *http.Transport {
	t := awshttp.NewBuildableClient().GetTransport()
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	t.DialContext = func(ctx context.Context, _, address string) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp4", address)
	}
	return t
}

// amazons tells whether a URL leads to AWS itself.
func amazons(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	host := "." + strings.ToLower(u.Hostname())
	for _, domain := range []string{".amazonaws.com", ".amazonaws.com.cn", ".api.aws"} {
		if strings.HasSuffix(host, domain) {
			return true
		}
	}
	return false
}

// caller returns the address that the provider sees this computer at.
func (a *account) caller(ctx context.Context) (netip.Prefix, error) {
	return a.callers.Get(ctx, "", func(ctx context.Context) (netip.Prefix, error) {
		if a.endpoint != "" {
			return caller.Towards(ctx, a.endpoint)
		}
		return caller.Ask(ctx, a.http, caller.Public)
	})
}

func credentialsError(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var missing config.SharedConfigProfileNotExistError
	advice := "give some: aws configure, aws sso login, a profile (--amazonec2-profile, AWS_PROFILE), " +
		"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, --amazonec2-access-key and --amazonec2-secret-key, or an instance with a role"
	if errors.As(err, &missing) {
		advice = "aws configure list-profiles shows which there are"
	}
	return &drivers.HintError{Err: fmt.Errorf("%w: %w", drivers.ErrCredentials, err), Advice: advice}
}
