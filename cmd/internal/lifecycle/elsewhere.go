package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/store"
)

// ErrElsewhere is the error of a machine of a shared store that only another computer can reach.
var ErrElsewhere = errors.New("the machine lives on another computer")

// computer is what this computer is called where several share a store.
func (m *Manager) computer() string {
	if name := m.Getenv("MACHINE_COMPUTER"); name != "" {
		return name
	}
	name, _ := os.Hostname()
	return name
}

// settle notes where a machine that is to be made will live, if that matters to others.
func (x *machine) settle() {
	if l, ok := x.drv.(drivers.Local); ok && l.Local() && x.m.Store.Shared() {
		x.rec.Computer = x.m.organisation() + "@" + x.m.computer()
	}
}

// CopyStore copies a store. Machines of a folder that live on this computer alone are recorded as
// such in a store that others see too.
func (m *Manager) CopyStore(ctx context.Context, from, to *store.Store, req store.CopyRequest) ([]store.CopyItem, error) {
	if to.Shared() && !from.Shared() {
		req.Computer = m.livesOn
	}
	return store.Copy(ctx, from, to, req)
}

// livesOn is this computer, if the host of a record can be reached from it alone; else empty.
func (m *Manager) livesOn(rec store.Record) string {
	if homebound(rec.DriverName) == "" {
		return ""
	}
	f, err := m.Drivers.Lookup(rec.DriverName)
	if err != nil {
		return ""
	}
	drv, err := f.Open(rec.Driver, nil, rec.DriverState, func(json.RawMessage) error { return store.ErrClosed }, drivers.Env{
		Machine: rec.Name, Getenv: m.Getenv, Log: m.Log, Step: m.Step, Note: m.Note,
	})
	if err != nil {
		m.Log.Warn("not known whether the machine lives on this computer", "machine", rec.Name, "err", err)
		return ""
	}
	if l, ok := drv.(drivers.Local); !ok || !l.Local() {
		return ""
	}
	return m.organisation() + "@" + m.computer()
}

// here returns why this computer cannot work on a machine that lives on another.
func (x *machine) here() error {
	_, name, ok := strings.Cut(x.rec.Computer, "@")
	if !ok || name == x.m.computer() {
		return nil
	}
	return &drivers.HintError{
		Err:    fmt.Errorf("%w: %s", ErrElsewhere, x.rec.Computer),
		Advice: fmt.Sprintf("Run the command there. If that is this computer under a former name, set MACHINE_COMPUTER=%s; if it is gone for good, machine rm --force %s removes the record.", name, x.rec.Name),
	}
}
