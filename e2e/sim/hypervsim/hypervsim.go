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
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/computer"
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
	*computer.Home[state]
	cfg   Config
	talks atomic.Int64
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
	b := &Box{Home: &computer.Home[state]{Dir: cfg.Home, Name: "hypervsim"}, cfg: cfg}
	b.Read = b.read
	return b, b.Make()
}

func (b *Box) hosts() computer.Hosts { return computer.Hosts{Hosts: b.cfg.Hosts} }

// read completes the state of a computer.
func (b *Box) read(ctx context.Context, s *state) error {
	s.complete(b.cfg)
	return s.refresh(ctx, b.hosts())
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

// Serve is a PowerShell with the bootstrap as its command: it takes the script, then
// answers requests until there are no more.
func (b *Box) Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	b.talks.Add(1)
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

// Conversations returns how many PowerShells there were.
func (b *Box) Conversations() int { return int(b.talks.Load()) }

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
	var a Answer
	err := b.Call(q.Op, []byte(line), func() (err error) {
		a, err = b.once(ctx, q)
		return err
	})
	var spoiled *computer.Broken
	if errors.As(err, &spoiled) {
		no := broken(spoiled.Text)
		if spoiled.Mode == sim.Fail {
			no.Message = spoiled.Text
			no.FQID = cmp.Or(spoiled.Code, no.FQID)
		}
		return Answer{ID: q.ID, Error: no}, nil
	}
	return a, err
}

// broken is what a cmdlet says when something inside goes wrong.
func broken(text string) *Refusal {
	return &Refusal{
		Category: "NotSpecified", FQID: "OperationFailed", Type: "Microsoft.HyperV.PowerShell.VirtualizationException",
		HResult: "80131500", Message: "The operation failed. " + text,
	}
}

func (b *Box) once(ctx context.Context, q Request) (a Answer, err error) {
	err = b.With(ctx, func(s *state) error {
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

// Calls returns the requests since the beginning, in their order.
func (b *Box) Calls() ([]Request, error) { return computer.Calls[Request](b.Home) }

// Ledger returns all that exists and did not come with Windows.
func (b *Box) Ledger(ctx context.Context) (all []sim.Resource, err error) {
	err = b.With(ctx, func(s *state) error {
		all = s.ledger()
		return nil
	})
	return all, err
}

// Vanish deletes something as its owner would by hand. Disks stay where they are.
func (b *Box) Vanish(ctx context.Context, kind, id string) error {
	return b.With(ctx, func(s *state) error { return s.vanish(ctx, b.hosts(), kind, id) })
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
	err = b.With(ctx, func(s *state) error {
		id = computer.UUID(&s.Serial)
		s.Switches = append(s.Switches, &vswitch{ID: id, Name: name, Type: kind, Addresses: []string{}})
		return nil
	})
	return id, err
}

func (b *Box) edit(ctx context.Context, id string, do func(*machine)) error {
	return b.With(ctx, func(s *state) error {
		m := s.machine(id)
		if m == nil {
			return sim.ErrUnknown
		}
		do(m)
		return nil
	})
}
