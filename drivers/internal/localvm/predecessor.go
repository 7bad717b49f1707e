package localvm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hostsmith/machine/drivers"
)

// Predecessor is what docker-machine recorded of a machine, whatever its driver.
type Predecessor struct {
	MachineName  string
	StorePath    string
	IPAddress    string // where it was last
	SSHUser      string
	SSHPort      int
	HostOnlyCIDR string // of its driver virtualbox
}

// TakingOver returns a factory whose machines of docker-machine, which have no state of
// ours, begin with the state that begin makes of their record.
func TakingOver[S any](f drivers.Factory, begin func(Predecessor) S) drivers.Factory {
	return &takingOver[S]{f, begin}
}

type takingOver[S any] struct {
	drivers.Factory
	begin func(Predecessor) S
}

// Open implements drivers.Factory.
func (f *takingOver[S]) Open(config, secrets, state json.RawMessage, save func(json.RawMessage) error, env drivers.Env) (drivers.Driver, error) {
	var p Predecessor
	if none := bytes.TrimSpace(state); len(none) == 0 || string(none) == "null" {
		if err := json.Unmarshal(config, &p); err == nil && p.MachineName != "" && p.StorePath != "" {
			made, err := json.Marshal(f.begin(p))
			if err != nil {
				return nil, fmt.Errorf("take over %s: %w", p.MachineName, err)
			}
			state = made
		}
	}
	return f.Factory.Open(config, secrets, state, save, env)
}

// Describe implements drivers.Describer.
func (f *takingOver[S]) Describe(config json.RawMessage) (drivers.Values, error) {
	d, ok := f.Factory.(drivers.Describer)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return d.Describe(config)
}
