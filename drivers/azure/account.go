package azure

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/hostsmith/machine/drivers/internal/batch"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// accounts has the accounts that were opened, by what they were opened with.
type accounts struct {
	settings settings

	mu    sync.Mutex
	known map[string]*account
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
	memos  memos
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
	key := accountKey(subscription, d.cfg, l)
	d.accounts.mu.Lock()
	defer d.accounts.mu.Unlock()
	if a := d.accounts.known[key]; a != nil {
		return a, nil
	}
	a, err := d.open(ctx, subscription, l)
	if err != nil {
		return nil, err
	}
	d.accounts.known[key] = a
	return a, nil
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
	a.memos.all = map[string]*memo{}
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

// memos remember what need be asked or made only once by one command.
type memos struct {
	mu  sync.Mutex
	all map[string]*memo
}

type memo struct {
	busy  chan struct{} // holds one while somebody asks
	done  bool
	value any
}

// once returns what ask returns, and asks only if nobody has done so with
// success. Those who come meanwhile wait.
func once[T any](ctx context.Context, m *memos, key string, ask func() (T, error)) (T, error) {
	m.mu.Lock()
	one := m.all[key]
	if one == nil {
		one = &memo{busy: make(chan struct{}, 1)}
		m.all[key] = one
	}
	m.mu.Unlock()
	var value T
	select {
	case one.busy <- struct{}{}:
		defer func() { <-one.busy }()
	case <-ctx.Done():
		return value, context.Cause(ctx)
	}
	if one.done {
		return one.value.(T), begun(ctx)
	}
	value, err := ask()
	if err == nil {
		one.done, one.value = true, value
	}
	return value, err
}

// forget makes the next one ask again.
func (m *memos) forget(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, key)
}
