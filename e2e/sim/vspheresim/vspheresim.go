// Package vspheresim is a vCenter, govmomi's own simulator, for tests.
package vspheresim

import (
	"net/http"

	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/host"
)

// Config says what a cloud is like. The zero value of each field is a default.
type Config struct {
	Hosts host.Hosts // behind instances; required
}

// Cloud is a vCenter.
type Cloud struct{}

// The user that may do everything.
const (
	Username = "administrator@vsphere.local"
	Password = "a~secret~that~nobody~may~see"
)

// New returns a cloud with one datacenter, hosts, a cluster, networks, datastores and templates.
func New(c Config) (*Cloud, error) { panic("unwritten") }

// Action, Refuse, Ledger and Vanish: see sim.Provider.
func (*Cloud) Action(r *http.Request, body []byte) string                 { panic("unwritten") }
func (*Cloud) Refuse(w http.ResponseWriter, r *http.Request, f sim.Fault) { panic("unwritten") }
func (*Cloud) Ledger() []sim.Resource                                     { panic("unwritten") }
func (*Cloud) Vanish(kind, id string) error                               { panic("unwritten") }
func (*Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request)           { panic("unwritten") }
