// Package ec2sim is an EC2 and SSM endpoint for tests.
package ec2sim

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

// Cloud is an EC2 endpoint.
type Cloud struct{}

// The access key that may do everything.
const (
	AccessKey = "AKIAIOSFODNN7EXAMPLE"
	SecretKey = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

// New returns a cloud with a default VPC, its subnets, and public images.
func New(c Config) (*Cloud, error) { panic("unwritten") }

// Action, Refuse, Ledger and Vanish: see sim.Provider.
func (*Cloud) Action(r *http.Request, body []byte) string                 { panic("unwritten") }
func (*Cloud) Refuse(w http.ResponseWriter, r *http.Request, f sim.Fault) { panic("unwritten") }
func (*Cloud) Ledger() []sim.Resource                                     { panic("unwritten") }
func (*Cloud) Vanish(kind, id string) error                               { panic("unwritten") }
func (*Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request)           { panic("unwritten") }
