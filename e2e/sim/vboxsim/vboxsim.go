// Package vboxsim is a simulated VBoxManage. It prints what the one of VirtualBox
// 7.2 prints, and refuses what that one refuses, in its words. What it does not
// know it refuses too.
//
// All state is on disk in the VirtualBox home, so that each call may be a process of
// its own. A machine is a host behind it, or runs in name only.
package vboxsim

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/computer"
	"github.com/hostsmith/machine/e2e/sim/host"
)

// Config says what computer VirtualBox is simulated on.
type Config struct {
	Home     string     // VBOX_USER_HOME; made if it does not exist
	Hosts    host.Hosts // the machines behind virtual machines; nil: they run in name only
	Version  string     // as --version prints it; empty: 7.2.22r175245
	Mac      bool       // host-only networks have no interfaces
	NoVTx    bool       // the processor has no hardware virtualization
	NoKernel bool       // the kernel modules are not loaded
	Fresh    bool       // a new home has the DHCP server that VirtualBox begins with
	Ranges   []string   // that host-only interfaces may be in; nil: 192.168.56.0/21
}

// Box is VirtualBox in one home.
type Box struct {
	*computer.Home[state]
	cfg Config
}

// Answer is what VBoxManage prints, and its exit code.
type Answer struct {
	Stdout string `json:"stdout"`
	Stderr string `json:"stderr"`
	Exit   int    `json:"exit"`
	Kill   bool   `json:"kill,omitempty"` // the process that called is to be killed
}

// The kinds of what is in a ledger.
const (
	KindMachine = "machine"
	KindMedium  = "medium"
	KindAdapter = "hostonlyif"
	KindNet     = "hostonlynet"
	KindDHCP    = "dhcpserver"
)

// New returns VirtualBox in a home, with what it had there before.
func New(cfg Config) (*Box, error) {
	if cfg.Version == "" {
		cfg.Version = "7.2.22r175245"
	}
	if cfg.Ranges == nil {
		cfg.Ranges = []string{"192.168.56.0/21"}
	}
	b := &Box{&computer.Home[state]{Dir: cfg.Home, Name: "vboxsim"}, cfg}
	b.Read = b.read
	return b, b.Make()
}

func (b *Box) hosts() computer.Hosts { return computer.Hosts{Hosts: b.cfg.Hosts} }

// read completes the state of a home.
func (b *Box) read(ctx context.Context, s *state) error {
	if b.cfg.Fresh && s.Extra == nil {
		s.DHCP = []*dhcp{{"HostInterfaceNetworking-vboxnet0", "192.168.56.100", "255.255.255.0", "192.168.56.101", "192.168.56.254", true}}
	}
	if s.Extra == nil {
		s.Extra = map[string]string{}
	}
	return s.refresh(ctx, b.hosts())
}

// Run does one call of VBoxManage in the folder dir.
func (b *Box) Run(ctx context.Context, dir string, args []string) (a Answer) {
	line, err := json.Marshal(args)
	if err == nil {
		err = b.Call(strings.Join(args[:min(1, len(args))], ""), line, func() (err error) {
			a, err = b.once(ctx, dir, args)
			return err
		})
	}
	if errors.Is(err, computer.ErrKilled) {
		a.Kill = true
	} else if err != nil {
		a = broken(err.Error())
	}
	return a
}

// broken is what VBoxManage says when something inside goes wrong.
func broken(text string) Answer {
	return Answer{Exit: 1, Stderr: "VBoxManage: error: " + text +
		"\nVBoxManage: error: Details: code NS_ERROR_FAILURE (0x80004005), component VirtualBoxWrap, interface IVirtualBox\n"}
}

func (b *Box) once(ctx context.Context, dir string, args []string) (a Answer, err error) {
	err = b.With(ctx, func(s *state) error {
		c := &call{box: b, state: s, dir: dir, ctx: ctx}
		a = c.do(args)
		return nil
	})
	return a, err
}

// Calls returns the calls since the beginning, in their order.
func (b *Box) Calls() ([][]string, error) { return computer.Calls[[]string](b.Home) }

// Extra returns VirtualBox's global extra data.
func (b *Box) Extra(ctx context.Context) (extra map[string]string, err error) {
	err = b.With(ctx, func(s *state) error {
		extra = s.Extra
		return nil
	})
	return extra, err
}

// Ledger returns all that exists.
func (b *Box) Ledger(ctx context.Context) (all []sim.Resource, err error) {
	err = b.With(ctx, func(s *state) error {
		all = s.ledger()
		return nil
	})
	return all, err
}

// Vanish deletes something as its owner would by hand. A machine's disks stay where
// they are; a medium's file goes.
func (b *Box) Vanish(ctx context.Context, kind, id string) error {
	return b.With(ctx, func(s *state) error { return s.vanish(ctx, b.hosts(), kind, id) })
}
