// Package vboxsim is a simulated VBoxManage. It prints what the one of VirtualBox
// 7.2 prints, and refuses what that one refuses, in its words. What it does not
// know it refuses too.
//
// All state is on disk in the VirtualBox home, so that each call may be a process of
// its own. A machine is a host behind it, or runs in name only.
package vboxsim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/gofrs/flock"

	"github.com/hostsmith/machine/e2e/sim"
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
	cfg Config

	mu    sync.Mutex
	hook  func(n int, done bool) error
	seen  int
	going sync.WaitGroup // shutdowns
	deaf  map[string]bool
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
	if err := os.MkdirAll(cfg.Home, 0o700); err != nil {
		return nil, fmt.Errorf("make the VirtualBox home: %w", err)
	}
	return &Box{cfg: cfg, deaf: map[string]bool{}}, nil
}

// Close waits for guests that shut down.
func (b *Box) Close() { b.going.Wait() }

// Observe has hook called before and after each call, counted from 1 again. If it
// returns an error before the call, the call fails undone; after it, it fails done. A
// nil hook ends it.
func (b *Box) Observe(hook func(n int, done bool) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hook, b.seen = hook, 0
}

// Deafen has the guest of a machine ignore the power button.
func (b *Box) Deafen(uuid string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deaf[uuid] = true
}

// Run does one call of VBoxManage in the folder dir.
func (b *Box) Run(ctx context.Context, dir string, args []string) Answer {
	b.mu.Lock()
	b.seen++
	n, hook := b.seen, b.hook
	b.mu.Unlock()
	if hook == nil {
		hook = func(int, bool) error { return nil }
	}
	if err := errors.Join(b.note(args), hook(n, false)); err != nil {
		return broken(err.Error())
	}
	f, err := b.fault(args)
	switch {
	case err != nil:
		return broken(err.Error())
	case f != nil && f.Mode == Fail:
		return broken(f.Text)
	case f != nil && f.Mode == KillBefore:
		return Answer{Kill: true}
	}
	a, err := b.once(ctx, dir, args)
	if err == nil {
		err = hook(n, true)
	}
	switch {
	case err != nil:
		return broken(err.Error())
	case f != nil && f.Mode == Lose:
		return broken("the answer was lost")
	case f != nil && f.Mode == KillAfter:
		a.Kill = true
	}
	return a
}

// broken is what VBoxManage says when something inside goes wrong.
func broken(text string) Answer {
	return Answer{Exit: 1, Stderr: "VBoxManage: error: " + text +
		"\nVBoxManage: error: Details: code NS_ERROR_FAILURE (0x80004005), component VirtualBoxWrap, interface IVirtualBox\n"}
}

func (b *Box) once(ctx context.Context, dir string, args []string) (a Answer, err error) {
	err = b.with(ctx, func(s *state) error {
		c := &call{box: b, state: s, dir: dir, ctx: ctx}
		a = c.do(args)
		return nil
	})
	return a, err
}

// with does something with the state on disk while nobody else does.
func (b *Box) with(ctx context.Context, do func(*state) error) error {
	lock := flock.New(filepath.Join(b.cfg.Home, "vboxsim.lock"))
	if err := lock.Lock(); err != nil {
		return fmt.Errorf("lock the simulated VirtualBox: %w", err)
	}
	defer lock.Close()
	path := filepath.Join(b.cfg.Home, "vboxsim.json")
	s := &state{}
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, s)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the simulated VirtualBox: %w", err)
	}
	if b.cfg.Fresh && text == nil {
		s.DHCP = []*dhcp{{"HostInterfaceNetworking-vboxnet0", "192.168.56.100", "255.255.255.0", "192.168.56.101", "192.168.56.254", true}}
	}
	s.complete()
	if err := s.refresh(ctx, b.cfg.Hosts); err != nil {
		return err
	}
	if err := do(s); err != nil {
		return err
	}
	now, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return fmt.Errorf("write the simulated VirtualBox: %w", err)
	}
	if bytes.Equal(now, text) {
		return nil
	}
	if err := os.WriteFile(path+".new", now, 0o600); err != nil {
		return fmt.Errorf("write the simulated VirtualBox: %w", err)
	}
	return os.Rename(path+".new", path)
}

// Calls returns the calls since the beginning, in their order. It is kept in the
// file vboxsim.calls of the home, a JSON list of arguments in each line.
func (b *Box) Calls() ([][]string, error) {
	text, err := os.ReadFile(b.callsFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all [][]string
	for line := range bytes.Lines(text) {
		var args []string
		if err := json.Unmarshal(line, &args); err != nil {
			return nil, fmt.Errorf("read %s: %w", b.callsFile(), err)
		}
		all = append(all, args)
	}
	return all, nil
}

func (b *Box) callsFile() string { return filepath.Join(b.cfg.Home, "vboxsim.calls") }

// note adds a call to those that were made.
func (b *Box) note(args []string) error {
	line, err := json.Marshal(args)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(b.callsFile(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// Extra returns VirtualBox's global extra data.
func (b *Box) Extra(ctx context.Context) (extra map[string]string, err error) {
	err = b.with(ctx, func(s *state) error {
		extra = s.Extra
		return nil
	})
	return extra, err
}

// Ledger returns all that exists.
func (b *Box) Ledger(ctx context.Context) (all []sim.Resource, err error) {
	err = b.with(ctx, func(s *state) error {
		all = s.ledger()
		return nil
	})
	return all, err
}

// Vanish deletes something as its owner would by hand. A machine's disks stay where
// they are; a medium's file goes.
func (b *Box) Vanish(ctx context.Context, kind, id string) error {
	return b.with(ctx, func(s *state) error { return s.vanish(ctx, b.cfg.Hosts, kind, id) })
}
