// Package azuresim is an Azure Resource Manager endpoint with its authority for tests.
package azuresim

import (
	"net/http"
	"time"

	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/host"
)

// Config says what a cloud is like. The zero value of each field is a default.
type Config struct {
	Hosts host.Hosts    // behind instances; required
	Delay time.Duration // how long after its creation a new id is not found
}

// Cloud is an Azure Resource Manager endpoint.
type Cloud struct{}

// What a service principal logs in with that may do everything.
const (
	Tenant       = "11111111-1111-4111-8111-111111111111"
	Subscription = "22222222-2222-4222-8222-222222222222"
	ClientID     = "33333333-3333-4333-8333-333333333333"
	ClientSecret = "a~secret~that~nobody~may~see"
)

// New returns a cloud with one subscription, its locations, sizes and public images.
func New(c Config) (*Cloud, error) { panic("unwritten") }

// Action, Refuse, Ledger and Vanish: see sim.Provider.
func (*Cloud) Action(r *http.Request, body []byte) string                 { panic("unwritten") }
func (*Cloud) Refuse(w http.ResponseWriter, r *http.Request, f sim.Fault) { panic("unwritten") }
func (*Cloud) Ledger() []sim.Resource                                     { panic("unwritten") }
func (*Cloud) Vanish(kind, id string) error                               { panic("unwritten") }
func (*Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request)           { panic("unwritten") }
