package azure

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/hostsmith/machine/drivers/internal/batch"
	"github.com/hostsmith/machine/drivers/internal/memo"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// accounts has the accounts that were opened, by what they were opened with.
type accounts struct {
	settings settings

	known memo.Answers[*account]
}

// account is a subscription at a cloud with one way to log in.
type account struct {
	subscription string
	env          environment
	web          *http.Client // without credentials
	pace         wait.Pace
	late         time.Duration
	delay        time.Duration // before the first retry; 0: the SDK's
	secrets      []string      // never to be seen in a message

	sdk

	states batch.Group[string, view]
	known  known
}

// known is what need be asked or made only once by one command.
type known struct {
	sizes    memo.Answers[map[string]size]
	images   memo.Answers[image]
	networks memo.Answers[subnet]
	made     memo.Answers[bool] // other things that machines share: whether they are there
	caller   memo.Answers[netip.Prefix]
}

// account returns the account of the machine.
func (d *driver) account(ctx context.Context) (*account, error) {
	if err := begun(ctx); err != nil {
		return nil, err
	}
	subscription := d.cfg.Subscription
	if d.state.Value.Subscription != "" {
		subscription = d.state.Value.Subscription
	}
	l := d.cfg.login(d.env.Getenv)
	return d.accounts.known.Get(ctx, accountKey(subscription, d.cfg, l), func(ctx context.Context) (*account, error) {
		return d.open(ctx, subscription, l)
	})
}

// accountKey tells accounts apart without holding a secret.
func accountKey(subscription string, c Config, l login) string {
	text, _ := json.Marshal([]string{ // strings
		subscription, c.Environment, c.EnvFile, c.Endpoint, c.Audience, c.Authority, string(l.method), l.tenant, l.client, l.file, l.secret.Reveal(),
	})
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func (d *driver) open(ctx context.Context, subscription string, l login) (*account, error) {
	s := d.accounts.settings
	web := s.client
	if web == nil {
		web = http.DefaultClient
	}
	env, err := d.cfg.resolve(ctx, web)
	if err != nil {
		return nil, err
	}
	if l.tenant == "" && l.method != byIdentity {
		if l.tenant, err = tenantOf(ctx, web, env.endpoint, subscription); err != nil && l.needsTenant() {
			return nil, err
		}
	}
	credential, err := l.open(env, web, d.env.Note)
	if err != nil {
		return nil, d.credentialError(fmt.Errorf("log in by %s: %w", l.method, err))
	}
	a := &account{subscription: subscription, env: env, web: web, pace: s.pace, late: s.late, delay: s.delay}
	if l.secret != "" {
		a.secrets = append(a.secrets, l.secret.Reveal())
	}
	if a.pace.First <= 0 {
		a.pace = wait.Pace{First: 2 * time.Second, Most: 10 * time.Second}
	}
	if a.late <= 0 {
		a.late = 3 * time.Second
	}
	a.states.Ask = a.ask
	a.sdk, err = connect(subscription, credential, &arm.ClientOptions{
		DisableRPRegistration: true, // the error tells how; it would need a right that nothing else does
		ClientOptions: policy.ClientOptions{
			Cloud:                           env.sdk(),
			InsecureAllowCredentialWithHTTP: strings.HasPrefix(env.endpoint, "http://"),
			Transport:                       web,
			Telemetry:                       policy.TelemetryOptions{ApplicationID: "hostsmith-machine"},
			Retry:                           retry(manyTries, s.delay),
			PerRetryPolicies:                []policy.Policy{&limiter{slots: make(chan struct{}, parallel)}},
		},
	})
	return a, err
}

// redact removes what nobody may see from a message.
func (a *account) redact(text string) string {
	for _, s := range a.secrets {
		text = strings.ReplaceAll(text, s, "REDACTED")
	}
	return text
}
