// Package azuresim is an Azure Resource Manager endpoint with its authority for tests.
//
// It speaks the wire protocol: tokens, api-versions, asynchronous operations
// with Azure-AsyncOperation and Location, and ARM's error codes. What a request
// may say at all is taken from the models of the Azure SDK, what the simulator
// acts upon from its own; a property between the two is refused as not simulated.
//
// Instances run on hosts whose addresses are in the hosts' own ranges. An
// interface gets its private address from there even if its subnet's prefix is
// elsewhere: what the interface tells can be reached.
package azuresim

import (
	"cmp"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/host"
)

// Config says what a cloud is like. The zero value of each field is a default.
type Config struct {
	Hosts host.Hosts    // behind instances; required
	Delay time.Duration // how long after its creation a new id is not found

	Operation    time.Duration // how long a long-running operation takes at least; 20 ms
	RetryAfter   time.Duration // what clients are told to wait between polls, in whole seconds; 1 s; negative: nothing is told
	Token        time.Duration // how long an access token is good for; 1 hour
	Unregistered []string      // resource providers that the subscription has not registered
	Page         int           // how many resources are on a page of a list; 0: all
	Throttle     int           // how many requests a principal may make at once before it is throttled; 0: no end
	Refill       time.Duration // after which a throttled principal may make one more; 1 s
}

// Cloud is an Azure Resource Manager endpoint.
type Cloud struct {
	config Config
	key    []byte // signs tokens

	mu             sync.Mutex
	identity       string // client id of the managed identity
	identitySecret string
	principals     map[string]*principal
	codes          map[string]*deviceCode
	store          map[string]*record // by lower-case id
	operations     map[string]*operation
	registered     map[string]bool // resource providers
	quotas         map[string]int
	restricted     map[string]string    // size, or size and zone: reason
	agreed         map[string]bool      // marketplace plans
	scarce         map[string]string    // size: error code of its allocation
	failing        map[string]*armError // by lower-case kind: how its next operation ends
	failure        map[string]*armError // by lower-case id of a virtual machine
}

// What a service principal logs in with that may do everything.
const (
	Tenant       = "11111111-1111-4111-8111-111111111111"
	Subscription = "22222222-2222-4222-8222-222222222222"
	ClientID     = "33333333-3333-4333-8333-333333333333"
	ClientSecret = "a~secret~that~nobody~may~see"
)

// New returns a cloud with one subscription, its locations, sizes and public images.
func New(c Config) (*Cloud, error) {
	if c.Hosts == nil {
		return nil, errors.New("azuresim: no hosts")
	}
	c.Operation = cmp.Or(c.Operation, 20*time.Millisecond)
	c.RetryAfter = cmp.Or(c.RetryAfter, time.Second)
	c.Token = cmp.Or(c.Token, time.Hour)
	c.Refill = cmp.Or(c.Refill, time.Second)
	cloud := &Cloud{
		config: c, key: []byte(newID()),
		principals: map[string]*principal{}, codes: map[string]*deviceCode{},
		store: map[string]*record{}, operations: map[string]*operation{},
		registered: map[string]bool{"microsoft.compute": true, "microsoft.network": true, "microsoft.resources": true, "microsoft.marketplaceordering": true},
		quotas:     map[string]int{}, restricted: map[string]string{}, agreed: map[string]bool{}, scarce: map[string]string{}, failing: map[string]*armError{}, failure: map[string]*armError{},
	}
	for _, ns := range c.Unregistered {
		cloud.registered[lower(ns)] = false
	}
	cloud.AddPrincipal(ClientID, ClientSecret, "*")
	return cloud, nil
}

var _ sim.Provider = (*Cloud)(nil)
var _ http.Handler = (*Cloud)(nil)
