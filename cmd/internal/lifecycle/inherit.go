package lifecycle

import (
	"encoding/json"
	"errors"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/plugin"
	"github.com/hostsmith/machine/store"
)

// inherit makes a record of docker-machine one of ours: what its driver has to
// release becomes its state, and the secrets leave the record. It returns the
// secrets to open the driver with. Of a machine that is only read, nothing is stored.
func (x *machine) inherit(f drivers.Factory, secrets json.RawMessage) (json.RawMessage, error) {
	if len(x.rec.DriverState) > 0 {
		return secrets, nil
	}
	h, ok, err := x.heritage(f)
	if err != nil || !ok {
		return secrets, err
	}
	if !x.rec.NoStoredSecrets {
		if secrets, err = overlaySecrets(h.Secrets, secrets); err != nil {
			return nil, err
		}
	}
	x.rec.Driver, x.rec.DriverState = h.Config, h.State
	if x.txn == nil {
		return secrets, nil
	}
	if !x.rec.NoStoredSecrets && len(secrets) > 0 {
		err = x.txn.PutSecrets(secrets) // first: the record's are gone then
	}
	if err == nil {
		err = x.put()
	}
	if errors.Is(err, store.ErrFull) { // which must not keep a host that costs money
		err = nil
	}
	return secrets, err
}

// heritage is what docker-machine recorded of the machine: for a driver of its own, or for ours as its plugin. ok is
// false if the record is not docker-machine's.
func (x *machine) heritage(f drivers.Factory) (h drivers.Heritage, ok bool, err error) {
	served, err := plugin.Served(f, x.rec.Driver, x.m.Store.MachineDir(x.rec.Name))
	if err != nil {
		return h, false, err
	}
	if served != nil {
		if !served.Created && x.rec.Phase == store.Ready {
			x.rec.Phase = store.Pending
		}
		return drivers.Heritage{Config: served.Config, State: served.State}, true, nil
	}
	if heir, ok := f.(drivers.Heir); ok {
		return heir.Inherit(x.rec.Driver)
	}
	return h, false, nil
}

// inheritRecord is inherit for commands that do not open the driver with what is stored.
func (x *machine) inheritRecord() error {
	f, err := x.m.driver(x.rec.DriverName)
	if err != nil {
		return nil // it is said where the driver is needed
	}
	secrets, err := x.m.Store.Secrets(x.rec.Name)
	if err != nil {
		secrets = nil // likewise
	}
	_, err = x.inherit(f, secrets)
	return err
}
