package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/store"
)

// machine is one machine at work: its record, its driver and, if it may be
// changed, the lock on it. A machine without txn is for reading only.
type machine struct {
	m   *Manager
	txn machineTxn
	rec store.Record
	drv drivers.Driver

	merger  drivers.Merger // of a driver whose configuration and state are one; nil: they are not
	givenUp *atomic.Bool   // a call of the driver's was not waited for: what it saves from now on is nothing; nil: none can be
}

// view opens a machine for reading.
func (m *Manager) view(name string) (*machine, error) {
	rec, err := m.Store.Get(name)
	if err != nil {
		return nil, err
	}
	x := &machine{m: m, rec: rec}
	return x, x.open()
}

// lock opens a machine for changing. The caller closes it.
func (m *Manager) lock(ctx context.Context, name string) (*machine, error) {
	// Asking first keeps a mistyped name from leaving a lock file behind.
	if _, err := m.Store.Get(name); errors.Is(err, store.ErrNotExist) || errors.Is(err, store.ErrName) {
		return nil, err
	}
	txn, err := m.locks().machine(ctx, name)
	if err != nil {
		return nil, err
	}
	rec, err := txn.Get()
	if err != nil {
		return nil, errors.Join(err, txn.Close())
	}
	x := &machine{m: m, txn: txn, rec: rec}
	if err := x.open(); err != nil {
		return nil, errors.Join(err, txn.Close())
	}
	if _, err := x.clientPair(); err != nil && x.hasClientCert() {
		if err := x.putClientPair(ctx); err != nil {
			m.Log.Warn("client certificate cannot be mended", "machine", name, "err", err)
		}
	}
	return x, nil
}

// open makes the driver from the record.
func (x *machine) open() error {
	factory, err := x.m.driver(x.rec.DriverName)
	if errors.Is(err, drivers.ErrUnknown) {
		x.drv = &driverless{x.rec, err, (&net.Dialer{}).DialContext}
		return nil
	}
	if err != nil {
		return fmt.Errorf("open machine %q: %w", x.rec.Name, err)
	}
	secrets, err := x.secrets(factory)
	if err != nil {
		return fmt.Errorf("open machine %q: %w", x.rec.Name, err)
	}
	if secrets, err = x.inherit(factory, secrets); err != nil {
		return fmt.Errorf("open machine %q: %w", x.rec.Name, err)
	}
	if err := x.openWith(factory, secrets); err != nil {
		return fmt.Errorf("open machine %q: %w", x.rec.Name, err)
	}
	return nil
}

func (x *machine) openWith(f drivers.Factory, secrets json.RawMessage) error {
	if err := x.here(); err != nil {
		return err
	}
	id, err := x.m.Store.ID()
	if err != nil {
		return err
	}
	x.merger, _ = f.(drivers.Merger)
	x.drv, err = f.Open(x.rec.Driver, secrets, x.rec.DriverState, x.saveState, drivers.Env{
		Machine: x.rec.Name,
		Dir:     x.m.Store.MachineDir(x.rec.Name),
		Cache:   x.m.Store.CacheDir(),
		StoreID: id,
		Creator: "machine/" + x.m.Version,
		Getenv:  x.m.Getenv,
		Log:     x.m.Log.With("machine", x.rec.Name, "driver", f.Name()),
		Step:    x.m.Step,
		Note:    x.m.Note,

		Progress: x.m.Progress,
		AtEnd:    x.m.endings.add,

		CreateFlags: func() map[string]any { return createFlags(x.rec) },
		KeepSecrets: x.keepSecrets,
	})
	return err
}

// own tells whether the host is the user's own, and only changed as far as must be.
func (x *machine) own() bool {
	_, ok := x.drv.(drivers.Adopter)
	return ok
}

// saveState makes a new state of the driver durable.
func (x *machine) saveState(state json.RawMessage) error {
	if x.txn == nil {
		return fmt.Errorf("save state of %q: machine is open for reading only", x.rec.Name)
	}
	if x.givenUp != nil && x.givenUp.Load() {
		return fmt.Errorf("save state of %q: %w", x.rec.Name, store.ErrClosed)
	}
	if err := x.setState(state); err != nil {
		return fmt.Errorf("save state of %q: %w", x.rec.Name, err)
	}
	return x.put()
}

// setState has the record hold a state of the driver.
func (x *machine) setState(state json.RawMessage) error {
	if x.merger == nil {
		x.rec.DriverState = state
		return nil
	}
	config, err := x.merger.Merge(x.rec.Driver, state)
	if err != nil {
		return err
	}
	x.rec.Driver, x.rec.DriverState = config, nil
	return nil
}

// keepSecrets stores what the driver has found out, if such may be stored.
func (x *machine) keepSecrets(secrets map[string]string) error {
	if x.txn == nil {
		return fmt.Errorf("save secrets of %q: machine is open for reading only", x.rec.Name)
	}
	if x.rec.NoStoredSecrets {
		return nil
	}
	data, err := writeSecrets(secrets)
	if err != nil {
		return err
	}
	return x.txn.PutSecrets(data)
}

func (x *machine) put() error {
	if err := x.ownKey(); err != nil {
		return err
	}
	return x.txn.Put(x.rec)
}

// ownKey copies a login key that docker-machine recorded elsewhere into the machine's folder, so that the store
// can be moved.
func (x *machine) ownKey() error {
	if x.rec.SSH.Elsewhere == "" || x.rec.SSH.Key != "" {
		return nil
	}
	path := x.keyElsewhere()
	x.rec.SSH.Elsewhere = ""
	if path == "" {
		return nil
	}
	if base := filepath.Base(path); path == x.path(base) {
		x.rec.SSH.Key = base // in the folder, which was called otherwise
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read SSH key: %w", err)
	}
	if err := x.txn.WriteFile(ownKeyFile, data); err != nil {
		return err
	}
	x.rec.SSH.Key = ownKeyFile
	return nil
}

func (x *machine) close() error { return x.txn.Close() }

// phase records how far the machine has come; a problem of before is over.
func (x *machine) phase(p store.Phase) error {
	x.rec.Phase = p
	x.rec.Problem = nil
	return x.put()
}

// fail records why a command did not finish and returns err. What cannot be
// recorded is logged: the first cause is worth more than the second. That a machine of this kind cannot do
// what was asked is no problem of the machine: its record is left as it is.
func (x *machine) fail(err error) error {
	if err == nil || x.txn == nil || errors.Is(err, drivers.ErrUnsupported) && x.rec.Phase == store.Ready {
		return err
	}
	x.rec.Problem = &store.Problem{Reason: ReasonOf(err).ID, Message: err.Error(), Time: x.m.Now().UTC()}
	if perr := x.put(); perr != nil {
		x.m.Log.Warn("problem not recorded", "machine", x.rec.Name, "err", perr)
		if errors.Is(perr, store.ErrLockLost) {
			return fmt.Errorf("%w: %w", perr, err) // others went on meanwhile, which explains the rest
		}
	}
	return err
}

// Names returns the names of all machines in natural order; nothing is asked.
func (m *Manager) Names() ([]string, error) { return m.Store.Names() }
