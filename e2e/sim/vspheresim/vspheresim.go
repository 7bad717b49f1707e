// Package vspheresim is a vCenter, govmomi's own simulator, for tests.
//
// What that simulator lets pass and a vCenter does not, it refuses: see
// handler.go. Its virtual machines are backed by hosts: see guest.go.
package vspheresim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"

	"github.com/vmware/govmomi/pbm"
	_ "github.com/vmware/govmomi/pbm/simulator" // storage policies
	"github.com/vmware/govmomi/simulator"
	_ "github.com/vmware/govmomi/vapi/simulator" // tags and content libraries
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/host"
)

// Config says what a cloud is like. The zero value of each field is a default.
type Config struct {
	Hosts host.Hosts // behind instances; required
}

// The user that may do everything.
const (
	Username = "administrator@vsphere.local"
	Password = "a~secret~that~nobody~may~see"
)

// Cloud is a vCenter.
type Cloud struct {
	hosts  host.Hosts
	model  *simulator.Model
	server *simulator.Server
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	known   map[string]bool // what was there in the beginning, by kind and id
	guests  map[types.ManagedObjectReference]*guest
	last    netip.Addr // given away
	tools   string
	reached string // the address that clients use

	ops   sync.WaitGroup // with hosts
	turns turns
}

// New returns a cloud with one datacenter, hosts, a cluster, networks, datastores and templates.
func New(c Config) (*Cloud, error) {
	if c.Hosts == nil {
		return nil, errors.New("no hosts")
	}
	cloud := &Cloud{
		hosts:  c.Hosts,
		known:  map[string]bool{},
		guests: map[types.ManagedObjectReference]*guest{},
		tools:  ToolsRunning,
	}
	if err := cloud.build(); err != nil {
		cloud.Close()
		return nil, fmt.Errorf("build vCenter: %w", err)
	}
	return cloud, nil
}

// Close ends the cloud; it leaves the hosts alone.
func (c *Cloud) Close() {
	if c.cancel != nil {
		c.mu.Lock() // so that nothing is begun after it
		c.cancel()
		c.mu.Unlock()
	}
	c.ops.Wait()
	if c.server != nil {
		c.server.Close()
	}
	if c.model != nil && c.model.Service != nil {
		c.model.Remove()
	}
}

// ServeHTTP serves SOAP at /sdk, REST at /rest and /api, and files at /folder and /nfc.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.reachedAt(r)
	if !speaksSOAP(r) {
		if strings.HasPrefix(r.URL.Path, "/folder/") && !c.mayTransfer(w, r) {
			return
		}
		if strings.HasPrefix(r.URL.Path, "/folder/") || strings.HasPrefix(r.URL.Path, "/nfc/") {
			c.turns.changing.Lock()
			defer c.turns.changing.Unlock()
		}
		c.model.Service.ServeMux.ServeHTTP(w, r)
		return
	}
	c.serveSOAP(w, r)
}

// speaksSOAP tells whether a request is for the vCenter or for its storage policies.
func speaksSOAP(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, vim25.Path) || strings.HasPrefix(r.URL.Path, pbm.Path)
}

// reachedAt makes the addresses in the cloud's answers lead back to it on the
// way that its clients came.
func (c *Cloud) reachedAt(r *http.Request) {
	u := url.URL{Scheme: "http", Host: r.Host, Path: vim25.Path}
	if r.TLS != nil {
		u.Scheme = "https"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reached == u.String() || r.Host == "" {
		return
	}
	c.reached = u.String()
	m := c.registry().OptionManager()
	c.asked().WithLock(m, func() {
		m.UpdateOptions(&types.UpdateOptions{ChangedValue: []types.BaseOptionValue{
			&types.OptionValue{Key: "vcsim.server.url", Value: c.reached},
		}})
	})
}

func (c *Cloud) registry() *simulator.Registry { return c.model.Map() }

// asked returns a context of its own for a change of the inventory: the
// simulator locks on behalf of contexts.
func (c *Cloud) asked() *simulator.Context {
	own := *c.model.Service.Context
	own.Context = c.ctx
	return &own
}

var _ sim.Provider = (*Cloud)(nil)
