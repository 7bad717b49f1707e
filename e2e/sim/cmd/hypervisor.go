package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/computer"
	"github.com/hostsmith/machine/e2e/sim/host"
	"github.com/hostsmith/machine/e2e/sim/hypervsim"
	"github.com/hostsmith/machine/e2e/sim/vboxsim"
)

// box is a simulated hypervisor, which programs in front of it ask by a socket.
type box interface {
	Ledger(ctx context.Context) ([]sim.Resource, error)
	Vanish(ctx context.Context, kind, id string) error
	Inject(f sim.Fault) error
	Clear() error
	Killed() bool
	Close()
}

// desk is a box on somebody's desk: its processes can be killed, not held.
type desk struct {
	box
	calls func() (map[string]int, error)
}

func (d desk) ledger(ctx context.Context) ([]sim.Resource, error) { return d.Ledger(ctx) }
func (d desk) vanish(ctx context.Context, kind, id string) error  { return d.Vanish(ctx, kind, id) }
func (d desk) counts() (map[string]int, error)                    { return d.calls() }
func (d desk) clear() error                                       { return d.Clear() }
func (d desk) held() bool                                         { return d.Killed() }

// inject kills who calls, where others would be held until they are killed.
func (d desk) inject(f sim.Fault) error {
	switch f.Mode {
	case sim.Before:
		f.Mode = computer.KillBefore
	case sim.After:
		f.Mode = computer.KillAfter
	case sim.Throttle, sim.Slow:
		return fmt.Errorf("no process is %s here", f.Mode)
	}
	return d.Inject(f)
}

// at serves a box at a socket below home until it is closed, and removes home then.
func at(home, name string, b box, serve func(net.Listener) error) (closes func(), err error) {
	l, err := net.Listen("unix", computer.Socket(home, name))
	if err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	go func() { done <- serve(l) }()
	return func() {
		err := errors.Join(l.Close(), <-done)
		b.Close()
		if err := errors.Join(err, os.RemoveAll(home)); err != nil {
			fmt.Fprintln(os.Stderr, "sim:", err)
		}
	}, nil
}

// gateway returns the first address of a network, with its prefix.
func gateway(p netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(p.Masked().Addr().Next(), p.Bits())
}

// unheard are ranges for hosts in name only, in which nobody answers: those that
// Docker has for hosts are others.
const (
	unheardHostOnly = "192.168.63.1/24"
	unheardNat      = "192.168.144.0/24"
)

func newVirtualBox(ctx context.Context, hosts host.Hosts, config string) (_ *provider, err error) {
	var c vboxsim.Config
	if err := decode(config, &c); err != nil {
		return nil, err
	}
	if c.Home, err = os.MkdirTemp("", "vboxsim-"); err != nil { // a short path, as sockets want
		return nil, err
	}
	c.Hosts = hosts
	b, err := vboxsim.New(c)
	if err != nil {
		return nil, err
	}
	closes, err := at(c.Home, "vboxsim", b, func(l net.Listener) error { return b.Serve(ctx, l) })
	if err != nil {
		return nil, err
	}
	cidr := unheardHostOnly
	if _, ok := hosts.(*host.Docker); ok {
		private, _ := hosts.Networks()
		cidr = gateway(private).String()
	}
	calls := func() (map[string]int, error) {
		all, err := b.Calls()
		n := map[string]int{"": len(all)}
		for _, args := range all {
			n[strings.Join(args[:min(1, len(args))], "")]++
		}
		return n, err
	}
	return &provider{
		world: desk{b, calls}, close: closes,
		env: func(ready) map[string]string {
			return map[string]string{"VBOX_USER_HOME": c.Home, "VIRTUALBOX_HOSTONLY_CIDR": cidr}
		},
		set: func(knob string, value json.RawMessage) error {
			kind, id, _ := strings.Cut(knob, ":")
			if _, err := read[bool](value); err != nil || kind != "deaf" {
				return errors.Join(err, unknown(knob))
			}
			b.Deafen(id)
			return nil
		},
	}, nil
}

func newHyperV(ctx context.Context, hosts host.Hosts, config string) (_ *provider, err error) {
	var c hypervsim.Config
	if err := decode(config, &c); err != nil {
		return nil, err
	}
	if c.Home, err = os.MkdirTemp("", "hypervsim-"); err != nil {
		return nil, err
	}
	c.Hosts = hosts
	b, err := hypervsim.New(c)
	if err != nil {
		return nil, err
	}
	closes, err := at(c.Home, "hypervsim", b, func(l net.Listener) error { return b.Listen(ctx, l) })
	if err != nil {
		return nil, err
	}
	nat := unheardNat
	if _, ok := hosts.(*host.Docker); ok {
		private, _ := hosts.Networks()
		nat = private.String()
	}
	calls := func() (map[string]int, error) {
		all, err := b.Calls()
		n := map[string]int{"": len(all), "PowerShell": b.Conversations()}
		for _, q := range all {
			n[q.Op]++
		}
		return n, err
	}
	return &provider{
		world: desk{b, calls}, close: closes,
		env: func(ready) map[string]string {
			return map[string]string{"HYPERVSIM_HOME": c.Home, "HYPERV_NAT": nat}
		},
		set: func(knob string, value json.RawMessage) error { return setHyperV(ctx, b, knob, value) },
	}, nil
}

// setHyperV knows name:ID, state:ID and mac:ID (texts), and deaf:ID (true).
func setHyperV(ctx context.Context, b *hypervsim.Box, knob string, value json.RawMessage) error {
	kind, id, _ := strings.Cut(knob, ":")
	if kind == "deaf" {
		_, err := read[bool](value)
		b.Deafen(id)
		return err
	}
	text, err := read[string](value)
	if err != nil {
		return err
	}
	switch kind {
	case "name":
		return b.Rename(ctx, id, text)
	case "state":
		return b.SetState(ctx, id, text)
	case "mac":
		return b.SetMAC(ctx, id, text)
	}
	return unknown(knob)
}
