// Package sim has what the simulated providers below it have in common: a
// ledger of what exists, and a gate in front of their interfaces where calls
// are counted, spoiled, held back and lost.
//
// The simulators are written after the providers' own documentation. They keep
// state, enforce what the real ones enforce, and refuse what they do not know,
// so that a driver that works here by luck does not.
package sim

import (
	"net/http"
	"net/netip"
	"time"
)

// Resource is something that exists at a provider and that somebody would pay
// for or trip over.
type Resource struct {
	Kind string            `json:"kind"` // in the provider's words: "instance", "security-group", "virtualMachines"
	ID   string            `json:"id"`
	Name string            `json:"name,omitempty"`
	Tags map[string]string `json:"tags,omitempty"`
}

// Provider is a simulated provider. Its interface is its http.Handler.
type Provider interface {
	http.Handler

	// Action names what a request asks for, such as "RunInstances" or "PUT
	// virtualMachines"; empty for requests that are no part of the provider's
	// interface, such as log-ins: they pass the gate uncounted. The body may be
	// read; the gate gives the handler a fresh one.
	Action(r *http.Request, body []byte) string

	// Refuse answers a request as the provider does when it fails in the way of f.
	Refuse(w http.ResponseWriter, r *http.Request, f Fault)

	// Ledger returns all that exists and was not there in the beginning, sorted
	// by kind and id. What a provider keeps for a while after its deletion, such
	// as a terminated instance, is not in it.
	Ledger() []Resource

	// Vanish deletes a resource as its owner would in the provider's console.
	Vanish(kind, id string) error
}

// Firewall is a Provider whose hosts are behind packet filters. The filters are
// kept in books only: between hosts, packets take their way past them.
type Firewall interface {
	// Admits tells whether a host of the ledger lets a packet in.
	Admits(host string, p Packet) (bool, error)
}

// Packet is what somebody sends to a host. From is an address of the world, or
// one of the hosts' private network.
type Packet struct {
	From     netip.Addr
	Protocol string // tcp or udp
	Port     int
}

// Fault spoils calls.
type Fault struct {
	Action string        `json:"action"`          // which calls; empty: all
	Nth    int           `json:"nth"`             // from which one on, counted from now and from 1
	Times  int           `json:"times,omitempty"` // how many; 0: once; -1: for ever
	Mode   Mode          `json:"mode"`
	Status int           `json:"status,omitempty"` // Fail: HTTP status; 0: the provider's usual one
	Code   string        `json:"code,omitempty"`   // Fail: the provider's error code
	Text   string        `json:"text,omitempty"`   // Fail: the provider's words
	Delay  time.Duration `json:"delay,omitempty"`  // Slow: nanoseconds
}

// Mode is how a call is spoiled.
type Mode string

// The ways to spoil a call.
const (
	Fail     Mode = "fail"     // refused with Code and Text, nothing done
	Throttle Mode = "throttle" // refused as the provider refuses too many calls, nothing done
	Lose     Mode = "lose"     // done, and the connection closed instead of an answer
	Slow     Mode = "slow"     // done and answered after Delay
	Before   Mode = "before"   // held without being done until the client goes or the fault is cleared
	After    Mode = "after"    // done, and the answer held until the client goes or the fault is cleared
)
