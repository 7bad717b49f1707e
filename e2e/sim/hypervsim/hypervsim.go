// Package hypervsim is a simulated powershell.exe in front of a simulated Hyper-V.
//
// It speaks the protocol of the driver's script and does what the script would have
// done, as Microsoft documents its cmdlets, and refuses what they refuse in their
// words. It does NOT run PowerShell: it knows the script by its first line and
// serves the operations itself. What it proves is the driver's part and the protocol.
// Whether the script is good PowerShell, and whether Hyper-V does what is documented,
// only a Windows can tell.
//
// All state is on disk in a folder, so that each PowerShell may be a process of its
// own. A machine is a host behind it, or runs in name only.
package hypervsim

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/gofrs/flock"

	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/host"
)

// marker is the first line of the script that is known.
const marker = "# machine-hyperv session 1"

// Config says what computer Hyper-V is simulated on.
type Config struct {
	Home         string     // made if it does not exist
	Hosts        host.Hosts // the machines behind virtual machines; nil: they run in name only
	NoModule     bool       // Hyper-V's PowerShell module is not installed
	NoRights     bool       // the user may not manage Hyper-V
	Manager      bool       // the user is in the group Hyper-V Administrators, and no administrator
	Stopped      bool       // the service vmms does not run
	NoHypervisor bool       // the hypervisor does not run
	Server       bool       // Windows Server: there is no Default Switch
	Silent       bool       // guests do not tell their addresses
	Memory       int64      // in bytes; 0: 16 GiB
}

// Box is Hyper-V of one computer.
type Box struct {
	cfg Config

	mu    sync.Mutex
	hook  func(n int, done bool) error
	seen  int
	going sync.WaitGroup // shutdowns
	deaf  map[string]bool
}

// The kinds of what is in a ledger.
const (
	KindMachine = "machine"
	KindSwitch  = "switch"
	KindNat     = "nat"
)

// New returns Hyper-V with what it had in the folder before.
func New(cfg Config) (*Box, error) {
	if cfg.Memory == 0 {
		cfg.Memory = 16 << 30
	}
	if err := os.MkdirAll(cfg.Home, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the simulated Hyper-V: %w", err)
	}
	return &Box{cfg: cfg, deaf: map[string]bool{}}, nil
}

// Close waits for guests that shut down.
func (b *Box) Close() { b.going.Wait() }

// Observe has hook called before and after each operation, counted from 1 again. If
// it returns an error before the operation, that fails undone; after it, it fails
// done. A nil hook ends it.
func (b *Box) Observe(hook func(n int, done bool) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hook, b.seen = hook, 0
}

// Deafen has the guest of a machine ignore what it is told to do.
func (b *Box) Deafen(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deaf[id] = true
}

func (b *Box) isDeaf(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.deaf[id]
}

// Request is a line from the driver.
type Request struct {
	ID   int             `json:"id"`
	Op   string          `json:"op"`
	Args json.RawMessage `json:"args"`
}

// Answer is a line to it.
type Answer struct {
	ID    int      `json:"id"`
	OK    bool     `json:"ok"`
	Value any      `json:"value,omitempty"`
	Error *Refusal `json:"error,omitempty"`
}

// Refusal is what PowerShell knows of an error.
type Refusal struct {
	Kind     string `json:"kind"`
	Category string `json:"category"`
	FQID     string `json:"fqid"`
	Type     string `json:"type"`
	HResult  string `json:"hresult"`
	Message  string `json:"message"`
}

// Error returns PowerShell's words.
func (r *Refusal) Error() string { return r.Message }

// The ways in which a conversation ends by a fault.
var (
	ErrDied   = errors.New("PowerShell dies")
	ErrKilled = errors.New("the process that asked is killed")
)

// Serve is a PowerShell with the bootstrap as its command: it takes the script, then
// answers requests until there are no more.
func (b *Box) Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	if err := takeScript(lines); err != nil {
		return err
	}
	for {
		line, err := lines.ReadString('\n')
		if line = strings.TrimSpace(line); line != "" {
			a, err := b.Do(ctx, line)
			if err != nil {
				return err
			}
			text, err := json.Marshal(a)
			if err != nil {
				return err
			}
			if _, err := out.Write(append(text, '\n')); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// takeScript reads the script and refuses another one.
func takeScript(lines *bufio.Reader) error {
	first, err := lines.ReadString('\n')
	if err != nil {
		return fmt.Errorf("read the script: %w", err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil {
		return fmt.Errorf("read the script: the first line is not its length: %w", err)
	}
	for i := range n {
		line, err := lines.ReadString('\n')
		if err != nil {
			return fmt.Errorf("read the script: %w", err)
		}
		if i == 0 && strings.TrimSpace(line) != marker {
			return fmt.Errorf("this is no PowerShell: it knows only the script that begins with %q", marker)
		}
	}
	return nil
}

// Do does the operation of a line.
func (b *Box) Do(ctx context.Context, line string) (Answer, error) {
	var q Request
	if err := json.Unmarshal([]byte(line), &q); err != nil {
		return Answer{}, fmt.Errorf("read a request: %w", err)
	}
	b.mu.Lock()
	b.seen++
	n, hook := b.seen, b.hook
	b.mu.Unlock()
	if hook == nil {
		hook = func(int, bool) error { return nil }
	}
	if err := errors.Join(b.note(line), hook(n, false)); err != nil {
		return Answer{ID: q.ID, Error: broken(err.Error())}, nil
	}
	f, err := b.fault(q.Op)
	switch {
	case err != nil:
		return Answer{}, err
	case f != nil && f.Mode == Fail:
		return Answer{ID: q.ID, Error: &f.Refusal}, nil
	case f != nil && f.Mode == DieBefore:
		return Answer{}, ErrDied
	case f != nil && f.Mode == KillBefore:
		return Answer{}, ErrKilled
	}
	a, err := b.once(ctx, q)
	if err != nil {
		return a, err
	}
	if err := hook(n, true); err != nil {
		return Answer{ID: q.ID, Error: broken(err.Error())}, nil
	}
	switch {
	case f != nil && f.Mode == Lose:
		return Answer{ID: q.ID, Error: broken("the answer was lost")}, nil
	case f != nil && f.Mode == DieAfter:
		return Answer{}, ErrDied
	case f != nil && f.Mode == KillAfter:
		return Answer{}, ErrKilled
	}
	return a, nil
}

// broken is what a cmdlet says when something inside goes wrong.
func broken(text string) *Refusal {
	return &Refusal{
		Category: "NotSpecified", FQID: "OperationFailed", Type: "Microsoft.HyperV.PowerShell.VirtualizationException",
		HResult: "80131500", Message: "The operation failed. " + text,
	}
}

func (b *Box) once(ctx context.Context, q Request) (a Answer, err error) {
	err = b.with(ctx, func(s *state) error {
		c := &call{box: b, state: s, ctx: ctx, args: q.Args}
		value, err := c.do(q.Op)
		var refusal *Refusal
		switch {
		case errors.As(err, &refusal):
			a = Answer{ID: q.ID, Error: refusal}
			return nil
		case err != nil:
			a = Answer{ID: q.ID, Error: broken(err.Error())}
			return nil
		}
		a = Answer{ID: q.ID, OK: true, Value: value}
		return nil
	})
	return a, err
}

// with does something with the state on disk while nobody else does.
func (b *Box) with(ctx context.Context, do func(*state) error) error {
	lock := flock.New(filepath.Join(b.cfg.Home, "hypervsim.lock"))
	if err := lock.Lock(); err != nil {
		return fmt.Errorf("lock the simulated Hyper-V: %w", err)
	}
	defer lock.Close()
	path := filepath.Join(b.cfg.Home, "hypervsim.json")
	s := &state{}
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, s)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the simulated Hyper-V: %w", err)
	}
	s.complete(b.cfg)
	if err := s.refresh(ctx, b.cfg.Hosts); err != nil {
		return err
	}
	if err := do(s); err != nil {
		return err
	}
	now, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return fmt.Errorf("write the simulated Hyper-V: %w", err)
	}
	if bytes.Equal(now, text) {
		return nil
	}
	if err := os.WriteFile(path+".new", now, 0o600); err != nil {
		return fmt.Errorf("write the simulated Hyper-V: %w", err)
	}
	return os.Rename(path+".new", path)
}

// Calls returns the requests since the beginning, in their order. They are in the file
// hypervsim.calls of the folder as they came, one in each line.
func (b *Box) Calls() ([]Request, error) {
	text, err := os.ReadFile(b.callsFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Request
	for line := range bytes.Lines(text) {
		var q Request
		if err := json.Unmarshal(line, &q); err != nil {
			return nil, fmt.Errorf("read %s: %w", b.callsFile(), err)
		}
		all = append(all, q)
	}
	return all, nil
}

func (b *Box) callsFile() string { return filepath.Join(b.cfg.Home, "hypervsim.calls") }

// note adds a request to those that came.
func (b *Box) note(line string) error {
	f, err := os.OpenFile(b.callsFile(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line + "\n")
	return errors.Join(err, f.Close())
}

// Ledger returns all that exists and did not come with Windows.
func (b *Box) Ledger(ctx context.Context) (all []sim.Resource, err error) {
	err = b.with(ctx, func(s *state) error {
		all = s.ledger()
		return nil
	})
	return all, err
}

// Vanish deletes something as its owner would by hand. Disks stay where they are.
func (b *Box) Vanish(ctx context.Context, kind, id string) error {
	return b.with(ctx, func(s *state) error { return s.vanish(ctx, b.cfg.Hosts, kind, id) })
}

// Rename gives a machine another name, as in Hyper-V Manager.
func (b *Box) Rename(ctx context.Context, id, name string) error {
	return b.edit(ctx, id, func(m *machine) { m.Name = name })
}

// SetState puts a machine into a state, as in Hyper-V Manager.
func (b *Box) SetState(ctx context.Context, id, state string) error {
	return b.edit(ctx, id, func(m *machine) { m.State = state })
}

// SetMAC gives a machine's adapter another address, as in Hyper-V Manager.
func (b *Box) SetMAC(ctx context.Context, id, mac string) error {
	return b.edit(ctx, id, func(m *machine) { m.MAC = mac })
}

// AddSwitch makes a switch, as in Hyper-V Manager: External, Internal or Private.
func (b *Box) AddSwitch(ctx context.Context, name, kind string) (id string, err error) {
	err = b.with(ctx, func(s *state) error {
		id = s.uuid()
		s.Switches = append(s.Switches, &vswitch{ID: id, Name: name, Type: kind, Addresses: []string{}})
		return nil
	})
	return id, err
}

func (b *Box) edit(ctx context.Context, id string, do func(*machine)) error {
	return b.with(ctx, func(s *state) error {
		m := s.machine(id)
		if m == nil {
			return sim.ErrUnknown
		}
		do(m)
		return nil
	})
}
