package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/store"
)

// MigrateRequest asks for records of docker-machine to become ours, or to be put back.
type MigrateRequest struct {
	Names []string // empty: all machines
	Check bool     // change nothing; ErrDue if there is something to do
	Undo  bool     // the other way
	Copy  string   // a folder that must not exist, which gets a copy of the store before anything is changed; empty: none
}

// What Migrate does with a machine.
const (
	MigrateRecord = "migrate"
	RestoreRecord = "restore"
	LeaveRecord   = "leave"
)

// Migrated is what became, or would become, of one machine's record.
type Migrated struct {
	Machine string `json:"machine"`
	Version int    `json:"version"` // ConfigVersion as it was found; -1: it cannot be read
	Driver  string `json:"driver"`
	Action  string `json:"action"`            // migrate, restore or leave
	Done    bool   `json:"done"`              // the action was taken
	Without string `json:"without,omitempty"` // what is not possible after it, and why
	Note    string `json:"note,omitempty"`
	Error   string `json:"error,omitempty"`
}

// ErrDue is the error of a check that found records to migrate, or to put back.
var ErrDue = errors.New("records are due")

// Migrate makes records of docker-machine ours, each under its machine's lock and with a backup in the machine's
// folder. Nobody needs it: a command that changes a machine does the same for that one. With Undo the backups are
// put back, byte for byte, and docker-machine reads the store as before; machines that were made here have none and
// stay. A record that cannot be read is told and left. It can be repeated, also after it was killed.
func (m *Manager) Migrate(ctx context.Context, req MigrateRequest) ([]Migrated, error) {
	names, err := m.toMigrate(req.Names)
	if err != nil {
		return nil, err
	}
	plan, errs := make([]Migrated, len(names)), make([]error, len(names))
	due := 0
	for i, name := range names {
		plan[i], errs[i] = m.migration(name, req.Undo)
		if plan[i].Action != LeaveRecord {
			due++
		}
	}
	if req.Check {
		if due > 0 {
			errs = append(errs, fmt.Errorf("%w: %d of %d machines", ErrDue, due, len(names)))
		}
		return plan, errors.Join(errs...)
	}
	if req.Copy != "" {
		if err := m.copyStore(ctx, req.Copy); err != nil {
			return nil, err
		}
	}
	_ = m.each(ctx, names, func(ctx context.Context, name string) error {
		i := slices.Index(names, name)
		p := &plan[i]
		switch p.Action {
		case MigrateRecord:
			errs[i] = m.migrateOne(ctx, name)
		case RestoreRecord:
			errs[i] = m.restoreOne(ctx, name)
		default:
			return nil
		}
		if errs[i] = nameError(name, len(names), errs[i]); errs[i] != nil {
			p.Error = errs[i].Error()
		}
		p.Done = errs[i] == nil
		return nil
	})
	return plan, errors.Join(append(errs, context.Cause(ctx))...)
}

// toMigrate returns names, each once, or those of all machines. Records that cannot be read are told one by one.
func (m *Manager) toMigrate(names []string) ([]string, error) {
	if len(names) == 0 {
		return m.Store.Names()
	}
	var once []string
	for _, name := range names {
		if _, err := m.Store.Get(name); errors.Is(err, store.ErrNotExist) || errors.Is(err, store.ErrName) {
			return nil, err
		}
		if !slices.Contains(once, name) {
			once = append(once, name)
		}
	}
	return once, nil
}

// migration is what is to be done with a machine's record.
func (m *Manager) migration(name string, undo bool) (Migrated, error) {
	out := Migrated{Machine: name, Version: -1, Action: LeaveRecord}
	p, err := m.Store.Previous(name)
	if err == nil {
		out.Version = p.Version
	}
	rec, gerr := m.Store.Get(name)
	if gerr != nil {
		err = gerr // says more
	}
	out.Driver = rec.DriverName
	switch {
	case undo && p.Backup >= 0 && (p.Version == store.Version || p.Same || err != nil):
		out.Action = RestoreRecord
		if rec.Swarm.Name != "" {
			out.Note = "docker-machine knows nothing of swarm " + rec.Swarm.Name
		}
		return out, nil
	case err != nil:
		out.Error = err.Error()
		return out, &MachineError{name, err}
	case undo && p.Version == store.Version:
		out.Note = "there is no record of docker-machine to go back to"
		return out, nil
	case !undo && p.Version < store.Version:
		out.Action = MigrateRecord
	}
	if _, err := m.driver(rec.DriverName); errors.Is(err, drivers.ErrUnknown) {
		out.Without = "start, stop and rm: docker-machine-driver-" + rec.DriverName + " is not on PATH"
	}
	return out, nil
}

// migrateOne writes a machine's record anew, with the secrets and the state of its driver apart.
func (m *Manager) migrateOne(ctx context.Context, name string) error {
	return m.withRecord(ctx, name, func(x *machine) error {
		if err := x.open(); err != nil {
			return err
		}
		if p, err := m.Store.Previous(name); err != nil || p.Version == store.Version {
			return err // opening it has done so
		}
		return x.put()
	})
}

// restoreOne puts back what docker-machine recorded of a machine. The backup goes last: until then it can be
// done again.
func (m *Manager) restoreOne(ctx context.Context, name string) error {
	return m.withTxn(ctx, name, func(txn machineTxn) error {
		if err := txn.Restore(); err != nil {
			return err
		}
		if err := txn.PutSecrets(nil); err != nil { // docker-machine's record holds its own
			return err
		}
		return txn.DropBackup()
	})
}

// copyStore copies the store into a folder that does not exist, without what can be had again.
func (m *Manager) copyStore(ctx context.Context, to string) error {
	to, err := filepath.Abs(to)
	if err != nil {
		return fmt.Errorf("copy the store: %w", err)
	}
	return m.Step(ctx, "copy the store to "+to, func(ctx context.Context) error {
		left, err := copyTree(ctx, m.Store.Root(), to)
		if err != nil {
			return fmt.Errorf("copy the store to %s: %w", to, err)
		}
		for _, path := range left {
			m.Note(ctx, "not copied, for its size: "+path)
		}
		return nil
	})
}
