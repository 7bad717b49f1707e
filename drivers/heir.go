package drivers

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// Heir is implemented by factories whose drivers go on with machines that
// docker-machine made. Their records hold the configuration, what was made and
// the secrets in one object.
type Heir interface {
	// Inherit takes apart what docker-machine recorded of a machine. It reads
	// nothing but the record and, like Open, does not validate. ok is false if
	// config is no record of docker-machine.
	Inherit(config json.RawMessage) (h Heritage, ok bool, err error)
}

// Heritage is a machine of docker-machine as it is stored here.
type Heritage struct {
	Config, Secrets, State json.RawMessage // as Open takes them; Secrets is nil if there are none
}

// TakingOver returns f as an Heir: begin makes a configuration, with the secrets
// in it, and the first state of a record of docker-machine. The driver opens
// such a record as it is too.
//
// f is made by Define with the same C and S; another is a bug and panics.
func TakingOver[C, S any](f Factory, begin func(record json.RawMessage) (C, S, error)) Factory {
	made, ok := f.(*factory[C, S])
	if !ok {
		panic(fmt.Sprintf("drivers: take over machines of %s: its configuration or state is of another type", f.Name()))
	}
	return &heir[C, S]{made, begin}
}

// TakingOverState is TakingOver for drivers whose configuration has docker-machine's names: only the state is made.
func TakingOverState[C, S any](f Factory, begin func(record json.RawMessage) (S, error)) Factory {
	return TakingOver(f, func(record json.RawMessage) (C, S, error) {
		made := f.(*factory[C, S]) //nolint:forcetypeassert // TakingOver has seen to it
		c := made.def()
		if err := unmarshalConfig(reflect.ValueOf(&c).Elem(), made.fields, record); err != nil {
			var none S
			return c, none, err
		}
		state, err := begin(record)
		return c, state, err
	})
}

type heir[C, S any] struct {
	*factory[C, S]
	begin func(record json.RawMessage) (C, S, error)
}

func (f *heir[C, S]) Inherit(config json.RawMessage) (Heritage, bool, error) {
	var base struct{ MachineName string } // of all that docker-machine's drivers stored, and of nothing else
	if absent(config) || json.Unmarshal(config, &base) != nil || base.MachineName == "" {
		return Heritage{}, false, nil
	}
	c, state, err := f.begin(config)
	if err != nil {
		return Heritage{}, false, fmt.Errorf("read what docker-machine recorded of %s: %w", base.MachineName, err)
	}
	var h Heritage
	v := reflect.ValueOf(c)
	if h.Config, err = marshalConfig(v, f.fields); err == nil {
		h.Secrets, err = marshalSecrets(v, f.fields)
	}
	if err == nil {
		h.State, err = json.Marshal(state)
	}
	return h, err == nil, err
}

func (f *heir[C, S]) Open(config, secrets, state json.RawMessage, save func(json.RawMessage) error, env Env) (Driver, error) {
	h, ok, err := f.Inherit(config)
	if err != nil {
		return nil, err
	}
	if ok {
		config = h.Config
		if absent(state) {
			state = h.State
		}
		if secrets, err = OverlaySecrets(h.Secrets, secrets); err != nil {
			return nil, fmt.Errorf("read secrets of driver %s: %w", f.name, err)
		}
	}
	return f.factory.Open(config, secrets, state, save, env)
}
