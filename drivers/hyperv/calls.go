package hyperv

import (
	"context"
	"log/slog"
	"strings"
	"time"
)

const (
	askLimit     = 2 * time.Minute // Windows may be busy, and the module is large
	changeLimit  = 5 * time.Minute
	convertLimit = time.Hour
)

// tool is Hyper-V.
type tool struct {
	*session
	log *slog.Logger
}

// ask has PowerShell answer a question.
func (t *tool) ask(ctx context.Context, op string, args, into any) error {
	return t.call(ctx, t.log, askLimit, op, args, into)
}

// change has PowerShell change something.
func (t *tool) change(ctx context.Context, op string, args, into any) error {
	return t.call(ctx, t.log, changeLimit, op, args, into)
}

// none are the arguments of an operation that has none.
type none struct{}

func (t *tool) probe(ctx context.Context) (p probe, err error) {
	err = t.ask(ctx, "probe", none{}, &p)
	return p, err
}

// machines returns the virtual machines with the ids; all, if none is given.
func (t *tool) machines(ctx context.Context, ids []string) (map[string]vm, error) {
	type args struct {
		IDs []string `json:"ids"`
	}
	var found struct {
		Machines []vm `json:"machines"`
	}
	if ids == nil {
		ids = []string{}
	}
	if err := t.ask(ctx, "listMachines", args{ids}, &found); err != nil {
		return nil, err
	}
	all := map[string]vm{}
	for _, v := range found.Machines {
		all[strings.ToLower(v.ID)] = v
	}
	return all, nil
}

// networks are the switches, the ranges that are translated, and what other networks
// this computer is on.
type networks struct {
	Switches  []vswitch `json:"switches"`
	Nats      []nat     `json:"nats"`
	NatsKnown bool      `json:"natsKnown"` // false: the user may not see them
	Others    []card    `json:"others"`
}

// card is an address of this computer that is on no switch.
type card struct {
	Name    string `json:"name"`
	Address string `json:"address"` // with the prefix
}

func (t *tool) networks(ctx context.Context) (n networks, err error) {
	err = t.ask(ctx, "listSwitches", none{}, &n)
	return n, err
}

func (t *tool) nameServers(ctx context.Context) ([]string, error) {
	var found struct {
		Servers []string `json:"servers"`
	}
	err := t.ask(ctx, "nameServers", none{}, &found)
	return found.Servers, err
}

type makeNatArgs struct {
	Name    string `json:"name"` // of the switch and the translation
	Notes   string `json:"notes"`
	Gateway string `json:"gateway"`
	Bits    int    `json:"bits"`
	Subnet  string `json:"subnet"`
}

func (t *tool) makeNat(ctx context.Context, a makeNatArgs) (s vswitch, err error) {
	err = t.change(ctx, "makeNat", a, &s)
	return s, err
}

func (t *tool) removeNat(ctx context.Context, id, name string) error {
	type args struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	}
	return t.change(ctx, "removeNat", args{id, name}, nil)
}

type diskArgs struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
}

func (t *tool) newFixedDisk(ctx context.Context, path string, bytes int64) error {
	return t.call(ctx, t.log, convertLimit, "newFixedDisk", diskArgs{path, bytes}, nil)
}

func (t *tool) convertDisk(ctx context.Context, from, to string) error {
	type args struct {
		From string `json:"from"`
		To   string `json:"to"`
	}
	return t.call(ctx, t.log, convertLimit, "convertDisk", args{from, to}, nil)
}

// growDisk makes a disk as large as bytes, and returns how large it is.
func (t *tool) growDisk(ctx context.Context, path string, bytes int64) (int64, error) {
	var now struct {
		Bytes int64 `json:"bytes"`
	}
	err := t.change(ctx, "growDisk", diskArgs{path, bytes}, &now)
	return now.Bytes, err
}

type newMachineArgs struct {
	Name       string `json:"name"`
	Path       string `json:"path"`
	Generation int    `json:"generation"`
	Memory     int64  `json:"memory"`
	Notes      string `json:"notes"`
}

func (t *tool) newMachine(ctx context.Context, a newMachineArgs) (id string, err error) {
	var made struct {
		ID string `json:"id"`
	}
	err = t.change(ctx, "newMachine", a, &made)
	return made.ID, err
}

// cable is what an adapter is told.
type cable struct {
	SwitchID string `json:"switchId"`
	MAC      string `json:"mac"`
	VLAN     int    `json:"vlan"`
}

// connectMachine connects a virtual machine's first adapter.
func (t *tool) connectMachine(ctx context.Context, id string, c cable) error {
	type args struct {
		ID string `json:"id"`
		cable
	}
	return t.change(ctx, "connectMachine", args{id, c}, nil)
}

type configureArgs struct {
	ID          string `json:"id"`
	Generation  int    `json:"generation"`
	Notes       string `json:"notes"`
	Processors  int    `json:"processors"`
	Memory      int64  `json:"memory"`
	LeastMemory int64  `json:"leastMemory"`
	Dynamic     bool   `json:"dynamic"`
	cable
	Disk       string `json:"disk"`
	DVD        string `json:"dvd"`
	SecureBoot bool   `json:"secureBoot"`
}

func (t *tool) configureMachine(ctx context.Context, a configureArgs) error {
	return t.change(ctx, "configureMachine", a, nil)
}

// do does something with a virtual machine that needs nothing but its id.
func (t *tool) do(ctx context.Context, op, id string) error {
	type args struct {
		ID string `json:"id"`
	}
	return t.change(ctx, op, args{id}, nil)
}

// The operations of do.
const (
	opStart    = "startMachine"
	opResume   = "resumeMachine"
	opShutDown = "shutDownMachine"
	opTurnOff  = "turnOffMachine"
	opRemove   = "removeMachine"
)
