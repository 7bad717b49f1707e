package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"github.com/hostsmith/machine/drivers"
)

// baseDriver is what the records of all drivers of docker-machine have.
type baseDriver struct {
	IPAddress      string
	MachineName    string
	SSHUser        string
	SSHPort        int
	SSHKeyPath     string
	StorePath      string
	SwarmMaster    bool
	SwarmHost      string
	SwarmDiscovery string
}

// RecordKey is where a served driver's Record is in the caller's record.
const RecordKey = "MachineDriver"

// Record is what a driver of ours that is served keeps of a machine. Secrets are not in it.
type Record struct {
	Driver  string          // the factory's name
	Config  json.RawMessage `json:",omitempty"`
	State   json.RawMessage `json:",omitempty"`
	Created bool            // Create has come to its end
	Key     string          `json:",omitempty"` // file in the machine's folder that logs in; empty: SSHKeyPath, or the user's own keys
}

// setRaw lays a record over what is known. The first one of a new machine has its name and the store's path.
func (h *host) setRaw(raw []byte) error {
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) != nil { // whose error may hold a part of a secret
		return errors.New("read the caller's record: it is not a JSON object")
	}
	base := h.base
	if err := json.Unmarshal(raw, &base); err != nil {
		return fmt.Errorf("read the caller's record: %w", err)
	}
	var own *Record
	if part, ok := object[RecordKey]; ok {
		own = &Record{}
		if json.Unmarshal(part, own) != nil {
			return fmt.Errorf("read the caller's record: its %s is not one of this program", RecordKey)
		}
		if own.Driver != h.server.Factory.Name() {
			return fmt.Errorf("read the caller's record: it is of driver %q, not %q", own.Driver, h.server.Factory.Name())
		}
		if own.Key != "" && (own.Key != filepath.Base(own.Key) || own.Key == "..") {
			return fmt.Errorf("read the caller's record: its key %q is no file of the machine's folder", own.Key)
		}
	}
	delete(object, RecordKey)
	for key := range baseKeys() {
		delete(object, key)
	}
	if h.rest == nil {
		h.rest = map[string]json.RawMessage{}
	}
	maps.Copy(h.rest, object)
	h.base, h.drv = base, nil
	if own != nil {
		h.own = own
	}
	if len(h.rest) > 0 {
		if err := h.inherit(); err != nil {
			return err
		}
	}
	return h.catchUp()
}

// baseKeys are the keys of a baseDriver.
func baseKeys() map[string]json.RawMessage {
	keys := map[string]json.RawMessage{}
	if data, err := json.Marshal(baseDriver{}); err == nil {
		_ = json.Unmarshal(data, &keys) // what was just written
	}
	return keys
}

// raw is the record, as the caller stores it.
func (h *host) raw() ([]byte, error) {
	object := map[string]any{}
	for key, value := range h.rest {
		object[key] = value
	}
	base := h.base
	base.SSHKeyPath = h.keyPath()
	data, err := json.Marshal(base)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &object); err != nil {
		return nil, err
	}
	if h.own != nil {
		object[RecordKey] = h.own
	}
	if dir, err := h.dir(); err == nil && isFolder(dir) {
		if err := h.keepSecrets(dir); err != nil {
			return nil, err
		}
	}
	return json.Marshal(object)
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// inherit takes over a machine that docker-machine's own driver of the name made. What that one recorded stays
// in the record beside ours, so that it goes on being of use to that one; its secrets are used from there.
func (h *host) inherit() error {
	all := map[string]json.RawMessage{}
	maps.Copy(all, h.rest)
	base, err := json.Marshal(h.base)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(base, &all); err != nil {
		return err
	}
	record, err := json.Marshal(all)
	if err != nil {
		return err
	}
	own := &Record{Driver: h.server.Factory.Name(), Config: record, Created: true}
	if heir, ok := h.server.Factory.(drivers.Heir); ok {
		got, ok, err := heir.Inherit(record)
		if err != nil {
			return err
		}
		if ok {
			own.Config, own.State, h.inherited = got.Config, got.State, got.Secrets
		}
	} else if config, ok := h.tidy(record); ok {
		own.Config = config
	}
	if h.own != nil {
		return nil
	}
	if dir, err := h.dir(); err == nil && h.base.SSHKeyPath == "" {
		if _, err := os.Stat(filepath.Join(dir, oldKeyFile)); err == nil {
			own.Key = oldKeyFile // what docker-machine took when the path was empty
		}
	}
	h.own = own
	return nil
}

// tidy is a configuration without all that is none, if its options are still taken.
func (h *host) tidy(record json.RawMessage) (json.RawMessage, bool) {
	d, ok := h.server.Factory.(drivers.Describer)
	if !ok {
		return nil, false
	}
	values, err := d.Describe(record)
	if err != nil {
		return nil, false
	}
	config, _, err := h.server.Factory.Configure(values)
	return config, err == nil
}

// catchUp takes what the machine's folder has over what the caller's record says of the state: the caller records
// only when it asks for the record.
func (h *host) catchUp() error {
	dir, err := h.dir()
	if err != nil {
		return nil // a caller that only wants to know the options
	}
	kept, err := keptRecord(h.server.Factory.Name(), dir)
	if err != nil || kept == nil {
		return err
	}
	if h.own != nil && len(h.own.Config) > 0 {
		kept.Config = h.own.Config // the user may have edited it
	}
	h.own = kept
	return nil
}

// keptRecord is what a server has written into the machine's folder; nil: nothing.
func keptRecord(driver, dir string) (*Record, error) {
	data, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // nothing is no error
	}
	if err != nil {
		return nil, fmt.Errorf("read the driver's state: %w", err)
	}
	var kept Record
	if err := json.Unmarshal(data, &kept); err != nil {
		return nil, fmt.Errorf("read the driver's state: %s: %w", filepath.Join(dir, stateFile), err)
	}
	if kept.Driver != driver {
		return nil, fmt.Errorf("read the driver's state: %s is of driver %q, not %q", filepath.Join(dir, stateFile), kept.Driver, driver)
	}
	return &kept, nil
}

// Served takes apart what a caller recorded of a machine that a driver of ours made for it: record is what the
// caller keeps for the driver, dir the machine's folder. Of a machine that is no such one it returns nil, and also if f
// is a plugin: that one reads what is its own.
func Served(f drivers.Factory, record json.RawMessage, dir string) (*Record, error) {
	if _, ok := f.(*factory); ok {
		return nil, nil //nolint:nilnil // another kind of record is no error
	}
	driver := f.Name()
	var object map[string]json.RawMessage
	if json.Unmarshal(record, &object) != nil || object[RecordKey] == nil {
		return nil, nil //nolint:nilnil // another kind of record is no error
	}
	var own Record
	if json.Unmarshal(object[RecordKey], &own) != nil || own.Driver != driver {
		return nil, fmt.Errorf("read what another program recorded: its %s is not one of driver %q", RecordKey, driver)
	}
	kept, err := keptRecord(driver, dir)
	if err != nil {
		return nil, err
	}
	if kept != nil {
		kept.Config = own.Config
		own = *kept
	}
	return &own, nil
}
